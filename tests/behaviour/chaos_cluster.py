"""A head and worker nodes on this machine behind HAProxy, in a process of its own that tells where replicas live.

`ChaosCluster.started` starts this file as a program, which obeys as `gpu_cluster.py` does, and knows two orders more.
"""

import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT as SHIPPED
from tests.behaviour.gpu_cluster import _REPLY, GpuCluster, _environment, _Program
from tests.serve.cluster import free_port

SEATS = {"worker": 10.0, "seat-alpha": 1.0, "seat-beta": 1.0}
"""Resources of a worker node: room for one replica of everything."""

RAY_ENVIRONMENT = SHIPPED | {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    # As in deploy/: a lost node is one after 5 checks.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
    # By default Ray's processes give way to all others, the load's generator among them.
    "RAY_worker_niceness": "0",
}
OWN_PORTS = ("HAPROXY_STATS_PORT", "HAPROXY_METRICS_PORT", "FALLBACK_PROXY_HTTP_PORT")
"""Another Serve on this machine may have the usual ones."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One that Serve counts as running; `node` is its node's name."""

    pid: int
    node: str


Replicas = Mapping[str, frozenset[Replica]]
"""The running replicas of each deployment."""


class ChaosCluster(GpuCluster):
    """The process, and the address of HAProxy's door."""

    @classmethod
    @contextmanager
    def started(cls, environment: Mapping[str, str] | None = None) -> Iterator["ChaosCluster"]:
        """Only the head, on which no replica has a seat."""
        port = free_port()
        own = {f"RAY_SERVE_{name}": str(free_port()) for name in OWN_PORTS}
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
                    env=_environment(folder) | RAY_ENVIRONMENT | own | dict(environment or {}),
                )
            try:
                yield cls(process, f"http://127.0.0.1:{port}", Path(folder))
            finally:
                process.communicate(timeout=90)

    def add_worker(self, name: str) -> None:
        self.add_node(name, 0, **SEATS)

    def replicas(self) -> Replicas:
        told = self.tell("replicas")
        return {name: frozenset(Replica(*each) for each in replicas) for name, replicas in told.items()}


class _ChaosProgram(_Program):
    def replicas(self) -> dict[str, list[tuple[int, str]]]:
        import ray
        from ray import serve

        names = {node["NodeID"]: node["Labels"].get("name", "head") for node in ray.nodes()}
        deployments = serve.context._get_global_client().get_serve_details()["applications"]["default"]["deployments"]
        return {
            name: [(each["pid"], names[each["node_id"]]) for each in said["replicas"] if each["state"] == "RUNNING"]
            for name, said in deployments.items()
        }

    def close(self) -> None:
        from ray import serve

        serve.shutdown()  # or its HAProxy would outlive it
        super().close()


def main(port: int) -> None:
    program = _ChaosProgram(port)
    for line in sys.stdin:
        order, arguments = json.loads(line)
        try:
            reply = {"result": getattr(program, order)(**arguments)}
        except Exception:  # whatever it is, the test is told
            reply = {"error": traceback.format_exc()}
        sys.stdout.write(_REPLY + json.dumps(reply) + "\n")
        sys.stdout.flush()
    program.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
