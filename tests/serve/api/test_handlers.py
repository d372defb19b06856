"""Answers of the endpoint where its provider or its classifier fails, and where a client says more in headers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from coe_ray.core.fail_fast import REQUEST_ATTEMPTS
from coe_ray.core.types import Neighbour, Question
from coe_ray.routing.leaderboard import Leaderboard
from tests.support.chat_client import CHAT, error_of, user
from tests.support.endpoint import NoIndex, make_endpoint, serve_app
from tests.support.profiles import NO_ENCODER, api, write_profile
from tests.support.upstream import ChatRequest, FakeUpstream, Reply, completion, fault

SERIES = "Is one of these queue lengths odd: 4, 5, 4, 61, 5, 4?"


class Provider(FakeUpstream):
    """Two experts' models and the classifier's, of which those in `faults` fail."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: dict[str, Reply] = {}

    def respond(self, request: ChatRequest) -> Reply:
        if reply := self.faults.get(request.model):
            return reply
        if request.model == "sorter":
            return completion(request, "**Task: Series**")
        return completion(request, f"{request.model} on {request.prompt}")


class OneNeighbour(NoIndex):
    """`IndexRetriever` that always finds one question on queues."""

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        return (Neighbour("1", "Why is the queue long?", "Queues", 0.8, 1.0),)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().started() as provider:
        yield provider


