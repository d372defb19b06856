"""The HTTP door: OpenAI's form around `CompositionOfExperts`. Each request becomes one walk through the pipeline."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from ray import serve
from ray.serve.handle import DeploymentHandle

from coe_ray.calls.gates import Gates
from coe_ray.cluster import HostedModel, HostedRetriever, answers, governed, hosted_fingerprint, stays_up
from coe_ray.config import Profile
from coe_ray.models import local_models
from coe_ray.pipeline import CompositionOfExperts, asked_question, load_leaderboard
from coe_ray.serve.openai import Reply, RequestError, read_request, route_object
from coe_ray.serve.responses import Json, blamed_on, errors_as_objects, events, expert_header, read_body, route_headers
from coe_ray.types import Question

api = FastAPI(title="coe_ray", docs_url=None, redoc_url=None)
errors_as_objects(api)

CIRCUIT_RESTS_S = 30.0
"""How long a model with a bad key or a used-up quota is left alone before one request tries it again."""


@serve.deployment(name="ingress", max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5})
@serve.ingress(api)
class Ingress:
    """Holds the pipeline: API models are called from here, hosted ones through their handles."""

    def __init__(
        self,
        profile: Profile,
        retriever: DeploymentHandle,
        hosted: dict[str, DeploymentHandle],
        warnings: list[str],
    ) -> None:
        local = local_models(profile, Gates(governed()), CIRCUIT_RESTS_S)
        models = local | {name: HostedModel(name, handle) for name, handle in hosted.items()}
        leaderboard = load_leaderboard(profile)
        self._coe = CompositionOfExperts(profile, models, HostedRetriever(retriever), leaderboard)
        self._warnings = warnings
        # What may scale to zero is started by its first request, not by a probe.
        always_up = {name: handle for name, handle in hosted.items() if stays_up(profile, name)}
        self._behind = {"retriever": retriever} | always_up

    @api.post("/v1/chat/completions")
    async def chat(self, request: Request) -> Response:
        """A routed answer (`model: "coe"`) or one of a named expert.

        Of a stream the first piece is awaited before the status goes out: what fails until then gets its own
        status. The deadline ends with that piece, too: a stream that has begun is its reader's.
        """
        asked = read_request(await read_body(request))
        call = asked.call()
        question = asked_question(call)
        reply = Reply(asked.model)
        async with self._coe.deadline():
            coe, headers = await self._decided(asked.model, question)
            with blamed_on(coe["expert"]):
                if not asked.stream:
                    completion = await self._coe.complete_from(coe["expert"], question, call)
                    return Json(reply.completion(completion, coe), headers=headers)
                deltas = self._coe.stream_from(coe["expert"], question, call)
                first = await anext(deltas)
        body = events(reply, first, deltas, coe, include_usage=asked.include_usage)
        return StreamingResponse(body, media_type="text/event-stream", headers=headers)

    @api.post("/v1/route")
    async def route(self, request: Request) -> Response:
        """The decision alone."""
        asked = read_request(await read_body(request))
        async with self._coe.deadline():
            coe, headers = await self._decided(self._coe.name, asked_question(asked.call()))
        return Json(coe, headers=headers)

    @api.get("/v1/models")
    async def models(self) -> Response:
        """`coe` and every expert, in OpenAI's list form."""
        names = [self._coe.name, *self._coe.experts]
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "coe_ray"} for name in names]
        return Json({"object": "list", "data": listed})

    @api.get("/v1/leaderboard")
    async def leaderboard(self) -> Response:
        """The scores that routes are made with."""
        if self._coe.leaderboard is None:
            raise RequestError(404, "this profile has no leaderboard yet; see jobs/leaderboard.py", code="not_found")
        return Json(self._coe.leaderboard.as_dict())

    @api.get("/healthz")
    async def healthz(self) -> Response:
        """200 where every deployment behind this one answers, 503 while one does not."""
        board = self._coe.leaderboard
        up = await asyncio.gather(*map(answers, self._behind.values()))
        waiting = [name for name, well in zip(self._behind, up, strict=True) if not well]
        content = {
            "status": "starting" if waiting else "ok",
            "waiting_for": waiting,
            "profile": self._coe.profile.name,
            "leaderboard": board.version if board else None,
            "experts": list(self._coe.experts),
            "warnings": self._warnings,
        }
        return Json(content, 503 if waiting else 200)

    def hosted(self) -> str:
        """What is hosted here, for a bench job that wants to share it."""
        return hosted_fingerprint(self._coe.profile)

    async def _decided(self, model: str, question: Question) -> tuple[dict[str, Any], dict[str, str]]:
        """Who answers: the `coe` object (the route, or the named expert alone) and the headers."""
        if model == self._coe.name:
            route = await self._coe.route(question)
            return route_object(route), route_headers(route)
        if model not in self._coe.experts:
            known = ", ".join([self._coe.name, *self._coe.experts])
            raise RequestError(404, f"no model {model!r}; there are: {known}", param="model", code="model_not_found")
        return {"expert": model}, expert_header(model)
