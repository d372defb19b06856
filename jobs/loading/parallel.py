"""A function in several new processes at the same time, all set up before any of them goes on."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import TypeVar

START_S = 120.0
"""Seconds that the processes may differ by in getting ready, on a busy machine."""

Result = TypeVar("Result")


def run_in_processes(function: Callable[[int], Result], processes: int) -> list[Result]:
    """`function(part)` for every part, each in a process that ends with it; the function calls `wait_for_others`."""
    context = get_context("spawn")
    ready = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, initializer=_set_barrier, initargs=(ready,)) as pool:
        return list(pool.map(function, range(processes)))


def wait_for_others() -> None:
    """Wait until the other processes are set up, too. Returns at once in a process that is alone."""
    if _ready is not None:
        _ready.wait(START_S)


_ready: Barrier | None = None


def _set_barrier(ready: Barrier) -> None:
    global _ready  # noqa: PLW0603  # a barrier can be handed to a process at its start only
    _ready = ready
