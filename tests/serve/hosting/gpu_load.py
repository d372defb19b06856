"""Calls to a hosted model, of which a node is lost meanwhile. Runs in the process that is connected to the cluster."""

import asyncio
import time
from itertools import pairwise
from typing import Any

from ray import serve

from coe_ray.cluster.health import APPLICATION
from coe_ray.cluster.hosted import HostedModel, deployment_name, make_hosted_models
from coe_ray.core.errors import CallError
from coe_ray.core.types import Call, Message
from coe_ray.profile.profile import load_profile
from tests.serve.hosting.gpu_application import homes, running
from tests.support import cluster_program

CLIENTS = 8
BEFORE_S, AFTER_S = 3.0, 3.0
PATIENCE_S = 70.0
CALL = Call(messages=(Message("user", "think for 0.2 s"),))


async def lose_node_under_load(node: str, model: str, path: str) -> dict[str, Any]:
    """How all calls ended, and when full service was there again."""
    profile = load_profile(path)
    wanted = (await asyncio.to_thread(running))[model]
    ended: list[tuple[float, str | None]] = []  # when each call was answered, and the error of one that was not
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(_client(make_hosted_models(profile)[model], over, ended))
        await asyncio.sleep(BEFORE_S)
        lost = time.monotonic()
        before = len(ended)
        await asyncio.to_thread(cluster_program.program.lose_node, node)
        recovered = await _full_service(node, model, wanted, lost)
        await asyncio.sleep(AFTER_S)
        over.set()
    gaps = [later - sooner for (sooner, _), (later, _) in pairwise(ended)]
    return {
        "before": before,
        "after": len(ended) - before,
        "errors": [error for _, error in ended if error is not None],
        "recovery_s": recovered,
        "longest_gap_s": max(gaps),
        "homes": await asyncio.to_thread(homes),
    }


async def answer(model: str) -> str:
    handle = serve.get_deployment_handle(deployment_name(model), APPLICATION)
    return (await HostedModel(model, handle).complete(CALL)).text


async def _client(model: HostedModel, over: asyncio.Event, ended: list[tuple[float, str | None]]) -> None:
    while not over.is_set():
        error = None
        try:
            await model.complete(CALL)
        except CallError as fault:
            error = str(fault)
        ended.append((time.monotonic(), error))


async def _full_service(node: str, model: str, wanted: int, lost: float) -> float | None:
    """Seconds until as many replicas as before take requests, none of them on the lost node."""
    while (seconds := time.monotonic() - lost) < PATIENCE_S:
        count, where = (await asyncio.to_thread(running))[model], (await asyncio.to_thread(homes)).get(model, [])
        if count == wanted and not any(node in replica for replica in where):
            return seconds
        await asyncio.sleep(0.2)
    return None
