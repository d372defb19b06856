"""The print statements behind the log parsing questions, worded for this package, and their field values.

Every statement has at least two fields and three longer fixed words, so that enough distinct wrong templates
exist; fixed words never name something that would itself vary (a verb, not a user or a host).
"""

from collections.abc import Callable

from jobs.sample_generator.drafts import Dice

STATEMENTS = (
    ("{syslog} sshd[{pid}]:", "Login refused for account {user} connecting from {ip} source port {port}"),
    ("{syslog} sshd[{pid}]:", "Closing idle session of {user} after {int} seconds without traffic"),
    (
        "{syslog} kernel: [{uptime}]",
        "Process {name} ({int}) killed to free memory, resident size was {int} kB",
    ),
    (
        "{syslog} kernel: [{uptime}]",
        "Link on interface {nic} went down, {int} packets dropped in transmit ring",
    ),
    (
        "{syslog} kernel: [{uptime}]",
        "Correctable memory error on channel {digit} slot {digit}, syndrome {hex}",
    ),
    ("{plain} INFO datanode.Receiver:", "Finished receiving block {block} of length {int} from peer {addr}"),
    (
        "{plain} WARN namenode.Monitor:",
        "Replica count of block {block} fell to {digit}, scheduling copy on {addr}",
    ),
    ("{plain} INFO datanode.Scanner:", "Checksum verified for block {block} in {int} ms"),
    ("{iso} nginx[{pid}]: [error]", "upstream {addr} gave no answer within {int} ms while serving {path}"),
    ("{iso} nginx[{pid}]: [warn]", "client {ip} sent body of {int} bytes, buffering to file {file}"),
    ("{iso} kubelet", "Back-off restarting container {name} in pod {pod}, attempt {int}"),
    ("{iso} kubelet", "Readiness probe for pod {pod} returned status {code} after {int} ms"),
    ("{iso} scheduler", "Could not place pod {pod}: sufficient memory is missing on {int} nodes"),
    ("{plain} UTC [{pid}] LOG:", "statement took {int} ms and touched {int} pages of relation {table}"),
    ("{plain} UTC [{pid}] LOG:", "automatic vacuum of table {table} removed {int} dead tuples"),
    (
        "{plain} UTC [{pid}] ERROR:",
        "deadlock between backends {int} and {int} resolved by cancelling transaction {hex}",
    ),
    ("{pid}:M {plain} *", "Background snapshot saved {int} keys to {file} in {int} ms"),
    ("{pid}:S {plain} #", "Replica {addr} lags by {int} bytes, falling back to full resynchronisation"),
    ("[{plain}] INFO [broker]", "Partition {topic} moved leadership from broker {digit} to broker {digit}"),
    (
        "[{plain}] WARN [group]",
        "Consumer {uuid} missed its heartbeat for {int} ms, removing from group {name}",
    ),
    (
        "{syslog} postfix/smtp[{pid}]:",
        "message {hex} deferred: relay {addr} refused connection, retry in {int} s",
    ),
    ("{syslog} dhcpd[{pid}]:", "Leased address {ip} to client {mac} for {int} seconds"),
    (
        "{syslog} systemd[{pid}]:",
        "Unit {name}.service failed with exit code {int}, restart counter now {int}",
    ),
    ("{syslog} haproxy[{pid}]:", "Server {name}/{host} marked unhealthy after {int} failed checks"),
    ("{iso} INFO [gateway]", "Request {uuid} routed to {host} completed with code {code} in {int} ms"),
    ("{iso} ERROR [billing]", "Invoice {uuid} rejected: currency mismatch for customer {int}"),
    (
        "{iso} DEBUG [cache]",
        "Evicted {int} entries from region {name} because usage reached {percent} percent",
    ),
    ("{plain} [Full GC]", "Heap shrank from {int}K to {int}K, application paused for {int} ms"),
    ("{plain} WARN elect.Node:", "Node {host} left the cluster, {int} shards remain unassigned"),
    (
        "{iso} terraform[{pid}]:",
        "Drift detected on resource {name}.{host}, {int} attributes differ from state",
    ),
    ("{syslog} cron[{pid}]:", "Job {file} started by {user} overlapped previous run {int}, skipping"),
    ("{syslog} named[{pid}]:", "query from {ip} for {host}.internal denied by recursion policy, view {name}"),
    ("{iso} vpn[{pid}]:", "Tunnel to {ip} renegotiated keys after {int} bytes, cipher state {hex}"),
    ("{iso} raid[{pid}]:", "Rebuild of array {disk} reached {percent} percent, estimated {int} minutes left"),
    ("{plain} ERROR s3proxy:", "Upload of object {path} aborted, received {int} of {int} bytes"),
    ("{iso} ci-runner[{pid}]:", "Pipeline {int} stage {name} exceeded limit of {int} minutes, aborting"),
)
USERS = ("mlopez", "svc_backup", "deploy", "jchen", "root", "okafor", "tania")
NAMES = ("pricing", "reports", "ingest", "thumbs", "mailer", "ranker", "notify", "ledger")
FOLDERS = ("invoices", "media", "exports", "v2/items", "static", "tmp")


