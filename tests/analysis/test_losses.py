"""Losses: hand-made cases, what holds for every possible run, and a planted world with a known answer."""

from dataclasses import replace
from typing import Any, TypedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coe_ray.analysis.losses import Losses, Regret, losses, regret
from coe_ray.analysis.statistics import Bools, Ints


class Run(TypedDict):
    """What `losses` takes."""

    right: Bools
    unread: Bools
    picked: Ints
    best: Ints
    unknown: Bools
    misnamed: Bools


def run_of(answers: tuple[str, ...], picked: list[int], best: list[int], labels: str) -> Run:
    """A row an expert and a letter a question: answers `R`ight, `W`rong, `U`nread; labels `T`rue, `M`isnamed, `?`."""
    grid = np.array([list(row) for row in answers])
    named = np.array(list(labels))
    return Run(
        right=grid == "R",
        unread=grid == "U",
        picked=np.array(picked, np.intp),
        best=np.array(best, np.intp),
        unknown=named == "?",
        misnamed=named == "M",
    )


# By hand. Question 0: all is well. 1: a wrong label, lost. 2: a wrong label, lucky. 3 and 4: unknown, lost. 5: the
# mapping's expert is wrong. 6: its answer has no letter. 7: nobody knows.
RUN = run_of(
    ("RRWRRWUW", "WWRWWRRU"),
    picked=[0, 1, 1, 1, 1, 0, 0, 0],
    best=[0, 0, 0, 0, 0, 0, 0, 0],
    labels="TMM??TTT",
)


def test_each_loss_by_hand() -> None:
    assert losses(**RUN) == Losses(
        coe=2 / 8,
        task_oracle=4 / 8,
        question_oracle=7 / 8,
        classification=0.0,  # one lost, one won
        unknown=2 / 8,
        mapping=2 / 8,  # questions 2 and 5
        extraction=1 / 8,
    )
    assert losses(**RUN).total == 5 / 8


@pytest.mark.parametrize(
    ("answers", "label", "expected"),
    [
        (("R", "W"), "M", {"classification": 1.0}),
        (("R", "U"), "?", {"unknown": 1.0}),
        (("W", "R"), "M", {"classification": -1.0, "mapping": 1.0}),
        (("U", "R"), "?", {"unknown": -1.0, "extraction": 1.0}),
        (("R", "R"), "M", {}),
        (("W", "U"), "?", {}),
    ],
)
def test_one_question_that_went_to_the_wrong_expert(
    answers: tuple[str, ...], label: str, expected: dict[str, float]
) -> None:
    result = losses(**run_of(answers, picked=[1], best=[0], labels=label))
    terms = {"classification": 0.0, "unknown": 0.0, "mapping": 0.0, "extraction": 0.0}
    assert {name: getattr(result, name) for name in terms} == terms | expected


def test_a_wrong_label_whose_task_has_the_same_expert_costs_nothing() -> None:
    result = losses(**run_of(("RW", "WR"), picked=[0, 0], best=[0, 0], labels="M?"))
    assert (result.classification, result.unknown, result.mapping) == (0.0, 0.0, 0.5)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    experts, questions = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    grid = draw(arrays.arrays(np.str_, (experts, questions), elements=st.sampled_from("RWU")))
    labels = draw(arrays.arrays(np.str_, questions, elements=st.sampled_from("TM?")))
    some_expert = arrays.arrays(np.intp, questions, elements=st.integers(0, experts - 1))
    best = draw(some_expert)
    picked = np.where(labels == "T", best, draw(some_expert))
    return Run(
        right=grid == "R",
        unread=grid == "U",
        picked=picked,
        best=best,
        unknown=labels == "?",
        misnamed=labels == "M",
    )


@given(runs())
@settings(max_examples=100, deadline=None)
def test_nothing_is_left_over(run: Run) -> None:
    result = losses(**run)
    parts = result.classification + result.unknown + result.mapping + result.extraction
    assert parts == pytest.approx(result.total, abs=1e-12)
    assert result.coe + result.classification + result.unknown == pytest.approx(result.task_oracle, abs=1e-12)
    assert result.coe <= result.question_oracle >= result.task_oracle


