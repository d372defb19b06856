"""Runs a bench, kills what it is made of at seeded moments, starts it again, and says what that may have cost."""

import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.counting_upstream import CountingUpstream
from tests.bench.job import WORKER, Bench
from tests.support.cluster import Cluster, kill, wait_until

TITLES: Mapping[str, str] = {
    "worker": WORKER,
    "governor": "ray::Governor",
    "replica": "ray::ServeReplica:default:model-hosted",
    "ingress": "ray::ServeReplica:default:ingress",
    "proxy": "ray::ProxyActor",
}
"""What can be killed besides the driver: processes by their titles."""

QUIET_S = 0.5
FAILED = 1
"""The exit code that says: calls failed, and the same command asks them again."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill a process of this kind once so many calls were served."""

    kind: str
    served: int


def planned(kinds: Sequence[str], calls: int, seed: int) -> list[Kill]:
    """One kill for each of `kinds`, in any order: each somewhere in its own part of the first three quarters."""
    chance = random.Random(seed)
    part = calls * 3 // 4 // len(kinds)
    shuffled = chance.sample(list(kinds), len(kinds))
    return [Kill(kind, number * part + chance.randrange(1, part)) for number, kind in enumerate(shuffled)]


@dataclass
class Killer:
    """`lost` counts the calls that were in flight at the kills; `calls_at_door` are at most on their way to it."""

    bench: Bench
    ray: Cluster
    provider: CountingUpstream
    calls_at_door: int = 0
    lost: int = 0
    starts: int = 0

    def run(self, plan: Sequence[Kill]) -> tuple[int, str]:
        """Exit code and output of the last session, which nobody killed."""
        process = self._started()
        try:
            for each in plan:
                process = self._killed(self._at(process, each.served), each.kind)
            output, _ = process.communicate(timeout=240)
        finally:
            process.kill()
        return process.returncode, output

    def _at(self, process: "subprocess.Popen[str]", served: int) -> "subprocess.Popen[str]":
        """The driver's process, once so many calls were served: the next session's where calls had failed for good."""
        wait_until(lambda: self.provider.counts.total() >= served or process.poll() is not None)
        if process.poll() != FAILED:
            assert process.poll() is None, f"it ended before it could be killed: {process.communicate()[0]}"
            return process
        process.communicate()
        return self._at(self._started(), served)

    def _started(self) -> "subprocess.Popen[str]":
        self.starts += 1
        return self.bench.start()

    def _wait(self, process: "subprocess.Popen[str]", condition: Callable[[], bool]) -> None:
        wait_until(lambda: condition() or process.poll() is not None)
        assert process.poll() is None, f"it ended before it could be killed: {process.communicate()[0]}"

    def _killed(self, process: "subprocess.Popen[str]", kind: str) -> "subprocess.Popen[str]":
        """The driver's process from now on."""
        if kind == "driver":
            return self._driver_killed(process)
        title = TITLES[kind]
        self._wait(process, lambda: bool(self.ray.processes(title)))
        victims = self.ray.processes(title)
        self.provider.forget_closed()
        kill(victims[0])
        self._count(kind, lambda: len(self.ray.processes(title)) >= len(victims))
        return process

    def _driver_killed(self, process: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
        self.provider.forget_closed()
        process.kill()
        process.communicate()
        # Ray ends a dead driver's actors a moment later.
        wait_until(lambda: not self.ray.processes(WORKER))
        self._count("driver", self._quiet)
        return self._started()

    def _count(self, kind: str, over: Callable[[], bool]) -> None:
        """Count what was in flight at a kill that was just carried out; `over` says when nothing of it comes any more.

        Without a governor calls go on. What is on its way to the ingress through a dead proxy, and what is behind a
        replica, is asked again by the worker, which lives. All that the worker has asked for dies with it, and
        of that some is just on its way to the provider.
        """
        in_flight, served = self.provider.in_flight, self.provider.counts.total()
        match kind:
            case "governor":
                return
            case "proxy":
                self.lost += max(in_flight, self.calls_at_door)
            case "replica" | "ingress":
                self.lost += in_flight
            case _:
                wait_until(over)
                self.lost += in_flight + self.provider.counts.total() - served

    def _quiet(self) -> bool:
        before = self.provider.counts.total()
        time.sleep(QUIET_S)
        return self.provider.counts.total() == before and not self.provider.live
