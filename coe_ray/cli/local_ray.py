"""A Ray of one's own on this machine, for the demo and for `make serve`."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray import serve

from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT

ADDRESS = "127.0.0.1:6379"
DASHBOARD = "http://127.0.0.1:8265"
"""Loopback only: nothing of this Ray is seen from outside."""
LOGICAL_CPUS = 8
"""More than most laptops have: Ray's CPUs are places for processes here, not cores."""
SETTINGS = {
    # Idle processes that Ray keeps; by default as many as CPUs, of up to 700 MB each where they imported vLLM.
    "RAY_num_workers_soft_limit": "1",
    # Half a minute each to hand work over to other nodes, of which there are none.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    # By default Ray's processes give way to all others (nice 15): here they are what the machine is for.
    "RAY_worker_niceness": "0",
    **RAY_ENVIRONMENT,
}
OBJECT_STORE = 300_000_000
"""Bytes. Questions and answers are small."""
START_S = 60.0


@contextmanager
def local_ray() -> Iterator[None]:
    """Start Ray and connect to it, and stop that one again; whatever else of Ray runs on this machine is left alone.

    Exits with a message where Ray cannot start, as when another one has its ports.
    """
    _ensure_token()
    log = Path(os.environ.get("TMPDIR", "/tmp"), f"coe_ray-ray-{os.getpid()}.log")  # noqa: S108  # a log, nobody trusts it
    with log.open("wb") as output:
        head = subprocess.Popen(
            _command(), stdout=output, stderr=subprocess.STDOUT, env=os.environ | SETTINGS, start_new_session=True
        )
        try:
            _wait_until_up(head, log)
            connect()
            os.environ.update(
                RAY_ENVIRONMENT
            )  # the application is built in this process, and asks whether they are set
            # After ray.init, which puts a handler of its own there that ends this process on the spot.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            yield
        finally:
            if ray.is_initialized():
                logging.getLogger("ray.serve").setLevel(logging.WARNING)  # it says that there is nothing to shut down
                serve.shutdown()  # or its HAProxy would outlive it
                ray.shutdown()  # or this process would wait for the Ray that it stops
            _stop(head)
    log.unlink(missing_ok=True)


def connect() -> None:
    """Make this process a driver of that Ray, where it is none yet."""
    if not ray.is_initialized():
        ray.init(address=ADDRESS, log_to_driver=False, logging_level="WARNING")


def _command() -> list[str]:
    return [
        *(script("ray"), "start", "--head", "--block", "--disable-usage-stats"),
        "--node-ip-address=127.0.0.1",
        # The agent that starts jobs does without its port, and so without jobs, where another Ray has it.
        f"--dashboard-agent-listen-port={_free_port()}",
        f"--num-cpus={LOGICAL_CPUS}",
        f"--object-store-memory={OBJECT_STORE}",
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def script(name: str) -> str:
    """The command of this environment, also where it is not active."""
    return str(Path(sys.executable).with_name(name))


def _ensure_token() -> None:
    """Ray asks for a token; one is made where this user has none yet."""
    if not Path("~/.ray/auth_token").expanduser().exists() and not os.environ.get("RAY_AUTH_TOKEN"):
        subprocess.run([script("ray"), "get-auth-token", "--generate"], check=True, capture_output=True)


def _wait_until_up(head: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if head.poll() is not None:
            break
        if b"Ray runtime started" in log.read_bytes():
            return
        time.sleep(0.2)
    last = log.read_text(errors="replace").strip().splitlines()[-8:]
    sys.exit("Ray did not start. If another one runs here, stop it (`ray stop`). It said:\n  " + "\n  ".join(last))


def _stop(head: subprocess.Popen[bytes]) -> None:
    """`ray start --block` takes its processes with it when it is asked to end."""
    head.send_signal(signal.SIGTERM)
    try:
        head.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