def fill(dice: Dice, kind: str) -> str:
    """Draw a value for a field of a statement."""
    return FIELDS[kind](dice)


def _hex(dice: Dice, length: int) -> str:
    return "".join("0123456789abcdef"[dice.below(16)] for _ in range(length))


def _ip(dice: Dice) -> str:
    return f"10.{dice.below(200)}.{dice.below(256)}.{dice.between(2, 250)}"


def _port(dice: Dice) -> str:
    return str(dice.between(1024, 65000))


def _number(dice: Dice) -> str:
    return str(dice.between(11, dice.pick((90, 900, 9000, 90000))))


def _name(dice: Dice) -> str:
    return f"{dice.pick(NAMES)}{dice.pick(('', '-api', '-v2', '_job'))}"


def _host(dice: Dice) -> str:
    return f"{dice.pick(('es', 'app', 'cache', 'rack4-', 'eu'))}{dice.between(1, 40):02d}"


def _path(dice: Dice) -> str:
    return f"/{dice.pick(FOLDERS)}/{_hex(dice, 5)}"


FIELDS: dict[str, Callable[[Dice], str]] = {
    "user": lambda dice: dice.pick(USERS),
    "ip": _ip,
    "port": _port,
    "addr": lambda dice: f"{_ip(dice)}:{_port(dice)}",
    "int": _number,
    "percent": lambda dice: str(dice.between(51, 98)),
    "digit": lambda dice: str(dice.between(0, 7)),
    "hex": lambda dice: f"0x{_hex(dice, 8)}",
    "uuid": lambda dice: f"{_hex(dice, 8)}-{_hex(dice, 4)}-{_hex(dice, 4)}",
    "mac": lambda dice: ":".join(_hex(dice, 2) for _ in range(6)),
    "name": _name,
    "host": _host,
    "pod": lambda dice: f"{dice.pick(NAMES)}-{_hex(dice, 6)}-{_hex(dice, 4)}",
    "block": lambda dice: f"blk_{dice.between(10**9, 10**10)}",
    "path": _path,
    "file": lambda dice: f"/var{_path(dice)}.{dice.pick(('tmp', 'dump', 'sh'))}",
    "table": lambda dice: f"public.{dice.pick(NAMES)}_{dice.pick(('events', 'rows', 'audit'))}",
    "topic": lambda dice: f"{dice.pick(NAMES)}-{dice.between(0, 48)}",
    "nic": lambda dice: dice.pick(("eth0", "ens5", "bond1", "enp3s0f1")),
    "disk": lambda dice: f"md{dice.between(0, 9)}",
    "code": lambda dice: dice.pick(("200", "404", "429", "500", "502", "503")),
}