@given(runs())
@settings(max_examples=100, deadline=None)
def test_the_sign_and_reach_of_each_loss(run: Run) -> None:
    result = losses(**run)
    assert abs(result.classification) <= run["misnamed"].mean()
    assert abs(result.unknown) <= run["unknown"].mean()
    assert 0 <= result.mapping <= (~run["right"]).any(axis=0).mean()
    assert 0 <= result.extraction <= run["unread"].any(axis=0).mean()


@given(runs())
@settings(max_examples=100, deadline=None)
def test_right_labels_lose_nothing_to_labels_and_read_answers_nothing_to_extraction(run: Run) -> None:
    nobody = np.zeros_like(run["unknown"])
    labelled = losses(run["right"], run["unread"], run["best"], run["best"], nobody, nobody)
    assert (labelled.classification, labelled.unknown, labelled.coe) == (0.0, 0.0, labelled.task_oracle)
    before = losses(**run)
    run["unread"] = np.zeros_like(run["unread"])
    read = losses(**run)
    assert read == replace(before, extraction=0.0, mapping=read.mapping)
    assert read.mapping == pytest.approx(before.mapping + before.extraction)


def test_losses_of_a_planted_world() -> None:
    questions, mislabelled, unlabelled, mute = 200_000, 0.2, 0.1, 0.4
    # An expert a row, a task a column. Expert i is best at task i; expert 3 is asked where the label is unknown.
    skill = np.array([[0.8, 0.3, 0.4], [0.5, 0.9, 0.2], [0.1, 0.6, 0.7], [0.6, 0.6, 0.6]])
    rng = np.random.default_rng(0)
    task = rng.integers(0, 3, questions)
    right = rng.random((4, questions)) < skill[:, task]
    unread = ~right & (rng.random((4, questions)) < mute)
    draw = rng.random(questions)
    misnamed, unknown = draw < mislabelled, draw > 1 - unlabelled
    named = np.where(misnamed, (task + rng.integers(1, 3, questions)) % 3, task)
    result = losses(right, unread, np.where(unknown, 3, named), task, unknown, misnamed)

    best = np.diag(skill)
    strangers = (skill[:3].sum(axis=0) - best) / 2
    oracle = 1 - (1 - skill).prod(axis=0)
    expected = Losses(
        coe=(0.7 * best + mislabelled * strangers + unlabelled * skill[3]).mean(),
        task_oracle=best.mean(),
        question_oracle=oracle.mean(),
        classification=mislabelled * (best - strangers).mean(),
        unknown=unlabelled * (best - skill[3]).mean(),
        mapping=(1 - mute) * (oracle - best).mean(),
        extraction=mute * (oracle - best).mean(),
    )
    for name in Losses.__slots__:
        # Four standard errors of a mean of 200,000 terms, none above 1 in size.
        assert getattr(result, name) == pytest.approx(getattr(expected, name), abs=4 * 0.5 / questions**0.5)


def test_regret_by_hand() -> None:
    right = np.array([[True, True, False, False], [False, False, True, False]])
    result = regret(right, np.array([0, 1, 1, 1]), ["Test", "Test", "Test", "Build"])
    assert list(result) == ["Build", "Test"]
    assert result["Build"] == Regret(questions=1, coe=0.0, best_single=0.0, question_oracle=0.0, regret=0.0)
    assert result["Test"] == Regret(questions=3, coe=2 / 3, best_single=2 / 3, question_oracle=1.0, regret=0.0)


def test_asking_two_experts_can_beat_the_better_one() -> None:
    right = np.array([[True, False], [False, True]])
    assert regret(right, np.array([0, 1]), ["Code", "Code"])["Code"].regret == -0.5
    assert regret(right, np.array([1, 0]), ["Code", "Code"])["Code"].regret == 0.5


@given(runs(), st.randoms())
@settings(max_examples=100, deadline=None)
def test_tasks_add_up_to_the_run(run: Run, random: Any) -> None:
    questions = run["picked"].size
    tasks = [random.choice(["Build", "Code", "测试"]) for _ in range(questions)]
    by_task, whole = regret(run["right"], run["picked"], tasks), losses(**run)
    assert set(by_task) == set(tasks)
    assert sum(task.questions for task in by_task.values()) == questions
    assert sum(task.questions * task.coe for task in by_task.values()) == pytest.approx(questions * whole.coe)
    for task in by_task.values():
        assert max(task.coe, task.best_single) <= task.question_oracle
        assert task.coe + task.regret == pytest.approx(task.best_single)
