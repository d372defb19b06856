"""`coe-ray change`: what is shown, what a patch may be, and the exit code of a refused one."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coe_ray.cli import ray_driver
from coe_ray.cli.main import main
from coe_ray.serve.snapshot import admin
from coe_ray.serve.snapshot.admin import ServedState
from coe_ray.serve.snapshot.history import Change

STATE = ServedState("mine", "v0", "v1", None, (Change({}, "v0"), Change({"classifier": {"k": 1}}, "v1")))


@pytest.fixture
def patches(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The patches that reach the application, which refuses those that name `models`."""
    applied: list[Any] = []

    async def read() -> ServedState:
        return STATE

    async def apply(state: ServedState, patch: Mapping[str, Any]) -> ServedState:
        applied.append(patch)
        return replace(state, refused="models cannot be changed") if "models" in patch else replace(state, version="v2")

    monkeypatch.setattr(ray_driver, "connect", lambda _address: None)
    monkeypatch.setattr(admin, "read_served_state", read)
    monkeypatch.setattr(admin, "apply_served_change", apply)
    return applied


def test_what_is_served_and_its_history_are_shown(patches: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["change"]) == 0
    lines = ["profile mine, version v1", "  v0  the profile as it was deployed", "* v1  classifier"]
    assert capsys.readouterr().out.splitlines() == lines
    assert patches == []


def test_a_patch_is_applied(patches: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "change.yaml").write_text("routing: {attempts: 2}")
    assert main(["change", "--patch", str(tmp_path / "change.yaml")]) == 0
    assert patches == [{"routing": {"attempts": 2}}]
    assert capsys.readouterr().out == "version v2 is served, before it v1\n"


def test_back_applies_the_change_before(patches: list[Any]) -> None:
    assert main(["change", "--back"]) == 0
    assert patches == [{}]


def test_a_refused_patch_is_exit_code_1(patches: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "change.yaml").write_text("models: {}")
    assert main(["change", "--patch", str(tmp_path / "change.yaml")]) == 1
    assert "refused, version v1 is served as before:\nmodels cannot be changed" in capsys.readouterr().err
    assert patches == [{"models": {}}]


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", b"\xff\xfe", None])
def test_what_is_no_patch_is_refused(
    patches: list[Any], tmp_path: Path, content: str | bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "change.yaml"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    assert main(["change", "--patch", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"change: {file}: ")
    assert patches == []
