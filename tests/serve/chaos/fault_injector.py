"""Fault injector: kills replicas and nodes under load, again and again, and waits each time until all are back."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import httpx

from tests.serve.chaos.application import REPLICAS, add_worker, question
from tests.serve.chaos.load import CHAT, chat_body
from tests.serve.chaos.report import Disruption
from tests.support.cluster import Cluster, Replica, Replicas

PATIENCE_S = 90.0
POLL_S = 0.2
BETWEEN_S = (2.0, 5.0)
"""How long a whole service is left alone."""

Choose = Callable[[Replicas, random.Random, int], tuple[str, Sequence[Replica]]]
"""Chooses replicas to kill, with a name for them, of the living ones; the number counts earlier kills."""


@dataclass
class FaultInjector:
    cluster: Cluster
    tasks: Sequence[str]
    chance: random.Random
    disruptions: list[Disruption] = field(default_factory=list)
    _probes: int = 0

    async def kill_replicas(self, choose: Choose, until: float) -> list[Disruption]:
        """SIGKILL, as long as `monotonic` is before `until`."""
        while await self._left_alone(until):
            replicas = await asyncio.to_thread(self.cluster.replicas)
            what, victims = choose(replicas, self.chance, len(self.disruptions))
            at = monotonic()
            for victim in victims:
                os.kill(victim.pid, signal.SIGKILL)
            await self._whole(what, at, victims)
        return self.disruptions

    async def remove_nodes(self, until: float) -> list[Disruption]:
        """Lose a node with a replica of everything, and join a new one to the cluster once all is well."""
        while await self._left_alone(until):
            replicas = await asyncio.to_thread(self.cluster.replicas)
            nodes = set[str].intersection(*({each.node for each in where} for where in replicas.values()))
            node, at = self.chance.choice(sorted(nodes)), monotonic()
            await asyncio.to_thread(self.cluster.lose_node, node)
            await self._whole(node, at, [each for each in _all(replicas) if each.node == node])
            await asyncio.to_thread(add_worker, self.cluster, f"joined-{len(self.disruptions)}")
        return self.disruptions

    async def settle(self) -> None:
        """Wait until the service is whole: the circuit breaker of an earlier test's experts may still be open."""
        await self._replicas_back(())
        await self._answered_by_the_best()

    async def _left_alone(self, until: float) -> bool:
        """Whether there is time for one more disruption after the rest."""
        await asyncio.sleep(self.chance.uniform(*BETWEEN_S))
        return monotonic() < until

    async def _whole(self, what: str, at: float, victims: Iterable[Replica]) -> None:
        await self._replicas_back(victims)
        self.disruptions.append(Disruption(what, at, monotonic()))
        await self._answered_by_the_best()

    async def _replicas_back(self, victims: Iterable[Replica]) -> None:
        until = monotonic() + PATIENCE_S
        while True:
            replicas = await asyncio.to_thread(self.cluster.replicas)
            full = all(len(each) == REPLICAS for each in replicas.values())
            if full and _all(replicas).isdisjoint(victims):
                return
            assert monotonic() < until, f"not all replicas are back: {replicas}; killed: {victims}"
            await asyncio.sleep(POLL_S)

    async def _answered_by_the_best(self) -> None:
        """Several times in a row: each ingress replica has its own circuit breakers."""
        in_a_row = 0
        async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(base_url=self.cluster.url, timeout=60) as http:
            while in_a_row < 2 * REPLICAS:
                await asyncio.sleep(POLL_S)
                in_a_row = in_a_row + 1 if await self._best(http) else 0

    async def _best(self, http: httpx.AsyncClient) -> bool:
        self._probes += 1
        tag = f"probe{id(self)}"
        try:
            answers = [await http.post(CHAT, json=chat_body(question(task, self._probes, tag))) for task in self.tasks]
        except httpx.TransportError:
            return False
        return [answer.headers.get("x-coe-expert") for answer in answers] == list(self.tasks)


def _all(replicas: Replicas) -> frozenset[Replica]:
    return frozenset[Replica]().union(*replicas.values())
