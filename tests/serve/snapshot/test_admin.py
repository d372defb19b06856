"""Hot changes from outside, with Serve replaced by a fake: the state read, the step back, and each way to deploy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve.schema import ApplicationStatus, ServeDeploySchema

from coe_ray.cluster.health import APPLICATION
from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import load_profile
from coe_ray.serve.app import AppArgs
from coe_ray.serve.snapshot import admin
from coe_ray.serve.snapshot.admin import ServedState, apply_served_change, read_served_state
from coe_ray.serve.snapshot.history import Change
from coe_ray.serve.snapshot.snapshot import snapshot_version
from tests.support.profiles import content, write_profile

PATCH = {"routing": {"attempts": 2}}
FIRST, SECOND = Change({}, "v0"), Change(PATCH, "v1")


def state(*history: Change, refused: str | None = None, profile: str = "small.yaml", base: str = "v0") -> ServedState:
    return ServedState(profile, base, history[-1].version, refused, history)


@dataclass
class FakeServe:
    """Serve with at most one application of ours; what is deployed is recorded."""

    served: ServedState
    statuses: list[ApplicationStatus] = field(default_factory=lambda: [ApplicationStatus.RUNNING])
    deployed: list[Any] = field(default_factory=list)
    error: Exception | None = None

    def status(self) -> SimpleNamespace:
        """The next of the statuses; the last one stays."""
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return SimpleNamespace(applications={APPLICATION: SimpleNamespace(status=status, message="1 of 2 replicas")})

    def get_app_handle(self, name: str) -> SimpleNamespace:
        assert name == APPLICATION

        async def served() -> dict[str, Any]:
            history = [{"content": each.content, "version": each.version} for each in self.served.history]
            return {name: getattr(self.served, name) for name in ("profile", "base", "version", "refused")} | {
                "history": history
            }

        return SimpleNamespace(served=SimpleNamespace(remote=served))

    def run(self, application: AppArgs, **options: Any) -> None:
        if self.error:
            raise self.error
        self.deployed.append((application, options))


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path / "small.yaml", content())


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, profile: Path) -> FakeServe:
    """Serve with the application that `serve run` deployed of the profile."""
    base = snapshot_version(load_profile(str(profile)).without_study, None)
    fake = FakeServe(state(FIRST, profile=str(profile), base=base))
    monkeypatch.setattr(admin, "serve", fake)
    monkeypatch.setattr(admin, "build", lambda args: args)
    monkeypatch.setattr(admin, "WAIT_S", 0.03)
    monkeypatch.setattr(admin, "POLL_EVERY_S", 0.01)
    declare(monkeypatch, fake, {APPLICATION: {"deployed_app_config": None, "route_prefix": "/coe"}})
    return fake


def declare(monkeypatch: pytest.MonkeyPatch, fake: FakeServe, applications: Mapping[str, Any]) -> None:
    monkeypatch.setattr(admin, "serve_applications", lambda: applications)
    monkeypatch.setattr(admin, "deploy_config", fake.deployed.append)


def test_the_change_before_is_one_step_back() -> None:
    assert state(FIRST, SECOND, Change({"a": 1}, "v2")).change_back() == PATCH
    assert state(FIRST, SECOND).change_back() == {}


def test_after_a_refused_change_the_one_still_served_is_the_step_back() -> None:
    assert state(FIRST, SECOND, refused="models cannot be changed").change_back() == PATCH
    assert state(FIRST, refused="models cannot be changed").change_back() == {}


def test_there_is_nothing_before_the_first_version() -> None:
    with pytest.raises(ConfigError, match="version v0 is the first; there is nothing to go back to"):
        state(FIRST).change_back()


async def test_the_state_is_that_of_the_running_application(fake: FakeServe) -> None:
    fake.served = state(FIRST, SECOND, refused="no")
    assert await read_served_state() == fake.served


@pytest.mark.parametrize("status", [ApplicationStatus.DELETING, ApplicationStatus.NOT_STARTED, None])
async def test_without_a_running_application_there_is_no_state(
    fake: FakeServe, monkeypatch: pytest.MonkeyPatch, status: ApplicationStatus | None
) -> None:
    if status is None:
        monkeypatch.setattr(fake, "status", lambda: SimpleNamespace(applications={}))
    else:
        fake.statuses = [status]
    with pytest.raises(ConfigError, match=f"no application '{APPLICATION}' is running"):
        await read_served_state()


async def test_an_application_of_serve_run_is_deployed_again_with_the_patch(fake: FakeServe, profile: Path) -> None:
    assert await apply_served_change(fake.served, PATCH) == fake.served
    options = {"name": APPLICATION, "route_prefix": "/coe"}
    assert fake.deployed == [(AppArgs(profile=str(profile), change=PATCH), options)]


async def test_a_profile_that_has_changed_since_is_not_deployed(fake: FakeServe, profile: Path) -> None:
    write_profile(profile, content(classifier={"model": "sorter", "k": 1}))
    with pytest.raises(ConfigError, match="has changed since it was deployed"):
        await apply_served_change(fake.served, PATCH)
    assert fake.deployed == []


async def test_a_deployment_that_fails_is_a_config_error(fake: FakeServe) -> None:
    fake.error = RuntimeError("no room for a replica")
    with pytest.raises(ConfigError, match="the change could not be deployed: no room for a replica"):
        await apply_served_change(fake.served, PATCH)


def application(name: str, *deployments: dict[str, Any]) -> dict[str, Any]:
    config = {"name": name, "import_path": "coe_ray.serve.app:build", "route_prefix": f"/{name}"}
    return config | ({"deployments": list(deployments)} if deployments else {})


async def test_declared_applications_stay_and_ours_gets_the_patch(
    fake: FakeServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = application(
        APPLICATION, {"name": "ingress", "num_replicas": 2, "user_config": {"a": 1}}, {"name": "retriever"}
    )
    other = application("other", {"name": "ingress", "user_config": {"b": 2}})
    declared = {name: {"deployed_app_config": config} for name, config in ((APPLICATION, ours), ("other", other))}
    declare(monkeypatch, fake, declared | {"run": {"deployed_app_config": None}})
    await apply_served_change(fake.served, PATCH)
    [config] = fake.deployed
    assert isinstance(config, ServeDeploySchema)
    found = {each["name"]: each for each in config.model_dump(exclude_unset=True)["applications"]}
    assert set(found) == {APPLICATION, "other"}
    assert found["other"]["deployments"] == other["deployments"]
    assert found[APPLICATION]["deployments"] == [
        {"name": "retriever"},
        {"name": "ingress", "num_replicas": 2, "user_config": PATCH},
    ]


async def test_an_application_declared_without_deployments_gets_the_ingress(
    fake: FakeServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, fake, {APPLICATION: {"deployed_app_config": application(APPLICATION)}})
    await apply_served_change(fake.served, PATCH)
    [found] = fake.deployed[0].model_dump(exclude_unset=True)["applications"]
    assert found["deployments"] == [{"name": "ingress", "user_config": PATCH}]


async def test_it_waits_until_every_replica_has_taken_the_change(fake: FakeServe) -> None:
    fake.statuses = [ApplicationStatus.DEPLOYING, ApplicationStatus.DEPLOYING, ApplicationStatus.RUNNING]
    await apply_served_change(fake.served, PATCH)
    assert fake.statuses == [ApplicationStatus.RUNNING]


async def test_it_does_not_wait_for_ever(fake: FakeServe) -> None:
    fake.statuses = [ApplicationStatus.DEPLOYING]
    with pytest.raises(ConfigError, match=r"not every replica has taken the change after 0\.03 s: 1 of 2 replicas"):
        await apply_served_change(fake.served, PATCH)
