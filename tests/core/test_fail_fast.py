"""Fail-fast mode: on within the context, in the tasks and threads it starts, and off after it."""

import asyncio

import pytest

from coe_ray.core.fail_fast import fail_fast, must_fail_fast


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
