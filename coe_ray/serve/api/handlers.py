"""Answers to one chat request by one snapshot: a route, a whole completion, or a stream, in OpenAI's format."""

import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar
from urllib.parse import unquote

from starlette.responses import StreamingResponse

from coe_ray.core.fail_fast import retry_budget
from coe_ray.core.types import Call, Question, Route
from coe_ray.routing.conversation import Conversation, ConversationMemory, read_conversation
from coe_ray.routing.router import narrow_route, stay_with
from coe_ray.serve.api.http import IN_VAIN, ChatForm, JsonResponse, name_expert_in_errors, route_headers, stream_events
from coe_ray.serve.api.openai import (
    SESSION,
    TASK,
    ChatRequest,
    ChatResponse,
    RequestError,
    model_not_found,
    read_deadline,
    route_object,
)
from coe_ray.serve.snapshot.snapshot import Snapshot
from coe_ray.serve.telemetry.request_record import current_record

Result = TypeVar("Result")

NO_LEADERBOARD = "this profile has no leaderboard yet, so `coe` cannot route"


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What a client says in headers: the deadline in seconds, its question's task, and its conversation."""

    limit_s: float = math.inf
    task: str | None = None
    session: bytes = b""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Self:
        """Raises `RequestError` (400) for a header that cannot be read."""
        task, session = headers.get(TASK), headers.get(SESSION)
        # One key's sessions are not another's.
        owned = f"{current_record().key}\0{session}".encode(errors="surrogatepass") if session else b""
        hashed = hashlib.blake2b(owned, digest_size=16).digest() if owned else b""
        return cls(read_deadline(headers), unquote(task) if task else None, hashed)


@dataclass(frozen=True, slots=True)
class Answerer:
    """Answers one request by a snapshot. `memory` knows which expert a conversation stays with.

    `form` is the one that the client speaks.
    """

    snapshot: Snapshot
    memory: ConversationMemory
    request: ChatRequest
    options: RequestOptions
    form: ChatForm = ChatForm()

    async def route(self) -> JsonResponse:
        """The route alone."""
        call, conversation = self._read()
        async with self.snapshot.coe.deadline(self.options.limit_s):
            route = await self._find_route(call, conversation)
        headers = route_headers(self.snapshot.version, route.expert, route)
        return JsonResponse(self._coe_object(route.expert, route), headers=headers)

    async def complete(self) -> JsonResponse:
        """The whole answer. Raises `CallError` where no expert answered, `RequestError` for an unknown model."""
        coe = self.snapshot.coe
        expert, route, completion = await self._answer(coe.complete_routed, coe.complete_with)
        reason = "content_filter" if completion.refusal else completion.finish_reason
        current_record().set_end(reason, completion.usage)
        content = ChatResponse(self.request.model).completion(completion, self._coe_object(expert, route))
        return JsonResponse(self.form.whole(content), headers=route_headers(self.snapshot.version, expert, route))

    async def stream(self) -> StreamingResponse:
        """The answer piece by piece, once the first is there. Raises as `complete` does."""
        coe = self.snapshot.coe
        expert, route, stream = await self._answer(coe.stream_routed, coe.stream_with)
        response, content = ChatResponse(self.request.model), self._coe_object(expert, route)
        include_usage = self.request.include_usage
        body = stream_events(response, stream.first, stream.rest, content, include_usage=include_usage, form=self.form)
        # No proxy may cache or buffer the events.
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        headers |= route_headers(self.snapshot.version, expert, route)
        return StreamingResponse(body, media_type="text/event-stream", headers=headers)

    async def _answer(
        self,
        by_route: Callable[[Route, Question, Call, float], Awaitable[tuple[Route, Result]]],
        by_name: Callable[[str, Question, Call], Awaitable[Result]],
    ) -> tuple[str, Route | None, Result]:
        """The expert that answered, its route (`None` where the request names the expert), and the answer."""
        call, conversation = self._read()
        coe, model, question = self.snapshot.coe, self.request.model, conversation.question
        async with coe.deadline(self.options.limit_s) as ends_at:
            if model == coe.name:
                route = await self._find_route(call, conversation)
                route, result = await by_route(route, question, call, ends_at)
                current_record().set_route(route)
                self.memory.remember(conversation, self.options.session, route.expert)
                return route.expert, route, result
            if model not in coe.experts:
                raise model_not_found(model, [coe.name, *coe.experts])
            coe.find_readers(call, [model])
            with name_expert_in_errors(model), retry_budget():
                return model, None, await by_name(model, question, call)

    def _read(self) -> tuple[Call, Conversation]:
        """The call with its question, and the conversation that it is of."""
        call = self.request.call()
        conversation = read_conversation(call, current_record().key or "")
        return replace(call, question=conversation.question), conversation

    async def _find_route(self, call: Call, conversation: Conversation) -> Route:
        coe = self.snapshot.coe
        if coe.leaderboard is None:
            message = f"{NO_LEADERBOARD}; name an expert: {', '.join(coe.experts)}"
            raise RequestError(503, message, param="model", code="no_leaderboard", headers=IN_VAIN)
        readers = coe.find_readers(call)
        if self.options.task is not None:
            route = await coe.route(conversation.question, coe.name_task(self.options.task))
        else:
            route = await self.snapshot.route(conversation.question)
        route = narrow_route(route, readers)
        if conversation.goes_on and self.options.task is None:
            route = stay_with(route, self.memory.find(conversation, self.options.session))
        current_record().set_route(route)
        return route

    def _coe_object(self, expert: str, route: Route | None) -> dict[str, Any]:
        """The response's `coe` object; of a stream as it is at the first piece."""
        version = self.snapshot.version
        if route is None:
            return {"expert": expert, "version": version}
        stages = {name: round(seconds, 6) for name, seconds in current_record().stages.items()}
        return {**route_object(route), "version": version, "stages": stages}
