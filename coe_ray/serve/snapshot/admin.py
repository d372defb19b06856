"""The running application, as a person changes it: what it serves, and another `user_config` for its ingress."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ray import serve
from ray.serve.schema import ApplicationStatus, ServeDeploySchema

from coe_ray.cluster.health import APPLICATION, UP
from coe_ray.cluster.ray_internals import deploy_config, serve_applications
from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import load_profile
from coe_ray.serve.app import AppArgs, build
from coe_ray.serve.snapshot.history import Change
from coe_ray.serve.snapshot.snapshot import snapshot_version

INGRESS = "ingress"
WAIT_S, LOOK_EVERY_S = 120.0, 0.2


@dataclass(frozen=True, slots=True)
class ServedState:
    """What one ingress replica says. `history` is oldest first, its last entry what is served."""

    profile: str
    base: str
    version: str
    refused: str | None
    history: tuple[Change, ...]

    def change_back(self) -> dict[str, Any]:
        """The change that was served before. After one that was refused: the one that is served still.

        Raises `ConfigError` where there is none.
        """
        if self.refused is not None:
            return self.history[-1].content
        if len(self.history) < 2:
            raise ConfigError(f"version {self.version} is the first; there is nothing to go back to")
        return self.history[-2].content


async def read_served_state() -> ServedState:
    """Raises `ConfigError` where nothing is served."""
    application = serve.status().applications.get(APPLICATION)
    if application is None or application.status not in UP:
        raise ConfigError(f"no application {APPLICATION!r} is running on this cluster; `serve status` says more")
    said = await serve.get_app_handle(APPLICATION).served.remote()
    history = tuple(Change(**apply_served_change) for apply_served_change in said["history"])
    return ServedState(said["profile"], said["base"], said["version"], said["refused"], history)


async def apply_served_change(now: ServedState, patch: Mapping[str, Any]) -> ServedState:
    """Serve the deployed profile with this patch, and no other; what is served then. Raises `ConfigError`.

    The same way as it was deployed: `serve deploy` goes on with a file, `serve run` with this profile.
    """
    applications = serve_applications()
    files = [app["deployed_app_config"] for app in applications.values() if app["deployed_app_config"]]
    if applications[APPLICATION]["deployed_app_config"]:
        config = ServeDeploySchema.model_validate({"applications": [_with_change(file, patch) for file in files]})
        await asyncio.to_thread(deploy_config, config)
    else:
        if snapshot_version(load_profile(now.profile).without_study, None) != now.base:
            raise ConfigError(
                f"{now.profile}: has changed since it was deployed; deploy it again (`serve run …`), "
                "or put it back and give what is to change as a patch"
            )
        application = await asyncio.to_thread(build, AppArgs(profile=now.profile, change=dict(patch)))
        try:
            await asyncio.to_thread(serve.run, application, name=APPLICATION, route_prefix=_prefix(applications))
        except RuntimeError as error:
            raise ConfigError(f"the change could not be deployed: {error}") from error
    await _settled()
    return await read_served_state()


def _with_change(file: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A declared application with another change; others as they are."""
    if file["name"] != APPLICATION:
        return dict(file)
    others = [each for each in file.get("deployments", []) if each["name"] != INGRESS]
    ingress = next((each for each in file.get("deployments", []) if each["name"] == INGRESS), {"name": INGRESS})
    return {**file, "deployments": [*others, {**ingress, "user_config": dict(patch)}]}


def _prefix(applications: Mapping[str, Any]) -> str:
    return cast(str, applications[APPLICATION]["route_prefix"])


async def _settled() -> None:
    """Wait until every replica has taken the change, or refused it. Raises `ConfigError`."""
    for _ in range(round(WAIT_S / LOOK_EVERY_S)):
        application = serve.status().applications[APPLICATION]
        if application.status == ApplicationStatus.RUNNING:
            return
        await asyncio.sleep(LOOK_EVERY_S)
    raise ConfigError(f"not every replica has taken the change after {WAIT_S:g} s: {application.message}")
