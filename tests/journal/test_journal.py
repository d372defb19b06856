"""What is appended is found again, by this process and by the next; other workers' calls by a refresh."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.counts import parse_token_logprobs
from coe_ray.core.errors import CallError, ContentFiltered, DataError, ServerFault
from coe_ray.core.types import Completion, Usage
from coe_ray.journal import journal as journal_module
from coe_ray.journal.entries import (
    CallOutcome,
    JournalEntry,
    finished_line,
)
from coe_ray.journal.journal import Journal
from coe_ray.journal.segments import SegmentReader
from tests.support.journal_world import ANSWER, IN_ONE_FOLDER, answered, call, found, key, segments, shown, written

COMPLETIONS = st.builds(
    Completion,
    st.text(),
    st.text(max_size=9),
    st.builds(Usage, st.integers(0, 9), st.integers(0, 9)),
    st.none() | st.text(max_size=9),
    st.integers(0, 9),
    st.floats(0, 1e6),
    st.lists(st.tuples(st.text(max_size=3), st.floats(-1e4, 0)), max_size=3).map(parse_token_logprobs),
)


FAILURES = st.builds(
    lambda kind, message, **fields: kind(message="" + message, **fields),
    st.sampled_from(CallError.__subclasses__()),
    st.text(),
    model=st.just("model-a"),
    status=st.none() | st.integers(0, 9),
    retry_after=st.none() | st.floats(0, 1e6),
    attempts=st.integers(0, 9),
    body=st.text(max_size=9),
)


@IN_ONE_FOLDER
@given(outcomes=st.lists(COMPLETIONS | FAILURES, min_size=1, max_size=5))
def test_what_was_finished_is_found_as_it_was(tmp_path: Path, outcomes: list[CallOutcome]) -> None:
    place = tmp_path / str(len(list(tmp_path.iterdir())))  # a fresh one: no failure takes the place of an answer
    writer = Journal.open(place, "run")
    keys = [key(str(number)) for number in range(len(outcomes))]
    for each, outcome in zip(keys, outcomes, strict=True):
        writer.append_outcome(each, "model-a", outcome)
    reader = Journal.open(place)
    for journal in (writer, reader):
        assert [shown(journal.find(each)) for each in keys] == [shown(outcome) for outcome in outcomes]
        journal.close()


def test_the_last_outcome_counts_in_whatever_order_the_segments_are_read(tmp_path: Path) -> None:
    for number in range(8):
        journal = Journal.open(tmp_path)
        journal.append_outcome(key("again"), "model-a", replace(ANSWER, text=str(number)))
        assert journal.find(key("again")) == replace(ANSWER, text=str(number))
        journal.close()
    assert Journal.open(tmp_path).find(key("again")) == replace(ANSWER, text="7")


@pytest.mark.parametrize("outcome", [ANSWER, ContentFiltered("model-a", "no")])
@pytest.mark.parametrize("names", ["ab", "ba"])
def test_no_later_clock_beats_an_answer(tmp_path: Path, outcome: CallOutcome, names: str) -> None:
    late = finished_line(key("one"), "model-a", 2e9, ServerFault("model-a", "down"))
    early = finished_line(key("one"), "model-a", 1.0, outcome)
    for name, line in zip(names, (late, early), strict=True):
        (tmp_path / f"{name}.jsonl").write_bytes(line)
    journal = Journal.open(tmp_path)
    assert shown(journal.find(key("one"))) == shown(outcome)
    journal.append_outcome(key("one"), "model-a", ServerFault("model-a", "down again"))
    assert shown(journal.find(key("one"))) == shown(outcome)
    journal.close()


def test_only_finished_calls_are_found(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.append_issued(key("lost"), "model-a", call("lost"))
    journal.append_reused(key("other"), "model-a")
    journal.close()
    assert found(Journal.open(tmp_path), ["lost", "other", "never asked"]) == []


def test_a_journal_that_is_only_read_stays_as_it_was(tmp_path: Path) -> None:
    written(tmp_path, "one")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    journal = Journal.open(tmp_path, "another run")
    assert found(journal, ["one"]) == ["one"]
    journal.flush()
    journal.close()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_prompt_that_several_models_share_is_written_once(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "run")
    for number in range(5000):  # more than the index keeps in its dict
        for model in ("model-a", "model-b"):
            journal.append_issued(key(str(number)), model, call(str(number)))
    journal.close()
    (prompts,) = tmp_path.glob("run-*.prompts.jsonl")
    lines = [orjson.loads(line) for line in prompts.read_bytes().splitlines()]
    assert [line["messages"][1]["content"] for line in lines] == [str(number) for number in range(5000)]
    issued = [orjson.loads(line) for line in segments(tmp_path)[0].read_bytes().splitlines()]
    assert [line["prompt"] for line in issued[::2]] == [line["prompt"] for line in lines]


async def test_refresh_reads_what_others_have_written_since(tmp_path: Path) -> None:
    reader, writer = Journal.open(tmp_path), Journal.open(tmp_path)
    answered(writer, "one")
    assert found(reader, ["one"]) == []
    await reader.refresh()
    answered(writer, "two")
    late = Journal.open(tmp_path)
    answered(late, "three")
    await reader.refresh()
    await reader.refresh()
    assert found(reader, ["one", "two", "three"]) == ["one", "two", "three"]
    for journal in (reader, writer, late):
        journal.close()


def test_a_segment_that_changed_in_use_is_no_answer(tmp_path: Path) -> None:
    segment = written(tmp_path, "one")
    journal = Journal.open(tmp_path)
    segment.write_bytes(b"\0" * segment.stat().st_size)
    with pytest.raises(DataError, match="changed while it was in use"):
        journal.find(key("one"))
    segment.unlink()
    fresh = Journal.open(tmp_path)
    assert fresh.find(key("one")) is None


async def test_calls_go_on_while_others_lines_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are read in another thread, in pieces: the event loop answers while they are read."""
    texts = [str(number) for number in range(50)]
    reader = Journal.open(tmp_path)
    written(tmp_path, *texts)
    threads, go_on, read_entries = set[int](), threading.Event(), SegmentReader.read_entries

    def read_slowly(segment: SegmentReader) -> Iterator[tuple[int, int, JournalEntry]]:
        threads.add(threading.get_ident())
        assert go_on.wait(60)
        return read_entries(segment)

    monkeypatch.setattr(SegmentReader, "read_entries", read_slowly)
    monkeypatch.setattr(journal_module, "REFRESH_PIECE", 7)
    refreshes = [asyncio.create_task(reader.refresh()) for _ in range(3)]
    await asyncio.sleep(0)
    answered(reader, "meanwhile")
    assert found(reader, ["meanwhile"]) == ["meanwhile"]
    go_on.set()
    await asyncio.gather(*refreshes)
    assert found(reader, [*texts, "meanwhile"]) == [*texts, "meanwhile"]
    assert threading.get_ident() not in threads
    reader.close()


async def test_a_cancelled_refresh_loses_no_line(tmp_path: Path) -> None:
    reader = Journal.open(tmp_path)
    written(tmp_path, "one", "two")
    cancelled = asyncio.create_task(reader.refresh())
    await asyncio.sleep(0)
    cancelled.cancel()
    await reader.refresh()
    assert found(reader, ["one", "two"]) == ["one", "two"]
    assert cancelled.cancelled()


def test_nothing_waits_for_the_disk_on_the_callers_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, fsync = set[int](), os.fsync

    def noted_fsync(descriptor: int) -> None:
        threads.add(threading.get_ident())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr("coe_ray.journal.committer.WITHIN_S", 0.0)
    journal = Journal.open(tmp_path)
    deadline = time.monotonic() + 60
    while not threads and time.monotonic() < deadline:
        answered(journal, str(time.monotonic()))
    assert threads
    assert threading.get_ident() not in threads
    journal.close()
