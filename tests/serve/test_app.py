"""The application builder: what is wrong with a profile is an error before anything is deployed. No cluster here."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig

from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import load_profile
from coe_ray.serve import app
from coe_ray.serve.app import AppArgs, build, deploy
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

    def test_no_deployment_has_serves_access_log(self, tmp_path: Path, upstream_url: str) -> None:
        LEADERBOARD.save(tmp_path / "leaderboard.json")
        ingress = build(AppArgs(profile=str(write_profile(tmp_path / "p.yaml", upstream_url))))._bound_deployment
        retriever = ingress.init_args[1]._bound_deployment
        for deployment in (ingress, retriever):
            assert deployment.logging_config["enable_access_log"] is False

    def test_no_such_profile(self) -> None:
        with pytest.raises(ConfigError, match="no profile 'nonesuch'"):
            build(AppArgs(profile="nonesuch"))


class TestDeploy:
    """Serve is started on host and port; without a cluster here, `serve` is replaced."""

    @pytest.fixture
    def started(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        """What Serve was started with, and the application that it ran."""
        calls: list[object] = []

        class FakeServe:
            def start(self, http_options: HTTPOptions, logging_config: LoggingConfig) -> None:
                assert not logging_config.enable_access_log
                calls.append((http_options.host, http_options.port))

            def run(self, application: object, name: str) -> None:
                calls.append((application, name))

        monkeypatch.setattr(app, "serve", FakeServe())
        monkeypatch.setattr(app, "build", lambda args: args.profile)
        monkeypatch.setattr(app, "is_serve_running", lambda: False)
        return calls

    def test_serve_listens_on_host_and_port(self, started: list[object], tmp_path: Path) -> None:
        profile = str(write_profile(tmp_path / "p.yaml", "http://127.0.0.1:9/v1"))
        with socket.create_server(("127.0.0.2", 0)) as listening:
            port = listening.getsockname()[1]
        deploy(AppArgs(profile=profile), "127.0.0.2", port)
        assert started == [("127.0.0.2", port), (profile, "default")]

    def test_taken_port_is_named_before_serve_is_started(self, started: list[object], tmp_path: Path) -> None:
        profile = str(write_profile(tmp_path / "p.yaml", "http://127.0.0.1:9/v1"))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is taken"):
                deploy(AppArgs(profile=profile), port=port)
        assert started == []

    def test_a_serve_that_runs_is_used(
        self, started: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(app, "is_serve_running", lambda: True)
        profile = str(write_profile(tmp_path / "p.yaml", "http://127.0.0.1:9/v1"))
        deploy(AppArgs(profile=profile))
        assert started == [(profile, "default")]
