"""An endpoint in process over two experts of one provider, and a record of what clients sent to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from coe_ray.routing.leaderboard import Leaderboard
from tests.serve.clients.upstream import ATLAS, BOREAS, SORTER, Upstream
from tests.support.endpoint import NoIndex, make_endpoint, serve_app
from tests.support.profiles import NO_ENCODER, api, write_profile


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream().started() as upstream:
        yield upstream


@pytest.fixture
def base_url(tmp_path: Path, upstream: Upstream) -> Iterator[str]:
    """What a client is given. Atlas is best at clusters, Boreas at alerts."""
    content = {
        "tasks": [
            {"name": "Clusters", "description": "nodes and pods"},
            {"name": "Alerts", "description": "what pages somebody at night"},
        ],
        "models": {
            "sorter": api(upstream.base_url, SORTER),
            "first": api(upstream.base_url, ATLAS),
            "second": api(upstream.base_url, BOREAS),
        },
        "experts": {"atlas": {"model": "first"}, "boreas": {"model": "second"}},
        "classifier": {"model": "sorter", "decoding": "free", "k": 0},
        "retrieval": {"encoder": NO_ENCODER},
        "leaderboard": {"path": "leaderboard.json"},
        "access": {"keys": False},
    }
    scores = [("atlas", "Clusters", 9, 10), ("boreas", "Clusters", 5, 10)]
    scores += [("atlas", "Alerts", 4, 10), ("boreas", "Alerts", 8, 10)]
    Leaderboard.from_scores(scores).save(tmp_path / "leaderboard.json")
    profile = write_profile(tmp_path / "clients.yaml", content)
    with serve_app(make_endpoint(profile, make_retriever=NoIndex).app) as url:
        yield f"{url}/v1"


@pytest.fixture
def sent() -> list[dict[str, Any]]:
    """The bodies that `http` sent."""
    return []


@pytest.fixture
def http(sent: list[dict[str, Any]]) -> Iterator[httpx2.Client]:
    """HTTP of a client whose requests are recorded in `sent`."""
    record = lambda request: sent.append(orjson.loads(request.content))  # noqa: E731
    with httpx2.Client(event_hooks={"request": [record]}, timeout=30) as client:
        yield client
