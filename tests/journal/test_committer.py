"""The committer: one commit covers what was appended before it, and its error is raised by the next check."""

import threading
import time

import pytest

from coe_ray.core.errors import DataError
from coe_ray.journal.committer import Committer

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coe_ray.journal.committer.WITHIN_S", 0.0)


def test_every_notification_is_followed_by_a_commit_in_another_thread() -> None:
    committed: list[int] = []
    done = threading.Semaphore(0)

    def commit() -> None:
        committed.append(threading.get_ident())
        done.release()

    committer = Committer(commit)
    for _ in range(3):
        committer.notify()
        assert done.acquire(timeout=PATIENCE_S)
    committer.stop()
    assert threading.get_ident() not in committed
    committer.check()


def test_an_error_is_kept_and_nothing_more_is_committed() -> None:
    commits: list[int] = []

    def commit() -> None:
        commits.append(1)
        raise DataError("the disk is broken")

    committer = Committer(commit)
    committer.notify()
    deadline = time.monotonic() + PATIENCE_S
    with pytest.raises(DataError, match="the disk is broken"):
        while time.monotonic() < deadline:
            committer.check()
    committer.notify()
    committer.stop()
    assert len(commits) == 1


def test_without_a_notification_nothing_is_committed() -> None:
    commits: list[int] = []
    committer = Committer(lambda: commits.append(1))
    committer.stop()
    assert commits == []
