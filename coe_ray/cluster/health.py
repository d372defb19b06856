"""What runs in the cluster, and whether it answers."""

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
"""Name of the Serve application: the one that `serve run` gives."""

READY_S = 2.0
"""How long `/healthz` waits for a deployment behind it."""


def tune_garbage_collector() -> None:
    """For a process that is asked thousands of things at once: none of them is garbage, nor is what was imported.

    Looking through them again and again took 40 % of an examiner's time, and a tenth of an ingress replica's.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def is_answering(handle: DeploymentHandle) -> bool:
    """Whether a replica of the deployment is up and well; false while it starts, and after it broke."""
    try:
        await asyncio.wait_for(handle.check_health.remote(), READY_S)
    except BackPressureError:
        return True  # it has much to do
    except Exception as error:  # whatever the reason, its name is in what /healthz says
        log.info("%s does not answer yet: %s", handle.deployment_name, type(error).__name__)  # its text is a traceback
        return False
    return True


def hosted_model_names(profile: Profile) -> tuple[str, ...]:
    """The models of the profile that are deployments."""
    return tuple(name for name, model in profile.models.items() if isinstance(model, VllmModel))


def is_always_up(profile: Profile, model: str) -> bool:
    """Whether at least one replica of a hosted model is always wanted."""
    config = profile.models[model]
    return isinstance(config, VllmModel) and config.scaling.min_replicas > 0


def hosted_fingerprint(profile: Profile) -> str:
    """A hash of the configuration of everything that the profile wants hosted."""
    hosted = {name: profile.models[name].model_dump() for name in hosted_model_names(profile)}
    return hashlib.sha256(orjson.dumps(hosted, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_serving(profile: Profile) -> bool:
    """Whether the running application hosts just what the profile wants hosted.

    Raises `ConfigError` where it hosts something else: a bench must not measure other models, nor stop them.
    """
    application = serve.status().applications.get(APPLICATION)
    if application is None or application.status != ApplicationStatus.RUNNING:
        return False
    if ray.get(_serving_fingerprint.remote()) != hosted_fingerprint(profile):
        raise ConfigError(
            f"this cluster serves other models than profile {profile.name!r} wants; "
            "stop them with `serve shutdown`, or bench on another cluster"
        )
    return True


@ray.remote(num_cpus=0, max_calls=1)  # type: ignore[untyped-decorator]  # ray is not followed
def _serving_fingerprint() -> str:
    """Asked in a process of its own: a Serve handle stays bound to the event loop that first used it."""

    async def ask() -> str:
        fingerprint: str = await serve.get_app_handle(APPLICATION).hosted.remote()
        return fingerprint

    return asyncio.run(ask())
