"""Plan of a load, and its run by one process or by several that begin at the same moment."""

import resource
from dataclasses import dataclass
from functools import partial

import uvloop

from jobs.loading.loops import closed_loop, open_loop
from jobs.loading.parallel import run_in_processes, wait_for_others
from jobs.loading.questions import QuestionSource
from jobs.loading.results import LoadResult, Target, merge_results


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Closed loop with `clients`, or open loop with `rate` where there is one."""

    target: Target
    questions: QuestionSource
    seconds: float
    clients: int = 32
    rate: float | None = None
    seed: int = 0
    warm_up_s: float = 0.0
    processes: int = 1


def run_load(plan: LoadPlan) -> LoadResult:
    """Raises `DataError` for questions that cannot be had."""
    if plan.processes == 1:
        return _part(plan, 0)
    return merge_results(run_in_processes(partial(_part, plan), plan.processes))


def _part(plan: LoadPlan, part: int) -> LoadResult:
    """Run one process's part of the load."""
    _raise_file_limit()
    texts = plan.questions.texts(part, plan.processes)
    wait_for_others()
    share = {"seconds": plan.seconds, "warm_up_s": plan.warm_up_s}
    if plan.rate is not None:
        # Poisson processes add up to one.
        rate, seed = plan.rate / plan.processes, plan.seed * plan.processes + part
        return uvloop.run(open_loop(plan.target, texts, rate=rate, seed=seed, **share))
    clients = len(range(part, plan.clients, plan.processes))
    return uvloop.run(closed_loop(plan.target, texts, clients=clients, **share))


def _raise_file_limit() -> None:
    """Allow as many connections as the system does: an open loop needs one for each request of a stalled server."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
