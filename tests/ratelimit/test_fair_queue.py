"""Turns by themselves; order and cancellation in a whole limiter are in `test_limiter.py`."""

import asyncio

from coe_ray.ratelimit.fair_queue import FairQueue


def turns(slots: int) -> FairQueue:
    made = FairQueue()
    made.slots = slots
    return made


def test_a_free_turn_is_taken_at_once() -> None:
    two = turns(2)
    assert [two.take() for _ in range(3)] == [True, True, False]
    assert (two.taken, two.begun) == (2, 2)
    two.end()
    assert two.take()


def test_none_begins_while_it_is_held_or_all_starts_are_used() -> None:
    held, used_up = turns(2), turns(2)
    held.held, used_up.starts = True, 1
    assert not held.take()
    assert [used_up.take(), used_up.take()] == [True, False]


async def test_a_newcomer_waits_behind_the_queue() -> None:
    none = turns(0)
    waiter = asyncio.create_task(none.wait())
    await asyncio.sleep(0)
    none.slots = 1
    assert not none.take()
    none.admit()
    await waiter
    assert (none.taken, none.waiting) == (1, 0)


async def test_a_turn_that_nobody_uses_goes_to_the_next() -> None:
    one = turns(1)
    assert one.take()
    waiters = [asyncio.create_task(one.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    one.end()
    waiters[0].cancel()
    await asyncio.wait(waiters)
    assert [waiter.cancelled() for waiter in waiters] == [True, False]
    assert (one.taken, one.begun) == (1, 2)


async def order_of(queue: FairQueue, models: str) -> str:
    """The models in the order in which their waiting calls got the one slot of the queue, each for a moment."""
    order = ""

    async def call(model: str) -> None:
        nonlocal order
        await queue.wait(model)
        order += model
        await asyncio.sleep(0)
        queue.end(model)

    waiters = [asyncio.create_task(call(model)) for model in models]
    await asyncio.sleep(0)
    queue.admit()
    await asyncio.gather(*waiters)
    return order


async def test_models_take_turns() -> None:
    assert await order_of(turns(1), "aaaabbc") == "abcabaa"


async def test_a_free_slot_goes_to_the_waiting_model_that_has_fewest() -> None:
    queue = turns(4)
    assert [queue.take("slow") for _ in range(5)] == [True] * 4 + [False]
    waiting = [asyncio.create_task(queue.wait(model)) for model in ("slow", "slow", "classifier", "classifier")]
    await asyncio.sleep(0)
    for _ in range(2):
        queue.end("slow")
    await asyncio.sleep(0)
    assert [waiter.done() for waiter in waiting] == [False, False, True, True]
    for _ in range(2):
        queue.end("slow")
    await asyncio.gather(*waiting)
    assert (queue.taken, queue.waiting) == (4, 0)


async def test_a_cancelled_waiter_takes_no_turn_of_its_model() -> None:
    queue = turns(0)
    waiting = [asyncio.create_task(queue.wait(model)) for model in "aab"]
    await asyncio.sleep(0)
    for waiter in waiting[:2]:
        waiter.cancel()
    await asyncio.wait(waiting[:2])
    assert queue.waiting == 1
    queue.slots = 1
    queue.admit()
    await waiting[2]
