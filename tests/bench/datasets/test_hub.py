"""DevOps-Eval from the hub: the pinned archive, unpacked while in use, and what can go wrong."""

import re
import shutil
import zipfile
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from coe_ray.bench.datasets import hub
from coe_ray.bench.datasets.hub import download_dataset
from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core.errors import DataError
from tests.bench.datasets.devops_eval_folder import write_folder


def test_devops_eval_comes_from_the_pinned_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, downloaded = write_folder(tmp_path / "folder"), tmp_path / "downloaded"
    shutil.make_archive(str(downloaded / "devopseval-exam"), "zip", folder)
    requests: list[tuple[str, object, object]] = []

    def snapshot(repository: str, *, repo_type: str, revision: str, **_: object) -> str:
        requests.append((repository, repo_type, revision))
        return str(downloaded)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    benchmark = load_benchmark("devops-eval")
    assert requests == [("codefuse-ai/CodeFuse-DevOps-Eval", "dataset", hub.REVISION)]
    assert (benchmark.name, len(benchmark.questions), len(benchmark.examples)) == ("devops-eval", 5_977, 300)


def test_an_unreachable_hub_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(DataError, match=r"cannot download .*no connection; check the network"):
        load_benchmark("devops-eval")


def test_a_broken_archive_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "devopseval-exam.zip").write_bytes(b"PK")
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(DataError, match="cannot unpack"):
        load_benchmark("devops-eval")
    with zipfile.ZipFile(tmp_path / "devopseval-exam.zip", "w"):
        pass
    with pytest.raises(DataError, match="no row in a test split"):
        load_benchmark("devops-eval")


def test_a_snapshot_of_plain_files_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    with download_dataset() as root:
        assert root == tmp_path


def test_what_was_unpacked_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("test/Go.csv", "id")
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(OSError, match="stopped"), download_dataset() as root:
        assert (root / "test/Go.csv").read_text() == "id"
        raise OSError("stopped")
    assert not root.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["one.zip"]


def test_the_revision_is_a_whole_commit() -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", hub.REVISION)
