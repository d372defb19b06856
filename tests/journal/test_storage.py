"""A journal behind a URI: sealed as whole objects, of which a crash takes only what is not sealed yet."""

import asyncio
import shutil
import threading
import time
from pathlib import Path
from typing import IO, Any

import pytest

from coe_ray.core.errors import DataError
from coe_ray.journal.audit import audit_calls
from coe_ray.journal.journal import Journal
from coe_ray.journal.storage import ObjectStore
from tests.support.journal_world import answered, found, key, segments, written
from tests.support.model_under_test import everything_shown

PATIENCE_S = 60.0


def objects(place: Path) -> list[str]:
    """The sealed objects with calls, by what their names end with."""
    return [path.name[-len("-00001.jsonl") :] for path in segments(place)]


def soon(place: Path, count: int) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while len(objects(place)) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return objects(place)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "bucket" / "journal"


def test_flush_and_close_seal_what_is_new(place: Path) -> None:
    writer, reader = Journal.open(place.as_uri(), "run"), Journal.open(place.as_uri())
    assert not place.exists()  # nothing is written before the first line
    answered(writer, "one")
    assert found(writer, ["one"]) == ["one"]
    writer.flush()
    writer.flush()
    assert objects(place) == ["-00001.jsonl"]
    answered(writer, "two")
    asyncio.run(reader.refresh())
    assert found(reader, ["one", "two"]) == ["one"]
    writer.close()
    assert objects(place) == ["-00001.jsonl", "-00002.jsonl"]
    assert len(list(place.glob("run-*.prompts.jsonl"))) == 2
    asyncio.run(reader.refresh())
    assert found(reader, ["one", "two"]) == ["one", "two"]
    assert audit_calls(place.as_uri(), "run")["model-a"].completed == 2
    reader.close()


def test_sealed_when_it_is_large(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObjectStore, "within_bytes", 4000)
    journal = Journal.open(place.as_uri())
    answered(journal, *map(str, range(20)))
    assert soon(place, 1)[0] == "-00001.jsonl"
    journal.close()


def test_sealed_when_it_is_old(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObjectStore, "within_s", 0.01)
    journal = Journal.open(place.as_uri())
    answered(journal, "one")
    assert soon(place, 1)[0] == "-00001.jsonl"
    journal.close()


def test_a_crash_takes_only_what_is_not_sealed(place: Path) -> None:
    crashed = Journal.open(place.as_uri())
    answered(crashed, "sealed")
    crashed.flush()
    answered(crashed, "unsealed")
    survivor = Journal.open(place.as_uri())
    assert found(survivor, ["sealed", "unsealed"]) == ["sealed"]
    answered(survivor, "unsealed")
    survivor.close()
    assert found(Journal.open(place.as_uri()), ["sealed", "unsealed"]) == ["sealed", "unsealed"]
    crashed.close()


async def test_its_own_objects_are_not_read_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.open(place.as_uri())
    answered(journal, "one")
    journal.flush()
    await journal.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "_copy", lambda *_: pytest.fail("copied what is here"))
        await journal.refresh()
    assert found(journal, ["one"]) == ["one"]
    journal.close()


async def test_an_object_that_was_listed_before_it_was_whole_is_read_to_its_end(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied(source: IO[bytes], sink: IO[bytes]) -> None:
        assert found(reader, ["one"]) == ["one"]  # as a call might, in the middle of it
        copy(source, sink)

    copy = shutil.copyfileobj
    writer = Journal.open(place.as_uri())
    answered(writer, "one", "two")
    writer.close()
    (sealed,) = segments(place)
    content = sealed.read_bytes()
    sealed.write_bytes(content[:-40])
    reader = Journal.open(place.as_uri())
    assert found(reader, ["one", "two"]) == ["one"]
    sealed.write_bytes(content)
    monkeypatch.setattr(shutil, "copyfileobj", copied)
    await reader.refresh()
    assert found(reader, ["one", "two"]) == ["one", "two"]
    reader.close()


async def test_calls_go_on_while_a_slow_store_is_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered_at_last = threading.Event()
    copied: list[str] = []

    def slowly(store: ObjectStore, found: Any) -> None:
        assert answered_at_last.wait(PATIENCE_S)
        copied.append(found.base_name)
        copy(store, found)

    copy = ObjectStore._copy
    reader = Journal.open(place.as_uri())
    written(place, "one")
    monkeypatch.setattr(ObjectStore, "_copy", slowly)
    reading = [asyncio.create_task(reader.refresh()) for _ in range(3)]
    await asyncio.sleep(0)
    answered(reader, "meanwhile")
    answered_at_last.set()
    await asyncio.gather(*reading)
    assert found(reader, ["one", "meanwhile"]) == ["one", "meanwhile"]
    assert copied == [path.name for path in segments(place)]  # once, though three asked for it
    reader.close()


def test_a_store_that_fails_is_told_with_the_next_call_and_loses_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectStore, "within_s", 0.01)
    journal = Journal.open(place.as_uri(), "run")
    place.parent.mkdir()
    place.write_text("in the way")
    texts = failed(journal)
    place.unlink()
    with pytest.raises(DataError, match="the journal's store fails"):
        journal.close()  # the failure is told to the end, though all is sealed now
    assert found(Journal.open(place.as_uri()), texts) == texts
    assert audit_calls(place.as_uri(), "run")["model-a"].repeated == 0


def failed(journal: Journal) -> list[str]:
    """The calls that were answered until the journal said that it fails."""
    texts = list[str]()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            answered(journal, str(len(texts)))
        except DataError as error:
            assert "file://" in str(error) and "run the same command again" in str(error)
            return texts
        texts.append(str(len(texts)))
        time.sleep(0.01)
    raise AssertionError("the journal never told that its store fails")


def test_flush_tells_of_a_store_that_fails(place: Path) -> None:
    journal = Journal.open(place.as_uri())
    answered(journal, "one")
    place.parent.mkdir()
    place.write_text("in the way")
    with pytest.raises(DataError, match="the journal's store fails"):
        journal.flush()
    with pytest.raises(DataError, match="the journal's store fails"):
        Journal.open(place.as_uri())
    place.unlink()
    journal.close()
    assert found(Journal.open(place.as_uri()), ["one"]) == ["one"]


@pytest.mark.parametrize(
    "uri", ["nonsense://me:hunter2@host/x", "http://me:hunter2@host/x", "file://me:hunter2@host/x"]
)
def test_a_store_that_there_is_not_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(DataError, match="check the scheme, the address and the credentials") as caught:
        Journal.open(uri)
    assert "hunter2" not in everything_shown(caught.value)


def test_nothing_of_it_is_left_behind(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    journal = Journal.open(place.as_uri())
    answered(journal, "one")
    assert journal.find(key("one"))
    assert list(scratch.iterdir())
    journal.close()
    assert audit_calls(place.as_uri())
    assert list(scratch.iterdir()) == []
