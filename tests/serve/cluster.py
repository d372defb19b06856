"""A Ray cluster of the tests' own, in a process of its own: no other cluster on this machine is looked at.

`Cluster.started` starts this file as a program. It obeys one JSON line at a time on its standard input:

    {"deploy": PROFILE, "builder": …, "name": …, "route": …}   builder(AppArgs(profile=PROFILE)) and serve.run
    {"ask_hosted": true}                                        what the default application says it hosts
    {"is_serving": PROFILE}                                     what a bench job would find
    {"declare": CONFIG}                                         what `serve deploy` does with a file
    {"address": true}                                           the address for other drivers
    {"kill": DEPLOYMENT}                                        SIGKILL for one replica of the default application
"""

import asyncio
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

BUILDER = "coe_ray.serve.app:build"
_REPLY = "reply: "
_ROOT = Path(__file__).parents[2]


@dataclass
class Cluster:
    """The process, the address that its HTTP door has, and where its logs are."""

    process: subprocess.Popen[str]
    url: str
    logs: Path

    @classmethod
    @contextmanager
    def started(cls, environment: Mapping[str, str] | None = None) -> Iterator["Cluster"]:
        port = free_port()
        # A short path: Ray's sockets lie below it, and their names may have 107 characters.
        with tempfile.TemporaryDirectory(prefix="coe-", ignore_cleanup_errors=True) as folder:
            with Path(folder, "stderr").open("w") as errors:
                process = subprocess.Popen(
                    [sys.executable, __file__, str(port), folder],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=_clean_environment() | dict(environment or {}),
                )
            try:
                yield cls(process, f"http://127.0.0.1:{port}", Path(folder))
            finally:
                process.communicate(timeout=180)  # replicas finish their requests first

    def deploy(self, profile: Path, builder: str = BUILDER, name: str = "default", route: str = "/") -> str | None:
        """The error, where the application does not come up."""
        return cast("str | None", self.tell(deploy=str(profile), builder=builder, name=name, route=route)["error"])

    def tell(self, **order: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith(_REPLY):
                return cast("dict[str, Any]", json.loads(line.removeprefix(_REPLY)))
        raise AssertionError(f"the cluster died: {self.said()}")

    def said(self) -> str:
        """The last that the process wrote on its standard error."""
        return Path(self.logs, "stderr").read_text()[-4000:]

    def log_of(self, deployment: str) -> str:
        """Everything that the replicas of one deployment of the default application logged."""
        files = sorted(self.logs.glob(f"session_2*/logs/serve/replica_default_{deployment}_*.log"))
        assert files, f"no log of {deployment} in {self.logs}"
        return "\n".join(file.read_text() for file in files)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return cast(int, listening.getsockname()[1])


def _clean_environment() -> dict[str, str]:
    """Without what would lead to another cluster, or change how Serve works."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SERVE_"))}
    return kept | {
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "1",  # what cannot start fails at once
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "*",
        "PYTHONPATH": str(_ROOT),
    }


def _obey(order: dict[str, Any]) -> dict[str, Any]:
    import ray
    from ray import serve
    from ray.serve.schema import ServeDeploySchema

    from coe_ray.cluster.health import APPLICATION, is_serving
    from coe_ray.profile.profile import load_profile
    from coe_ray.serve.app import AppArgs

    match order:
        case {"deploy": profile, "builder": builder, "name": name, "route": route}:
            module, _, function = builder.partition(":")
            application = getattr(importlib.import_module(module), function)(AppArgs(profile=profile))
            try:
                serve.run(application, name=name, route_prefix=route)
            except RuntimeError:
                return {"error": _why_not(name)}
            return {"error": None}
        case {"ask_hosted": True}:
            return {"hosted": asyncio.run(_hosted(APPLICATION))}
        case {"is_serving": profile}:
            return {"is_serving": is_serving(load_profile(profile))}
        case {"declare": config}:
            serve.context._get_global_client().deploy_apps(ServeDeploySchema.model_validate(config))
            return {"error": None}
        case {"address": True}:
            return {"address": ray.get_runtime_context().gcs_address}
        case {"kill": deployment}:
            return {"killed": _killed(deployment)}
    raise ValueError(f"not an order: {order}")


def _killed(deployment: str) -> int:
    """The process that was killed."""
    from ray import serve

    client = serve.context._get_global_client()
    replicas = client.get_serve_details()["applications"]["default"]["deployments"][deployment]["replicas"]
    process = int(replicas[0]["pid"])
    os.kill(process, signal.SIGKILL)
    return process


async def _hosted(application: str) -> str:
    from ray import serve

    return cast(str, await serve.get_app_handle(application).hosted.remote())


def _why_not(application: str) -> str:
    """What `serve status` says of an application's deployments."""
    from ray import serve

    deployments = serve.status().applications[application].deployments
    return "\n".join(deployment.message for deployment in deployments.values())


def main(port: int, folder: str) -> None:
    import ray
    from ray import serve

    ray.init(
        address="local",
        num_cpus=8,
        include_dashboard=False,
        object_store_memory=200 << 20,
        log_to_driver=False,
        _temp_dir=folder,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    for line in sys.stdin:
        try:
            reply = _obey(json.loads(line))
        except Exception:
            reply = {"error": traceback.format_exc()}
        sys.stdout.write(_REPLY + json.dumps(reply) + "\n")
        sys.stdout.flush()
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
