"""What is told of a small run, every figure worked out by hand."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from coe_ray.bench.insights import LONGEST, SHOWN, Insights
from coe_ray.bench.scoring import COE
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import QuestionRecord
from coe_ray.core.types import UNKNOWN, Question
from coe_ray.profile.profile import Profile
from coe_ray.routing.leaderboard import Leaderboard
from tests.support.profiles import small_profile

BUILD, TEST = "Build", "Integration Test"
BOARD = Leaderboard.from_scores(
    [("alpha", BUILD, 9, 10), ("beta", BUILD, 1, 10), ("alpha", TEST, 2, 4), ("beta", TEST, 3, 4)]
)
"""alpha is best at Build and on average, beta at tests."""

RIGHT, WRONG, SILENT = "A", "B", None
FAILED = {"error": "ServerFault", "message": "503", "attempts": 8, "refused": False}
REFUSED = {"error": "ContentFiltered", "message": "stopped by the filter", "attempts": 1, "refused": True}

# The true task, the label and its confidence, what alpha and beta say; and what that shows.
WORLD = [
    (BUILD, BUILD, 0.9, RIGHT, WRONG),
    (BUILD, BUILD, 0.9, WRONG, RIGHT),  # lost by the mapping
    (BUILD, TEST, 0.6, RIGHT, WRONG),  # lost by the label
    (BUILD, TEST, 0.8, RIGHT, WRONG),  # lost by the label
    (BUILD, UNKNOWN, 0.1, RIGHT, WRONG),
    (TEST, TEST, 0.9, WRONG, RIGHT),
    (TEST, UNKNOWN, 0.2, WRONG, RIGHT),  # lost to unknown
    (TEST, TEST, 0.9, RIGHT, SILENT),  # lost by the extraction
    (TEST, BUILD, 0.7, RIGHT, WRONG),  # lost by the mapping, won back by the label
]
PRICES = {"sorter": (0.5, 1.0), "one": (1.0, 10.0), "two": (2.0, 20.0)}


def profile(folder: Path, unpriced: Sequence[str] = ()) -> Profile:
    """alpha asks model one, beta model two, the classifier sorter; all have a price but the `unpriced`."""
    models = {name: api(None if name in unpriced else price) for name, price in PRICES.items()}
    return small_profile(folder, models=models)


def api(price: tuple[float, float] | None) -> dict[str, Any]:
    known = {"price": {"input": price[0], "output": price[1]}} if price else {}
    return {"kind": "api", "base_url": "https://host.example/v1", "model": "any", **known}


def asked(number: int, task: str, text: str = "") -> Question:
    return make_question(text or f"{task} {number}?", ("one", "two"), "A", task)


def said(letter: str | None, prompt_tokens: int, completion_tokens: int, text: str = "") -> dict[str, Any]:
    tokens = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return {"letter": letter, "text": text or f"It is ({letter}).", "refused": False, **tokens}


def label(task: str, confidence: float) -> dict[str, Any]:
    near = [{"id": "n", "task": TEST, "similarity": 0.5}]
    usage = {"prompt_tokens": 100, "completion_tokens": 5}
    return {"task": task, "confidence": confidence, "neighbours": near, "usage": usage}


def record(
    question: Question, named: dict[str, Any] | None, alpha: Any, beta: Any, error: Any = None
) -> QuestionRecord:
    answers = {"alpha": alpha, "beta": beta}
    return {"id": question.id, "classification": named, "classification_error": error, "answers": answers}


def world(rows: Sequence[tuple[Any, ...]] = WORLD) -> Iterator[tuple[Question, QuestionRecord]]:
    """Every answer of alpha's takes 10 and 1 tokens, beta's 20 and 2."""
    for number, (task, named, confidence, alpha, beta) in enumerate(rows):
        question = asked(number, task)
        yield question, record(question, label(named, confidence), said(alpha, 10, 1), said(beta, 20, 2))


def told(of: Profile, run: Sequence[tuple[Question, QuestionRecord]]) -> dict[str, Any]:
    questions = {question.id: question for question, _ in run}
    insights = Insights(of, questions, dict.fromkeys(questions, BOARD))
    insights.add(record for _, record in run)
    return insights.summary()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return told(profile(tmp_path_factory.mktemp("profile")), list(world()))


def test_the_verdict_pairs_coe_with_the_best_single_expert(small: dict[str, Any]) -> None:
    verdict = small["verdict"]
    assert (verdict["best_single"], verdict["questions"]) == ("alpha", 9)
    assert verdict["difference"] == pytest.approx(4 / 9 - 6 / 9)
    assert (verdict["only_first"], verdict["only_second"]) == (1, 3)
    assert verdict["p_mcnemar"] == pytest.approx(2 * (1 + 4) / 16)
    assert verdict["low"] <= verdict["difference"] <= verdict["high"]
    assert verdict["p_bootstrap"] == pytest.approx(0.625, abs=0.03)  # of questions it simulates McNemar's
    assert verdict["method"] == "bootstrap of questions: only 2 categories"
    assert verdict["needed"] > 9


def test_bounds(small: dict[str, Any]) -> None:
    assert small["bounds"] == pytest.approx(
        {"task_oracle": 6 / 9, "question_oracle": 1.0, "majority": 6 / 9, "random_expert": 0.5}
    )


def test_losses_add_up_to_what_lies_between_coe_and_the_question_oracle(small: dict[str, Any]) -> None:
    assert {name: round(9 * value) for name, value in small["losses"].items()} == {
        "coe": 4,
        "task_oracle": 6,
        "question_oracle": 9,
        "classification": 1,
        "unknown": 1,
        "mapping": 2,
        "extraction": 1,
        "total": 5,
    }


def test_regret_is_by_task(small: dict[str, Any]) -> None:
    assert small["regret"] == {
        BUILD: pytest.approx({"questions": 5, "coe": 0.4, "best_single": 0.8, "question_oracle": 1.0, "regret": 0.4}),
        TEST: pytest.approx({"questions": 4, "coe": 0.5, "best_single": 0.5, "question_oracle": 1.0, "regret": 0.0}),
    }


def test_coe_pays_its_classifier_and_one_expert_a_question(small: dict[str, Any]) -> None:
    costs = small["costs"]
    assert list(costs) == [COE, "alpha", "beta"]
    assert costs["alpha"] == pytest.approx({"tokens": 99, "cost": 9 * (10 + 10) / 1e6, "accuracy": 6 / 9})
    assert costs["beta"] == pytest.approx({"tokens": 198, "cost": 9 * (40 + 40) / 1e6, "accuracy": 3 / 9})
    spent = (9 * (50 + 5) + 5 * (10 + 10) + 4 * (40 + 40)) / 1e6
    assert costs[COE] == pytest.approx({"tokens": 9 * 105 + 5 * 11 + 4 * 22, "cost": spent, "accuracy": 4 / 9})


@pytest.mark.parametrize(
    ("unpriced", "without"),
    [(["two"], {"beta", COE}), (["sorter"], {COE}), (["one", "two"], {"alpha", "beta", COE})],
)
def test_what_has_no_price_has_no_cost_and_neither_has_coe(
    tmp_path: Path, unpriced: list[str], without: set[str]
) -> None:
    costs = told(profile(tmp_path, unpriced), list(world()))["costs"]
    assert {name for name, each in costs.items() if each["cost"] is None} == without
    assert costs[COE]["tokens"] == 1088


def test_an_expert_that_coe_never_asks_needs_no_price(tmp_path: Path) -> None:
    run = list(world([(BUILD, BUILD, 0.9, RIGHT, WRONG)] * 1))
    assert told(profile(tmp_path, ["two"]), run)["costs"][COE]["cost"] == pytest.approx((55 + 20) / 1e6)


def test_questions_with_a_failed_call_are_left_out_with_their_tokens(tmp_path: Path, small: dict[str, Any]) -> None:
    failed = asked(90, TEST), asked(91, BUILD)
    outages = [
        (failed[0], record(failed[0], label(TEST, 0.9), said(RIGHT, 10, 1), FAILED)),
        (failed[1], record(failed[1], None, said(RIGHT, 10, 1), said(RIGHT, 20, 2), FAILED)),
    ]
    assert told(profile(tmp_path), [*world(), *outages]) == small


def test_where_the_classifier_refused_nobody_answers(tmp_path: Path) -> None:
    question = asked(90, BUILD)
    refused = record(question, None, said(RIGHT, 10, 1), said(RIGHT, 20, 2), REFUSED)
    found = told(profile(tmp_path), [*world(), (question, refused)])
    assert found["verdict"]["questions"] == 10
    assert found["losses"]["coe"] == pytest.approx(4 / 10)
    assert found["losses"]["unknown"] == pytest.approx(2 / 10)
    assert found["regret"][BUILD]["coe"] == pytest.approx(2 / 6)
    assert found["costs"][COE]["tokens"] == 1088  # nothing was asked on top
    assert found["verdict"]["only_second"] == 4


def test_misroutes_are_wrong_labels_whose_expert_was_wrong_and_the_right_one_right(small: dict[str, Any]) -> None:
    shown = [(each["task"], each["label"], each["confidence"]) for each in small["misroutes"]]
    assert shown == [(BUILD, TEST, 0.8), (BUILD, TEST, 0.6), (TEST, UNKNOWN, 0.2)]
    first = small["misroutes"][0]
    assert (first["text"], first["options"], first["answer"]) == ("Build 3?", ["one", "two"], "A")
    assert first["neighbours"] == [{"task": TEST, "similarity": 0.5}]
    assert first["asked"] == {"expert": "beta", "letter": "B", "outcome": "wrong", "text": "It is (B)."}
    assert first["meant"] == {"expert": "alpha", "letter": "A", "outcome": "correct", "text": "It is (A)."}


def test_the_surest_misroutes_are_shown(tmp_path: Path) -> None:
    places = [5, 0, 11, 3, 8, 1, 10, 2, 7, 4, 9, 6]
    run = list(world([(BUILD, TEST, place / 12, RIGHT, WRONG) for place in places]))
    shown = [round(12 * each["confidence"]) for each in told(profile(tmp_path), run)["misroutes"]]
    assert shown == [11, 10, 9, 8, 7, 6, 5, 4]
    assert len(shown) == SHOWN


def test_of_long_texts_the_beginning_of_questions_and_the_end_of_answers_are_kept(tmp_path: Path) -> None:
    question = make_question("<script>" + "q" * 3000, ("o" * 3000, "two"), "A", BUILD)
    answers = said(RIGHT, 10, 1, "a" * 3000 + "so (A)"), said(WRONG, 20, 2)
    (shown,) = told(profile(tmp_path), [(question, record(question, label(TEST, 0.5), *answers))])["misroutes"]
    assert shown["text"].startswith("<script>qqq")
    assert shown["text"].endswith("q…")
    assert shown["options"][0].endswith("o…")
    assert shown["meant"]["text"].startswith("…a")
    assert shown["meant"]["text"].endswith("so (A)")
    lengths = [len(each) for each in (shown["text"], shown["options"][0], shown["meant"]["text"])]
    assert lengths == [LONGEST] * 3


def test_a_refusal_tells_what_it_said(tmp_path: Path) -> None:
    question = asked(0, BUILD)
    run = [(question, record(question, label(TEST, 0.5), said(RIGHT, 10, 1), REFUSED))]
    (shown,) = told(profile(tmp_path), run)["misroutes"]
    assert shown["asked"] == {"expert": "beta", "letter": None, "outcome": "refused", "text": "stopped by the filter"}


@pytest.mark.parametrize("taken", [False, True])
def test_without_a_complete_question_nothing_is_told(tmp_path: Path, taken: bool) -> None:
    question = asked(0, BUILD)
    insights = Insights(profile(tmp_path), {question.id: question}, {question.id: BOARD})
    insights.add([record(question, label(BUILD, 0.5), FAILED, said(RIGHT, 1, 1))] if taken else [])
    assert insights.summary() == {
        **dict.fromkeys(("verdict", "bounds", "losses", "regret", "costs")),
        "misroutes": [],
    }
