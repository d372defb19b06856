"""Questions that come at the same time go into one call, in order; errors and leaving callers are told apart."""

import asyncio

import pytest

from coe_ray.core.coalescing import MAX_CALLS, MAX_ITEMS, Coalescer
from coe_ray.core.errors import ServerFault


class Slow:
    """Doubles numbers once it is let go; remembers what it was asked together."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.left: list[list[int]] = []
        self.go = asyncio.Event()

    async def double(self, numbers: list[int]) -> list[int]:
        self.calls.append(numbers)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left.append(numbers)
            raise
        if 13 in numbers:
            raise ServerFault("retriever", "unlucky")
        return [2 * number for number in numbers]


async def test_a_free_call_takes_one_item_at_once() -> None:
    slow = Slow()
    slow.go.set()
    assert await Coalescer(slow.double).submit(4) == 8
    assert slow.calls == [[4]]


async def test_what_comes_while_all_calls_are_taken_goes_together() -> None:
    slow = Slow()
    coalescer = Coalescer(slow.double)
    tasks = [asyncio.create_task(coalescer.submit(number)) for number in range(100, 100 + MAX_CALLS + MAX_ITEMS + 2)]
    await asyncio.sleep(0)
    assert [len(call) for call in slow.calls] == []  # the calls are tasks of their own
    await asyncio.sleep(0)
    assert [len(call) for call in slow.calls] == [1] * MAX_CALLS
    slow.go.set()
    assert await asyncio.gather(*tasks) == [2 * number for number in range(100, 100 + MAX_CALLS + MAX_ITEMS + 2)]
    assert sorted(map(len, slow.calls)) == [1] * MAX_CALLS + [2, MAX_ITEMS]


async def test_an_error_is_everybodys_who_is_in_the_call() -> None:
    slow = Slow()
    coalescer = Coalescer(slow.double)
    fillers = [asyncio.create_task(coalescer.submit(0)) for _ in range(MAX_CALLS)]
    together = [asyncio.create_task(coalescer.submit(number)) for number in (12, 13)]
    await asyncio.sleep(0.01)
    slow.go.set()
    said = await asyncio.gather(*together, return_exceptions=True)
    assert [type(each) for each in said] == [ServerFault, ServerFault]
    assert said[0] is not said[1]
    assert await asyncio.gather(*fillers) == [0] * MAX_CALLS
    assert await coalescer.submit(5) == 10


async def test_who_left_before_the_call_is_not_asked_for() -> None:
    slow = Slow()
    coalescer = Coalescer(slow.double)
    fillers = [asyncio.create_task(coalescer.submit(0)) for _ in range(MAX_CALLS)]
    leaving, staying = asyncio.create_task(coalescer.submit(1)), asyncio.create_task(coalescer.submit(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    slow.go.set()
    assert await staying == 4
    await asyncio.gather(*fillers)
    assert slow.calls[-1] == [2]


async def test_who_leaves_during_the_call_takes_it_from_nobody() -> None:
    slow = Slow()
    coalescer = Coalescer(slow.double)
    fillers = [asyncio.create_task(coalescer.submit(0)) for _ in range(MAX_CALLS - 1)]
    leaving = asyncio.create_task(coalescer.submit(1))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0.01)
    assert slow.left == [[1]]
    slow.go.set()
    assert await asyncio.gather(*fillers) == [0] * (MAX_CALLS - 1)
    assert await coalescer.submit(3) == 6
