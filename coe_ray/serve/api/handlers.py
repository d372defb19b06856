"""One request's walk through a snapshot: routed, answered, and written in OpenAI's form."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.responses import StreamingResponse

from coe_ray.core.types import Call, Question, Route
from coe_ray.routing.pipeline import question_of_call
from coe_ray.serve.api.openai import ChatRequest, Reply, RequestError, route_object
from coe_ray.serve.api.responses import JsonResponse, event_stream, events, headers_of, make_error_response
from coe_ray.serve.snapshot.snapshot import Snapshot
from coe_ray.serve.telemetry.request_record import current_record

Result = TypeVar("Result")


async def answer_route(snapshot: Snapshot, request: ChatRequest, limit_s: float) -> JsonResponse:
    """The route alone."""
    async with snapshot.coe.deadline(limit_s):
        route = await _decided(snapshot, question_of_call(request.call()))
    return JsonResponse(_coe(snapshot, route.expert, route), headers=headers_of(snapshot.version, route.expert, route))


async def answer_completion(snapshot: Snapshot, request: ChatRequest, limit_s: float) -> JsonResponse:
    """The whole answer. Raises `CallError` where nobody gave one, `RequestError` for a name that nobody has."""
    coe = snapshot.coe
    expert, route, said = await _answered(snapshot, request, limit_s, coe.complete_routed, coe.complete_with)
    current_record().usage = said.usage
    content = Reply(request.model).completion(said, _coe(snapshot, expert, route))
    return JsonResponse(content, headers=headers_of(snapshot.version, expert, route))


async def answer_stream(snapshot: Snapshot, request: ChatRequest, limit_s: float) -> StreamingResponse:
    """The answer piece by piece, once the first is there. Raises as `answer_completion` does."""
    expert, route, begun = await _answered(
        snapshot, request, limit_s, snapshot.coe.stream_routed, snapshot.coe.stream_with
    )
    coe = _coe(snapshot, expert, route)
    body = events(Reply(request.model), begun.first, begun.rest, coe, include_usage=request.include_usage)
    return event_stream(body, headers_of(snapshot.version, expert, route))


async def _answered(
    snapshot: Snapshot,
    request: ChatRequest,
    limit_s: float,
    by_rank: Callable[[Route, Question, Call, float], Awaitable[tuple[Route, Result]]],
    by_name: Callable[[str, Question, Call], Awaitable[Result]],
) -> tuple[str, Route | None, Result]:
    """Who answered, the route that led there where one was asked for, and the answer."""
    call = request.call()
    question = question_of_call(call)
    async with snapshot.coe.deadline(limit_s) as ends_at:
        if route := await _route(snapshot, request.model, question):
            route, result = await by_rank(route, question, call, ends_at)
            current_record().set_route(route)
            return route.expert, route, result
        with make_error_response(request.model):
            return request.model, None, await by_name(request.model, question, call)


async def _route(snapshot: Snapshot, model: str, question: Question) -> Route | None:
    """The route of `coe`, and none of a named expert."""
    if model == snapshot.coe.name:
        return await _decided(snapshot, question)
    if model not in snapshot.coe.experts:
        known = ", ".join([snapshot.coe.name, *snapshot.coe.experts])
        raise RequestError(404, f"no model {model!r}; there are: {known}", param="model", code="model_not_found")
    return None


async def _decided(snapshot: Snapshot, question: Question) -> Route:
    route = await snapshot.route(question)
    current_record().set_route(route)
    return route


def _coe(snapshot: Snapshot, expert: str, route: Route | None) -> dict[str, Any]:
    """What is said of how the answer came about; of a stream at its first piece."""
    if route is None:
        return {"expert": expert, "version": snapshot.version}
    stages = {name: round(seconds, 6) for name, seconds in current_record().stages.items()}
    return {**route_object(route), "version": snapshot.version, "stages": stages}
