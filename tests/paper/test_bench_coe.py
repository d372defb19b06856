"""The trained rival: a head tells separable tasks apart, labels of another list are translated, an encoder is tuned."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, BertModel, BertTokenizerFast, set_seed

from coe_ray.core.questions import make_question
from coe_ray.core.types import UNKNOWN, Question
from coe_ray.paper import bench_coe
from coe_ray.paper.bench_coe import BATCH, fine_tuned_labels, trained_labels, translated
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


# Fine-tuned, with a tiny encoder made here: it learns separable tasks, the same way every time.

WORDS = {"Build": ["compile", "link", "package"], "日志": ["日", "志", "解"], "Test": ["assert", "mock", "cover"]}
FILLERS = ["which", "step", "now", "?"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one small layer that knows the words above, in the files that an encoder's folder has."""
    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLERS, *chain.from_iterable(WORDS.values())]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    set_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=512, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def fast_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_coe, "RATE", 5e-3)  # the encoder knows nothing yet


def questions(count: int, first: int = 0) -> list[Question]:
    """`count` different questions of the tasks in turn."""
    made = []
    for number in range(first, first + count):
        task = list(WORDS)[number % len(WORDS)]
        words = [WORDS[task][number // 3 % 3], *(FILLERS[number >> bit & 3] for bit in range(0, 8, 2))]
        made.append(make_question(" ".join(words), task=task))
    return made


def test_it_learns_tasks_that_differ_by_their_words(encoder: Path) -> None:
    asked = questions(2 * BATCH + 1, first=100)
    labels = fine_tuned_labels(encoder, questions(60), asked)
    assert labels == {question.id: question.task for question in asked}


def test_the_same_examples_give_the_same_labels(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_coe, "EPOCHS", 1)  # barely trained: the labels are a matter of chance
    one, other = (fine_tuned_labels(encoder, questions(20), questions(30, first=100)) for _ in range(2))
    assert one == other


def test_a_label_is_always_a_task_of_the_examples(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_coe, "EPOCHS", 1)
    examples = [question for question in questions(30) if question.task != "Test"]
    labels = fine_tuned_labels(encoder, examples, questions(30, first=100))
    assert len(labels) == 30
    assert set(labels.values()) <= {"Build", "日志"}


def test_a_question_longer_than_the_encoder_reads_is_cut(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_coe, "EPOCHS", 1)
    long = make_question("compile " * 5_000, task="Build")
    assert set(fine_tuned_labels(encoder, [long, *questions(6)], [long])) == {long.id}


def test_without_questions_there_are_no_labels(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_coe, "EPOCHS", 1)
    assert fine_tuned_labels(encoder, questions(6), []) == {}