@pytest.fixture
def http(tmp_path: Path, provider: Provider) -> Iterator[httpx.Client]:
    """Statistics are best at series, the ibex at queues, the lynx on neither."""
    content = {
        "tasks": [{"name": "Series", "description": "numbers"}, {"name": "Queues", "description": "waiting"}],
        "models": {
            "sorter": api(provider.base_url, "sorter", attempts=1),
            "one": api(provider.base_url, "lynx"),
            "two": api(provider.base_url, "ibex"),
            "statistics": {"kind": "python", "target": "coe_ray.experts.timeseries:TimeSeriesExpert"},
        },
        "experts": {"lynx": {"model": "one"}, "ibex": {"model": "two"}, "timeseries": {"model": "statistics"}},
        "classifier": {"model": "sorter", "decoding": "free", "k": 1},
        "retrieval": {"encoder": NO_ENCODER},
        "leaderboard": {"path": "board.json"},
        "access": {"keys": False},
    }
    scores = {"Series": {"lynx": 6, "ibex": 5, "timeseries": 9}, "Queues": {"lynx": 4, "ibex": 7, "timeseries": 0}}
    rows = ((expert, task, right, 10) for task, row in scores.items() for expert, right in row.items())
    Leaderboard.from_scores(rows).save(tmp_path / "board.json")
    endpoint = make_endpoint(write_profile(tmp_path / "p.yaml", content), make_retriever=OneNeighbour)
    with serve_app(endpoint.app) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def ask(http: httpx.Client, *messages: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.post(CHAT, json={"model": "coe", "messages": list(messages)}, headers=named)


class TestProviderFails:
    """No model answers: an error object, never 200, and never the words of an expert that reads exams only."""

    @pytest.mark.parametrize("streamed", [False, True])
    @pytest.mark.parametrize(
        ("reply", "status", "words"),
        [
            (fault(500, "boom"), 502, "boom"),
            (fault(429, "slow down", headers={"Retry-After": "20"}), 429, "slow down"),
            (fault(400, "temperature must be 1"), 400, "temperature must be 1"),
            (fault(413, "too many images"), 413, "too many images"),
            (fault(422, "no such voice"), 422, "no such voice"),
            (fault(400, "context of 8192 tokens", "context_length_exceeded"), 400, "8192"),
            (fault(401, "invalid key"), 502, "lynx"),
            (fault(404, "no such model"), 502, "lynx"),
            (Reply(reset=True), 502, "lynx"),
        ],
        ids=lambda value: str(value) if isinstance(value, int | str) else "",
    )
    def test_status_and_message(
        self, http: httpx.Client, provider: Provider, reply: Reply, status: int, words: str, *, streamed: bool
    ) -> None:
        provider.faults = dict.fromkeys(("lynx", "ibex"), reply)
        response = http.post(CHAT, json={"model": "coe", "messages": user(SERIES), "stream": streamed})
        assert response.status_code == status
        message = error_of(response)["message"]
        assert words in message
        assert "timeseries" not in message
        assert provider.served <= 1 + REQUEST_ATTEMPTS
        if status == 429:
            assert response.headers["retry-after"] == "20"
        else:
            assert response.headers["x-should-retry"] == "false"

    def test_the_next_best_that_can_read_the_question_answers(self, http: httpx.Client, provider: Provider) -> None:
        provider.faults = {"lynx": fault(500, "boom")}
        route = ask(http, *user(SERIES)).json()["coe"]
        assert (route["expert"], [each["expert"] for each in route["row"]]) == ("ibex", ["lynx", "ibex"])
        assert [each["error"] for each in route["tried"]] == ["ServerFault"]


class TestClassifierFails:
    @pytest.mark.parametrize(
        "reply", [fault(500, "boom"), fault(400, "blocked", "content_filter")], ids=lambda reply: str(reply.status)
    )
    def test_the_neighbours_decide_and_the_route_says_so(
        self, http: httpx.Client, provider: Provider, reply: Reply
    ) -> None:
        provider.faults = {"sorter": reply}
        route = ask(http, *user(SERIES)).json()["coe"]
        assert (route["task"], route["expert"]) == ("Queues", "ibex")
        assert route["classifier"]["by"] == "neighbours"
        assert route["classifier"]["fallback"]
        provider.faults = {}
        assert ask(http, *user(SERIES)).json()["coe"]["task"] == "Series"  # nothing of it was remembered


class TestHeaders:
    def test_a_client_that_knows_its_task_skips_classification(self, http: httpx.Client, provider: Provider) -> None:
        route = ask(http, *user("Which?"), x_coe_task="Queues").json()["coe"]
        assert (route["task"], route["expert"], route["classifier"]["by"]) == ("Queues", "ibex", "client")
        assert [body["model"] for body in provider.bodies] == ["ibex"]
        response = ask(http, *user("Which?"), x_coe_task="Astrology")
        assert response.status_code == 400
        assert "Series, Queues" in error_of(response)["message"]

    def test_a_session_stays_with_its_expert_where_the_history_was_cut(self, http: httpx.Client) -> None:
        ask(http, *user("Why is it long?"), x_coe_task="Queues", x_coe_session="shift-7")
        summary = {"role": "user", "content": "(what was said before, in short: 4, 5, 61)"}
        for session, expert in (("shift-7", "ibex"), ("shift-8", "lynx")):
            route = ask(http, summary, *user("go on"), x_coe_session=session).json()["coe"]
            assert (route["expert"], route["classifier"]["by"]) == (expert, "conversation")


def test_without_a_leaderboard_experts_answer_by_name_alone(tmp_path: Path, provider: Provider) -> None:
    content = {
        "tasks": [{"name": "Queues", "description": "waiting"}],
        "models": {"one": api(provider.base_url, "lynx"), "sorter": api(provider.base_url, "sorter")},
        "experts": {"lynx": {"model": "one"}},
        "classifier": {"model": "sorter", "k": 0},
        "retrieval": {"encoder": NO_ENCODER},
        "access": {"keys": False},
    }
    endpoint = make_endpoint(write_profile(tmp_path / "bare.yaml", content), make_retriever=NoIndex)
    with serve_app(endpoint.app) as url, httpx.Client(base_url=url) as client:
        refused = client.post(CHAT, json={"model": "coe", "messages": user("Why?")})
        assert (refused.status_code, error_of(refused)["code"]) == (503, "no_leaderboard")
        assert refused.headers["x-should-retry"] == "false"
        assert "name an expert: lynx" in error_of(refused)["message"]
        assert client.post(CHAT, json={"model": "lynx", "messages": user("Why?")}).status_code == 200
        assert client.get("/healthz").json()["warnings"] == [
            "this profile has no leaderboard yet, so `coe` cannot route"
        ]
