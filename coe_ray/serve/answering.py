"""One request's walk through an edition: decided, answered, and written in OpenAI's form."""

from typing import Any

from fastapi.responses import StreamingResponse

from coe_ray.pipeline import asked_question
from coe_ray.serve.edition import Edition
from coe_ray.serve.openai import ChatRequest, Reply, RequestError, route_object
from coe_ray.serve.records import current_record
from coe_ray.serve.responses import Json, blamed_on, event_stream, events, headers_of
from coe_ray.types import Question, Route


async def decision(edition: Edition, asked: ChatRequest, limit_s: float) -> Json:
    """The route alone."""
    async with edition.coe.deadline(limit_s):
        route = await _decided(edition, asked_question(asked.call()))
    return Json(_coe(edition, route.expert, route), headers=headers_of(edition.version, route.expert, route))


async def completion(edition: Edition, asked: ChatRequest, limit_s: float) -> Json:
    """The whole answer. Raises `CallError` where nobody gave one, `RequestError` for a name that nobody has."""
    call, expert = asked.call(), asked.model
    question = asked_question(call)
    async with edition.coe.deadline(limit_s) as ends_at:
        if route := await _route(edition, asked.model, question):
            route, said = await edition.coe.complete_by(route, question, call, ends_at)
            current_record().decided(route)
            expert = route.expert
        else:
            with blamed_on(expert):
                said = await edition.coe.complete_from(expert, question, call)
    current_record().usage = said.usage
    content = Reply(asked.model).completion(said, _coe(edition, expert, route))
    return Json(content, headers=headers_of(edition.version, expert, route))


async def stream(edition: Edition, asked: ChatRequest, limit_s: float) -> StreamingResponse:
    """The answer piece by piece, once the first is there. Raises as `completion` does."""
    call, expert = asked.call(), asked.model
    question = asked_question(call)
    async with edition.coe.deadline(limit_s) as ends_at:
        if route := await _route(edition, asked.model, question):
            route, begun = await edition.coe.begin_by(route, question, call, ends_at)
            current_record().decided(route)
            expert = route.expert
        else:
            with blamed_on(expert):
                begun = await edition.coe.begin_from(expert, question, call)
    coe = _coe(edition, expert, route)
    body = events(Reply(asked.model), begun.first, begun.rest, coe, include_usage=asked.include_usage)
    return event_stream(body, headers_of(edition.version, expert, route))


async def _route(edition: Edition, model: str, question: Question) -> Route | None:
    """The route of `coe`, and none of a named expert."""
    if model == edition.coe.name:
        return await _decided(edition, question)
    if model not in edition.coe.experts:
        known = ", ".join([edition.coe.name, *edition.coe.experts])
        raise RequestError(404, f"no model {model!r}; there are: {known}", param="model", code="model_not_found")
    return None


async def _decided(edition: Edition, question: Question) -> Route:
    route = await edition.decide(question)
    current_record().decided(route)
    return route


def _coe(edition: Edition, expert: str, route: Route | None) -> dict[str, Any]:
    """What is said of how the answer came about."""
    return {**(route_object(route) if route else {"expert": expert}), "version": edition.version}
