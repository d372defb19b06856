"""A function in several new processes at the same time, each set up before any of them begins."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import TypeVar

START_S = 120.0
"""What the processes may differ by in getting ready, on a busy machine."""

Returned = TypeVar("Returned")


def together(function: Callable[[int], Returned], processes: int) -> list[Returned]:
    """`function(part)` for every part, each in a process that ends with it; the function calls `begin` when set up."""
    context = get_context("spawn")
    ready = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, initializer=_meet_at, initargs=(ready,)) as pool:
        return list(pool.map(function, range(processes)))


def begin() -> None:
    """Wait for the others. Nobody is waited for in a process that is alone."""
    if _ready is not None:
        _ready.wait(START_S)


_ready: Barrier | None = None


def _meet_at(ready: Barrier) -> None:
    global _ready  # noqa: PLW0603  # a barrier can be handed to a process at its start only
    _ready = ready
