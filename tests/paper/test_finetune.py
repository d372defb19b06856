"""Bench-CoE fine-tuned, with a tiny encoder made here: it learns separable tasks, the same way every time."""

from itertools import chain
from pathlib import Path

import pytest
from transformers import BertConfig, BertModel, BertTokenizerFast, set_seed

from coe_ray.core.questions import make_question
from coe_ray.core.types import Question
from coe_ray.paper import finetune
from coe_ray.paper.finetune import BATCH, fine_tuned_labels

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
    monkeypatch.setattr(finetune, "RATE", 5e-3)  # the encoder knows nothing yet


def questions(count: int, first: int = 0) -> list[Question]:
    """`count` different questions of the tasks in turn."""
    made = []
    for number in range(first, first + count):
        task = list(WORDS)[number % len(WORDS)]
        words = [WORDS[task][number // 3 % 3], *(FILLERS[number >> bit & 3] for bit in range(0, 8, 2))]
        made.append(make_question(" ".join(words), task=task))
    return made


def test_it_learns_tasks_that_differ_by_their_words(encoder: Path) -> None:
    targets = questions(2 * BATCH + 1, first=100)
    labels = fine_tuned_labels(encoder, questions(60), targets)
    assert labels == {question.id: question.task for question in targets}


def test_the_same_examples_give_the_same_labels(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "EPOCHS", 1)  # barely trained: the labels are a matter of chance
    one, other = (fine_tuned_labels(encoder, questions(20), questions(30, first=100)) for _ in range(2))
    assert one == other


def test_a_label_is_always_a_task_of_the_examples(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "EPOCHS", 1)
    examples = [question for question in questions(30) if question.task != "Test"]
    labels = fine_tuned_labels(encoder, examples, questions(30, first=100))
    assert len(labels) == 30
    assert set(labels.values()) <= {"Build", "日志"}


def test_a_question_longer_than_the_encoder_reads_is_cut(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "EPOCHS", 1)
    long = make_question("compile " * 5_000, task="Build")
    assert set(fine_tuned_labels(encoder, [long, *questions(6)], [long])) == {long.id}


def test_without_questions_there_are_no_labels(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "EPOCHS", 1)
    assert fine_tuned_labels(encoder, questions(6), []) == {}
