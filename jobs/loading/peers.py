"""The peers in the comparison, each started for the measurement and stopped after it."""

import json
import os
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

LITELLM = "1.106.2"
"""The release that is installed where no other one is given."""
MODEL = "fixed"
"""The model's name, at the upstream and at LiteLLM's proxy."""
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
def start_litellm(command: Path, upstream_url: str, key: str, folder: Path, workers: int) -> Iterator[str]:
    """Start LiteLLM's proxy in front of the upstream, set up as its makers advise for production; yields its base URL.

    With the one key without which it does not start, and without limits, a database and logs: it only passes on.
    Raises `DataError` where it does not come up.
    """
    model = {"model": f"openai/{MODEL}", "api_base": upstream_url, "api_key": "none"}
    config, log = folder / "litellm.yaml", folder / "litellm.log"
    config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": model}]}), "utf-8")
    port = free_port()
    # Its own list of prices would be fetched from the net, and every request be logged.
    settings = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
    settings |= {"LITELLM_MASTER_KEY": key}
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", str(workers)]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(command), *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | settings,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/v1"
        _wait_until_answering(url, key, server, log)
        yield url
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


def version_of(command: Path) -> str:
    """Version of LiteLLM in the environment of this `litellm` command."""
    script = "from importlib.metadata import version; print(version('litellm'))"
    process = subprocess.run([command.with_name("python"), "-c", script], capture_output=True, text=True, check=False)
    return process.stdout.strip() or "?"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_answering(url: str, key: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        if _answers(url, key):
            return
        time.sleep(0.5)
    raise DataError(f"litellm did not come up; it printed:\n{log.read_text(errors='replace')[-2000:]}")


def _answers(url: str, key: str) -> bool:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Which?"}]}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{url}/chat/completions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):  # not yet
        return False
