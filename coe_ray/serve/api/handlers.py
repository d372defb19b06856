"""Answers to one chat request by one snapshot: a route, a whole completion, or a stream, in OpenAI's format."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.responses import StreamingResponse

from coe_ray.core.types import Call, Question, Route
from coe_ray.routing.pipeline import question_of_call
from coe_ray.serve.api.openai import ChatRequest, ChatResponse, RequestError, route_object
from coe_ray.serve.api.responses import JsonResponse, name_expert_in_errors, route_headers, stream_events
from coe_ray.serve.snapshot.snapshot import Snapshot
from coe_ray.serve.telemetry.request_record import current_record

Result = TypeVar("Result")


async def answer_route(snapshot: Snapshot, request: ChatRequest, limit_s: float) -> JsonResponse:
    """The route alone."""
    async with snapshot.coe.deadline(limit_s):
        route = await _find_route(snapshot, question_of_call(request.call()))
    headers = route_headers(snapshot.version, route.expert, route)
    return JsonResponse(_coe_object(snapshot, route.expert, route), headers=headers)


async def answer_completion(snapshot: Snapshot, request: ChatRequest, limit_s: float) -> JsonResponse:
    """The whole answer. Raises `CallError` where no expert answered, `RequestError` for an unknown model."""
    coe = snapshot.coe
    expert, route, completion = await _answer(snapshot, request, limit_s, coe.complete_routed, coe.complete_with)
    current_record().usage = completion.usage
    content = ChatResponse(request.model).completion(completion, _coe_object(snapshot, expert, route))
    return JsonResponse(content, headers=route_headers(snapshot.version, expert, route))


async def answer_stream(snapshot: Snapshot, request: ChatRequest, limit_s: float) -> StreamingResponse:
    """The answer piece by piece, once the first is there. Raises as `answer_completion` does."""
    coe = snapshot.coe
    expert, route, stream = await _answer(snapshot, request, limit_s, coe.stream_routed, coe.stream_with)
    response, content = ChatResponse(request.model), _coe_object(snapshot, expert, route)
    body = stream_events(response, stream.first, stream.rest, content, include_usage=request.include_usage)
    # No proxy may cache or buffer the events.
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    headers |= route_headers(snapshot.version, expert, route)
    return StreamingResponse(body, media_type="text/event-stream", headers=headers)


async def _answer(
    snapshot: Snapshot,
    request: ChatRequest,
    limit_s: float,
    by_route: Callable[[Route, Question, Call, float], Awaitable[tuple[Route, Result]]],
    by_name: Callable[[str, Question, Call], Awaitable[Result]],
) -> tuple[str, Route | None, Result]:
    """The expert that answered, its route (`None` where the request names the expert), and the answer."""
    call = request.call()
    question = question_of_call(call)
    coe = snapshot.coe
    async with coe.deadline(limit_s) as ends_at:
        if request.model == coe.name:
            route = await _find_route(snapshot, question)
            route, result = await by_route(route, question, call, ends_at)
            current_record().set_route(route)
            return route.expert, route, result
        if request.model not in coe.experts:
            message = f"no model {request.model!r}; there are: {', '.join([coe.name, *coe.experts])}"
            raise RequestError(404, message, param="model", code="model_not_found")
        with name_expert_in_errors(request.model):
            return request.model, None, await by_name(request.model, question, call)


async def _find_route(snapshot: Snapshot, question: Question) -> Route:
    route = await snapshot.route(question)
    current_record().set_route(route)
    return route


def _coe_object(snapshot: Snapshot, expert: str, route: Route | None) -> dict[str, Any]:
    """The response's `coe` object; of a stream as it is at the first piece."""
    if route is None:
        return {"expert": expert, "version": snapshot.version}
    stages = {name: round(seconds, 6) for name, seconds in current_record().stages.items()}
    return {**route_object(route), "version": snapshot.version, "stages": stages}
