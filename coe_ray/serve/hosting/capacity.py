"""What the cluster that this process is connected to has room for, and could have."""

import logging
from collections import Counter
from typing import Any

import ray

from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import Profile
from coe_ray.serve.hosting.feasibility import Capacity, NodeGroup, check_placement

log = logging.getLogger("ray.serve")

_GROUP_LABEL = "ray.io/node-group"
"""Ray's cluster launcher and KubeRay write it on each node that they start; nobody else does."""


def require_capacity(profile: Profile) -> list[str]:
    """Raises `ConfigError` where the cluster can never place what the profile wants hosted.

    Where it may grow by nodes that nobody can know of here, it warns instead: the warnings are returned. Does nothing
    where this process is connected to no cluster.
    """
    if not ray.is_initialized():
        return []
    nodes = [node for node in ray.nodes() if node["Alive"]]
    groups = _addable(nodes)
    try:
        check_placement(profile, Capacity(tuple(node["Resources"] for node in nodes), groups or ()))
    except ConfigError as error:
        if groups is not None or not any(_group(node) for node in nodes):
            raise
        warning = f"{error}. It starts as soon as the cluster has grown, if its launcher can add such nodes"
        log.warning(warning)
        return [warning]
    return []


def _addable(nodes: list[dict[str, Any]]) -> tuple[NodeGroup, ...] | None:
    """What the autoscaler said it may add, less what is there; `None` where none said it (Ray's own do not yet)."""
    # There is no public name for it; Ray Data reads it in the same way.
    config = ray._private.state.state.get_cluster_config()
    if config is None:
        return None
    live = Counter(_group(node) for node in nodes)
    groups = [
        NodeGroup(
            each.name, dict(each.resources), None if each.max_count < 0 else max(0, each.max_count - live[each.name])
        )
        for each in config.node_group_configs
    ]
    return tuple(group for group in groups if group.count != 0)


def _group(node: dict[str, Any]) -> str:
    return str((node.get("Labels") or {}).get(_GROUP_LABEL, ""))
