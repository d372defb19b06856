"""The least that Ray Serve can do for a chat completion: pass it on. The endpoint's cost is measured beside it."""

import aiohttp
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5})
class PassThrough:
    """Pass-through with as many requests at once and as much of the machine as one ingress of coe_ray."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, request: Request) -> Response:
        if self._session is None:  # here, where there is a loop
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._url, data=await request.body(), headers=headers) as response:
            return Response(await response.read(), response.status, media_type="application/json")
