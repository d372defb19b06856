"""Which expert a task goes to: the best one, of all questions or of the others alone, and for no task the best mean."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_ray.analysis.mapping import FOLDS, TaskMap, cross_fitted_map, fold_of, other_map, paper_map
from coe_ray.analysis.matrix import CORRECT, Bools, Matrix
from coe_ray.core.errors import DataError
from coe_ray.core.questions import make_question, near_duplicate_key
from coe_ray.core.types import OUTCOMES, UNKNOWN, Question
from coe_ray.routing.leaderboard import Leaderboard
from tests.analysis.grids import asked, grid, grids, shown

TASKS = ["Build", "Build", "Build", "Test", "Test", "Test", "Test", "Test"]
# At Build alpha has 3 of 3 and beta 1 of 3, at Test alpha 2 of 5 and beta 3 of 5.
MATRIX = grid("A" * 8, {"alpha": "AAAAABBB", "beta": "ABBBBAAA"}, TASKS)


def test_a_task_goes_to_who_was_right_most_often() -> None:
    picked = paper_map(MATRIX).picked(["Build", "Test", "Build"] + ["Test"] * 5)
    assert shown(picked, MATRIX.experts) == ["alpha", "beta", "alpha"] + ["beta"] * 5


def test_unknown_and_a_task_without_a_row_go_to_the_best_mean_over_tasks() -> None:
    # gamma is best at neither of the tasks and over all, yet has the best mean: every task weighs the same (eq. 8).
    tasks = ["Build"] * 10 + ["Test"] * 2
    answers = {"alpha": "A" * 10 + "BB", "beta": "B" * 10 + "AA", "gamma": "A" * 9 + "B" + "AB"}
    matrix = grid("A" * 12, answers, tasks)
    assert matrix.right.mean(axis=1).argmax() == 0
    picked = paper_map(matrix).picked([UNKNOWN, "Deploy", *["Build"] * 8, "Test", "Test"])
    assert shown(picked, matrix.experts) == ["gamma", "gamma", *["alpha"] * 8, "beta", "beta"]


def test_between_equals_the_first_by_name() -> None:
    matrix = grid("AA", {"zeta": "AB", "alpha": "BA"})
    assert shown(paper_map(matrix).picked(["Build", UNKNOWN]), matrix.experts) == ["alpha", "alpha"]


def test_every_map_says_how_it_was_made() -> None:
    assert "as published" in paper_map(MATRIX).note
    assert "cross-fitted" in cross_fitted_map(MATRIX).note
    assert other_map(MATRIX, MATRIX, "other").note == "made of the 8 questions of run other"


def test_a_map_of_another_run_is_of_its_answers_and_its_experts_may_be_more_and_in_another_order() -> None:
    other = grid("AAAA", {"gamma": "AAAA", "beta": "AABB", "alpha": "BBAA"}, ["Build", "Build", "Test", "Test"])
    task_map = other_map(MATRIX, other, "other")
    assert shown(task_map.picked(TASKS), MATRIX.experts) == ["beta"] * 3 + ["alpha"] * 5
    assert {board.experts for board in task_map.boards} == {("alpha", "beta")}


def test_a_run_that_lacks_an_expert_makes_no_map() -> None:
    with pytest.raises(DataError, match="run other has no answers of beta; bench the same experts there"):
        other_map(MATRIX, grid("A", {"alpha": "A"}), "other")


# Held out.


def many(size: int = 60) -> Matrix:
    right = "ABCD" * (size // 4)
    chance = np.random.default_rng(0)
    answers = {name: "".join(chance.choice(list("ABCD"), size)) for name in ("alpha", "beta", "gamma")}
    return grid(right, answers, ["Build", "Code", "Test"] * (size // 3))


def board_of(matrix: Matrix, keep: Bools) -> Leaderboard:
    """Counted one by one."""
    counts: dict[tuple[str, str], list[int]] = {}
    for number in np.flatnonzero(keep):
        for expert, right in zip(matrix.experts, matrix.right[:, number], strict=True):
            count = counts.setdefault((expert, matrix.tasks[number]), [0, 0])
            count[0] += int(right)
            count[1] += 1
    return Leaderboard.from_scores((*pair, right, total) for pair, (right, total) in counts.items())


def folds_of(matrix: Matrix) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    return np.array([fold_of(question) for question in matrix.questions], dtype=np.intp)


def test_each_question_is_routed_by_the_answers_of_the_other_folds() -> None:
    matrix = many()
    task_map, folds = cross_fitted_map(matrix), folds_of(matrix)
    assert len({board.version for board in task_map.boards}) == FOLDS == len(set(folds))
    for number, board in enumerate(task_map.boards):
        assert board == board_of(matrix, folds != folds[number])
    assert paper_map(matrix).boards == (board_of(matrix, np.ones(matrix.size, dtype=np.bool_)),) * matrix.size


def flipped(matrix: Matrix, places: Sequence[int]) -> Matrix:
    """What was right is wrong at these questions, and the other way round."""
    outcomes = matrix.outcomes.copy()
    outcomes[:, places] = np.where(matrix.right[:, places], OUTCOMES.index("wrong"), CORRECT)
    return replace(matrix, outcomes=outcomes)


@pytest.mark.parametrize("number", range(0, 60, 7))
def test_a_questions_own_answers_do_not_change_its_route(number: int) -> None:
    matrix = many()
    own = folds_of(matrix) == folds_of(matrix)[number]
    before = cross_fitted_map(matrix)
    # Nor do those of its whole fold: whatever is near it lies there.
    for places in ([number], list(np.flatnonzero(own))):
        after = cross_fitted_map(flipped(matrix, places))
        assert after.boards[number] == before.boards[number]
        for label in ("Build", "Code", "Test", UNKNOWN):
            assert after.picked([label] * 60)[number] == before.picked([label] * 60)[number]
        # Without this the test would prove nothing.
        assert after.boards != before.boards
    assert paper_map(flipped(matrix, [number])).boards != paper_map(matrix).boards


def spelled(question: Question) -> list[Question]:
    """The same question in other forms: all near duplicates."""
    full_width = question.text.replace("?", "？").replace(" ", "  ").upper()
    return [
        question,
        make_question(full_width, question.options, question.answer, question.task),
        make_question(question.text, tuple(reversed(question.options)), "D", question.task),
        make_question(f"  {question.text}\n", [f"{option}." for option in question.options], "B", question.task),
    ]


@pytest.mark.parametrize("question", asked("ABCD" * 3, ["Build"] * 12), ids=lambda question: question.text[:11])
def test_near_duplicates_are_in_one_fold(question: Question) -> None:
    same = spelled(question)
    assert len({each.id for each in same}) == 4
    assert len({fold_of(each) for each in same}) == 1


def test_no_question_is_routed_by_a_near_duplicates_answer() -> None:
    twins = [twin for question in asked("A" * 30, ["Build", "Code", "Test"] * 10) for twin in spelled(question)]
    answers = {"alpha": "ABCD" * 30, "beta": "AABB" * 30}
    matrix = grid("A" * 120, answers, questions=tuple(replace(twin, answer="A") for twin in twins))
    task_map = cross_fitted_map(matrix)
    keys = [near_duplicate_key(each.text, each.options) for each in matrix.questions]
    for number, board in enumerate(task_map.boards):
        near = [place for place, key in enumerate(keys) if key == keys[number]]
        assert len(near) == 4
        assert cross_fitted_map(flipped(matrix, near)).boards[number] == board


def test_recorded_questions_without_a_text_are_spread_over_folds_by_their_id() -> None:
    folds = {fold_of(Question(f"q{number}", "", task="Build")) for number in range(100)}
    assert folds == set(range(FOLDS))


def test_folds_are_about_even() -> None:
    counts = np.bincount(folds_of(many(600)), minlength=FOLDS)
    assert counts.min() > 90


def test_questions_of_one_fold_alone_make_the_one_board() -> None:
    question = asked("A", ["Build"])[0]
    twins = tuple(replace(twin, answer="A") for twin in spelled(question))
    matrix = grid("AAAA", {"alpha": "ABBB", "beta": "AAAB"}, questions=twins)
    assert cross_fitted_map(matrix).note == paper_map(matrix).note
    assert cross_fitted_map(matrix).boards == paper_map(matrix).boards


def test_a_task_whose_questions_are_all_in_one_fold_is_unknown_to_its_own_board() -> None:
    matrix = many()
    folds = folds_of(matrix)
    lone = [
        replace(each, task="Rare") if fold == 0 else each for each, fold in zip(matrix.questions, folds, strict=True)
    ]
    rare = replace(matrix, questions=tuple(lone))
    task_map = cross_fitted_map(rare)
    own = int(np.flatnonzero(folds == 0)[0])
    board = task_map.boards[own]
    assert "Rare" not in board.tasks
    assert rare.experts[task_map.picked(rare.tasks)[own]] == board.ranked_on_average[0].expert


@settings(max_examples=60)
@given(grids(signs="ABCD-?"))
def test_any_map_names_an_expert_for_every_question(matrix: Matrix) -> None:
    maps: list[TaskMap] = [paper_map(matrix), cross_fitted_map(matrix), other_map(matrix, matrix, "other")]
    for task_map in maps:
        for labels in (matrix.tasks, [UNKNOWN] * matrix.size, ["elsewhere"] * matrix.size):
            picked = task_map.picked(labels)
            assert picked.shape == (matrix.size,)
            assert ((picked >= 0) & (picked < len(matrix.experts))).all()


@settings(max_examples=60)
@given(grids(signs="ABCD-?", least=2), st.data())
def test_in_any_run_no_answer_of_a_fold_reaches_its_own_board(matrix: Matrix, data: st.DataObject) -> None:
    folds = folds_of(matrix)
    if len(set(folds)) == 1:
        return
    fold = data.draw(st.sampled_from(sorted(set(folds))))
    places = np.flatnonzero(folds == fold)
    before, after = cross_fitted_map(matrix), cross_fitted_map(flipped(matrix, list(places)))
    assert [before.boards[place] for place in places] == [after.boards[place] for place in places]
