"""Who is asked, in which order and for how long: on a loop whose time jumps, so that nothing is waited for."""

import asyncio

import pytest

from coe_ray.core.errors import (
    BadCall,
    BadCredentials,
    CallError,
    CallTimeout,
    ContentFiltered,
    ContextTooLong,
    LongCooldown,
    MalformedReply,
    RateLimited,
    ServerFault,
)
from coe_ray.core.fail_fast import REQUEST_ATTEMPTS, current_budget, must_fail_fast, note_life
from coe_ray.core.types import Attempt
from coe_ray.routing.failover import FAILURES, MAX_TIMEOUTS, REST_S, USUAL_TIMES, ExpertAnswer, Failover
from tests.support.virtual_time import run_virtually

ROW = ("gold", "silver", "bronze")
HANGS = "hangs"
DOWN = ServerFault("m", "down")


class Podium:
    """Experts that do what they are told, and who was asked since the last question."""

    def __init__(self, after_s: float = 60.0, **does: object) -> None:
        self.does = does
        self.calls: list[str] = []
        self.patient: list[str] = []
        self.failover = Failover(after_s, {"gold": "one", "silver": "two", "bronze": "one"})

    async def ask(self, expert: str) -> str:
        self.calls.append(expert)
        if not must_fail_fast():
            self.patient.append(expert)
        does = self.does.get(expert)
        if does == HANGS:
            await asyncio.sleep(10_000)
        if isinstance(does, CallError):
            raise type(does)(does.model, does.message)
        return f"{expert}'s"

    async def first(self, limit_s: float = 300.0) -> ExpertAnswer[str]:
        self.calls.clear()
        return await self.failover.first_answer(ROW, self.ask, now() + limit_s)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_the_best_answers_and_nobody_else_is_asked() -> None:
    podium = Podium()
    assert run_virtually(podium.first()) == ExpertAnswer("gold", "gold's", ())
    assert podium.calls == ["gold"]


@pytest.mark.parametrize("error", [DOWN, ContextTooLong("m", "too long"), BadCall("m", "wrong")])
def test_who_fails_is_followed_by_the_next(error: CallError) -> None:
    podium = Podium(gold=error)
    answered = run_virtually(podium.first())
    assert (answered.expert, answered.result) == ("silver", "silver's")
    assert answered.tried == (Attempt("gold", type(error).__name__, str(error), 0.0),)


def test_what_a_filter_stopped_is_not_tried_out_elsewhere() -> None:
    podium = Podium(gold=ContentFiltered("m", "filtered"))
    with pytest.raises(ContentFiltered, match="expert 'gold'"):
        run_virtually(podium.first())
    assert podium.calls == ["gold"]


@pytest.mark.parametrize("error", [RateLimited("m", "full"), LongCooldown("m", "later"), BadCredentials("m", "no")])
def test_another_expert_of_the_same_model_comes_after_those_of_others(error: CallError) -> None:
    podium = Podium(gold=error, silver=DOWN)
    assert run_virtually(podium.first()).expert == "bronze"
    assert podium.calls == ["gold", "silver", "bronze"]
    podium = Podium(silver=error)
    podium.failover = Failover(60, {"gold": "one", "silver": "two", "bronze": "one"})

    async def calls() -> ExpertAnswer[str]:
        return await podium.failover.first_answer(("silver", "gold"), podium.ask, now() + 300)

    assert run_virtually(calls()).expert == "gold"
    shared = Podium(gold=error)
    shared.failover = Failover(60, {"gold": "one", "silver": "one", "bronze": "two"})
    assert run_virtually(shared.first()).expert == "bronze"


def test_where_all_fail_the_last_ones_error_names_them_all() -> None:
    podium = Podium(gold=DOWN, silver=MalformedReply("m", "no JSON"), bronze=DOWN)
    with pytest.raises(ServerFault, match=r"\(expert 'bronze'; tried before it: 'gold': ServerFault, 'silver': M"):
        run_virtually(podium.first())


def test_only_the_last_is_asked_with_patience() -> None:
    podium = Podium(gold=DOWN, silver=DOWN)
    run_virtually(podium.first())
    assert podium.patient == ["bronze"]


def test_who_hangs_is_left_after_the_time_given() -> None:
    podium = Podium(gold=HANGS)

    async def calls() -> tuple[ExpertAnswer[str], float]:
        return await podium.first(), now()

    answered, took = run_virtually(calls())
    assert (answered.expert, took) == ("silver", 60)
    assert answered.tried[0].error == "CallTimeout"


