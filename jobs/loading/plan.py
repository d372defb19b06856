"""A load as it was asked for, and its run by one process or several that begin together."""

import resource
from dataclasses import dataclass
from functools import partial

import uvloop

from jobs.loading.loops import closed_loop, open_loop
from jobs.loading.questions import Questions
from jobs.loading.requests import Load, Target, merged
from jobs.loading.together import begin, together


@dataclass(frozen=True, slots=True)
class Plan:
    """Closed loop with `clients`, or open loop with `rate` where there is one."""

    target: Target
    questions: Questions
    seconds: float
    clients: int = 32
    rate: float | None = None
    seed: int = 0
    warm_up_s: float = 0.0
    processes: int = 1


def run(plan: Plan) -> Load:
    """Raises `DataError` for questions that cannot be had."""
    if plan.processes == 1:
        return _part(plan, 0)
    return merged(together(partial(_part, plan), plan.processes))


def _part(plan: Plan, part: int) -> Load:
    """One process's part of the load."""
    _open_files()
    texts = plan.questions.texts(part, plan.processes)
    begin()
    share = {"seconds": plan.seconds, "warm_up_s": plan.warm_up_s}
    if plan.rate is not None:
        # Poisson processes add up to one.
        rate, seed = plan.rate / plan.processes, plan.seed * plan.processes + part
        return uvloop.run(open_loop(plan.target, texts, rate=rate, seed=seed, **share))
    clients = len(range(part, plan.clients, plan.processes))
    return uvloop.run(closed_loop(plan.target, texts, clients=clients, **share))


def _open_files() -> None:
    """As many connections as the system allows: an open loop needs one for every question that a stalled server has."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
