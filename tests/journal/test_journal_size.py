"""A million calls: the journal of a large benchmark is opened in little memory."""

from pathlib import Path

import pytest

from tests.support.journal_world import worker

pytestmark = pytest.mark.timeout(600)

CALLS = 1_000_000
WRITE = """
import hashlib, sys
from coe_ray.journal.entries import finished_line, issued_line
from coe_ray.core.types import Completion, Usage
answer = Completion("x" * 850, usage=Usage(300, 200), seconds=1.25)
with open(sys.argv[1], "wb") as file:
    for number in range(int(sys.argv[2])):
        key = hashlib.blake2b(b"%d" % number, digest_size=16).digest()
        file.write(issued_line(key, "model-a", key))
        file.write(finished_line(key, "model-a", float(number), answer))
"""
LOAD = """
import hashlib, sys, time
from pathlib import Path
from coe_ray.journal.journal import Journal
begun = time.perf_counter()
journal = Journal.open(sys.argv[1])
seconds = time.perf_counter() - begun
every = range(0, int(sys.argv[2]), 997)
keys = [hashlib.blake2b(b"%d" % number, digest_size=16).digest() for number in every]
print(sum(journal.find(key) is not None for key in keys) == len(keys))
# Not getrusage: what it calls the greatest is inherited from whoever started this process, here from all of pytest.
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
print(f"{seconds:.1f} s")
"""


def run_code(code: str, *arguments: str) -> list[str]:
    with worker(code, *arguments) as process:
        assert process.stdout
        run_code = process.stdout.read().splitlines()
        assert process.wait() == 0
    return run_code


def test_a_million_records_of_1_kib_load_in_2_gib(tmp_path: Path) -> None:
    segment = tmp_path / "run-host-1-00000000.jsonl"
    run_code(WRITE, str(segment), str(CALLS))
    assert segment.stat().st_size > CALLS * 1024
    found, peak, seconds = run_code(LOAD, str(tmp_path), str(CALLS))
    assert found == "True"
    assert int(peak) < 2048, seconds
    segment.unlink()
