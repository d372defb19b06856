"""The ASGI application of the endpoint: routes, middleware and error handlers around a `SnapshotManager`.

It needs no Ray: `Ingress` serves it on Ray Serve, tests call it in process.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coe_ray.core.types import Usage
from coe_ray.routing.conversation import ConversationMemory
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.serve.api.completions import read_completion_request
from coe_ray.serve.api.cors import CorsMiddleware
from coe_ray.serve.api.embeddings import read_embeddings_request, require_embedding_model, write_embeddings
from coe_ray.serve.api.handlers import NO_LEADERBOARD, Answerer, RequestOptions
from coe_ray.serve.api.http import ERROR_HANDLERS, ChatForm, JsonResponse, read_body
from coe_ray.serve.api.openai import ChatRequest, RequestError, model_not_found, read_request
from coe_ray.serve.api.openapi import openapi_document
from coe_ray.serve.api.responses_api import read_responses_request
from coe_ray.serve.auth.authenticator import Authenticator
from coe_ray.serve.auth.middleware import AuthMiddleware
from coe_ray.serve.console.leaderboards import find_leaderboards, list_leaderboard
from coe_ray.serve.console.pages import page_routes
from coe_ray.serve.console.run_routes import run_routes
from coe_ray.serve.hosting.readiness import DependencyHealth
from coe_ray.serve.snapshot.manager import SnapshotManager
from coe_ray.serve.snapshot.snapshot import Snapshot
from coe_ray.serve.telemetry.middleware import Observer, TelemetryMiddleware
from coe_ray.serve.telemetry.request_record import current_record


def create_app(
    snapshots: SnapshotManager,
    authenticator: Authenticator,
    health: DependencyHealth,
    observers: Sequence[Observer] = (),
    warnings: Sequence[str] = (),
    on_shutdown: Sequence[Callable[[], Awaitable[None]]] = (),
) -> Starlette:
    """The whole application, its console included. At its end it closes the models and calls `on_shutdown`.

    `observers` get the record of each finished request (log, metrics). `warnings` are shown by `/healthz`.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        yield
        for close in (snapshots.close, *on_shutdown):
            await close()

    app = Starlette(
        routes=[*Endpoint(snapshots, health, warnings).routes(), *page_routes()],
        # Telemetry is outermost: it records requests that are refused, too. A preflight has no key.
        middleware=[
            Middleware(TelemetryMiddleware, observers),
            Middleware(CorsMiddleware, lambda: snapshots.current.profile.access.cors_origins),
            Middleware(AuthMiddleware, authenticator),
        ],
        exception_handlers=ERROR_HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


class Endpoint:
    """Handlers of the HTTP API. Each request is answered by the snapshot that it met on arrival."""

    def __init__(self, snapshots: SnapshotManager, health: DependencyHealth, warnings: Sequence[str] = ()) -> None:
        self._snapshots = snapshots
        self._health = health
        self._warnings = list(warnings)
        self._memory = ConversationMemory()

    def routes(self) -> list[Route]:
        """All routes but the files of the console."""
        return [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.completions, methods=["POST"]),
            Route("/v1/responses", self.responses, methods=["POST"]),
            Route("/v1/embeddings", self.embeddings, methods=["POST"]),
            Route("/v1/route", self.route, methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/v1/models/{model:path}", self.model),
            Route("/v1/leaderboard", self.leaderboard),
            Route("/v1/leaderboards", self.leaderboards),
            Route("/v1/leaderboards/{version}", self.leaderboard_version),
            *run_routes(),
            Route("/healthz", self.healthz),
            Route("/openapi.json", self.openapi),
        ]

    async def chat(self, request: Request) -> Response:
        """An answer by route (`model: "coe"`) or by a named expert.

        A stream's first piece is awaited before the status is sent, so that failures until then get a status of their
        own. The deadline covers that first piece, not the rest of the stream.
        """
        return await self._answer(request, lambda body: (read_request(body), ChatForm()))

    async def completions(self, request: Request) -> Response:
        """As `chat`, for OpenAI's former form: a prompt in the place of messages."""
        return await self._answer(request, read_completion_request)

    async def responses(self, request: Request) -> Response:
        """As `chat`, for OpenAI's Responses form, without its stored state."""
        return await self._answer(request, read_responses_request)

    async def embeddings(self, request: Request) -> Response:
        """Vectors of texts by the retriever's encoder, where the profile gives it a name."""
        snapshot, options = self._snapshot(), RequestOptions.of(request.headers)
        content = read_embeddings_request(await read_body(request))
        name = require_embedding_model(content, snapshot.profile)
        record = current_record()
        record.kind, record.model = "embeddings", name
        async with snapshot.coe.deadline(options.limit_s):
            embeddings = await snapshot.retriever.embed(content.input)
        record.usage = Usage(embeddings.tokens)
        return JsonResponse(await asyncio.to_thread(write_embeddings, content, embeddings))

    async def _answer(self, request: Request, read: Callable[[bytes], tuple[ChatRequest, ChatForm]]) -> Response:
        snapshot = self._snapshot()
        content, form = read(await read_body(request))
        current_record().set_model(content.model, snapshot.coe.experts)
        answerer = Answerer(snapshot, self._memory, content, RequestOptions.of(request.headers), form)
        return await (answerer.stream() if content.stream else answerer.complete())

    async def route(self, request: Request) -> Response:
        """The route alone; no expert is called."""
        snapshot = self._snapshot()
        content = read_request(await read_body(request))
        current_record().kind = "route"
        return await Answerer(snapshot, self._memory, content, RequestOptions.of(request.headers)).route()

    async def models(self, _: Request) -> Response:
        """`coe`, every expert and the embedding model, as OpenAI lists models."""
        names = _model_names(self._snapshot())
        return JsonResponse({"object": "list", "data": [_model_object(name) for name in names]})

    async def model(self, request: Request) -> Response:
        """One of them."""
        name, known = request.path_params["model"], _model_names(self._snapshot())
        if name not in known:
            raise model_not_found(name, known)
        return JsonResponse(_model_object(name))

    async def leaderboard(self, _: Request) -> Response:
        """The leaderboard that routes are chosen by."""
        board = self._snapshot().coe.leaderboard
        if board is None:
            raise RequestError(404, "this profile has no leaderboard yet; see `coe-ray leaderboard`", code="not_found")
        return JsonResponse(board.as_dict())

    async def leaderboards(self, _: Request) -> Response:
        """All versions that can be read: the one served, former ones, and files beside them."""
        served = self._snapshot().coe.leaderboard
        versions = await self._boards()
        return JsonResponse(
            {"object": "list", "data": [list_leaderboard(board, served).model_dump() for board in versions.values()]}
        )

    async def leaderboard_version(self, request: Request) -> Response:
        """One leaderboard by its version."""
        board = (await self._boards()).get(request.path_params["version"])
        if board is None:
            raise RequestError(404, "no leaderboard of that version is here", param="version", code="not_found")
        return JsonResponse(board.as_dict())

    async def _boards(self) -> dict[str, Leaderboard]:
        served, history = self._snapshot().coe.leaderboard, await self._snapshots.history()
        return await asyncio.to_thread(find_leaderboards, self._snapshots.deployed, served, history)

    async def healthz(self, _: Request) -> Response:
        """200 while all that every answer needs is up; 503 until all was up once, or without retriever or classifier.

        An expert that fails later is listed in `waiting_for`; its questions go to the next best.
        """
        snapshot = self._snapshots.current
        board = snapshot.coe.leaderboard
        waiting = await self._health.waiting()
        unready = [name for name in waiting if self._health.is_needed(name, snapshot.profile.classifier.model)]
        content = {
            "status": "starting" if unready else "degraded" if waiting else "ok",
            "waiting_for": waiting,
            "profile": snapshot.profile.name,
            "asks_for_key": snapshot.profile.keys_file is not None,
            "version": snapshot.version,
            "leaderboard": board.version if board else None,
            "experts": list(snapshot.coe.experts),
            # The reason is for operators only: the log and `coe-ray change` give it.
            "change_refused": self._snapshots.refused is not None,
            "warnings": [*self._warnings, *([] if board else [NO_LEADERBOARD])],
        }
        return JsonResponse(content, 503 if unready else 200)

    async def openapi(self, _: Request) -> Response:
        """The OpenAPI document."""
        return JsonResponse(openapi_document())

    def _snapshot(self) -> Snapshot:
        """The current snapshot, whose version goes into the request's record."""
        current = self._snapshots.current
        current_record().version = current.version
        return current


def _model_names(snapshot: Snapshot) -> list[str]:
    names = [snapshot.coe.name, *snapshot.coe.experts]
    return [*names, embeddings] if (embeddings := snapshot.profile.retrieval.embeddings) else names


def _model_object(name: str) -> dict[str, str | int]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "coe_ray"}
