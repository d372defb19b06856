"""Scoring a tiny world by hand: four outcomes apart, CoE's answers the experts' own, no question routing itself."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from coe_ray.analysis.mapping import fold_of
from coe_ray.bench.scoring import COE, Ledger, Row, all_rows, board_of, cross_fitted, expert_rows
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import ANSWER_SCHEMA, QuestionRecord
from coe_ray.core.types import UNKNOWN, Question

FAILED: dict[str, Any] = {"error": "ServerFault", "message": "503", "attempts": 6, "refused": False}
FILTERED: dict[str, Any] = {"error": "ContentFiltered", "message": "filtered", "attempts": 1, "refused": True}


def said(letter: str | None, **more: Any) -> dict[str, Any]:
    return {"letter": letter, "rule": "rule", "text": f"({letter})", "refused": False, "attempts": 1, **more}


def label(task: str, attempts: int = 1) -> dict[str, Any]:
    return {"task": task, "rule": "rule", "raw": task, "confidence": 0.5, "attempts": attempts}


def question(number: int, task: str) -> Question:
    return make_question(f"{task} {number}?", ("one", "two"), "A", task)


def record(asked: Question, classified: dict[str, Any] | None, alpha: Any, beta: Any) -> QuestionRecord:
    fault = None if classified else dict(FAILED)
    answers = {"alpha": alpha, "beta": beta}
    return {"id": asked.id, "classification": classified, "classification_error": fault, "answers": answers}


BUILD = [question(number, "Build") for number in range(3)]
TEST = [question(number, "Test") for number in range(3)]
QUESTIONS = {each.id: each for each in (*BUILD, *TEST)}
RECORDS = [
    record(BUILD[0], label("Build"), said("A"), said("B")),
    record(BUILD[1], label("Build"), said("A"), FAILED),
    record(BUILD[2], label("Test"), said("B"), said("A")),
    record(TEST[0], label("Test", attempts=3), said(None), said("A")),
    record(TEST[1], None, FILTERED, said("A")),
    record(TEST[2], label(UNKNOWN), said("A", refused=True), said("A")),
]
EXPERTS = list(expert_rows(QUESTIONS, RECORDS))
BOARD = board_of(EXPERTS)
BOARDS = dict.fromkeys(QUESTIONS, BOARD)
ROWS = list(all_rows(QUESTIONS, RECORDS, BOARDS))


def figures(rows: Iterable[Row], questions: Mapping[str, Question]) -> dict[str, Any]:
    ledger = Ledger()
    assert list(ledger.count(rows)) == list(rows)
    return ledger.figures(questions)


def outcomes(system: str) -> list[str]:
    return [row["outcome"] for row in ROWS if row["system"] == system]


def test_wrong_unparsed_refused_and_failed_are_told_apart() -> None:
    assert outcomes("alpha") == ["correct", "correct", "wrong", "unparsed", "refused", "refused"]
    assert outcomes("beta") == ["wrong", "failed", "correct", "correct", "correct", "correct"]


def test_a_row_has_what_the_answers_table_holds() -> None:
    for row in ROWS:
        assert set(row) == set(ANSWER_SCHEMA.names)
    assert ROWS[0]["text"] == "(A)"
    failed = next(row for row in ROWS if row["outcome"] == "failed")
    assert (failed["error"], failed["message"], failed["attempts"]) == ("ServerFault", "503", 6)


def test_answers_cut_off_at_max_tokens_are_counted_but_not_those_of_one_token() -> None:
    cut = said("A", finish_reason="length")
    records = [
        record(BUILD[0], label("Build"), cut, said("A", finish_reason="length", rule="next token")),
        record(BUILD[1], label("Build"), said("A", finish_reason="stop"), FAILED),
    ]
    found = figures(list(all_rows(QUESTIONS, records, BOARDS)), QUESTIONS)["systems"]
    assert {name: system["cut_off"] for name, system in found.items()} == {"coe": 1, "alpha": 1, "beta": 0}


def test_failed_calls_stay_out_of_the_leaderboard_and_refusals_do_not() -> None:
    counts = {(score.expert, score.task): (score.correct, score.total) for score in BOARD.scores}
    assert counts == {
        ("alpha", "Build"): (2, 3),
        ("beta", "Build"): (1, 2),
        ("alpha", "Test"): (0, 3),
        ("beta", "Test"): (3, 3),
    }


def test_coe_answers_what_the_expert_that_is_best_at_the_named_task_said() -> None:
    rows = [row for row in ROWS if row["system"] == COE]
    # Named Build → alpha, Test → beta, unknown → beta (3/4 on average); the classifier failed on the fifth.
    assert [row["expert"] for row in rows] == ["alpha", "alpha", "beta", "beta", None, "beta"]
    assert [row["label"] for row in rows] == ["Build", "Build", "Test", "Test", None, UNKNOWN]
    assert outcomes(COE) == ["correct", "correct", "correct", "correct", "failed", "correct"]


def test_coes_answer_is_the_chosen_experts_answer_in_every_field() -> None:
    of_expert = {(row["question_id"], row["expert"]): row for row in EXPERTS}
    for row in ROWS:
        if row["system"] == COE and row["expert"]:
            own = of_expert[row["question_id"], row["expert"]]
            assert {**own, "system": COE, "label": row["label"]} == row


def test_the_figures_by_hand() -> None:
    summary = figures(ROWS, QUESTIONS)
    assert summary["rows"] == 6
    assert summary["incomplete"]
    assert list(summary["systems"]) == [COE, "alpha", "beta"]
    alpha, beta, coe = (summary["systems"][name] for name in ("alpha", "beta", COE))
    assert (alpha["accuracy"], beta["accuracy"], coe["accuracy"]) == (2 / 6, 4 / 5, 1.0)
    assert (alpha["bounds"], beta["bounds"]) == ([2 / 6, 5 / 6], [4 / 6, 5 / 6])
    assert [alpha[name] for name in ("correct", "wrong", "unparsed", "refused", "failed")] == [2, 1, 1, 2, 0]
    assert [beta[name] for name in ("correct", "wrong", "unparsed", "refused", "failed")] == [4, 1, 0, 0, 1]
    assert coe["failed"] == 1
    # Build Build Test | Test – unknown: three of five right.
    assert summary["classifier"]["accuracy"] == 3 / 5
    assert summary["classifier"]["confusion"]["matrix"] == [[2, 1, 0], [0, 1, 1]]


def test_questions_without_a_record_make_a_run_incomplete() -> None:
    clean = [RECORDS[0]]
    rows = list(all_rows(QUESTIONS, clean, BOARDS))
    assert figures(rows, QUESTIONS)["incomplete"]
    assert not figures(rows, {BUILD[0].id: BUILD[0]})["incomplete"]


MANY = {each.id: each for each in (question(number, task) for number in range(30) for task in ("Build", "Test"))}
MANY_RECORDS = [
    record(each, label(each.task or ""), said("AB"[number % 2]), said("AB"[int(each.id, 16) % 2]))
    for number, each in enumerate(MANY.values())
]


def fold(id_: str) -> int:
    return fold_of(MANY[id_])


def test_every_question_has_a_leaderboard_of_the_other_folds() -> None:
    rows = list(expert_rows(MANY, MANY_RECORDS))
    boards, whole = cross_fitted(rows, MANY)
    for id_ in MANY:
        assert boards[id_] == board_of(row for row in rows if fold(row["question_id"]) != fold(id_))
    assert whole == board_of(rows)


@pytest.mark.parametrize("id_", list(MANY)[:12])
def test_a_questions_own_answers_do_not_change_its_route(id_: str) -> None:
    flipped = copy.deepcopy(MANY_RECORDS)
    for each in flipped:
        if each["id"] == id_:
            for answer in each["answers"].values():
                answer["letter"] = "B" if answer["letter"] == "A" else "A"
    before, _ = cross_fitted(expert_rows(MANY, MANY_RECORDS), MANY)
    after, _ = cross_fitted(expert_rows(MANY, flipped), MANY)
    assert before[id_] == after[id_]
    (row,) = [row for row in all_rows(MANY, MANY_RECORDS, before) if (row["question_id"], row["system"]) == (id_, COE)]
    (again,) = [row for row in all_rows(MANY, flipped, after) if (row["question_id"], row["system"]) == (id_, COE)]
    assert row["expert"] == again["expert"]
    assert row["outcome"] != again["outcome"]
    # The answers do count for the others: without this the test would prove nothing.
    assert before != after


def test_with_one_fold_only_all_answers_make_the_leaderboard() -> None:
    rows = list(expert_rows(QUESTIONS, RECORDS[:1]))
    boards, whole = cross_fitted(rows, QUESTIONS)
    assert boards[BUILD[0].id] == whole == board_of(rows)


def test_an_outage_in_all_other_folds_leaves_them_without_a_say() -> None:
    first, other = (next(each for each in MANY.values() if fold(each.id) == number) for number in (0, 1))
    records = [
        record(first, label("Build"), said("A"), said("B")),
        record(other, label("Build"), FAILED, FAILED),
    ]
    rows = list(expert_rows(MANY, records))
    boards, _ = cross_fitted(rows, MANY)
    assert boards[first.id] == boards[other.id] == board_of(rows)


def test_an_outage_of_everything_leaves_no_leaderboard() -> None:
    boards, whole = cross_fitted(expert_rows(QUESTIONS, [record(BUILD[0], None, FAILED, FAILED)]), QUESTIONS)
    assert (boards, whole) == ({}, None)


def test_a_label_that_no_question_has_is_one_more_row_and_column() -> None:
    records = [record(BUILD[0], label("Deploy"), said("A"), said("B"))]
    rows = all_rows(QUESTIONS, records, BOARDS)
    ledger = Ledger()
    assert len(list(ledger.count(rows))) == 3
    confusion = ledger.figures({BUILD[0].id: BUILD[0]})["classifier"]["confusion"]
    assert confusion == {"labels": ["Build", "Deploy", UNKNOWN], "matrix": [[0, 1, 0], [0, 0, 0]]}


def test_a_near_duplicate_does_not_route_its_twin() -> None:
    asked = make_question("Which task?", ("one", "two"), "A", "Build")
    twin = make_question("WHICH TASK", ("two", "one"), "B", "Build")
    rows = list(expert_rows({asked.id: asked, twin.id: twin}, [record(twin, label("Build"), said("B"), said("A"))]))
    boards, _ = cross_fitted(rows, {asked.id: asked, twin.id: twin})
    assert fold_of(asked) == fold_of(twin)
    assert boards[asked.id] is boards[twin.id]
