"""Fail-fast mode, the retry budget and signs of life: there within their contexts, and gone after them."""

import asyncio
import math
import time

import pytest

from coe_ray.core.fail_fast import (
    LONGEST_WAIT_S,
    REQUEST_ATTEMPTS,
    REQUEST_RETRY_S,
    RetryBudget,
    current_budget,
    fail_fast,
    must_fail_fast,
    note_life,
    on_life,
    retry_budget,
)


def test_it_is_on_within_the_context_only() -> None:
    assert not must_fail_fast()
    with fail_fast():
        assert must_fail_fast()
        with fail_fast():
            assert must_fail_fast()
        assert must_fail_fast()
    assert not must_fail_fast()


def test_an_error_turns_it_off_too() -> None:
    with pytest.raises(OSError, match="broken"), fail_fast():
        raise OSError("broken")
    assert not must_fail_fast()


async def test_tasks_and_threads_inherit_it() -> None:
    async def read() -> bool:
        await asyncio.sleep(0)
        return must_fail_fast()

    with fail_fast():
        task = asyncio.create_task(read())
        thread = asyncio.to_thread(must_fail_fast)
        assert await thread
    assert await task  # began within, goes on after
    assert not await read()


async def test_tasks_beside_it_do_not_have_it() -> None:
    entered, done = asyncio.Event(), asyncio.Event()

    async def hurry() -> None:
        with fail_fast():
            entered.set()
            await done.wait()

    task = asyncio.create_task(hurry())
    await entered.wait()
    assert not must_fail_fast()
    done.set()
    await task


def test_a_request_has_one_budget_and_a_job_none() -> None:
    assert current_budget() is None
    with pytest.raises(OSError, match="broken"), retry_budget() as budget:
        assert current_budget() is budget
        assert budget.attempts == REQUEST_ATTEMPTS
        assert 0 < budget.seconds <= REQUEST_RETRY_S
        raise OSError("broken")
    assert current_budget() is None


async def test_all_tasks_of_a_request_spend_the_same_budget() -> None:
    async def spend() -> None:
        budget = current_budget()
        assert budget is not None
        budget.attempts -= 1

    with retry_budget() as budget:
        await asyncio.gather(*(asyncio.create_task(spend()) for _ in range(REQUEST_ATTEMPTS)))
        assert budget.attempts == 0


def test_a_request_waits_neither_long_nor_beyond_its_time() -> None:
    now = time.monotonic()
    assert RetryBudget().may_wait(3600)  # a job's
    with retry_budget() as budget:
        assert budget.may_wait(LONGEST_WAIT_S - 1)
        assert not budget.may_wait(LONGEST_WAIT_S)
    assert not RetryBudget(ends_at=now + 1).may_wait(1)
    assert RetryBudget(ends_at=now - 1).seconds == 0
    assert RetryBudget().seconds == math.inf


async def test_signs_of_life_reach_whoever_waits_for_them() -> None:
    signs: list[str] = []
    note_life()  # nobody waits
    with on_life(lambda: signs.append("outer")):
        note_life()
        with on_life(lambda: signs.append("inner")):
            note_life()
            await asyncio.create_task(_note_life())
        note_life()
    note_life()
    assert signs == ["outer", "inner", "inner", "outer"]


async def _note_life() -> None:
    note_life()
