"""Administration of the running application, for `coe-ray change`: its state, and a hot change of its profile."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
WAIT_S, POLL_EVERY_S = 120.0, 0.2


@dataclass(frozen=True, slots=True)
class ServedState:
    """State of one ingress replica. `history` is oldest first; its last entry is what is served."""

    profile: str
    base: str
    version: str
    refused: str | None
    history: tuple[Change, ...]

    def change_back(self) -> dict[str, Any]:
        """The change before the one that is served; after a refused one, the one that is served still.

        Raises `ConfigError` where there is none.
        """
        if self.refused is not None:
            return self.history[-1].content
        if len(self.history) < 2:
            raise ConfigError(f"version {self.version} is the first; there is nothing to go back to")
        return self.history[-2].content


async def read_served_state() -> ServedState:
    """The state of the running application. Raises `ConfigError` where none runs."""
    application = serve.status().applications.get(APPLICATION)
    if application is None or application.status not in UP:
        raise ConfigError(f"no application {APPLICATION!r} is running on this cluster; `serve status` says more")
    state = await serve.get_app_handle(APPLICATION).served.remote()
    history = tuple(Change(**change) for change in state.pop("history"))
    return ServedState(**state, history=history)


async def apply_served_change(now: ServedState, patch: Mapping[str, Any]) -> ServedState:
    """Serve the deployed profile with this patch, and no other; the state after it. Raises `ConfigError`.

    An application that was deployed by a file is deployed by that file again, another by its profile.
    """
    applications = serve_applications()
    declared = [app["deployed_app_config"] for app in applications.values() if app["deployed_app_config"]]
    if applications[APPLICATION]["deployed_app_config"]:
        config = ServeDeploySchema.model_validate(
            {"applications": [_with_change(config, patch) for config in declared]}
        )
        await asyncio.to_thread(deploy_config, config)
    else:
        if snapshot_version(load_profile(now.profile).without_study, None) != now.base:
            raise ConfigError(
                f"{now.profile}: has changed since it was deployed; deploy it again (`serve run …`), "
                "or put it back and give what is to change as a patch"
            )
        application = await asyncio.to_thread(build, AppArgs(profile=now.profile, change=dict(patch)))
        try:
            prefix = applications[APPLICATION]["route_prefix"]
            await asyncio.to_thread(serve.run, application, name=APPLICATION, route_prefix=prefix)
        except RuntimeError as error:
            raise ConfigError(f"the change could not be deployed: {error}") from error
    await _wait_until_applied()
    return await read_served_state()


def _with_change(config: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The declared application with another change; other applications as they are."""
    if config["name"] != APPLICATION:
        return dict(config)
    deployments = {deployment["name"]: deployment for deployment in config.get("deployments", [])}
    ingress = deployments.pop(INGRESS, {"name": INGRESS})
    return {**config, "deployments": [*deployments.values(), {**ingress, "user_config": dict(patch)}]}


async def _wait_until_applied() -> None:
    """Wait until every replica has taken or refused the change. Raises `ConfigError`."""
    for _ in range(round(WAIT_S / POLL_EVERY_S)):
        application = serve.status().applications[APPLICATION]
        if application.status == ApplicationStatus.RUNNING:
            return
        await asyncio.sleep(POLL_EVERY_S)
    raise ConfigError(f"not every replica has taken the change after {WAIT_S:g} s: {application.message}")
