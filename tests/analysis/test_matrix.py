"""The matrix of a run by hand: outcomes, letters, labels and the neighbours' vote; and one out of a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.analysis.matrix import NEIGHBOURS, NO_LETTER, OWN, Matrix
from coe_ray.core.errors import DataError
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import QuestionRecord
from coe_ray.core.types import LETTERS, OUTCOMES, UNKNOWN, Question
from coe_ray.llm.recordings import Recording
from tests.analysis.grids import grid, grids

FAILED: dict[str, Any] = {"error": "ServerFault", "message": "503", "attempts": 6, "refused": False}
FILTERED: dict[str, Any] = {"error": "ContentFiltered", "message": "filtered", "attempts": 1, "refused": True}


def said(letter: str | None, **more: Any) -> dict[str, Any]:
    return {"letter": letter, "rule": "rule", "text": "…", "refused": False, "attempts": 1, **more}


def label(task: str, *near: tuple[str, float]) -> dict[str, Any]:
    found = [{"id": f"n{n}", "task": of, "similarity": similarity} for n, (of, similarity) in enumerate(near)]
    return {"task": task, "rule": "rule", "raw": task, "confidence": 0.5, "attempts": 1, "neighbours": found}


def record(question: Question, labels: Mapping[str, Any] | None = None, **answers: Any) -> QuestionRecord:
    made = {"id": question.id, "classification": label("Build"), "classification_error": None, "answers": answers}
    return made if labels is None else {**made, "labels": dict(labels)}


def question(
    number: int, task: str | None = "Build", answer: str | None = "A", category: str | None = None
) -> Question:
    return make_question(f"Question {number}?", ("v", "w", "x", "y"), answer, task, category=category)


def by_id(*questions: Question) -> dict[str, Question]:
    return {each.id: each for each in questions}


def names(matrix: Matrix) -> list[list[str]]:
    return [[OUTCOMES[place] for place in row] for row in matrix.outcomes]


ASKED = sorted((question(number) for number in range(6)), key=lambda each: each.id)
"""In the order of a matrix."""

ANSWERS = [said("A"), said("B"), said(None), FAILED, FILTERED, said("A", refused=True)]


def test_correct_wrong_unparsed_failed_and_refused_are_told_apart() -> None:
    records = [record(each, alpha=answer) for each, answer in zip(ASKED, ANSWERS, strict=True)]
    matrix = Matrix.from_records(by_id(*ASKED), records)
    assert names(matrix) == [["correct", "wrong", "unparsed", "failed", "refused", "refused"]]
    assert matrix.right.tolist() == [[True, False, False, False, False, False]]
    assert matrix.unread.tolist() == [[False, False, True, False, True, True]]


def test_a_letter_in_a_refusal_is_no_answer() -> None:
    records = [record(each, alpha=answer) for each, answer in zip(ASKED, ANSWERS, strict=True)]
    letters = Matrix.from_records(by_id(*ASKED), records).letters
    assert letters.tolist() == [[0, 1, NO_LETTER, NO_LETTER, NO_LETTER, NO_LETTER]]


def test_questions_are_sorted_and_experts_as_they_were_asked() -> None:
    records = [record(each, beta=said("A"), alpha=said("B")) for each in reversed(ASKED)]
    matrix = Matrix.from_records(by_id(*ASKED), records)
    assert matrix.questions == tuple(ASKED)
    assert matrix.experts == ("beta", "alpha")
    assert matrix.right.tolist() == [[True] * 6, [False] * 6]
    assert (matrix.size, matrix.answers.tolist(), matrix.tasks) == (6, [0] * 6, ("Build",) * 6)


def test_the_same_records_in_any_order_make_the_same_matrix() -> None:
    records = [record(each, alpha=answer) for each, answer in zip(ASKED, ANSWERS, strict=True)]
    one, other = (Matrix.from_records(by_id(*ASKED), some) for some in (records, records[::-1]))
    assert one.questions == other.questions
    assert np.array_equal(one.outcomes, other.outcomes)


def test_tokens_are_counted_and_a_failed_call_has_none() -> None:
    answers = [said("A", prompt_tokens=9, completion_tokens=2), FAILED, said("A", prompt_tokens=None)]
    records = [record(each, alpha=answer) for each, answer in zip(ASKED, answers, strict=False)]
    assert Matrix.from_records(by_id(*ASKED), records).tokens.tolist() == [[[9, 0, 0]], [[2, 0, 0]]]


def test_records_of_other_questions_are_left_out() -> None:
    records = [record(each, alpha=said("A")) for each in ASKED]
    assert Matrix.from_records(by_id(ASKED[2]), records).questions == (ASKED[2],)


def test_without_a_record_there_is_nothing_to_compare() -> None:
    for records in ([], [record(ASKED[0], alpha=said("A"))]):
        with pytest.raises(DataError, match="the run has no records yet; finish it first"):
            Matrix.from_records({}, records)


def test_records_of_different_experts_are_no_matrix() -> None:
    records = [record(ASKED[0], alpha=said("A")), record(ASKED[1], alpha=said("A"), beta=said("A"))]
    with pytest.raises(DataError, match="do not all have the same experts; begin it anew"):
        Matrix.from_records(by_id(*ASKED), records)


BUILD_AND_TEST = (("Build", 0.9), ("Test", 0.8), ("Test", 0.8))


def test_each_classifiers_label_is_kept_and_a_failed_one_is_none() -> None:
    labels = [
        {"first": label("Build"), "second": label(UNKNOWN)},
        {"first": FAILED, "second": label("Test")},
    ]
    records = [record(each, some, alpha=said("A")) for each, some in zip(ASKED, labels, strict=False)]
    matrix = Matrix.from_records(by_id(*ASKED), records)
    assert matrix.labels == {"first": ("Build", None), "second": (UNKNOWN, "Test")}


def test_without_further_classifiers_the_runs_own_labels_are_kept() -> None:
    own = record(ASKED[0], alpha=said("A"))
    assert Matrix.from_records(by_id(*ASKED), [own]).labels == {OWN: (own["classification"]["task"],)}


def test_the_neighbours_vote_by_their_weight() -> None:
    # The nearest is of Build, but the two others together weigh more.
    labels = [
        {"plain": label("Build"), "rag": label("Build", *BUILD_AND_TEST)},
        {"plain": label("Build"), "rag": label("Build", ("Log", 0.1))},
    ]
    records = [record(each, some, alpha=said("A")) for each, some in zip(ASKED, labels, strict=False)]
    assert Matrix.from_records(by_id(*ASKED), records).labels[NEIGHBOURS] == ("Test", "Log")


def test_equal_neighbours_leave_it_to_the_nearest() -> None:
    records = [record(ASKED[0], {"rag": label("x", ("Test", 0.5), ("Build", 0.5))}, alpha=said("A"))]
    assert Matrix.from_records(by_id(*ASKED), records).labels[NEIGHBOURS] == ("Test",)


def test_a_question_without_a_neighbour_has_the_vote_unknown() -> None:
    labels = [{"rag": label("Build", *BUILD_AND_TEST)}, {"rag": label("Build")}]
    for order in (labels, labels[::-1]):
        records = [record(each, some, alpha=said("A")) for each, some in zip(ASKED, order, strict=False)]
        votes = Matrix.from_records(by_id(*ASKED), records).labels[NEIGHBOURS]
        assert sorted(map(str, votes)) == ["Test", UNKNOWN]


def test_a_failed_call_takes_only_its_own_vote_with_it() -> None:
    labels = [
        {"rag": FAILED, "moved": label("x", ("Code", 0.9))},
        {"rag": label("Build", *BUILD_AND_TEST), "moved": label("x")},
    ]
    records = [record(each, some, alpha=said("A")) for each, some in zip(ASKED, labels, strict=False)]
    assert Matrix.from_records(by_id(*ASKED), records).labels[NEIGHBOURS] == (None, "Test")


def test_where_nobody_saw_neighbours_there_is_no_vote() -> None:
    records = [record(ASKED[0], {"plain": label("Build")}, alpha=said("A"))]
    assert NEIGHBOURS not in Matrix.from_records(by_id(*ASKED), records).labels


def test_a_question_with_a_failed_call_or_label_is_left_out_of_all() -> None:
    matrix = grid("AAAA", {"alpha": "A!AA", "beta": "-A?B"}, labels={"rag": ("Build", "Build", None, "Build")})
    complete = matrix.complete()
    assert complete.questions == (matrix.questions[0], matrix.questions[3])
    assert names(complete) == [["correct", "correct"], ["unparsed", "wrong"]]
    assert complete.labels == {"rag": ("Build", "Build")}
    assert complete.tokens.shape == (2, 2, 2)


@given(grids(), st.data())
def test_what_is_complete_has_no_failure_and_is_complete_already(matrix: Matrix, data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from(["Build", None]), min_size=matrix.size, max_size=matrix.size))
    complete = Matrix(**{**vars(matrix), "labels": {"rag": tuple(labels)}}).complete()
    assert OUTCOMES.index("failed") not in complete.outcomes
    assert None not in complete.labels["rag"]
    assert complete.complete().questions == complete.questions
    failed = [(matrix.outcomes[:, n] == OUTCOMES.index("failed")).any() for n in range(matrix.size)]
    kept = [not fault and label is not None for fault, label in zip(failed, labels, strict=True)]
    assert complete.size == sum(kept)


def test_only_some_experts_in_the_order_wanted() -> None:
    matrix = grid("AB", {"alpha": "AA", "beta": "BB", "gamma": "AB"}).among(("gamma", "alpha"))
    assert matrix.experts == ("gamma", "alpha")
    assert matrix.right.tolist() == [[True, True], [True, False]]
    assert matrix.letters.tolist() == [[0, 1], [0, 0]]
    assert matrix.tokens.shape == (2, 2, 2)


def test_clusters_are_categories_and_where_none_is_known_tasks() -> None:
    asked = [question(0, "Build", category="en/Go"), question(1, "Build", category="en/Go"), question(2, "Build")]
    asked += [question(3, "Test"), question(4, "Build"), question(5, None)]
    matrix = grid("A" * 6, {"alpha": "A" * 6}, questions=tuple(asked))
    assert matrix.tasks == ("Build", "Build", "Build", "Test", "Build", UNKNOWN)
    first, second, third, fourth, fifth, sixth = matrix.clusters
    assert first == second
    assert third == fifth
    assert len({first, third, fourth, sixth}) == 4


# A table of past results.


def test_a_table_of_right_and_wrong_needs_no_questions() -> None:
    recordings = [
        Recording("q2", "beta", None, True, "Test"),
        Recording("q1", "beta", None, False, "Build"),
        Recording("q1", "alpha", None, True, "Build"),
        Recording("q2", "alpha", None, False),
    ]
    matrix = Matrix.from_recordings(recordings)
    assert (matrix.experts, matrix.tasks) == (("alpha", "beta"), ("Build", "Test"))
    assert names(matrix) == [["correct", "wrong"], ["wrong", "correct"]]
    assert (matrix.letters.tolist(), matrix.answers.tolist()) == ([[NO_LETTER] * 2] * 2, [NO_LETTER] * 2)
    assert matrix.labels == {}


TOLD = {
    "q1": Question("q1", "Which?", ("w", "x", "y"), "B", "Build"),
    "q2": Question("q2", "哪个?", ("w", "x"), "A", "Test"),
}


def test_a_table_of_answers_is_graded_by_the_questions() -> None:
    recordings = [
        Recording("q1", "alpha", "B"),
        Recording("q1", "beta", "the answer is (C)"),
        Recording("q2", "alpha", "who knows"),
        Recording("q2", "beta", "答案是 A。"),
    ]
    matrix = Matrix.from_recordings(recordings, TOLD)
    assert names(matrix) == [["correct", "unparsed"], ["wrong", "correct"]]
    assert matrix.letters.tolist() == [[1, NO_LETTER], [2, 0]]
    assert matrix.questions == tuple(TOLD.values())


def test_a_letter_that_is_no_option_is_none() -> None:
    matrix = Matrix.from_recordings([Recording("q2", "alpha", "C")], TOLD)
    assert (names(matrix), matrix.letters.tolist()) == ([["unparsed"]], [[NO_LETTER]])


@pytest.mark.parametrize("text", ["A", "a", "(A)", "the answer is (A)", "<think>B</think>A"])
def test_letters_are_read_out_of_any_answer_also_where_its_question_is_not_known(text: str) -> None:
    matrix = Matrix.from_recordings([Recording("q1", "alpha", text, True, "Build")])
    assert matrix.letters.tolist() == [[0]]


@pytest.mark.parametrize("text", ["", "AB", "who knows", "ABC"])
def test_what_is_no_letter_is_none(text: str) -> None:
    matrix = Matrix.from_recordings([Recording("q1", "alpha", text, False, "Build")])
    assert matrix.letters.tolist() == [[NO_LETTER]]


def test_what_was_noted_outweighs_what_would_be_read() -> None:
    matrix = Matrix.from_recordings([Recording("q1", "alpha", "A", True)], TOLD)
    assert names(matrix) == [["correct"]]


def test_only_questions_that_were_put_to_everybody_are_compared() -> None:
    recordings = [Recording("q1", "alpha", None, True, "Build"), Recording("q1", "beta", None, True, "Build")]
    recordings += [Recording("q2", "alpha", None, True, "Build")]
    assert [each.id for each in Matrix.from_recordings(recordings).questions] == ["q1"]
    with pytest.raises(DataError, match="no question was answered by all of the experts"):
        Matrix.from_recordings([recordings[0], Recording("q2", "beta", None, True, "Build")])
    with pytest.raises(DataError, match="no question was answered by all of the experts"):
        Matrix.from_recordings([])


def test_a_table_that_says_too_little_is_refused() -> None:
    with pytest.raises(DataError, match="'q9': neither its right answer nor `correct` is known"):
        Matrix.from_recordings([Recording("q9", "alpha", "A", None, "Build")])
    with pytest.raises(DataError, match="recorded results on 'q9' name no task"):
        Matrix.from_recordings([Recording("q9", "alpha", None, True)])


@given(grids(signs="ABCD-"))
def test_a_run_and_a_table_of_its_answers_are_one_matrix(matrix: Matrix) -> None:
    recordings = [
        Recording(question.id, expert, "who knows" if letter == NO_LETTER else LETTERS[letter])
        for expert, row in zip(matrix.experts, matrix.letters, strict=True)
        for question, letter in zip(matrix.questions, row, strict=True)
    ]
    again = Matrix.from_recordings(recordings, by_id(*matrix.questions))
    order = [again.questions.index(question) for question in matrix.questions]
    rows = [again.experts.index(expert) for expert in matrix.experts]
    assert np.array_equal(again.outcomes[rows][:, order], matrix.outcomes)
    assert np.array_equal(again.letters[rows][:, order], matrix.letters)