def test_of_a_short_deadline_each_has_half_of_what_is_left() -> None:
    podium = Podium(gold=HANGS, silver=HANGS)
    podium.failover = Failover(60, {"gold": "one", "silver": "two", "bronze": "three"})

    async def calls() -> tuple[ExpertAnswer[str], float]:
        return await podium.first(limit_s=8), now()

    answered, took = run_virtually(calls())
    assert (answered.expert, took) == ("bronze", 6)
    assert [each.seconds for each in answered.tried] == [4, 2]


def test_who_answers_others_meanwhile_is_not_sent_to_rest_by_slow_questions() -> None:
    podium = Podium()

    async def slow(expert: str) -> str:
        if expert == "gold":
            await asyncio.sleep(10_000)
        return "late"

    async def calls() -> None:
        questions = [
            asyncio.create_task(podium.failover.first_answer(ROW, slow, now() + 300)) for _ in range(FAILURES + 1)
        ]
        await asyncio.sleep(30)
        assert (await podium.first()).expert == "gold"
        await asyncio.gather(*questions)
        assert (await podium.first()).expert == "gold"

    run_virtually(calls())


def test_who_fails_again_and_again_comes_last_for_a_while() -> None:
    podium = Podium(gold=DOWN)

    async def calls() -> None:
        for _ in range(FAILURES):
            assert (await podium.first()).tried
        assert await podium.first() == ExpertAnswer("silver", "silver's", ())
        assert podium.calls == ["silver"]
        await asyncio.sleep(REST_S)
        assert (await podium.first()).tried  # one request tries it again
        assert podium.calls == ["gold", "silver"]
        await podium.first()
        assert podium.calls == ["silver"]
        del podium.does["gold"]
        await asyncio.sleep(REST_S)
        assert (await podium.first()).expert == "gold"
        assert (await podium.first()).expert == "gold"

    run_virtually(calls())


def test_while_one_request_tries_the_rested_the_others_go_elsewhere() -> None:
    podium = Podium(gold=HANGS)

    async def calls() -> None:
        for _ in range(FAILURES):
            await podium.first()
        await asyncio.sleep(REST_S)
        together = await asyncio.gather(*(podium.failover.first_answer(ROW, podium.ask, now() + 300) for _ in range(5)))
        assert [len(each.tried) for each in together] == [1, 0, 0, 0, 0]

    run_virtually(calls())


def test_who_rests_is_asked_where_all_others_fail() -> None:
    podium = Podium(gold=DOWN, silver=DOWN, bronze=DOWN)

    async def calls() -> None:
        for _ in range(FAILURES):
            with pytest.raises(CallError):
                await podium.first()
        del podium.does["gold"]
        assert (await podium.first()).expert == "gold"

    run_virtually(calls())


@pytest.mark.parametrize("error", [ContextTooLong("m", "too long"), BadCall("m", "wrong")])
def test_nobody_is_sent_to_rest_by_questions_that_are_wrong(error: CallError) -> None:
    podium = Podium(gold=error, silver=error, bronze=error)

    async def calls() -> None:
        for _ in range(FAILURES + 1):
            with pytest.raises(type(error)):
                await podium.first()
        podium.does.clear()
        assert (await podium.first()).expert == "gold"

    run_virtually(calls())


def test_nobody_is_sent_to_rest_by_a_client_in_a_hurry() -> None:
    podium = Podium(gold=HANGS)

    async def calls() -> None:
        for _ in range(FAILURES + 1):
            assert (await podium.first(limit_s=0.3)).tried[0].error == "CallTimeout"
        assert (await podium.first()).tried[0].expert == "gold"

    run_virtually(calls())


def test_cancelling_ends_the_call_and_is_no_failure() -> None:
    podium = Podium(gold=HANGS)

    async def calls() -> None:
        for _ in range(FAILURES + 1):
            task = asyncio.create_task(podium.first())
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        podium.does.clear()
        assert (await podium.first()).expert == "gold"

    run_virtually(calls())


def test_the_requests_own_deadline_passes_through() -> None:
    podium = Podium(gold=HANGS, silver=HANGS, bronze=HANGS)

    async def calls() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(9):
                await podium.first(limit_s=9)
        assert podium.calls == list(ROW)

    run_virtually(calls())
    assert not issubclass(CallTimeout, TimeoutError)


