"""Segments: whatever a crash leaves in a file, and whatever other workers write, whole lines are read."""

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.errors import ConfigError, DataError
from coe_ray.journal.audit import audit_calls
from coe_ray.journal.entries import reused_line
from coe_ray.journal.journal import Journal
from coe_ray.journal.segments import SegmentReader, SegmentWriter, check_is_folder, journal_folder, new_stem, run_of
from tests.support.journal_world import (
    IN_ONE_FOLDER,
    answered,
    found,
    key,
    segments,
    written,
)


async def test_a_line_that_is_just_being_written_is_read_when_it_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segment = written(tmp_path, "one", "two")
    content = segment.read_bytes()
    segment.write_bytes(content[:-40])
    reader = Journal.open(tmp_path)
    assert found(reader, ["one", "two"]) == ["one"]
    segment.write_bytes(content)
    await reader.refresh()
    assert found(reader, ["one", "two"]) == ["one", "two"]
    assert len(caplog.records) == 1  # told once, at the opening


def test_the_last_record_cut_at_every_byte_takes_nothing_else_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segment = written(tmp_path, "one", "two", "three")
    content = segment.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(content)):
        segment.write_bytes(content[:cut])
        caplog.clear()
        journal = Journal.open(tmp_path)
        assert found(journal, ["one", "two", "three"]) == ["one", "two"]
        assert_told(caplog, segment, cut - last, last)
        answered(journal, "three")
        journal.close()
        assert segment.read_bytes() == content[:cut]  # it may be another worker's
        (own,) = set(segments(tmp_path)) - {segment}
        assert found(Journal.open(tmp_path), ["one", "two", "three"]) == ["one", "two", "three"]
        own.unlink()


def assert_told(caplog: pytest.LogCaptureFixture, segment: Path, torn: int, offset: int) -> None:
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == bool(torn)
    for line in messages:
        assert line.startswith(f"{segment}: the last line has no end")
        assert f"({torn} bytes at byte {offset})" in line


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\0" * 5000 + b"\n", b'{"key":\n', b"\xff\xfe\n", b"\n", b"[]\n"])
def test_a_broken_tail_is_left_out_and_told(tmp_path: Path, tail: bytes, caplog: pytest.LogCaptureFixture) -> None:
    segment = written(tmp_path, "one", "two")
    size = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(tail)
    assert found(Journal.open(tmp_path), ["one", "two"]) == ["one", "two"]
    (messages,) = caplog.records
    assert (messages.levelno, str(segment) in messages.getMessage(), str(size) in messages.getMessage()) == (
        logging.WARNING,
        True,
        True,
    )


@IN_ONE_FOLDER
@given(garbage=st.lists(st.binary(max_size=80).filter(lambda line: b"\n" not in line), min_size=1, max_size=4))
def test_garbage_between_records_hides_none_of_them(tmp_path: Path, garbage: list[bytes]) -> None:
    texts = [str(number) for number in range(len(garbage) + 1)]
    segment = written(tmp_path, *texts)
    lines = segment.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(garbage):
        lines.insert(3 * number + 2, line + b"\n")
    segment.write_bytes(b"".join(lines))
    assert found(Journal.open(tmp_path), texts) == texts
    segment.unlink()


def test_a_pipe_with_a_segment_s_name_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert found(Journal.open(tmp_path), ["one"]) == []


def test_more_segments_than_files_may_be_open(tmp_path: Path) -> None:
    texts = [str(number) for number in range(100)]
    for text in texts:
        written(tmp_path, text)
    journal = Journal.open(tmp_path)
    assert found(journal, texts) == texts == found(journal, texts)


def test_a_place_that_cannot_be_used_is_refused_with_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for place in (file, file / "below"):
        with pytest.raises(DataError, match=str(file)):
            Journal.open(place)


@pytest.mark.parametrize("uri", ["s3://bucket/journal", "gs://me:hunter2@host/x", "file:///tmp/x"])
def test_a_uri_is_refused_with_the_remedy_and_without_its_password(uri: str) -> None:
    for use in (journal_folder, check_is_folder, Journal.open, audit_calls):
        with pytest.raises(ConfigError, match="give a folder on storage that all nodes share") as caught:
            use(uri)
        assert "hunter2" not in str(caught.value)
        assert uri.partition(":")[0] in str(caught.value)


@pytest.mark.parametrize("run", ["2026-01-01T10:00:00+00:00", "a/b", "日本", ""])
def test_the_run_is_read_out_of_a_segments_name(run: str) -> None:
    assert run_of(new_stem(run) + ".jsonl") == (run or "calls")
    assert run_of("old.jsonl") is None


def test_what_is_appended_is_read_at_its_offset(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "a.jsonl")
    lines = [reused_line(key(text), "model-a") for text in ("one", "two")]
    offsets = [writer.append(line) for line in lines]
    reader = SegmentReader(writer.path)
    assert [(offset, length) for offset, length, _ in reader.read_entries()] == [
        (offset, len(line)) for offset, line in zip(offsets, lines, strict=True)
    ]
    assert list(reader.read_entries()) == []
    writer.append(lines[0])
    assert len(list(reader.read_entries())) == 1
    with pytest.raises(DataError, match="cannot be written"):
        SegmentWriter(writer.path)  # one process alone
    writer.sync()
    writer.close()
