"""A Ray of this process's own on this machine, on loopback only: for `coe-ray serve`, the demo and measurements."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coe_ray.cli.ray_driver import accepts_connections, connect, remove_stale_address_file
from coe_ray.core.errors import ConfigError
from coe_ray.core.ports import bind_error, require_free_port
from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT, WANTED_ENVIRONMENT

ADDRESS = "127.0.0.1:6379"
DASHBOARD = "http://127.0.0.1:8265"
PORTS = {6379: "its control service", 8265: "its dashboard"}
LOGICAL_CPUS = 8
"""More than most laptops have: here Ray's CPUs are places for processes, not cores."""
OBJECT_STORE = 300_000_000
"""Bytes. Questions and answers are small."""
START_S = 300.0
"""Seconds until a Ray that has neither started nor ended is given up."""
SETTINGS = {
    **WANTED_ENVIRONMENT,
    # Idle processes that Ray keeps; by default as many as CPUs, of up to 700 MB each where they imported vLLM.
    "RAY_num_workers_soft_limit": "1",
    # Half a minute each to hand work over to other nodes, of which there are none.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    # By default a proxy is killed that is not up within 5 s, as on a busy machine, and Serve fails to start.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    # By default Ray's processes give way to all others (nice 15): here they are what the machine is for.
    "RAY_worker_niceness": "0",
    **RAY_ENVIRONMENT,
}


def prepare_environment() -> None:
    """Set what Ray and Serve read when they are imported or started. Call it before anything imports `ray`."""
    os.environ.update(SETTINGS)
    scripts = str(Path(sys.executable).parent)
    if scripts not in os.environ.get("PATH", "").split(os.pathsep):
        # Jobs start `coe-ray` by its name, also where the virtual environment is not active.
        os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])


def require_ray_ports() -> None:
    """Raises `ConfigError` where a port is taken that Ray needs."""
    for number, purpose in PORTS.items():
        if bind_error("127.0.0.1", number) is not None:
            raise ConfigError(
                f"port {number} is taken, and Ray needs it for {purpose}; if another Ray runs here, stop it: `ray stop`"
            )


def require_free_ports(host: str, port: int) -> None:
    """Raises `ConfigError` where a port is taken that Ray or the endpoint needs."""
    require_ray_ports()
    require_free_port(host, port)


@contextmanager
def local_ray() -> Iterator[None]:
    """Start Ray and connect to it, and stop that one again; other Rays of this machine are left alone.

    Call `prepare_environment` first. Raises `ConfigError` where Ray does not start.
    """
    _ensure_token()
    log = Path(tempfile.gettempdir(), f"coe_ray-ray-{os.getpid()}.log")
    with log.open("wb") as output:
        head = subprocess.Popen(_start_command(), stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        _interrupt_on_sigterm()
        try:
            _wait_until_up(head, log)
            _interrupt_on_sigterm()  # ray.init puts a handler of its own there that ends this process on the spot
            yield
        finally:
            _disconnect()
            _stop(head)
    log.unlink(missing_ok=True)


def script(name: str) -> str:
    """Path of a command of this environment, also where it is not active."""
    return str(Path(sys.executable).with_name(name))


def _start_command() -> list[str]:
    return [
        *(script("ray"), "start", "--head", "--block", "--disable-usage-stats"),
        "--node-ip-address=127.0.0.1",
        # Where another process has this port, Ray starts without its job agent and runs no jobs.
        f"--dashboard-agent-listen-port={_free_port()}",
        f"--num-cpus={LOGICAL_CPUS}",
        f"--object-store-memory={OBJECT_STORE}",
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _ensure_token() -> None:
    """Make the token that Ray asks for, where this user has none yet."""
    variables = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if os.environ.get("RAY_AUTH_MODE") != "token" or any(os.environ.get(name) for name in variables):
        return
    if not Path("~/.ray/auth_token").expanduser().exists():
        subprocess.run([script("ray"), "get-auth-token", "--generate"], check=True, capture_output=True)


def _interrupt_on_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _wait_until_up(head: "subprocess.Popen[bytes]", log: Path) -> None:
    """Connect as soon as Ray accepts this process as a driver."""
    deadline = time.monotonic() + START_S
    while head.poll() is None and time.monotonic() < deadline:
        if accepts_connections(ADDRESS):
            with suppress(ConfigError):  # Ray's node is not registered yet: the deadline decides
                return connect(ADDRESS)
        time.sleep(0.2)
    lines = log.read_text(errors="replace").strip().splitlines()
    raise ConfigError(f"Ray did not start: {lines[-1] if lines else 'it printed nothing'} (all its output: {log})")


def _disconnect() -> None:
    import ray
    from ray import serve

    if ray.is_initialized():
        serve.shutdown()  # or its HAProxy would outlive it
        ray.shutdown()  # or this process would wait for the Ray that it stops


def _stop(head: "subprocess.Popen[bytes]") -> None:
    """End Ray: `ray start --block` takes its processes with it on SIGTERM, but leaves the file with its address."""
    head.send_signal(signal.SIGTERM)
    try:
        head.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
    with suppress(ConfigError):  # it names a Ray of another machine
        remove_stale_address_file()
