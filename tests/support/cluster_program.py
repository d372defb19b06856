"""Program behind `Cluster`: starts a head and carries out one order, a line of JSON, at a time until its input ends."""

import asyncio
import importlib
import inspect
import json
import sys
import time
import traceback
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import ray
from ray import serve
from ray.cluster_utils import Cluster as RayCluster
from ray.serve.schema import ServeDeploySchema

from coe_ray.cluster import ray_internals
from coe_ray.serve.app import AppArgs

REPLY = "reply: "
NODE = {"num_cpus": 8, "object_store_memory": 200 << 20}


class ClusterProgram:
    """The head and its nodes; each public method is an order."""

    def __init__(self, port: int, dashboard_port: int) -> None:
        self._port = port
        self._serves = False
        self._nodes: dict[str, Any] = {}
        self._runner = asyncio.Runner()  # one loop for all orders: a Serve handle stays bound to its first one
        self._cluster = RayCluster()
        # With ports of its own: others may use Ray on this machine.
        self._head = self._cluster.add_node(
            include_dashboard=bool(dashboard_port),
            dashboard_port=dashboard_port or None,
            dashboard_agent_listen_port=0,
            **NODE,
        )
        ray.init(address=self._cluster.address, log_to_driver=False)

    def address(self) -> tuple[str, int]:
        """And the id of the head's main process."""
        return self._cluster.address, _raylet(self._head)

    def add_node(self, name: str, gpus: int, ip: str | None, resources: dict[str, float]) -> int:
        # The head is left the machine's own address: one on loopback is resolved to that, where it does not listen.
        address = {"node_ip_address": ip} if ip else {}
        node = self._cluster.add_node(num_gpus=gpus, resources=resources, labels={"name": name}, **address, **NODE)
        self._nodes[name] = node
        return _raylet(node)

    def lose_node(self, name: str) -> None:
        node = self._nodes.pop(name)
        for process in psutil.Process(_raylet(node)).children(recursive=True):
            process.kill()
        self._cluster.remove_node(node, allow_graceful=False)

    def remove_nodes(self) -> None:
        """All but the head, in order. Ray still places actors on a node until it knows that it is gone."""
        for node in self._nodes.values():
            self._cluster.remove_node(node)
        self._nodes.clear()
        while sum(node["Alive"] for node in ray.nodes()) > 1:
            time.sleep(0.1)

    def deploy(self, profile: str, builder: str, name: str, route: str) -> str | None:
        application = _named(builder)(AppArgs(profile=profile))
        self._start_serve()
        try:
            serve.run(application, name=name, route_prefix=route)
        except RuntimeError:
            # What `serve status` says of the application's deployments.
            deployments = serve.status().applications[name].deployments
            return "\n".join(deployment.message for deployment in deployments.values())
        return None

    def declare(self, config: dict[str, Any]) -> None:
        self._start_serve()
        ray_internals.deploy_config(ServeDeploySchema.model_validate(config))

    def delete(self, name: str) -> None:
        serve.delete(name)

    def replicas(self, application: str) -> dict[str, list[tuple[int, str]]]:
        names = {node["NodeID"]: node["Labels"].get("name", "head") for node in ray.nodes()}
        deployments = ray_internals.serve_applications()[application]["deployments"]
        return {
            name: [(each["pid"], names[each["node_id"]]) for each in details["replicas"] if each["state"] == "RUNNING"]
            for name, details in deployments.items()
        }

    def run(self, function: str, arguments: dict[str, Any]) -> Any:
        result = _named(function)(**arguments)
        return self._runner.run(result) if inspect.iscoroutine(result) else result

    def close(self) -> None:
        if self._serves:
            serve.shutdown()  # or its HAProxy would outlive it
        ray.shutdown()
        self._cluster.shutdown()

    def _start_serve(self) -> None:
        if not self._serves:
            serve.start(http_options={"host": "127.0.0.1", "port": self._port})
            self._serves = True


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _named(path: str) -> Any:
    module, _, function = path.partition(":")
    return getattr(importlib.import_module(module), function)


program: ClusterProgram
"""For functions that `run` calls."""


def main(port: int, dashboard_port: int) -> None:
    global program  # noqa: PLW0603  # one process, one cluster
    program = ClusterProgram(port, dashboard_port)
    for line in sys.stdin:
        order, arguments = json.loads(line)
        try:
            reply = {"result": getattr(program, order)(**arguments)}
        except Exception:  # the test is told, whatever it is
            reply = {"error": traceback.format_exc()}
        sys.stdout.write(REPLY + json.dumps(reply) + "\n")
        sys.stdout.flush()
    program.close()
