"""Weights: a hub's name passes through, a package stands in for the hub, and every file is checked first."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coe_ray.core.errors import WeightsError
from coe_ray.llm import weights
from coe_ray.profile.models import Package, Weights

CONTENT = b"the published weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def packaged(file: str = "model.safetensors", sha256: str = SHA256, module: str = "planted_weights") -> Weights:
    return Weights(hub="lab/model", package=Package(module=module, file=file, sha256=sha256))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that carries weights, on a machine without a hub."""
    folder = tmp_path / "site" / "planted_weights"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "model.safetensors").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setattr(weights, "_from_hub", lambda wanted: None)
    return folder


def test_weights_without_a_package_stay_a_hub_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_from_hub", lambda wanted: pytest.fail("the engine downloads these itself"))
    assert weights.locate_weights(Weights(hub="lab/model", revision="abc")) == "lab/model"


def test_the_hub_goes_before_the_package(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_from_hub", lambda wanted: "/snapshot")
    assert weights.locate_weights(packaged()) == "/snapshot"


def test_without_a_hub_the_packages_folder_is_the_place(package: Path) -> None:
    assert weights.locate_weights(packaged()) == str(package)


def test_an_encoder_is_always_a_folder_here(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.fetch_weights(packaged()) == str(package)
    with pytest.raises(WeightsError, match=r"lab/model: no hub in reach; set HF_ENDPOINT"):
        weights.fetch_weights(Weights(hub="lab/model"))
    monkeypatch.setattr(weights, "_from_hub", lambda wanted: "/snapshot")
    assert weights.fetch_weights(Weights(hub="lab/model")) == "/snapshot"


def test_a_file_that_is_not_the_published_one_is_refused(package: Path) -> None:
    (package / "model.safetensors").write_bytes(b"tampered")
    found = hashlib.sha256(b"tampered").hexdigest()
    with pytest.raises(WeightsError, match=f"has SHA-256 {found}, published is {SHA256}; remove it"):
        weights.locate_weights(packaged())


def test_a_missing_file_is_said(package: Path) -> None:
    with pytest.raises(WeightsError, match=r"other.safetensors is missing; install the weights again"):
        weights.locate_weights(packaged(file="other.safetensors"))


def test_a_missing_package_is_said_with_the_ways_out(package: Path) -> None:
    with pytest.raises(WeightsError, match=r"'no_such_weights' is not installed; run `make install`, or set HF_"):
        weights.locate_weights(packaged(module="no_such_weights"))


def test_a_gguf_file_is_converted_once_and_only_when_it_is_the_published_one(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def save(gguf: Path, folder: Path) -> None:
        made.append(gguf)
        (folder / "model.safetensors").write_bytes(b"floats")

    monkeypatch.setenv("COE_RAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(weights, "_save_dequantized", save)
    (package / "m.gguf").write_bytes(CONTENT)
    wanted = packaged(file="m.gguf")
    assert not (tmp_path / "home").exists()
    folder = weights.locate_weights(wanted)
    assert folder == weights.locate_weights(wanted) == str(tmp_path / "home" / "weights" / f"m-{SHA256[:12]}")
    assert made == [package / "m.gguf"]
    assert Path(folder).is_dir()
    with pytest.raises(WeightsError, match="published is"):
        weights.locate_weights(packaged(file="m.gguf", sha256="0" * 64))


CONVERTER = """
import sys, time
from pathlib import Path
from coe_ray.llm import weights
from coe_ray.profile.models import Package, Weights

def save(gguf, folder):
    print("converts", flush=True)
    for part in ("first", "second"):
        (folder / part).write_text(part)
        time.sleep(0.3)

weights._from_hub = lambda wanted: None
weights._save_dequantized = save
package = Package(module="planted_weights", file="m.gguf", sha256=sys.argv[1])
folder = weights.locate_weights(Weights(hub="lab/model", package=package))
print(sorted(each.name for each in Path(folder).iterdir()))
"""


def test_two_processes_at_once_convert_once_and_read_it_whole(package: Path, tmp_path: Path) -> None:
    (package / "m.gguf").write_bytes(CONTENT)
    environment = {
        **os.environ,
        "COE_RAY_HOME": str(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join([str(package.parent), *sys.path]),
    }
    both = [
        subprocess.Popen([sys.executable, "-c", CONVERTER, SHA256], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    outputs = [each.communicate(timeout=120)[0] for each in both]
    assert sorted(outputs) == ["['first', 'second']\n", "converts\n['first', 'second']\n"]


def test_a_snapshot_of_the_hub_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(CONTENT)
    monkeypatch.setattr(weights, "_hub_in_reach", lambda: True)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **settings: str(tmp_path))
    assert weights.locate_weights(packaged().model_copy(update={"sha256": SHA256})) == str(tmp_path)
    with pytest.raises(WeightsError, match=r"lab/model: .* published is 0000"):
        weights.locate_weights(packaged().model_copy(update={"sha256": "0" * 64}))


def test_offline_and_without_a_snapshot_the_hub_has_nothing(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    weights._hub_in_reach.cache_clear()
    assert weights.locate_weights(packaged()) == str(package)
    weights._hub_in_reach.cache_clear()