@pytest.mark.parametrize("how", ["left", "wrong"])
def test_a_trial_that_tells_nothing_is_followed_by_another(how: str) -> None:
    podium = Podium(gold=DOWN)

    async def calls() -> None:
        for _ in range(FAILURES):
            await podium.first()
        await asyncio.sleep(REST_S)
        podium.does["gold"] = HANGS if how == "left" else BadCall("m", "wrong")
        trial = asyncio.create_task(podium.first())
        await asyncio.sleep(1)
        trial.cancel()
        await asyncio.wait([trial])
        podium.does.clear()
        assert (await podium.first()).expert == "gold"

    run_virtually(calls())


FOUR = {"gold": "one", "silver": "two", "bronze": "three", "tin": "four"}


async def answer_after(failover: Failover, seconds: float, *, is_whole: bool = True) -> ExpertAnswer[str]:
    """The answer where every expert takes so long."""

    async def call(expert: str) -> str:
        await asyncio.sleep(seconds)
        return expert

    return await failover.first_answer(ROW, call, now() + 10_000, is_whole=is_whole)


def test_a_whole_answer_may_take_a_few_times_as_long_as_usual() -> None:
    usual_s, after_s = 8.0, 10.0
    limit = USUAL_TIMES * usual_s

    async def run() -> None:
        failover = Failover(after_s, FOUR)
        first = await answer_after(failover, after_s + 1)
        assert [each.expert for each in first.tried] == ["gold", "silver"]  # nothing is known of them yet
        failover = Failover(after_s, FOUR)
        assert (await answer_after(failover, usual_s)).expert == "gold"
        assert not (await answer_after(failover, limit - 1)).tried
        failover = Failover(after_s, FOUR)
        await answer_after(failover, usual_s)
        began = now()
        late = await answer_after(failover, limit + 1)
        assert (late.tried[0].expert, late.tried[0].seconds) == ("gold", limit)
        assert now() - began > limit

    run_virtually(run())


def test_a_stream_shows_life_at_once_whatever_is_usual() -> None:
    async def run() -> None:
        failover = Failover(10.0, FOUR)
        await answer_after(failover, 9.0)
        late = await answer_after(failover, 11.0, is_whole=False)
        assert (late.tried[0].expert, late.tried[0].seconds) == ("gold", 10)

    run_virtually(run())


def test_a_long_whole_answer_is_not_asked_of_everybody_in_turn() -> None:
    async def run(is_whole: bool) -> list[str]:
        calls: list[str] = []

        async def call(expert: str) -> str:
            calls.append(expert)
            await asyncio.sleep(100.0)
            return expert

        answered = await Failover(10.0, FOUR).first_answer(list(FOUR), call, now() + 10_000, is_whole=is_whole)
        assert answered.expert == calls[-1]
        return calls

    assert run_virtually(run(True)) == list(FOUR)[: MAX_TIMEOUTS + 1]
    assert run_virtually(run(False)) == list(FOUR)


def test_one_budget_of_tries_is_spent_by_all_experts_together() -> None:
    async def run() -> None:
        calls: list[str] = []

        async def call(expert: str) -> str:
            calls.append(expert)
            budget = current_budget()
            assert budget is not None
            budget.attempts -= REQUEST_ATTEMPTS // 2
            raise ServerFault(expert, "down")

        with pytest.raises(ServerFault, match="expert 'silver'; tried before it: 'gold'") as caught:
            await Failover(10.0, FOUR).first_answer(list(FOUR), call, now() + 100)
        assert calls == ["gold", "silver"]
        assert [each.expert for each in caught.value.tried] == calls
        assert current_budget() is None

    run_virtually(run())


def test_every_sign_of_life_gives_an_expert_its_time_anew() -> None:
    async def run(signs: int) -> ExpertAnswer[str]:
        async def call(expert: str) -> str:
            for _ in range(signs if expert == "gold" else 0):
                await asyncio.sleep(9.0)
                note_life()
            await asyncio.sleep(9.0 if expert == "gold" and signs > 1 else 0.0)
            if signs == 1 and expert == "gold":
                await asyncio.sleep(100.0)
            return expert

        return await Failover(10.0, FOUR).first_answer(ROW, call, now() + 1000)

    assert run_virtually(run(20)) == ExpertAnswer("gold", "gold", ())
    silent = run_virtually(run(1))
    assert (silent.expert, silent.tried[0].seconds) == ("silver", 19)
