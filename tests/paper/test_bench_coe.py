"""The trained rival: a head that tells separable tasks apart, and whose labels of another list are translated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.types import UNKNOWN
from coe_ray.paper.bench_coe import trained_labels, translated
from coe_ray.retrieval.encoder import Vectors

TASKS = ("Build", "日志", "Test")


def planted(tasks: list[str], spread: float, seed: int) -> Vectors:
    """Unit vectors around a direction for each task, as an encoder makes them."""
    chance = np.random.default_rng(seed)
    centres = np.eye(len(TASKS), 8)[[TASKS.index(task) for task in tasks]]
    vectors = centres + chance.normal(0, spread, centres.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)  # type: ignore[no-any-return]


def some(count: int) -> list[str]:
    return [TASKS[number % len(TASKS)] for number in range(count)]


def test_tasks_that_lie_apart_are_told_apart() -> None:
    labels = trained_labels(planted(some(30), 0.1, 0), some(30), planted(some(60), 0.1, 1))
    assert labels == tuple(some(60))
    assert labels is not None
    assert all(type(label) is str for label in labels)


def test_with_noise_the_head_is_better_than_chance_and_not_perfect() -> None:
    labels = trained_labels(planted(some(90), 0.6, 0), some(90), planted(some(300), 0.6, 1))
    assert labels is not None
    share = np.mean([label == task for label, task in zip(labels, some(300), strict=True)])
    assert 0.5 < share < 0.95


def test_it_names_only_what_it_has_learned() -> None:
    known = ["Build", "日志"] * 5
    labels = trained_labels(planted(known, 0.1, 0), known, planted(["Test"] * 10, 0.1, 1))
    assert labels is not None
    assert set(labels) <= {"Build", "日志"}


def test_the_same_examples_make_the_same_labels_in_whatever_order() -> None:
    known, tasks, asked = planted(some(30), 0.4, 0), some(30), planted(some(30), 0.4, 1)
    order = np.random.default_rng(2).permutation(30)
    first = trained_labels(known, tasks, asked)
    assert first == trained_labels(known, tasks, asked)
    assert first == trained_labels(known[order], [tasks[place] for place in order], asked)


@pytest.mark.parametrize("tasks", [[], ["Build"], ["Build"] * 5])
def test_one_task_alone_cannot_be_told_from_others(tasks: list[str]) -> None:
    assert trained_labels(planted(tasks, 0.1, 0), tasks, planted(some(3), 0.1, 1)) is None


def test_two_examples_are_enough() -> None:
    tasks = ["Build", "Test"]
    assert trained_labels(planted(tasks, 0.1, 0), tasks, planted(tasks, 0.1, 1)) == ("Build", "Test")


def test_labels_of_another_list_are_translated_and_what_has_no_word_is_unknown() -> None:
    transfer = {"Monitor": "日志", "Plan": "Test"}
    assert translated(("Monitor", "Plan", "Code", UNKNOWN), transfer) == ("日志", "Test", UNKNOWN, UNKNOWN)
    assert translated((), transfer) == ()
    assert translated(("Build",), {}) == (UNKNOWN,)


@given(st.lists(st.text(max_size=3)), st.dictionaries(st.text(max_size=3), st.sampled_from(TASKS)))
def test_a_translation_names_only_the_words_of_this_list(labels: list[str], transfer: dict[str, str]) -> None:
    assert set(translated(labels, transfer)) <= {*transfer.values(), UNKNOWN}
    assert len(translated(labels, transfer)) == len(labels)
