"""The HTTP door: OpenAI's form around `CompositionOfExperts`. Each request becomes one walk through the pipeline."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from ray import serve
from ray.serve.handle import DeploymentHandle

from coe_ray.cluster import HostedModel, HostedRetriever
from coe_ray.config import Profile
from coe_ray.errors import CallError, CallTimeout, CoeError, ContentFiltered, ContextTooLong
from coe_ray.models import local_models
from coe_ray.pipeline import CompositionOfExperts, asked_question, load_leaderboard
from coe_ray.serve.openai import ChatRequest, Reply, RequestError, error_object, read_request, route_object
from coe_ray.types import Call, Delta, Question, Route, Usage

MAX_BODY = 1 << 20
"""Bytes of a request body, at most."""

log = logging.getLogger("ray.serve")
api = FastAPI(title="coe_ray", docs_url=None, redoc_url=None)


class Json(Response):
    """A response written by orjson."""

    media_type = "application/json"

    def __init__(self, content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(orjson.dumps(content), status, dict(headers or {}))


@api.middleware("http")
async def _errors_as_objects(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Every error leaves as an OpenAI error object; what nobody foresaw is logged and says nothing of its inside."""
    try:
        response = await call_next(request)
    except RequestError as error:
        return Json(error_object(error.status, error.message, error.param, error.code), error.status)
    except CallError as error:
        return _call_failed(error)
    except CoeError as error:
        return Json(error_object(500, str(error)), 500)
    except Exception:
        log.exception("request to %s failed", request.url.path)
        return Json(error_object(500, "internal error; the server's log says more"), 500)
    if response.status_code in (404, 405) and response.headers.get("content-type") == "application/json":
        message = f"there is no {request.method} {request.url.path} here"
        return Json(error_object(response.status_code, message, code="not_found"), response.status_code)
    return response


def _call_failed(error: CallError) -> Json:
    if isinstance(error, ContextTooLong):
        return Json(error_object(400, str(error), code="context_length_exceeded"), 400)
    if isinstance(error, ContentFiltered):
        return Json(error_object(400, str(error), code="content_filter"), 400)
    status = 504 if isinstance(error, CallTimeout) and error.model == "coe" else 502
    return Json(error_object(status, str(error), code=type(error).__name__), status)


@serve.deployment(name="ingress", max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5})
@serve.ingress(api)
class Ingress:
    """Holds the pipeline: API models are called from here, hosted ones through their handles."""

    def __init__(
        self, profile: Profile, retriever: DeploymentHandle, hosted: dict[str, DeploymentHandle], warnings: list[str]
    ) -> None:
        models = local_models(profile) | {name: HostedModel(name, handle) for name, handle in hosted.items()}
        leaderboard = load_leaderboard(profile)
        self._coe = CompositionOfExperts(profile, models, HostedRetriever(retriever), leaderboard)
        self._warnings = warnings

    @api.post("/v1/chat/completions")
    async def chat(self, request: Request) -> Response:
        """A routed answer (`model: "coe"`) or one of a named expert."""
        asked = read_request(await _body(request))
        call = asked.call()
        question = asked_question(call)
        if asked.stream:
            return await self._streamed(asked, call, question)
        if asked.model == self._coe.name:
            route, completion = await self._coe.answer(call)
            return Json(Reply(asked.model).completion(completion, route_object(route)), headers=_headers(route))
        expert = self._expert(asked.model)
        completion = await self._coe.complete_from(expert, question, call)
        return Json(Reply(asked.model).completion(completion, {"expert": expert}), headers={"x-coe-expert": expert})

    @api.post("/v1/route")
    async def route(self, request: Request) -> Response:
        """The decision alone."""
        asked = read_request(await _body(request))
        route = await self._coe.route(asked_question(asked.call()))
        return Json(route_object(route), headers=_headers(route))

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

    async def _streamed(self, asked: ChatRequest, call: Call, question: Question) -> Response:
        """The first piece is awaited before the status goes out: what fails until then gets its own status."""
        if asked.model == self._coe.name:
            route = await self._coe.route(question)
            expert, coe, headers = route.expert, route_object(route), _headers(route)
        else:
            expert = self._expert(asked.model)
            coe, headers = {"expert": expert}, {"x-coe-expert": expert}
        deltas = self._coe.stream_from(expert, question, call)
        first = await anext(deltas)
        events = _events(Reply(asked.model), first, deltas, coe)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    def _expert(self, model: str) -> str:
        if model not in self._coe.experts:
            known = ", ".join([self._coe.name, *self._coe.experts])
            raise RequestError(404, f"no model {model!r}; there are: {known}", param="model", code="model_not_found")
        return model


async def _body(request: Request) -> bytes:
    """The body, read no further than `MAX_BODY`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise RequestError(413, f"the body is over {MAX_BODY} bytes", code="request_too_large")
    return bytes(body)


async def _events(
    reply: Reply, first: Delta, deltas: AsyncIterator[Delta], coe: dict[str, Any]
) -> AsyncIterator[bytes]:
    """Server-sent events. A stream that already sent text ends with an error event where its expert fails."""
    usage: Usage | None = first.usage
    yield _event(_chunk(reply, first))
    try:
        async for delta in deltas:
            usage = delta.usage or usage
            yield _event(_chunk(reply, delta))
    except CallError as error:
        yield _event(error_object(502, str(error), code=type(error).__name__))
        return
    yield _event(reply.last_chunk(usage, coe))
    yield b"data: [DONE]\n\n"


def _chunk(reply: Reply, delta: Delta) -> dict[str, Any]:
    return reply.chunk(delta.text, delta.finish_reason)


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def _headers(route: Route) -> dict[str, str]:
    # Header values are ASCII; a task's name may be Chinese.
    task = quote(route.classification.task, safe=" /&()-")
    return {"x-coe-task": task, "x-coe-expert": quote(route.expert, safe=" "), "x-coe-leaderboard": route.leaderboard}
