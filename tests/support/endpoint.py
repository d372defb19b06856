"""The whole endpoint in this process, without Ray: `create_app` over scripted models, and clients for it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import ConfigError
from coe_ray.core.types import Neighbour, Question
from coe_ray.llm.factory import make_local_models
from coe_ray.llm.weights import locate_weights
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.retrieval.encoder import Embeddings, SentenceEncoder
from coe_ray.retrieval.index_cache import IndexCache
from coe_ray.serve.api.application import create_app
from coe_ray.serve.auth.authenticator import Authenticator
from coe_ray.serve.hosting.readiness import DependencyHealth
from coe_ray.serve.snapshot.manager import SnapshotManager
from coe_ray.serve.snapshot.snapshot import IndexRetriever, SnapshotBuilder
from coe_ray.serve.telemetry.middleware import Observer
from coe_ray.serve.telemetry.request_record import RequestRecord

URL = "http://endpoint"


class MemoryStore:
    """`KeyValueStore` in a dict."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self.values if key.startswith(prefix)]

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def add(self, key: str, value: bytes) -> bool:
        return self.values.setdefault(key, value) is value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class LocalRetriever:
    """`IndexRetriever` over the indexes of this process."""

    def __init__(self, encoder: SentenceEncoder, indexes: IndexCache, folder: Path) -> None:
        self._encoder = encoder
        self._indexes = indexes
        self._folder = folder

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        return await (await self._indexes.at(self._folder)).nearest(question, k)

    async def embed(self, texts: list[str]) -> Embeddings:
        vectors = await self._indexes.encoder.encode_all(texts)
        return Embeddings(vectors, self._encoder.count_tokens(texts))

    async def check(self) -> None:
        await self._indexes.check(self._folder)


class NoIndex:
    """`IndexRetriever` over a folder without an index."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        return ()

    async def embed(self, texts: list[str]) -> Embeddings:
        raise ConfigError(f"{self._folder}: no encoder")

    async def check(self) -> None:
        raise ConfigError(f"{self._folder}: no index")


class ClosingTransport(httpx.ASGITransport):
    """The application without its lifespan, whose end is the client's."""

    snapshots: SnapshotManager

    async def aclose(self) -> None:
        await self.snapshots.close()


@dataclass(frozen=True)
class TestEndpoint:
    """The application, what it serves, and the records of the requests that it finished."""

    __test__ = False

    app: Starlette
    snapshots: SnapshotManager
    records: list[RequestRecord]

    def client(self) -> httpx.AsyncClient:
        """HTTP without a network. Its responses come whole: a stream's pieces are only seen over `serve_app`."""
        transport = ClosingTransport(self.app, raise_app_exceptions=False)
        transport.snapshots = self.snapshots
        return httpx.AsyncClient(transport=transport, base_url=URL)


def make_endpoint(
    path: Path,
    *,
    models: Mapping[str, ChatModel] | None = None,
    make_retriever: Callable[[Path], IndexRetriever] | None = None,
    replicas: int = 1,
    observers: Sequence[Observer] | None = None,
    warnings: Sequence[str] = (),
) -> TestEndpoint:
    """The endpoint of the profile at `path`. `models` replace or add to the profile's, `observers` the recording.

    Without `make_retriever` the profile's index is searched, with the real encoder.
    """
    profile = load_profile(path)
    encoder = profile.retrieval.encoder
    authenticator = Authenticator(profile.access, profile.keys_file, lambda: replicas)
    builder = SnapshotBuilder(
        profile,
        make_models=lambda each: make_local_models(each) | dict(models or {}),
        hosted={},
        make_retriever=make_retriever or _local_retrievers(encoder.hub),
    )

    async def configure_access(changed: Profile) -> None:
        await authenticator.configure(changed.access, changed.keys_file)

    snapshots = SnapshotManager(builder, MemoryStore(), configure_access)
    records: list[RequestRecord] = []
    app = create_app(snapshots, authenticator, DependencyHealth({}), observers or [records.append], warnings)
    return TestEndpoint(app, snapshots, records)


def _local_retrievers(hub: str) -> Callable[[Path], IndexRetriever]:
    encoder = load_encoder(hub)
    return partial(LocalRetriever, encoder, IndexCache(encoder))


@cache
def load_encoder(hub: str) -> SentenceEncoder:
    """The shipped encoder, loaded once in a test run."""
    encoder = load_profile("local-cpu").retrieval.encoder
    assert encoder.hub == hub
    return SentenceEncoder(hub, locate_weights(encoder))


@contextmanager
def serve_app(app: ASGIApp) -> Iterator[str]:
    """Real HTTP on a port of its own until the end of the block: its address. The server runs in a thread."""
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
