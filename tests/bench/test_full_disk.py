"""A bench on a disk that fills up in the middle: one clear line, nothing lost, and on it goes once there is space."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from coe_ray.journal.audit import audit_calls
from tests.bench.counting_upstream import CountingUpstream
from tests.bench.job import Bench
from tests.bench.marked import write_marked, write_profile
from tests.support.cluster import Cluster

pytestmark = pytest.mark.timeout(600)

QUESTIONS, AT_ONCE, ANSWER_BYTES = 160, 8, 20_000
ENOUGH_KIB = 64 << 10


@dataclass(frozen=True, slots=True)
class Disk:
    """A small file system of its own."""

    folder: Path

    def resize(self, kib: int) -> None:
        mount("-o", f"remount,size={kib}k", str(self.folder))


@contextmanager
def disk(folder: Path, kib: int) -> Iterator[Disk]:
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder))
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("file systems cannot be mounted here")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def ray(bench_cluster: Cluster) -> Cluster:
    return bench_cluster


@pytest.fixture
def full(tmp_path: Path) -> Iterator[CountingUpstream]:
    with CountingUpstream().started() as started:
        started.padding = ANSWER_BYTES
        yield started


@pytest.mark.parametrize(
    ("what", "kib", "elsewhere"),
    [("the journal", 1600, False), ("records", 1600, True), ("answers", 5000, True), ("questions", 20, True)],
)
def test_a_full_disk_is_said_and_loses_nothing(
    ray: Cluster, full: CountingUpstream, tmp_path: Path, what: str, kib: int, *, elsewhere: bool
) -> None:
    model = {"kind": "api", "base_url": full.base_url, "model": "near", "max_concurrency": AT_ONCE}
    profile = write_profile(tmp_path / "full.yaml", {"near": model})
    data = write_marked(tmp_path / "data", [""] * QUESTIONS)
    with disk(tmp_path / "disk", kib) as small:
        journal = tmp_path / "journal" if elsewhere else small.folder / "out" / "journal"
        more = ("--journal", str(journal)) if elsewhere else ()
        bench = Bench(ray.environment, profile, data, small.folder / "out", more)
        code, output = bench.run()
        assert code == 2, output
        assert all(line.startswith("bench: ") for line in output.splitlines()), output
        assert "pace" in output.splitlines()[-1]
        assert not (bench.out / "summary.json").exists()
        kept = sum(each.completed for model, each in audit_calls(journal).items() if model == "near")
        assert full.counts.total() <= kept + AT_ONCE

        small.resize(ENOUGH_KIB)
        code, output = bench.run()
        assert code == 0, output
        assert len(full.counts) == QUESTIONS
        assert full.counts.total() <= QUESTIONS + AT_ONCE
        calls = bench.summary()["calls"]
        assert calls["completed"] == 2 * QUESTIONS  # the classifier's too
        near = calls["by_model"]["near"]  # not the classifier's, which have a limit of their own
        assert near["repeated"] <= near["abandoned"] <= AT_ONCE
        assert len(bench.folder.read_answers()) == 2 * QUESTIONS
