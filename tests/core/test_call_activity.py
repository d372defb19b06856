"""Counters of calls in flight, waiting and backing off, and the notice that a request leaves."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.call_activity import CallActivity, notify_when_sent


def counts(activity: CallActivity) -> tuple[int, int, dict[str, int]]:
    return activity.waiting, activity.in_flight, dict(+activity.backing_off)


STATES: dict[str, Callable[[CallActivity], AbstractContextManager[None]]] = {
    "waiting": CallActivity.count_waiting,
    "in flight": CallActivity.count_in_flight,
    "backing off": lambda activity: activity.count_backing_off("ServerFault"),
}


@pytest.mark.parametrize("state", STATES)
def test_an_error_ends_a_state_as_success_does(state: str) -> None:
    activity = CallActivity()
    with pytest.raises(OSError, match="broken"), STATES[state](activity):
        assert counts(activity) != (0, 0, {})
        raise OSError("broken")
    assert counts(activity) == (0, 0, {})


@given(st.lists(st.sampled_from([*STATES, "end"]), max_size=50))
def test_counts_are_those_of_the_calls_that_are_open(steps: list[str]) -> None:
    activity, opened = CallActivity(), list[tuple[str, ExitStack]]()
    for step in steps:
        if step == "end" and opened:
            opened.pop(0)[1].close()
        elif step != "end":
            opened.append((step, ExitStack()))
            opened[-1][1].enter_context(STATES[step](activity))
        states = [state for state, _ in opened]
        backing_off = {"ServerFault": states.count("backing off")} if "backing off" in states else {}
        assert counts(activity) == (states.count("waiting"), states.count("in flight"), backing_off)
    for _, stack in opened:
        stack.close()
    assert counts(activity) == (0, 0, {})


def test_waits_are_counted_by_their_reason() -> None:
    activity = CallActivity()
    with activity.count_backing_off("RateLimited"), activity.count_backing_off("ServerFault"):
        with activity.count_backing_off("RateLimited"):
            assert activity.backing_off == {"RateLimited": 2, "ServerFault": 1}
        assert activity.backing_off == {"RateLimited": 1, "ServerFault": 1}


def test_every_request_within_is_notified_before_it_counts() -> None:
    activity, in_flight = CallActivity(), list[int]()
    with notify_when_sent(lambda: in_flight.append(activity.in_flight)):
        for _ in range(2):
            with activity.count_in_flight():
                pass
    with activity.count_in_flight():
        pass
    assert in_flight == [0, 0]


def test_the_innermost_notice_counts_and_the_outer_one_comes_back() -> None:
    activity, sent = CallActivity(), list[str]()
    with notify_when_sent(lambda: sent.append("outer")):
        with notify_when_sent(lambda: sent.append("inner")), activity.count_in_flight():
            pass
        with activity.count_in_flight():
            pass
    assert sent == ["inner", "outer"]


def test_a_notice_that_fails_sends_nothing() -> None:
    def fail() -> None:
        raise OSError("disk full")

    activity = CallActivity()
    with notify_when_sent(fail), pytest.raises(OSError, match="disk full"), activity.count_in_flight():
        raise AssertionError
    assert activity.in_flight == 0


async def test_calls_of_other_tasks_are_not_notified() -> None:
    activity, sent = CallActivity(), list[str]()

    async def call(name: str) -> None:
        with notify_when_sent(lambda: sent.append(name)):
            await asyncio.sleep(0)
            with activity.count_in_flight():
                await asyncio.sleep(0)

    await asyncio.gather(call("one"), call("other"))
    assert sorted(sent) == ["one", "other"]
