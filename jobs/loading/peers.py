"""The peers in the comparison, each started for the measurement and stopped after it."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coe_ray.core.errors import DataError
from coe_ray.profile.profile import home_folder
from jobs.loading.results import Target

LITELLM = "1.106.2"
"""The release that is installed where no other one is given."""
PORTKEY = "1.15.2"
PORTKEY_PACKAGE = "@portkey-ai/gateway"
PORTKEY_INTEGRITY = "sha512-OuwwQEJ0rnKQuPgaCqyMpP+X5Uly2h9EBDm5Lx/NYu9MXTzB/nKrKgjd8J3vPGeNpYoyxTzKSzTV2tGv8Dd+fg=="
"""Hash of the release's package, as npm states it."""
PORTKEY_SERVER = "build/start-server.js"
MODEL = "fixed"
"""The model's name, at the upstream and at its peers."""
START_S = 300.0


@contextmanager
def start_upstream() -> Iterator[str]:
    """Start an endpoint that answers at once; yields its base URL."""
    command = [sys.executable, "-m", "jobs.upstream", "--latency", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline() if server.stdout else 0)}/v1"
        finally:
            server.kill()


@contextmanager
def start_litellm(command: Path, upstream_url: str, folder: Path, workers: int) -> Iterator[Target]:
    """Start LiteLLM's proxy in front of the upstream, set up as its makers advise for production.

    With the one key without which it does not start, and without limits, a database and logs: it only passes on.
    Raises `DataError` where it does not come up.
    """
    model = {"model": f"openai/{MODEL}", "api_base": upstream_url, "api_key": "none"}
    config, port, key = folder / "litellm.yaml", free_port(), f"sk-{secrets.token_hex(32)}"
    config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": model}]}), "utf-8")
    # Its own list of prices would be fetched from the net, and every request be logged.
    settings = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
    settings |= {"LITELLM_MASTER_KEY": key}
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", str(workers)]
    target = Target(f"http://127.0.0.1:{port}/v1", MODEL, key)
    with _start_peer([str(command), *options], settings, target, folder / "litellm.log"):
        yield target


@contextmanager
def start_portkey(package: Path, upstream_url: str, folder: Path) -> Iterator[Target]:
    """Start Portkey's gateway without its console. It asks for no key; each request's headers name the upstream.

    Raises `DataError` where it does not come up.
    """
    port = free_port()
    headers = (("x-portkey-provider", "openai"), ("x-portkey-custom-host", upstream_url))
    target = Target(f"http://127.0.0.1:{port}/v1", MODEL, headers=headers)
    command = ["node", str(package / PORTKEY_SERVER), f"--port={port}", "--headless"]
    with _start_peer(command, {"NODE_ENV": "production"}, target, folder / "portkey.log"):
        yield target


@contextmanager
def _start_peer(command: list[str], settings: dict[str, str], target: Target, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | settings,
            start_new_session=True,
        )
    try:
        _wait_until_answering(target, server, log)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # it and its workers
        server.wait()


def installed_litellm() -> Path:
    """LiteLLM's command in an environment of its own below `COE_RAY_HOME`, made where there is none yet (750 MB)."""
    folder = home_folder() / "peers" / f"litellm-{LITELLM}"
    command = folder / "bin" / "litellm"
    if not command.exists():
        print(f"installing litellm {LITELLM} in {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        process = subprocess.run([*pip, f"litellm[proxy]=={LITELLM}"], capture_output=True, text=True, check=False)
        if process.returncode:
            raise DataError(f"litellm was not installed; give --litellm COMMAND:\n{process.stderr.strip()[-2000:]}")
    return command


def installed_portkey(named: Path | None = None) -> Path | None:
    """Folder of Portkey's package: the named one, or one below `COE_RAY_HOME`, made where there is none yet (25 MB).

    None, and a line on stderr, where node or npm is missing. Raises `DataError` where it cannot be installed or is not
    the pinned release.
    """
    folder = home_folder() / "peers" / f"portkey-{PORTKEY}"
    package = named or folder / "node_modules" / PORTKEY_PACKAGE
    installed = named is not None or _portkey_integrity(folder) == PORTKEY_INTEGRITY
    if missing := [command for command in ("node", "npm")[: 1 if installed else 2] if shutil.which(command) is None]:
        print(f"{' and '.join(missing)} missing: Portkey's gateway is left out", file=sys.stderr, flush=True)
        return None
    if not installed:
        _install_portkey(folder)
    if not (package / PORTKEY_SERVER).is_file():
        raise DataError(f"{package}: there is no {PORTKEY_SERVER}; --portkey names the folder of {PORTKEY_PACKAGE}")
    return package


def _install_portkey(folder: Path) -> None:
    print(f"installing Portkey's gateway {PORTKEY} in {folder}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted installation left
    folder.mkdir(parents=True)
    npm = ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund"]
    process = subprocess.run([*npm, f"{PORTKEY_PACKAGE}@{PORTKEY}"], capture_output=True, text=True, check=False)
    if process.returncode:
        raise DataError(f"Portkey was not installed; give --portkey FOLDER:\n{process.stderr.strip()[-2000:]}")
    if _portkey_integrity(folder) != PORTKEY_INTEGRITY:
        raise DataError(f"{folder}: {PORTKEY_PACKAGE} {PORTKEY} has another hash than the pinned one")


def _portkey_integrity(folder: Path) -> str | None:
    """Hash that npm checked the package against. npm writes it last: without it nothing is installed, or a part."""
    lock = folder / "node_modules" / ".package-lock.json"
    if not lock.exists():
        return None
    package: dict[str, str] = json.loads(lock.read_bytes())["packages"].get(f"node_modules/{PORTKEY_PACKAGE}", {})
    return package.get("integrity")


def litellm_version(command: Path) -> str:
    """Version of LiteLLM in the environment of this `litellm` command."""
    script = "from importlib.metadata import version; print(version('litellm'))"
    process = subprocess.run([command.with_name("python"), "-c", script], capture_output=True, text=True, check=False)
    return process.stdout.strip() or "?"


def portkey_version(package: Path) -> str:
    """Version of Portkey's package in this folder."""
    return str(json.loads((package / "package.json").read_bytes())["version"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_answering(target: Target, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        if _answers(target):
            return
        time.sleep(0.5)
    raise DataError(f"{log.stem} did not come up; it printed:\n{log.read_text(errors='replace')[-2000:]}")


def _answers(target: Target) -> bool:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Which?"}]}).encode()
    request = urllib.request.Request(f"{target.base_url}/chat/completions", body, target.request_headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):  # not yet
        return False
