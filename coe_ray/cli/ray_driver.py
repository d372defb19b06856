"""This process as a driver of a running Ray: connecting, printing nothing of Ray's, ending within its time."""

import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from coe_ray.cli.stderr_filter import hide_core_lines
from coe_ray.core.errors import ConfigError

if TYPE_CHECKING:
    from coe_ray.bench.graceful_shutdown import GracefulShutdown

QUIET = {
    "RAY_DEDUP_LOGS_SKIP_REGEX": "PYTHON worker processes have been started|ServeController.graceful_shutdown failed",
    "TQDM_DISABLE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",  # a deployment is built here; replicas keep their own level
}
"""Settings of this process alone. Ray's own log files are written all the same."""
CONNECT_S = 3.0
"""Seconds that a Ray may take to accept a connection; a machine that is off answers nothing at all."""
NO_RAY = (
    "no Ray is running on this machine; `coe-ray serve` in another terminal starts one, `ray start --head` a bare one; "
    "or set RAY_ADDRESS to a cluster's"
)


def connect(address: str = "auto") -> None:
    """Connect this process to a running Ray, if it is not connected. Raises `ConfigError` at once where none runs."""
    require_ray(address)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.serve  # sets the level of its logger, which is raised next

    if ray.is_initialized():
        return
    hide_core_lines()
    for name in ("ray.serve", "coe_ray"):  # what they say below a warning is for the log files of replicas
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="WARNING")
    except ConnectionError as error:
        raise ConfigError(NO_RAY) from error
    except ray.exceptions.AuthenticationError as error:
        raise ConfigError(
            "Ray refuses this process: it asks for a token. Copy ~/.ray/auth_token from the machine where Ray was "
            "started, or set RAY_AUTH_MODE as it was set there"
        ) from error


def start_driver(report_line: Callable[[str], None]) -> "GracefulShutdown":
    """Connect as the driver of a job, which ends in order on SIGTERM. Raises `ConfigError` where no Ray runs."""
    connect()
    import ray.data  # noqa: F401  # makes the logger that is silenced next

    from coe_ray.bench.graceful_shutdown import GracefulShutdown

    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)  # what fails is raised, and printed in one line
    shutdown = GracefulShutdown()
    shutdown.on_sigterm(report_line)
    return shutdown


def require_lasting_path(option: str, path: Path) -> Path:
    """The absolute path. Raises `ConfigError` for a relative one in a job, whose working folder Ray removes."""
    import ray

    path = path.expanduser()
    if ray.get_runtime_context().runtime_env.get("working_dir") and not path.is_absolute():
        raise ConfigError(f"{option} {path}: in a job give an absolute path; the working folder is only a copy")
    return path.absolute()


def deploy_profile(profile: str) -> None:
    """Deploy what the profile hosts on the connected Ray."""
    from coe_ray.serve.app import AppArgs, deploy

    deploy(AppArgs(profile=profile))


def deploy_study(profile: str) -> None:
    """Deploy what the profile hosts, with the models of its study."""
    from coe_ray.serve.app import AppArgs, deploy

    deploy(AppArgs(profile=profile, study=True))


def require_ray(address: str = "auto") -> None:
    """Raise `ConfigError` where the Ray at `address` is known not to run; Ray itself would try for minutes.

    The file that a killed Ray of this machine left is removed.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or "auto"
    if address == "auto":
        remove_stale_address_file()
        if not address_file().exists() and not _is_ray_process_running():
            raise ConfigError(NO_RAY)
    elif "://" not in address and not accepts_connections(address):
        raise ConfigError(f"no Ray answers at {address}; is it running, and RAY_ADDRESS right?")


def remove_stale_address_file() -> None:
    """Remove the file that a Ray of this machine left. Raises `ConfigError` where it names a dead one of another."""
    file = address_file()
    with suppress(FileNotFoundError):
        address = file.read_text().strip()
        if accepts_connections(address):
            return
        if not _is_of_this_machine(address):
            raise ConfigError(f"no Ray answers at {address}, the head of this machine's cluster; is it running?")
        try:
            file.unlink()
        except PermissionError as error:
            raise ConfigError(
                f"{file} names a Ray at {address} that has ended; remove the file, or set RAY_ADDRESS to one that runs"
            ) from error


def _is_ray_process_running() -> bool:
    """Whether a Ray head may run here without an address file: Ray looks for its processes, too, but slowly."""
    processes = Path("/proc")
    if not processes.is_dir():
        return True
    for file in processes.glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if b"gcs_server" in file.read_bytes():
                return True
    return False


def address_file() -> Path:
    """Where `ray start` writes the address of the machine's latest Ray, and leaves it when it is killed."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  # Ray's own choice
    return Path(folder, "ray", "ray_current_cluster")


def accepts_connections(address: str) -> bool:
    """Whether something listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S):
            return True
    except (OSError, ValueError):
        return False


def _is_of_this_machine(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)
    except OSError:
        return False
    return True
