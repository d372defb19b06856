"""The HTTP door: OpenAI's form around `CompositionOfExperts`. Each request becomes one walk through the pipeline."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from ray import serve
from ray.serve.handle import DeploymentHandle

from coe_ray.cluster import HostedModel, HostedRetriever, hosted_fingerprint
from coe_ray.config import Profile
from coe_ray.models import local_models
from coe_ray.pipeline import CompositionOfExperts, asked_question, load_leaderboard
from coe_ray.serve.openai import ChatRequest, Reply, RequestError, read_request, route_object
from coe_ray.serve.responses import Json, errors_as_objects, events, read_body, route_headers
from coe_ray.types import Call, Question

api = FastAPI(title="coe_ray", docs_url=None, redoc_url=None)
errors_as_objects(api)


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
        models = local_models(profile) | {name: HostedModel(name, handle) for name, handle in hosted.items()}
        leaderboard = load_leaderboard(profile)
        self._coe = CompositionOfExperts(profile, models, HostedRetriever(retriever), leaderboard)
        self._warnings = warnings

    @api.post("/v1/chat/completions")
    async def chat(self, request: Request) -> Response:
        """A routed answer (`model: "coe"`) or one of a named expert."""
        asked = read_request(await read_body(request))
        call = asked.call()
        question = asked_question(call)
        if asked.stream:
            return await self._streamed(asked, call, question)
        if asked.model == self._coe.name:
            route, completion = await self._coe.answer(call)
            return Json(Reply(asked.model).completion(completion, route_object(route)), headers=route_headers(route))
        expert = self._expert(asked.model)
        completion = await self._coe.complete_from(expert, question, call)
        return Json(Reply(asked.model).completion(completion, {"expert": expert}), headers={"x-coe-expert": expert})

    @api.post("/v1/route")
    async def route(self, request: Request) -> Response:
        """The decision alone."""
        asked = read_request(await read_body(request))
        route = await self._coe.route(asked_question(asked.call()))
        return Json(route_object(route), headers=route_headers(route))

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
        """Ready to answer: the profile is loaded and every deployment behind it has started."""
        board = self._coe.leaderboard
        return Json(
            {
                "status": "ok",
                "profile": self._coe.profile.name,
                "leaderboard": board.version if board else None,
                "experts": list(self._coe.experts),
                "warnings": self._warnings,
            }
        )

    def hosted(self) -> str:
        """What is hosted here, for a bench job that wants to share it."""
        return hosted_fingerprint(self._coe.profile)

    async def _streamed(self, asked: ChatRequest, call: Call, question: Question) -> Response:
        """The first piece is awaited before the status goes out: what fails until then gets its own status."""
        if asked.model == self._coe.name:
            route = await self._coe.route(question)
            expert, coe, headers = route.expert, route_object(route), route_headers(route)
        else:
            expert = self._expert(asked.model)
            coe, headers = {"expert": expert}, {"x-coe-expert": expert}
        deltas = self._coe.stream_from(expert, question, call)
        first = await anext(deltas)
        body = events(Reply(asked.model), first, deltas, coe)
        return StreamingResponse(body, media_type="text/event-stream", headers=headers)

    def _expert(self, model: str) -> str:
        if model not in self._coe.experts:
            known = ", ".join([self._coe.name, *self._coe.experts])
            raise RequestError(404, f"no model {model!r}; there are: {known}", param="model", code="model_not_found")
        return model
