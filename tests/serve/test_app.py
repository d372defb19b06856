"""The application builder: what is wrong with a profile is an error before anything is deployed. No cluster here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import load_profile
from coe_ray.serve.app import AppArgs, build
from tests.serve.world import LEADERBOARD, write_profile


class TestBuild:
    """What is wrong with a profile is said before anything is deployed; there is no cluster here at all."""

    @pytest.fixture
    def upstream_url(self) -> Iterator[str]:
        yield "http://127.0.0.1:9/v1"

    def test_key_that_is_not_in_the_environment(
        self, tmp_path: Path, upstream_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("COE_TEST_KEY", raising=False)
        sailor = {"kind": "api", "base_url": upstream_url, "model": "m", "key_env": "COE_TEST_KEY"}
        content = load_profile(write_profile(tmp_path / "p.yaml", upstream_url)).model_dump(mode="json")
        models = content["models"] | {"sailor": sailor}
        profile = write_profile(tmp_path / "keyless.yaml", upstream_url, models=models)
        with pytest.raises(ConfigError, match=r"models\.sailor\.key_env.*COE_TEST_KEY is not set"):
            build(AppArgs(profile=str(profile)))

    def test_leaderboard_without_one_of_the_experts(self, tmp_path: Path, upstream_url: str) -> None:
        LEADERBOARD.narrowed(["captain", "gauge", "buggy", "remote"]).save(tmp_path / "leaderboard.json")
        profile = write_profile(tmp_path / "p.yaml", upstream_url)
        with pytest.raises(ConfigError, match="no scores for faulty"):
            build(AppArgs(profile=str(profile)))

    def test_no_such_profile(self) -> None:
        with pytest.raises(ConfigError, match="no profile 'nonesuch'"):
            build(AppArgs(profile="nonesuch"))
