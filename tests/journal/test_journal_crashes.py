"""Workers that are killed, that write at once, and whose disk is full: what was acknowledged is there."""

import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from coe_ray.core.errors import DataError
from coe_ray.journal.journal import Journal
from tests.support.journal_world import answered, found, segments, worker, written

pytestmark = pytest.mark.timeout(300)

WRITER = """
import sys
from coe_ray.journal.journal import Journal
from tests.support.journal_world import answered
journal, number = Journal.open(sys.argv[1], "run"), 0
while True:
    answered(journal, f"{sys.argv[2]}{number}")
    print(f"{sys.argv[2]}{number}", flush=True)
    number += 1
"""
FORGETFUL = """
import sys
from coe_ray.journal.journal import Journal
from tests.support.journal_world import answered
journal = Journal.open(sys.argv[1])
answered(journal, "one", "two")
"""
LIMITED = """
import resource, sys
from coe_ray.journal.journal import Journal
from coe_ray.core.errors import DataError
from tests.support.journal_world import answered
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
journal, number = Journal.open(sys.argv[1]), 0
try:
    while True:
        answered(journal, str(number))
        number += 1
except DataError as error:
    print(number)
    print(error)
"""


async def test_killed_writers_lose_nothing_that_they_acknowledged(tmp_path: Path) -> None:
    dice = random.Random(3)
    reader = Journal.open(tmp_path)
    with ExitStack() as stack:
        writers = [stack.enter_context(worker(WRITER, str(tmp_path), name)) for name in ("a", "b", "c")]
        acknowledged = [text for writer in writers for text in read(writer, dice.randrange(1, 500))]
        await reader.refresh()  # beside the living
        assert found(reader, acknowledged) == acknowledged
        for writer in writers:
            writer.kill()
            acknowledged += whole_lines(writer)
    await reader.refresh()
    for journal in (reader, Journal.open(tmp_path)):
        assert found(journal, acknowledged) == acknowledged
    assert len(segments(tmp_path)) == 3


def read(writer: "subprocess.Popen[str]", lines: int) -> list[str]:
    assert writer.stdout
    return [writer.stdout.readline().rstrip("\n") for _ in range(lines)]


def whole_lines(writer: "subprocess.Popen[str]") -> list[str]:
    """What else it has said before it died."""
    assert writer.stdout
    return [line.rstrip("\n") for line in writer.stdout if line.endswith("\n")]


def test_at_a_file_size_limit_only_whole_lines_stay(tmp_path: Path) -> None:
    with worker(LIMITED, str(tmp_path)) as limited:
        assert limited.stdout
        number, message = int(limited.stdout.readline()), limited.stdout.readline()
    assert_clear(message, tmp_path)
    texts = [str(each) for each in range(number)]
    assert number > 10
    assert found(Journal.open(tmp_path), texts) == texts
    assert_whole_lines(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can make a small disk; the limit on file sizes is tested everywhere")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_full_disk_is_a_clear_error_and_loses_nothing(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 100_000)
    journal, texts = Journal.open(small_disk), list[str]()
    with pytest.raises(DataError) as caught:
        while True:
            answered(journal, str(len(texts)))
            texts.append(str(len(texts)))
    assert_clear(str(caught.value), small_disk)
    assert_whole_lines(small_disk)
    ballast.unlink()
    with pytest.raises(DataError, match="no space is left"):
        answered(journal, "at once")  # this one lets nothing more begin: its answer might not fit
    journal.close()
    written(small_disk, "after")
    assert found(Journal.open(small_disk), [*texts, "at once", "after"]) == [*texts, "after"]


def assert_clear(message: str, folder: Path) -> None:
    assert message.startswith(str(folder))
    assert "no space is left" in message
    assert "nothing written before is lost" in message
    assert "free some space and run the same command again" in message


def assert_whole_lines(folder: Path) -> None:
    for file in folder.glob("*.jsonl"):
        assert file.read_bytes().endswith(b"\n")
        assert all(orjson.loads(line) for line in file.read_bytes().splitlines())


def test_a_process_that_ends_without_closing_ends_at_once_and_loses_nothing(tmp_path: Path) -> None:
    with worker(FORGETFUL, str(tmp_path)) as forgetful:
        assert forgetful.wait(60) == 0
    assert found(Journal.open(tmp_path), ["one", "two"]) == ["one", "two"]
