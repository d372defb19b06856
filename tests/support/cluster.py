"""Cluster harness: a Ray of the tests' own, with Serve where it is wanted, in a process of its own.

`Cluster.started` starts `cluster_program.py`, which carries out one order at a time. Other processes reach the same
Ray by `Cluster.environment`. Nodes can be added and lost, processes found and killed.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import orjson

from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT

ROOT = Path(__file__).parents[2]
START_S = 240.0
"""Seconds until a head that does not come up is killed, so that its tests say so."""

BUILDER = "coe_ray.serve.app:build"
REPLY = "reply: "
PATIENCE_S = 240.0

SERVE_ENVIRONMENT = RAY_ENVIRONMENT | {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
"""Serve as in production, but for HAProxy."""


def haproxy_environment() -> dict[str, str]:
    """Serve as in production, with HAProxy on ports of its own."""
    ports = ("HAPROXY_STATS_PORT", "HAPROXY_METRICS_PORT", "FALLBACK_PROXY_HTTP_PORT")
    own = {f"RAY_SERVE_{name}": str(free_port()) for name in ports}
    return SERVE_ENVIRONMENT | {"RAY_SERVE_ENABLE_HA_PROXY": "1"} | own


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica that Serve counts as running; `node` is its node's name."""

    pid: int
    node: str


Replicas = Mapping[str, frozenset[Replica]]
"""The running replicas of each deployment."""


@dataclass
class Cluster:
    """The process, the URL of Serve's HTTP port, and the folder of Ray's files.

    `environment` is for processes that shall use this Ray and no other. `nodes` has the id of each node's main process:
    all others of the node descend from it.
    """

    process: subprocess.Popen[str]
    url: str
    folder: Path
    environment: dict[str, str]
    nodes: dict[str, int]

    @classmethod
    @contextlib.contextmanager
    def started(cls, environment: Mapping[str, str] | None = None, *, dashboard: bool = False) -> Iterator[Self]:
        """A head with 8 logical CPUs. `environment` is Ray's own; Serve starts with the first order that needs it."""
        port, board = free_port(), free_port()
        # A short path: Ray's sockets lie below it, and their names may have 107 characters.
        with tempfile.TemporaryDirectory(prefix="coe-", ignore_cleanup_errors=True) as folder:
            Path(folder, "ray").mkdir()
            own = clean_environment() | {"RAY_TMPDIR": folder} | dict(environment or {})
            code = f"from tests.support.cluster_program import main; main({port}, {board if dashboard else 0})"
            with Path(folder, "stderr").open("w") as errors:
                process = subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=own,
                )
            cluster = cls(process, f"http://127.0.0.1:{port}", Path(folder), own, {})
            watchdog = threading.Timer(START_S, process.kill)
            watchdog.start()
            try:
                address, head = cluster.call("address")
                watchdog.cancel()
                cluster.nodes["head"] = head
                cluster.environment |= {"RAY_ADDRESS": address, "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{board}"}
                yield cluster
            finally:
                watchdog.cancel()  # also after a failed start: its thread would hold this process for minutes
                process.communicate(timeout=180)  # replicas finish their requests first

    @property
    def address(self) -> str:
        return self.environment["RAY_ADDRESS"]

    def call(self, order: str, **arguments: object) -> Any:
        """What the order returned. Raises `RuntimeError` with its traceback where it failed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(orjson.dumps([order, arguments], default=str).decode() + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith(REPLY):
                reply = cast("dict[str, Any]", orjson.loads(line.removeprefix(REPLY)))
                if "error" in reply:
                    raise RuntimeError(reply["error"])
                return reply["result"]
        raise AssertionError(f"the cluster died: {self.stderr()}")

    def run(self, function: str, **arguments: object) -> Any:
        """Call `module:function`, which may be a coroutine, in the process that is connected to the cluster."""
        return self.call("run", function=function, arguments=arguments)

    def deploy(self, profile: Path, builder: str = BUILDER, name: str = "default", route: str = "/") -> str | None:
        """`serve.run(builder(AppArgs(profile)))`. The error, where the application does not come up."""
        return cast("str | None", self.call("deploy", profile=profile, builder=builder, name=name, route=route))

    @contextlib.contextmanager
    def serving(self, profile: Path, builder: str = BUILDER, name: str = "default", route: str = "/") -> Iterator[str]:
        """Deploy the application, whose URL is given, and delete it at the end of the block."""
        error = self.deploy(profile, builder, name, route)
        try:
            assert error is None, error
            yield f"{self.url}{route}".rstrip("/")
        finally:
            self.delete(name)

    def declare(self, config: Mapping[str, object]) -> None:
        """Deploy as `serve deploy` does with a file."""
        self.call("declare", config=config)

    def delete(self, name: str = "default") -> None:
        self.call("delete", name=name)

    def add_node(
        self, name: str, resources: Mapping[str, float] | None = None, *, gpus: int = 0, ip: str | None = None
    ) -> None:
        """A node with 8 logical CPUs. Ray Data tells nodes apart by `ip`, which may be any of 127.0.0.0/8."""
        self.nodes[name] = self.call("add_node", name=name, gpus=gpus, ip=ip, resources=resources or {})

    def lose_node(self, name: str) -> None:
        """As when its power fails: no process of it has time for anything."""
        self.call("lose_node", name=name)
        del self.nodes[name]

    def remove_nodes(self) -> None:
        """All but the head, as an operator does; Ray knows it at the end."""
        self.call("remove_nodes")
        self.nodes = {"head": self.nodes["head"]}

    def replicas(self, application: str = "default") -> Replicas:
        listed = self.call("replicas", application=application)
        return {name: frozenset(Replica(*each) for each in replicas) for name, replicas in listed.items()}

    def processes(self, title: str, node: str | None = None) -> list[int]:
        """Ids of this cluster's processes, or of one node's, whose title begins with `title`."""
        roots = {self.process.pid} if node is None else {self.nodes[node]}
        running = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in running if _title(pid).startswith(title) and not roots.isdisjoint(_ancestors(pid))]

    def stderr(self) -> str:
        """The end of what the process wrote on its standard error."""
        return Path(self.folder, "stderr").read_text()[-4000:]

    def log_of(self, deployment: str, application: str = "default") -> str:
        """Everything that the replicas of one deployment logged."""
        logs = self.folder / "ray" / "session_latest" / "logs" / "serve"
        files = sorted(logs.glob(f"replica_{application}_{deployment}_*.log"))
        assert files, f"no log of {deployment} in {logs}"
        return "\n".join(file.read_text() for file in files)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return cast(int, listening.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """This process's, without what would lead to another cluster or change how Serve works."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SERVE_"))}
    return kept | {
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_worker_niceness": "0",  # on a busy machine workers would never get their turn
        "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "1",  # what cannot start fails at once
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",  # no balancer in front has to hear of it first
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "*",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # a job's `python` shall be this one
    }


def kill(pid: int) -> None:
    """SIGKILL, and wait until nothing of the process is left but perhaps a zombie."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    """A zombie is not: it holds nothing open any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {patience_s:g} s")
        time.sleep(0.05)


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    return ""


def _ancestors(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):  # it may end at any time
        while pid > 1:
            # The name of the process stands in brackets and may hold anything.
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            yield pid
