"""Check of a profile's hosted models against the cluster that this process is connected to."""

import logging
from collections import Counter
from dataclasses import replace
from typing import Any

import ray

from coe_ray.cluster.ray_internals import NodeGroup, autoscaler_node_groups
from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import Profile
from coe_ray.serve.hosting.feasibility import Capacity, check_placement

log = logging.getLogger("ray.serve")

_GROUP_LABEL = "ray.io/node-group"
"""Label of every node that Ray's cluster launcher or KubeRay started, and of no other."""


def require_capacity(profile: Profile) -> list[str]:
    """Raises `ConfigError` where the cluster can never place what the profile wants hosted.

    Where a launcher may add nodes that it did not report, this warns instead and returns the warnings. Does nothing
    where this process is connected to no cluster.
    """
    if not ray.is_initialized():
        return []
    nodes = [node for node in ray.nodes() if node["Alive"]]
    groups = _addable_groups(nodes)
    try:
        check_placement(profile, Capacity(tuple(node["Resources"] for node in nodes), groups or ()))
    except ConfigError as error:
        if groups is not None or not any(_group_of(node) for node in nodes):
            raise
        warning = f"{error}. It starts as soon as the cluster has grown, if its launcher can add such nodes"
        log.warning(warning)
        return [warning]
    return []


def _addable_groups(nodes: list[dict[str, Any]]) -> tuple[NodeGroup, ...] | None:
    """The nodes that the autoscaler reported it may still add; `None` where none reported (Ray's own does not yet)."""
    reported = autoscaler_node_groups()
    if reported is None:
        return None
    live = Counter(_group_of(node) for node in nodes)
    groups = [
        group if group.count is None else replace(group, count=max(0, group.count - live[group.name]))
        for group in reported
    ]
    return tuple(group for group in groups if group.count != 0)


def _group_of(node: dict[str, Any]) -> str:
    return str((node.get("Labels") or {}).get(_GROUP_LABEL, ""))
