"""What tests have the cluster's own process do (see `Cluster.run`)."""

from ray import serve

from coe_ray.cluster import health
from coe_ray.profile.profile import load_profile


async def hosted(application: str) -> str:
    """The fingerprint of what the application says it hosts."""
    fingerprint: str = await serve.get_app_handle(application).hosted.remote()
    return fingerprint


def is_serving(profile: str, application: str) -> bool:
    """What a bench job would find."""
    return health.is_serving(load_profile(profile), application)
