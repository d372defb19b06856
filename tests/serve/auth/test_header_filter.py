"""Warnings about what was not set in the environment before Ray started."""

import pytest

from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT, WANTED_ENVIRONMENT, environment_warnings


@pytest.mark.parametrize("missing", RAY_ENVIRONMENT)
def test_warns_of_what_protects_from_strangers(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name, value in {**WANTED_ENVIRONMENT, **RAY_ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    assert environment_warnings() == [f"{missing} is not set; set it before `ray start`, see docs/security.md"]


@pytest.mark.parametrize("missing", WANTED_ENVIRONMENT)
def test_warns_of_what_was_not_set_before_ray_started(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name, value in {**WANTED_ENVIRONMENT, **RAY_ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)
    assert environment_warnings() == []
    monkeypatch.delenv(missing)
    (warning,) = environment_warnings()
    assert warning.startswith(f"{missing}=1 is not set")
    monkeypatch.setenv(missing, "0")
    assert environment_warnings() == [warning]
