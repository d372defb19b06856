"""Worker of a bench: records of a whole batch, every call through the journal, progress to the tracker."""

from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from coe_ray.bench import worker as worker_module
from coe_ray.bench.worker import EvalWorker, WorkerConfig
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import QUESTION_SCHEMA, RunFolder, question_row
from coe_ray.journal.audit import audit_calls
from tests.bench.test_progress import LocalTracker
from tests.support.profiles import small_profile

QUESTIONS = [make_question(f"Question {n}?", ("one", "two"), "A", "Build") for n in range(3)]
BATCH = pa.Table.from_pylist([question_row(question) for question in QUESTIONS], QUESTION_SCHEMA)


class AwaitedTracker(LocalTracker):
    """Handle whose methods are awaited, as a worker does it."""

    def __getattr__(self, method: str) -> object:
        call = super().__getattr__(method).remote

        async def remote(*args: object) -> object:
            return call(*args)

        return type("Method", (), {"remote": staticmethod(remote)})


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(worker_module, "connect_governors", lambda: refuse)


def worker(folder: Path, tracker: AwaitedTracker, **changes: object) -> EvalWorker:
    profile = small_profile(folder, classifier={"model": "sorter", "k": 0, "decoding": "free"}, **changes)
    run = RunFolder(folder)
    config = WorkerConfig(profile, run.index, (), run.vectors, str(run.journal), "run", retry_failed=False)
    return EvalWorker(config, tracker)


async def test_a_batch_becomes_its_records_and_a_restart_makes_no_call_again(tmp_path: Path) -> None:
    tracker = AwaitedTracker(3)
    table = await worker(tmp_path, tracker)(BATCH)
    assert table["id"].to_pylist() == [question.id for question in QUESTIONS]
    record = orjson.loads(table["record"][0].as_py())
    assert [answer["letter"] for answer in record["answers"].values()] == ["A", "B"]
    assert (tracker.tracker.read().done, tracker.tracker.read().failed) == (3, 0)
    issued = sum(audit.issued for audit in audit_calls(tmp_path / "journal").values())
    assert await worker(tmp_path, tracker)(BATCH) == table
    audits = audit_calls(tmp_path / "journal").values()
    assert sum(audit.issued for audit in audits) == issued == sum(audit.completed for audit in audits)
    assert sum(audit.repeated for audit in audits) == 0


async def test_a_worker_that_is_asked_to_stop_commits_once(tmp_path: Path) -> None:
    tracker = AwaitedTracker(3)
    tracker.tracker.request_stop()
    await worker(tmp_path, tracker)(BATCH)
    assert tracker.tracker.all_committed()
