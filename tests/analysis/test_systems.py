"""Systems out of one matrix, by hand; and what holds of every run: nobody beats the oracles."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_ray.analysis.mapping import cross_fitted_map, paper_map
from coe_ray.analysis.matrix import NO_LETTER, Ints, Matrix
from coe_ray.analysis.metrics import Graded, system_metrics
from coe_ray.analysis.systems import (
    System,
    alone,
    majority,
    question_oracle,
    random_expert,
    random_labels,
    routed,
)
from coe_ray.core.types import LETTERS, OUTCOMES, UNKNOWN
from coe_ray.llm.recordings import Recording
from tests.analysis.grids import grid, grids


def outcomes(system: System) -> list[str]:
    return [OUTCOMES[place] for place in system.outcomes]


def letters(system: System) -> str:
    return "".join("-" if place == NO_LETTER else LETTERS[place] for place in system.letters)


MATRIX = grid("AAAAA", {"alpha": "AB-?!", "beta": "BAABB", "gamma": "BBBBB"})


def test_a_routed_answer_is_the_picked_experts_in_every_field() -> None:
    system = routed("coe", MATRIX, np.array([0, 1, 0, 0, 0], dtype=np.intp))
    assert outcomes(system) == ["correct", "correct", "unparsed", "refused", "failed"]
    assert letters(system) == "AA---"
    assert system.right.tolist() == [True, True, False, False, False]
    assert system.picked is not None
    assert system.picked.tolist() == [0, 1, 0, 0, 0]


def test_an_expert_alone_answers_everything() -> None:
    system = alone(MATRIX, "beta")
    assert (system.name, outcomes(system)) == ("beta", ["wrong", "correct", "correct", "wrong", "wrong"])


def test_figures_are_those_of_a_bench() -> None:
    system = alone(MATRIX, "alpha")
    rows = [("A", "correct"), ("B", "wrong"), (None, "unparsed"), (None, "refused"), (None, "failed")]
    expected = system_metrics(Graded("Build", "A", letter, outcome) for letter, outcome in rows)  # type: ignore[arg-type]
    assert system.metrics(MATRIX) == expected
    assert expected["accuracy"] == 1 / 4


def test_where_the_right_letters_are_not_known_there_is_no_precision() -> None:
    told = (("q1", True), ("q2", False), ("q3", False))
    matrix = Matrix.from_recordings([Recording(id_, "alpha", None, right, "Build") for id_, right in told])
    figures = alone(matrix, "alpha").metrics(matrix)
    assert figures["accuracy"] == 1 / 3
    assert (figures["precision"], figures["recall"], figures["f1"]) == (None, None, None)


# The majority.


@pytest.mark.parametrize(
    ("answers", "voted"),
    [
        (("A", "A", "B"), "A"),
        (("B", "A", "B"), "B"),
        (("A", "-", "-"), "A"),
        (("-", "?", "B"), "B"),
        (("-", "?", "!"), "-"),
        (("A", "B", "!"), "A"),
    ],
)
def test_the_letter_that_most_give_and_no_letter_is_no_vote(answers: Sequence[str], voted: str) -> None:
    # The four questions before it make alpha the best, then beta, then gamma.
    before = {"alpha": "AAAA", "beta": "AABB", "gamma": "BBBB"}
    rows = {name: row + sign for (name, row), sign in zip(before.items(), answers, strict=True)}
    assert letters(majority("vote", grid("AAAAA", rows)))[-1] == voted


@pytest.mark.parametrize(("best", "voted"), [("alpha", "B"), ("beta", "C"), ("gamma", "D")])
def test_between_equals_the_best_expert_decides(best: str, voted: str) -> None:
    answers = {
        name: ("AAAA" if name == best else "BBBB") + letter
        for name, letter in zip(("alpha", "beta", "gamma"), "BCD", strict=True)
    }
    assert letters(majority("vote", grid("AAAAA", answers)))[-1] == voted


def test_between_equal_experts_the_first_decides() -> None:
    assert letters(majority("vote", grid("AB", {"alpha": "AA", "beta": "BB"}))) == "AA"
    assert letters(majority("vote", grid("AB", {"beta": "BB", "alpha": "AA"}))) == "BB"


def test_two_against_the_best_outvote_him() -> None:
    matrix = grid("AAAA", {"alpha": "AAAA", "beta": "BBBA", "gamma": "BABB"})
    vote = majority("vote", matrix)
    assert (letters(vote), outcomes(vote)) == ("BABA", ["wrong", "correct", "wrong", "correct"])


def test_a_vote_without_a_letter_is_unparsed() -> None:
    vote = majority("vote", grid("AA", {"alpha": "-?", "beta": "!-"}))
    assert outcomes(vote) == ["unparsed", "unparsed"]


def test_where_the_right_letters_are_not_known_a_vote_is_worth_what_its_givers_were() -> None:
    table = {"q1": (("A", True), ("A", True), ("B", False)), "q2": (("C", False), ("D", True), ("C", False))}
    recordings = [
        Recording(id_, expert, letter, right, "Build")
        for id_, row in table.items()
        for expert, (letter, right) in zip(("alpha", "beta", "gamma"), row, strict=True)
    ]
    vote = majority("vote", Matrix.from_recordings(recordings))
    assert (letters(vote), outcomes(vote)) == ("AC", ["correct", "wrong"])


@given(grids())
def test_any_vote_is_a_letter_that_nobody_beats(matrix: Matrix) -> None:
    vote = majority("vote", matrix)
    for number, letter in enumerate(vote.letters):
        votes = Counter(place for place in matrix.letters[:, number] if place != NO_LETTER)
        assert votes[letter] == max(votes.values(), default=0)
        assert (letter == NO_LETTER) == (not votes)
        right = letter == matrix.answers[number]
        assert OUTCOMES[vote.outcomes[number]] == ("unparsed" if not votes else "correct" if right else "wrong")


@given(grids())
def test_one_experts_vote_is_his_answer(matrix: Matrix) -> None:
    lone = matrix.among(matrix.experts[:1])
    assert majority("vote", lone).right.tolist() == alone(lone, lone.experts[0]).right.tolist()


# Bounds.


def every_system(matrix: Matrix, labels: Sequence[str], picked: Ints) -> list[System]:
    maps = (paper_map(matrix), cross_fitted_map(matrix))
    return [
        majority("vote", matrix),
        routed("any", matrix, picked),
        *(alone(matrix, expert) for expert in matrix.experts),
        *(routed("coe", matrix, task_map.picked(labels)) for task_map in maps),
        *(routed("task oracle", matrix, task_map.picked(matrix.tasks)) for task_map in maps),
    ]


@settings(max_examples=200)
@given(grids(), st.data())
def test_no_system_is_right_where_the_question_oracle_is_not(matrix: Matrix, data: st.DataObject) -> None:
    size, experts = matrix.size, len(matrix.experts)
    labels = data.draw(st.lists(st.sampled_from(["Build", "Code", "Test", UNKNOWN]), min_size=size, max_size=size))
    picked = data.draw(st.lists(st.integers(0, experts - 1), min_size=size, max_size=size))
    oracle = question_oracle("oracle", matrix)
    for system in every_system(matrix, labels, np.array(picked, dtype=np.intp)):
        assert (system.right <= oracle.right).all()
    assert oracle.right.tolist() == matrix.right.any(axis=0).tolist()
    assert random_expert(matrix, seeds=20).high <= oracle.right.mean() + 1e-12


@settings(max_examples=200)
@given(grids(), st.data())
def test_under_the_papers_mapping_no_expert_and_no_labels_beat_the_task_oracle(
    matrix: Matrix, data: st.DataObject
) -> None:
    names = st.sampled_from(["Build", "Code", "Test", UNKNOWN, "elsewhere"])
    task_map = paper_map(matrix)
    oracle = routed("task oracle", matrix, task_map.picked(matrix.tasks))
    for expert in matrix.experts:
        assert alone(matrix, expert).right.sum() <= oracle.right.sum()
    # One label for all the questions of a task is one expert for all of them.
    named = {task: data.draw(names) for task in set(matrix.tasks)}
    relabelled = routed("coe", matrix, task_map.picked([named[task] for task in matrix.tasks]))
    assert relabelled.right.sum() <= oracle.right.sum()


def test_held_out_the_task_oracle_can_lose_to_an_expert() -> None:
    """What makes the difference between the protocols: a mapping that has not seen the answers can be wrong."""
    lost = 0
    chance = np.random.default_rng(0)
    for _ in range(20):
        answers = {name: "".join(chance.choice(list("AB"), 30)) for name in ("alpha", "beta")}
        matrix = grid("A" * 30, answers, ["Build", "Code", "Test"] * 10)
        oracle = routed("task oracle", matrix, cross_fitted_map(matrix).picked(matrix.tasks))
        lost += oracle.right.sum() < max(alone(matrix, expert).right.sum() for expert in matrix.experts)
    assert lost > 0


def test_where_nobody_is_right_the_oracle_has_somebodys_answer() -> None:
    oracle = question_oracle("oracle", grid("A", {"alpha": "B", "beta": "C"}))
    assert (letters(oracle), outcomes(oracle)) == ("B", ["wrong"])


# Chance.


@given(grids(signs="ABCD-?"))
def test_a_random_experts_expectation_is_the_mean_of_the_experts(matrix: Matrix) -> None:
    spread = random_expert(matrix, seeds=50)
    assert spread.accuracy == pytest.approx(np.mean([alone(matrix, expert).right.mean() for expert in matrix.experts]))
    assert 0 <= spread.low <= spread.high <= 1


def test_single_draws_lie_around_the_expectation_as_far_as_chance_has_it() -> None:
    # A question each, of which one of two experts is right: a draw is a binomial share with p = 1/2.
    matrix = grid("A" * 400, {"alpha": "AB" * 200, "beta": "BA" * 200})
    spread = random_expert(matrix)
    assert spread.accuracy == 0.5
    half = 1.96 * np.sqrt(0.25 / 400)
    assert spread.low == pytest.approx(0.5 - half, abs=0.006)
    assert spread.high == pytest.approx(0.5 + half, abs=0.006)
    assert random_expert(matrix) == spread


def test_with_one_expert_chance_has_no_say() -> None:
    spread = random_expert(grid("AAAA", {"alpha": "AAAB"}))
    assert (spread.accuracy, spread.low, spread.high) == (0.75, 0.75, 0.75)


def test_guessed_labels_are_of_the_list_evenly_and_the_same_every_time() -> None:
    tasks = ("Build", "Code", "日志")
    labels = random_labels(tasks, 3000)
    assert labels == random_labels(tasks, 3000) != random_labels(tasks, 3000, seed=1)
    counts = Counter(labels)
    assert set(counts) == set(tasks)
    assert min(counts.values()) > 900
    assert all(type(label) is str for label in labels)
    assert random_labels(tasks, 0) == ()
