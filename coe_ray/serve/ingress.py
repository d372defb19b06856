"""The HTTP door: OpenAI's form around `CompositionOfExperts`. Each request becomes one walk through the pipeline."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coe_ray.cluster.health import hosted_fingerprint, is_always_up, tune_garbage_collector
from coe_ray.cluster.ray_internals import serve_host
from coe_ray.profile.profile import Profile
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.serve.api.handlers import answer_completion, answer_route, answer_stream
from coe_ray.serve.api.openai import RequestError, read_deadline, read_request
from coe_ray.serve.api.openapi import openapi_document
from coe_ray.serve.api.responses import ERROR_HANDLERS, JsonResponse, read_body
from coe_ray.serve.auth.authenticator import Authenticator
from coe_ray.serve.auth.loopback import require_keys_or_loopback
from coe_ray.serve.auth.middleware import AuthMiddleware
from coe_ray.serve.console.leaderboards import boards, listed
from coe_ray.serve.console.pages import page_routes
from coe_ray.serve.console.run_routes import run_routes
from coe_ray.serve.hosting.readiness import RETRIEVER_NAME, DependencyHealth
from coe_ray.serve.hosting.replicas import ReplicaCount
from coe_ray.serve.snapshot.manager import SnapshotManager
from coe_ray.serve.snapshot.snapshot import Snapshot, SnapshotBuilder, snapshot_version
from coe_ray.serve.telemetry.metrics import metrics
from coe_ray.serve.telemetry.middleware import TelemetryMiddleware
from coe_ray.serve.telemetry.request_log import current_record
from coe_ray.serve.telemetry.tracing import set_up_tracing


@serve.deployment(
    name="ingress",
    user_config={},
    max_ongoing_requests=256,
    max_queued_requests=256,
    backpressure_config={"status_code": 503, "retry_after_s": 1.0},
    health_check_period_s=2.0,  # by default a dead replica is noticed, and another one started, up to 10 s late
    ray_actor_options={"num_cpus": 0.5},
)
@serve.ingress()
class Ingress:
    """Holds the pipeline: API models are called from here, hosted ones through their handles."""

    def __init__(
        self,
        profile: Profile,
        retriever: DeploymentHandle,
        hosted: dict[str, DeploymentHandle],
        warnings: list[str],
    ) -> None:
        require_keys_or_loopback(profile.access, serve_host())
        self._profile = profile
        context = serve.get_replica_context()
        self._replicas = ReplicaCount(context.app_name, context.deployment)
        self._access = Authenticator(profile.access, profile.keys_file, lambda: self._replicas.now)
        self._editions = SnapshotManager(SnapshotBuilder(profile, retriever, hosted), self._configure_access)
        self._warnings = warnings
        # What may scale to zero is started by its first request, not by a probe.
        always_up = {name: handle for name, handle in hosted.items() if is_always_up(profile, name)}
        self._behind = DependencyHealth({RETRIEVER_NAME: retriever} | always_up)
        set_up_tracing()
        tune_garbage_collector()

    def __serve_build_asgi_app__(self) -> Starlette:
        """Serve asks for it once the replica is made. Not FastAPI: its part of a request was a tenth of the time."""
        # The guard is within: who is refused is watched, too.
        api = Starlette(
            routes=[*self.routes(), *page_routes()],
            middleware=[Middleware(TelemetryMiddleware), Middleware(AuthMiddleware, self._access)],
            exception_handlers=ERROR_HANDLERS,
        )
        api.router.redirect_slashes = False
        return api

    def routes(self) -> list[Route]:
        """What the endpoint answers, but for the files of its console."""
        return [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/route", self.route, methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/v1/leaderboard", self.leaderboard),
            Route("/v1/leaderboards", self.leaderboards),
            Route("/v1/leaderboards/{version}", self.leaderboard_version),
            *run_routes(),
            Route("/healthz", self.healthz),
            Route("/openapi.json", self.openapi),
        ]

    async def check_health(self) -> None:
        """Asked by Serve before the first request and every few seconds."""
        self._replicas.refresh()

    async def reconfigure(self, change: Mapping[str, Any]) -> None:
        """Serve's `user_config`: a JSON merge patch to the profile. One that cannot be served changes nothing."""
        before = self._editions.current.version
        good = await self._editions.switch(change)
        if not good or self._editions.current.version != before:
            metrics().switched(good=good)

    def _configure_access(self, profile: Profile) -> None:
        require_keys_or_loopback(profile.access, serve_host())
        self._access.configure(profile.access, profile.keys_file)

    async def chat(self, request: Request) -> Response:
        """A routed answer (`model: "coe"`) or one of a named expert.

        Of a stream the first piece is awaited before the status goes out: what fails until then gets its own
        status. The deadline ends with that piece, too: a stream that has begun is its reader's.
        """
        edition = self._edition()
        asked = read_request(await read_body(request))
        current_record().asked_for(asked.model, edition.coe.experts)
        answer = answer_stream if asked.stream else answer_completion
        return await answer(edition, asked, read_deadline(request.headers))

    async def route(self, request: Request) -> Response:
        """The decision alone."""
        edition = self._edition()
        asked = read_request(await read_body(request))
        current_record().kind = "route"
        return await answer_route(edition, asked, read_deadline(request.headers))

    async def models(self, _: Request) -> Response:
        """`coe` and every expert, in OpenAI's list form."""
        edition = self._edition()
        names = [edition.coe.name, *edition.coe.experts]
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "coe_ray"} for name in names]
        return JsonResponse({"object": "list", "data": listed})

    async def leaderboard(self, _: Request) -> Response:
        """The scores that routes are made with."""
        board = self._edition().coe.leaderboard
        if board is None:
            raise RequestError(404, "this profile has no leaderboard yet; see jobs/leaderboard.py", code="not_found")
        return JsonResponse(board.as_dict())

    async def leaderboards(self, _: Request) -> Response:
        """The versions that can be read here: what is served, what was, and what lies beside it."""
        served = self._edition().coe.leaderboard
        found = await self._boards()
        return JsonResponse({"object": "list", "data": [listed(board, served) for board in found.values()]})

    async def leaderboard_version(self, request: Request) -> Response:
        """One of them."""
        board = (await self._boards()).get(request.path_params["version"])
        if board is None:
            raise RequestError(404, "no leaderboard of that version is here", param="version", code="not_found")
        return JsonResponse(board.as_dict())

    async def _boards(self) -> dict[str, Leaderboard]:
        served, history = self._edition().coe.leaderboard, await self._editions.history()
        return await asyncio.to_thread(boards, self._profile, served, history)

    async def healthz(self, _: Request) -> Response:
        """200 where what every answer needs is up; 503 until all was up once, or while retriever or classifier are not.

        An expert that breaks later is `waiting_for`, and its questions go to the next best.
        """
        edition = self._editions.current
        board = edition.coe.leaderboard
        waiting = await self._behind.waiting()
        unready = [name for name in waiting if self._behind.is_needed(name, edition.profile.classifier.model)]
        content = {
            "status": "starting" if unready else "degraded" if waiting else "ok",
            "waiting_for": waiting,
            "profile": edition.profile.name,
            "asks_for_key": edition.profile.keys_file is not None,
            "version": edition.version,
            "leaderboard": board.version if board else None,
            "experts": list(edition.coe.experts),
            # Why is for those who run it: the log and jobs/change.py say it.
            "change_refused": self._editions.refused is not None,
            "warnings": self._warnings,
        }
        return JsonResponse(content, 503 if unready else 200)

    async def openapi(self, _: Request) -> Response:
        """The document of all this."""
        return JsonResponse(openapi_document())

    def _edition(self) -> Snapshot:
        """What this request is answered with, whatever changes meanwhile."""
        current = self._editions.current
        current_record().version = current.version
        return current

    def hosted(self) -> str:
        """What is hosted here, for a bench job that wants to share it."""
        return hosted_fingerprint(self._profile)

    async def served(self) -> dict[str, Any]:
        """What jobs/change.py asks: the version, the changes that led to it, and why the last was not taken."""
        history = [asdict(change) for change in await self._editions.history()]
        return {
            "profile": str(self._profile.file),
            "base": snapshot_version(self._profile, None),
            "version": self._editions.current.version,
            "refused": self._editions.refused,
            "history": history,
        }
