"""The index of a profile: its benchmark's labelled examples, as far as the profile has their tasks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from coe_ray.bench import indexing as index
from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.bench.indexing import StoredVectors, build_profile_index, known_examples, profile_index_is_current
from coe_ray.core.questions import make_question
from coe_ray.retrieval.encoder import Vectors, encoder_name
from coe_ray.retrieval.index import ExampleIndex
from tests.support.planted import WordEncoder
from tests.support.profiles import small_profile


@pytest.fixture(autouse=True)
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "fetch_weights", lambda weights: "nowhere")
    monkeypatch.setattr(index, "SentenceEncoder", lambda hub, folder: WordEncoder(encoder_name(hub)))


def test_only_examples_of_the_profiles_tasks_are_known(tmp_path: Path) -> None:
    examples = (make_question("one?", task="Build"), make_question("two?", task="Plan"), make_question("three?"))
    assert known_examples(small_profile(tmp_path), examples) == examples[:1]


def test_the_index_lies_where_the_endpoint_reads_it(tmp_path: Path) -> None:
    retrieval = {"encoder": {"hub": "fake/encoder"}, "examples": "sample", "index": "i"}
    profile = small_profile(tmp_path, tasks=["devops-eval-b"], retrieval=retrieval)
    rows = build_profile_index(profile)
    opened = ExampleIndex(profile.index_folder, WordEncoder(encoder_name("fake/encoder")))
    assert opened.rows == rows
    tasks = {task.name for task in profile.task_list}
    assert 0 < rows <= sum(each.task in tasks for each in load_benchmark("sample").examples)


def test_an_index_of_other_examples_is_not_current(tmp_path: Path) -> None:
    retrieval = {"encoder": {"hub": "fake/encoder"}, "examples": "sample", "index": "i"}
    all_tasks = small_profile(tmp_path, tasks=["devops-eval-b"], retrieval=retrieval)
    assert not profile_index_is_current(all_tasks)
    build_profile_index(all_tasks)
    assert profile_index_is_current(all_tasks)
    fewer = all_tasks.model_copy(update={"tasks": (*all_tasks.tasks, "devops-eval-a")})
    assert not profile_index_is_current(fewer)


def test_examples_of_a_profiles_own_task_are_known(tmp_path: Path) -> None:
    file = tmp_path / "data" / "dev" / "Runbooks.csv"
    file.parent.mkdir(parents=True)
    file.write_text("question,A,B,C,D,answer\nWhat next?,p,q,r,s,A\n", encoding="utf-8")
    (tmp_path / "data" / "test").mkdir()
    (tmp_path / "data" / "test" / "Runbooks.csv").write_text("question,A,B,C,D,answer\nAnd then?,p,q,r,s,B\n", "utf-8")
    tasks = [{"name": "Runbooks", "description": "which step comes next"}]
    retrieval = {"encoder": {"hub": "fake/encoder"}, "examples": "data", "index": "i"}
    assert build_profile_index(small_profile(tmp_path, tasks=tasks, retrieval=retrieval)) == 1


class CountingEncoder(WordEncoder):
    """Counts the texts that it encodes."""

    def __init__(self) -> None:
        super().__init__("words")
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.encoded += texts
        return super().encode(texts)


def test_a_vector_is_encoded_once_in_whatever_process(tmp_path: Path) -> None:
    encoder, plain = CountingEncoder(), WordEncoder("words")
    first = StoredVectors("words", lambda: encoder, tmp_path / "vectors")
    assert np.array_equal(first.encode(["one", "two 二"]), plain.encode(["one", "two 二"]))
    again = StoredVectors("words", lambda: encoder, tmp_path / "vectors")
    assert np.array_equal(again.encode(["two 二", "three", "one"]), plain.encode(["two 二", "three", "one"]))
    assert encoder.encoded == ["one", "two 二", "three"]


def test_an_encoder_is_loaded_only_for_a_missing_vector(tmp_path: Path) -> None:
    StoredVectors("words", lambda: WordEncoder("words"), tmp_path / "vectors").encode(["one"])

    def load() -> WordEncoder:
        raise AssertionError("loaded")

    assert StoredVectors("words", load, tmp_path / "vectors").encode(["one"]).shape == (1, 64)


def test_a_torn_vector_and_those_of_another_encoder_are_encoded_again(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    StoredVectors("words", lambda: encoder, tmp_path / "vectors").encode(["one", "two"])
    [file] = (tmp_path / "vectors").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    StoredVectors("words", lambda: encoder, tmp_path / "vectors").encode(["one", "two"])
    assert encoder.encoded == ["one", "two", "two"]
    StoredVectors("other words", lambda: encoder, tmp_path / "vectors").encode(["one"])
    assert encoder.encoded == ["one", "two", "two", "one"]
