"""A cluster of nodes with logical GPUs on this machine, in a process of its own.

`GpuCluster.started` starts this file as a program. It obeys one JSON line at a time on its standard input.
"""

import asyncio
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.cluster import free_port

_REPLY = "reply: "
_ROOT = Path(__file__).parents[2]


@dataclass
class GpuCluster:
    """The process, and the address of its HTTP door."""

    process: subprocess.Popen[str]
    url: str
    folder: Path

    @classmethod
    @contextmanager
    def started(cls, environment: Mapping[str, str] | None = None) -> Iterator["GpuCluster"]:
        """Only the head, which has no GPU."""
        port = free_port()
        # A short path: Ray's sockets lie below it, and their names may have 107 characters.
        with tempfile.TemporaryDirectory(prefix="coe-", ignore_cleanup_errors=True) as folder:
            Path(folder, "ray").mkdir()
            with Path(folder, "stderr").open("w") as errors:
                process = subprocess.Popen(
                    [sys.executable, __file__, str(port)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=_environment(folder) | dict(environment or {}),
                )
            try:
                yield cls(process, f"http://127.0.0.1:{port}", Path(folder))
            finally:
                process.communicate(timeout=90)

    def add_node(self, name: str, gpus: int, **resources: float) -> None:
        self.tell("add_node", name=name, gpus=gpus, resources=resources)

    def tell(self, order: str, **arguments: object) -> Any:
        """What the program's function `order` returns. Raises what it says where it fails."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([order, arguments]) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith(_REPLY):
                reply = cast("dict[str, Any]", json.loads(line.removeprefix(_REPLY)))
                if "error" in reply:
                    raise RuntimeError(reply["error"])
                return reply["result"]
        raise AssertionError(f"the cluster died: {Path(self.folder, 'stderr').read_text()[-4000:]}")


def _environment(folder: str) -> dict[str, str]:
    """Without what would lead to another cluster. Ray keeps all its files, the cluster's address too, in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SERVE_"))}
    return kept | {
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": folder,
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",  # no balancer is in front that has to hear of it first
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "*",
        "PYTHONPATH": str(_ROOT),
    }


class _Program:
    """What can be told; each public method is an order."""

    def __init__(self, port: int) -> None:
        import ray
        from ray import serve
        from ray.cluster_utils import Cluster

        self._cluster = Cluster()
        # With ports of its own: others may use Ray on this machine.
        self._cluster.add_node(num_cpus=8, include_dashboard=False, dashboard_agent_listen_port=0)
        self._nodes: dict[str, Any] = {}
        self._runner = asyncio.Runner()  # one loop for all orders: a Serve handle stays bound to its first one
        ray.init(address=self._cluster.address, log_to_driver=False)
        serve.start(http_options={"host": "127.0.0.1", "port": port})

    def add_node(self, name: str, gpus: int, resources: dict[str, float]) -> None:
        node = self._cluster.add_node(num_cpus=8, num_gpus=gpus, resources=resources, labels={"name": name})
        self._nodes[name] = node

    def lose_node(self, name: str) -> None:
        """As when its power fails: no process of it has time for anything."""
        import psutil  # type: ignore[import-untyped]  # it ships no types

        node = self._nodes.pop(name)
        for process in psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True):
            process.kill()
        self._cluster.remove_node(node, allow_graceful=False)

    def deploy(self, profile: str, builder: str = "tests.behaviour.hosted:build") -> None:
        from ray import serve

        module, _, function = builder.partition(":")
        serve.run(getattr(importlib.import_module(module), function)(profile))

    def delete(self) -> None:
        from ray import serve

        serve.delete("default")

    def homes(self) -> dict[str, list[list[str]]]:
        from tests.behaviour.hosted import homes

        return homes()

    def running(self) -> dict[str, int]:
        from tests.behaviour.hosted import running

        return running()

    def ask(self, model: str) -> str:
        """What the model answers to one call."""
        from tests.behaviour.load import answer

        return self._runner.run(answer(model))

    def answered_by(self, model: str, prompts: list[str], at_once: int) -> list[str]:
        """The replica that answered each prompt."""
        from tests.behaviour.load import answered_by

        return self._runner.run(answered_by(model, prompts, at_once))

    def lose_node_under_load(self, name: str, model: str, profile: str) -> dict[str, Any]:
        """Lose it in the middle of calls to `model`; how all of them ended, and when full service was there again."""
        from tests.behaviour.load import lost_under_load

        return self._runner.run(lost_under_load(lambda: self.lose_node(name), name, model, profile))

    def close(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()


def main(port: int) -> None:
    program = _Program(port)
    for line in sys.stdin:
        order, arguments = json.loads(line)
        try:
            reply = {"result": getattr(program, order)(**arguments)}
        except Exception:
            reply = {"error": traceback.format_exc()}
        sys.stdout.write(_REPLY + json.dumps(reply) + "\n")
        sys.stdout.flush()
    program.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
