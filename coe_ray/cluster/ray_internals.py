"""The private parts of Ray and Ray Serve that the project needs: each has no public replacement in Ray 2.60.

Nothing else in the project imports a private name of Ray; tests/cluster/test_ray_internals.py names what a new
release of Ray breaks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import ray
from ray import serve
from ray.experimental import internal_kv
from ray.serve import Deployment
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """A kind of node that an autoscaler may add: what each node has, and how many there may be (`None`: no limit)."""

    name: str
    resources: Mapping[str, float]
    count: int | None


def is_serve_running() -> bool:
    """Whether this process is connected to a Ray with a Serve controller. It connects to none by itself.

    Without it an endpoint that lets everybody in could be deployed on a Serve that listens on every interface.
    """
    return ray.is_initialized() and _get_global_client(raise_if_no_controller_running=False) is not None


def serve_host() -> str | None:
    """The host that Serve listens on, `None` for every interface. Raises `RayServeException` where no Serve runs.

    Without it the check that an endpoint without keys listens on loopback only has nothing to look at.
    """
    return cast("str | None", _get_global_client().http_config.host)


def serve_applications() -> dict[str, dict[str, Any]]:
    """The applications of the running Serve by name, with `deployed_app_config` and `route_prefix`.

    Without it `coe-ray change` cannot tell an application of a file from one of `serve run`.
    """
    applications = _get_global_client().get_serve_details()["applications"]
    return cast("dict[str, dict[str, Any]]", applications)


def deploy_config(config: ServeDeploySchema) -> None:
    """Give Serve a declarative configuration, as `serve deploy` does, but without the dashboard.

    Without it `coe-ray change` cannot change an application that was deployed by a file.
    """
    _get_global_client().deploy_apps(config)


def delete_application(name: str) -> None:
    """Have an application deleted, without waiting for it as `serve.delete` does.

    Without it a job that is stopped spends its 3 s waiting and leaves its models running.
    """
    serve.delete(name, _blocking=False)


def with_version(deployment: object, version: str) -> Deployment:
    """The deployment under a code version of our own: one that is deployed again unchanged is not restarted.

    Without it Serve gives a random version, and each `serve run` restarts every replica.
    """
    return cast(Deployment, deployment).options(version=version, _internal=True)  # mypy sees no class decorator


def autoscaler_node_groups() -> tuple[NodeGroup, ...] | None:
    """The node groups that the cluster's autoscaler reported; `None` where none did (most do not yet).

    Without it a profile that needs nodes not yet started cannot be checked before it is deployed.
    """
    config = ray._private.state.state.get_cluster_config()
    if config is None:
        return None
    return tuple(
        NodeGroup(group.name, dict(group.resources), None if group.max_count < 0 else group.max_count)
        for group in config.node_group_configs
    )


class ClusterStore:
    """Key-value store of the cluster's control service, within one namespace.

    Without it a new replica cannot learn of hot changes before it.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def keys(self, prefix: str) -> list[str]:
        return [key.decode() for key in internal_kv._internal_kv_list(prefix, namespace=self._namespace)]

    def get(self, key: str) -> bytes | None:
        return cast("bytes | None", internal_kv._internal_kv_get(key, namespace=self._namespace))

    def add(self, key: str, value: bytes) -> bool:
        """False where the key exists, whose value stays. Not atomic any more, two replicas would lose a change."""
        return not internal_kv._internal_kv_put(key, value, overwrite=False, namespace=self._namespace)

    def delete(self, key: str) -> None:
        internal_kv._internal_kv_del(key, namespace=self._namespace)
