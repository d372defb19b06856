"""Collection of answers: what is refused before it begins, and when nothing is left to ask."""

from pathlib import Path
from typing import Any

import pytest

from coe_ray.bench.collect import CollectionPlan, check_plan, collect_answers
from coe_ray.bench.datasets.load import Benchmark
from coe_ray.bench.graceful_shutdown import GracefulShutdown
from coe_ray.core.errors import ConfigError, DataError
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import QuestionRecord, RunFolder, records_table
from coe_ray.core.types import Task
from tests.support.profiles import small_profile

QUESTIONS = tuple(make_question(f"Question {n}?", ("one", "two"), "A", "Build") for n in range(2))
FAILED = {"error": "ServerFault", "message": "503", "refused": False}


def plan(folder: Path, **changes: Any) -> CollectionPlan:
    profile = small_profile(folder, classifier={"model": "sorter", "k": 0, "decoding": "free"})
    benchmark = Benchmark("small", (Task("Build", "to build"),), QUESTIONS, (), ())
    return CollectionPlan(
        "small", profile, benchmark, QUESTIONS, RunFolder(folder / "run"), {"data": "small"}, **changes
    )


def record(number: int, *, failed: bool = False) -> QuestionRecord:
    answers = {"alpha": FAILED if failed else {"letter": "A"}}
    return {"id": QUESTIONS[number].id, "classification": None, "classification_error": None, "answers": answers}


def collected(its: CollectionPlan) -> list[str]:
    """The lines of a collection that must neither deploy nor reach for a Ray."""
    lines: list[str] = []

    def deploy(reference: str) -> None:
        raise AssertionError(reference)

    collect_answers(its, lines.append, deploy, GracefulShutdown())
    return lines


def test_a_journal_behind_a_uri_is_refused_and_its_password_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="object stores hold no journal; give a folder") as caught:
        check_plan(plan(tmp_path, journal="s3://user:secret@host/bucket"))
    assert "secret" not in str(caught.value)


def test_the_journal_is_the_run_folders_own_unless_it_is_named(tmp_path: Path) -> None:
    assert plan(tmp_path).journal_folder == str(tmp_path / "run" / "journal")
    assert plan(tmp_path, journal="/shared/journal").journal_folder == "/shared/journal"


def test_retrieval_without_an_index_or_examples_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coe_ray.bench.collect.fetch_weights", lambda encoder: "nowhere")
    its = plan(tmp_path)
    classifier = its.profile.classifier.model_copy(update={"k": 2})
    profile = its.profile.model_copy(update={"classifier": classifier})
    with pytest.raises(DataError, match="no retrieval index there, and small has no examples"):
        check_plan(CollectionPlan("small", profile, its.benchmark, QUESTIONS, its.folder, {}))


def test_where_every_question_is_answered_nothing_is_asked(tmp_path: Path) -> None:
    its = plan(tmp_path)
    its.folder.begin(its.identity, QUESTIONS)
    its.folder.write_records([records_table([record(0), record(1)])])
    assert collected(its) == [
        "2 questions of 1 tasks; 0 rows rejected",
        "every question is answered already; nothing is asked",
    ]


@pytest.mark.parametrize("records", [[record(0)], [record(0), record(1, failed=True)]])
def test_a_missing_or_failed_answer_is_asked_for_and_former_records_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: list[QuestionRecord]
) -> None:
    its = plan(tmp_path)
    its.folder.begin(its.identity, QUESTIONS)
    its.folder.write_records([records_table(records)])
    monkeypatch.setattr("coe_ray.bench.collect.start_tracker", lambda total: pytest.fail("asks", pytrace=False))
    with pytest.raises(pytest.fail.Exception, match="asks"):
        collected(its)
    assert not its.folder.records_file.exists()
