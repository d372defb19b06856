"""The index of a profile: its benchmark's labelled examples, as far as the profile has their tasks."""

from pathlib import Path

import pytest

from coe_ray.bench import indexing as index
from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.bench.indexing import build_profile_index, known_examples, profile_index_is_current
from coe_ray.core.questions import make_question
from coe_ray.retrieval.encoder import encoder_name
from coe_ray.retrieval.index import Index
from tests.support.planted import WordEncoder
from tests.support.profiles import small_profile


@pytest.fixture(autouse=True)
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "downloaded", lambda weights: "nowhere")
    monkeypatch.setattr(index, "SentenceEncoder", lambda hub, folder: WordEncoder(encoder_name(hub)))


def test_only_examples_of_the_profiles_tasks_are_known(tmp_path: Path) -> None:
    examples = (make_question("one?", task="Build"), make_question("two?", task="Plan"), make_question("three?"))
    assert known_examples(small_profile(tmp_path), examples) == examples[:1]


def test_the_index_lies_where_the_endpoint_reads_it(tmp_path: Path) -> None:
    retrieval = {"encoder": {"hub": "fake/encoder"}, "examples": "sample", "index": "i"}
    profile = small_profile(tmp_path, tasks=["devops-eval-b"], retrieval=retrieval)
    rows = build_profile_index(profile)
    opened = Index(profile.index_folder, WordEncoder(encoder_name("fake/encoder")))
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
