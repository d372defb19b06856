"""A Ray cluster of one node for a test alone, beside whatever else runs on this machine, and gone with the test."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")
CPUS = 8
START_S = 60.0


@dataclass(frozen=True, slots=True)
class OwnRay:
    """How to reach it: `environment` is for the processes that shall use this cluster and no other.

    `nodes` are the processes whose descendants all others are, the head's first. `logs` is the cluster's own folder.
    """

    nodes: list[int]
    environment: dict[str, str]
    logs: Path

    def processes(self, title: str, node: int | None = None) -> list[int]:
        """Ids of this cluster's processes, or of one node's, whose title begins with `title`, and of nobody else's."""
        above = set(self.nodes if node is None else [node])
        found = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
        return [pid for pid in found if _title(pid).startswith(title) and not above.isdisjoint(_ancestors(pid))]

    def add_node(self, ip: str) -> int:
        """One more node, with another address of this machine's own: Ray tells nodes apart by them."""
        [agent] = _free_ports(1)
        command = [str(RAY), "start", "--block", f"--address={self.environment['RAY_ADDRESS']}", f"--num-cpus={CPUS}"]
        command += [f"--node-ip-address={ip}", f"--dashboard-agent-listen-port={agent}", "--disable-usage-stats"]
        command += ["--object-store-memory=200000000"]
        said = self.logs / f"{ip}.log"
        with said.open("wb") as log:
            started = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=self.environment, start_new_session=True
            )
        self.nodes.append(started.pid)
        _wait_until(lambda: b"Ray runtime started" in said.read_bytes(), started, said)
        return started.pid

    def kill_node(self, node: int) -> None:
        """As when its power fails: no process of it has time for anything."""
        # Asked politely it would drain for half a minute; all its processes are children of this one.
        for pid in [node, *self.processes("", node)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(node, 0)


@contextlib.contextmanager
def own_ray(*, dashboard: bool = False) -> Iterator[OwnRay]:
    """Start a head on free ports, with its own temporary folder; the tests' environment is left alone."""
    temp = Path(tempfile.mkdtemp(prefix="coe", dir="/tmp"))  # short: the paths of its sockets may have 107 bytes
    gcs, board, client, agent = _free_ports(4)
    environment = _environment(f"127.0.0.1:{gcs}", f"http://127.0.0.1:{board}")
    command = [
        str(RAY),
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        f"--port={gcs}",
        f"--num-cpus={CPUS}",
    ]
    command += [f"--include-dashboard={str(dashboard).lower()}", f"--dashboard-port={board}", "--disable-usage-stats"]
    command += [f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}", f"--temp-dir={temp}"]
    command += ["--object-store-memory=200000000"]
    with (temp / "start.log").open("wb") as log:
        head = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)
    started = OwnRay([head.pid], environment, temp)
    try:
        _wait_until_listening(gcs, head, temp / "start.log")
        if dashboard:
            _wait_until_listening(board, head, temp / "start.log")
        yield started
    finally:
        for node in reversed(started.nodes):
            started.kill_node(node)
        shutil.rmtree(temp, ignore_errors=True)


def _environment(address: str, dashboard: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **inherited,
        "RAY_ADDRESS": address,
        "RAY_API_SERVER_ADDRESS": dashboard,
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_niceness": "0",  # on a busy machine its workers would never get their turn
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",  # a job's `python` shall be this one
    }


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


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]


def _wait_until_listening(port: int, head: "subprocess.Popen[bytes]", log: Path) -> None:
    _wait_until(lambda: _listens(port), head, log)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _wait_until(up: Callable[[], bool], started: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and started.poll() is None:
        if up():
            return
        time.sleep(0.1)
    raise RuntimeError(f"Ray did not start: {log.read_text(errors='replace')}")
