"""A hosted model without a GPU: a deployment in the place of vLLM's that passes each call on to a provider."""

from typing import Any, cast

import aiohttp
from ray import serve
from ray.serve import Application, Deployment

from coe_ray.cluster.hosted import deployment_name
from coe_ray.profile.models import ApiModel
from coe_ray.profile.profile import load_profile
from coe_ray.serve.app import AppArgs
from coe_ray.serve.ingress import Ingress

HOSTED, BEHIND = "hosted", "behind"
"""The hosted model; and the API model whose provider it passes calls on to, and which the endpoint's expert asks."""

REPLICAS, AT_ONCE = 2, 2
"""Calls in flight in each of the replicas."""

MODEL = {
    "kind": "vllm",
    "weights": {"hub": "nobody/relay"},
    "scaling": {
        "min_replicas": REPLICAS,
        "max_replicas": REPLICAS,
        "target_ongoing_requests": AT_ONCE,
        "max_ongoing_requests": AT_ONCE,
    },
}
"""It, as profiles have it."""


@serve.deployment(
    name=deployment_name(HOSTED),
    num_replicas=REPLICAS,
    max_ongoing_requests=AT_ONCE,
    ray_actor_options={"num_cpus": 0},
)
class Relay:
    """Speaks as `ChatEngine` does."""

    def __init__(self, base_url: str) -> None:
        self._url = f"{base_url}/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def chat_json(self, body: dict[str, Any]) -> bytes:
        self._session = self._session or aiohttp.ClientSession()
        async with self._session.post(self._url, json=body) as response:
            return await response.read()


def build(args: AppArgs) -> Application:
    profile = load_profile(args.profile)
    behind = profile.models[BEHIND]
    assert isinstance(behind, ApiModel)
    relay = cast(Deployment, Relay).bind(behind.base_url)
    # Nothing is retrieved, so no retriever is needed.
    return cast(Deployment, Ingress).bind(profile, relay, {HOSTED: relay}, [])
