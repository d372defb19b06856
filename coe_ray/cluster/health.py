"""State of what is deployed on the cluster: which models an application hosts, and whether deployments answer."""

import asyncio
import gc
import hashlib
import logging

import orjson
import ray
import ray.exceptions
from ray import serve
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from coe_ray.core.errors import ConfigError
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile

log = logging.getLogger("ray.serve")

APPLICATION = "default"
"""Name of the Serve application where none is given; the one that `serve run` gives, too."""

UP = (ApplicationStatus.RUNNING, ApplicationStatus.DEPLOYING, ApplicationStatus.UNHEALTHY)
"""States of an application that is somebody's: unhealthy is one of which a single replica just died."""

FINGERPRINT_S = 120.0
"""Seconds in which an ingress replica must say what it hosts; it may just be starting."""

READY_S = 2.0
"""How long `/healthz` waits for a deployment that it depends on."""


def tune_garbage_collector() -> None:
    """Run the garbage collector rarely, for a process with thousands of requests in flight.

    Neither they nor the imported modules are garbage. Scanning them took 40 % of a bench worker's time and a tenth of
    an ingress replica's.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def is_answering(handle: DeploymentHandle) -> bool:
    """Whether a replica of the deployment is healthy; false while it starts, and after it broke."""
    try:
        await asyncio.wait_for(handle.check_health.remote(), READY_S)
    except BackPressureError:
        return True  # it is busy
    except Exception as error:  # of any kind: /healthz reports the deployment as not ready
        log.info(
            "%s does not answer yet: %s", handle.deployment_name, type(error).__name__
        )  # without its text, a traceback
        return False
    return True


def hosted_model_names(profile: Profile) -> tuple[str, ...]:
    """The models of the profile that are hosted on the cluster."""
    return tuple(name for name, model in profile.models.items() if isinstance(model, VllmModel))


def is_always_up(profile: Profile, model: str) -> bool:
    """Whether at least one replica of a hosted model is always wanted."""
    config = profile.models[model]
    return isinstance(config, VllmModel) and config.scaling.min_replicas > 0


def hosted_fingerprint(profile: Profile) -> str:
    """Hash of the configuration of all models that the profile wants hosted."""
    hosted = {name: profile.models[name].model_dump() for name in hosted_model_names(profile)}
    return hashlib.sha256(orjson.dumps(hosted, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_serving(profile: Profile, application: str = APPLICATION) -> bool:
    """Whether the running application hosts exactly what the profile wants hosted.

    Raises `ConfigError` where it hosts something else: a bench must not measure other models, nor stop them.
    """
    overview = serve.status().applications.get(application)
    if overview is None or overview.status not in UP:
        return False
    try:
        fingerprint = ray.get(_serving_fingerprint.remote(application), timeout=FINGERPRINT_S)
    except ray.exceptions.GetTimeoutError as error:
        raise ConfigError(
            f"application {application!r} of this cluster does not answer ({overview.status}); wait until `serve "
            "status` says RUNNING, or stop it with `serve shutdown`"
        ) from error
    if fingerprint != hosted_fingerprint(profile):
        raise ConfigError(
            f"this cluster serves other models than profile {profile.name!r} wants; "
            "stop them with `serve shutdown`, or bench on another cluster"
        )
    return True


@ray.remote(num_cpus=0, max_calls=1)  # type: ignore[untyped-decorator]  # ray is not followed
def _serving_fingerprint(application: str) -> str:
    """Read in a process of its own: a Serve handle stays bound to the event loop that first used it."""

    async def read() -> str:
        fingerprint: str = await serve.get_app_handle(application).hosted.remote()
        return fingerprint

    return asyncio.run(read())
