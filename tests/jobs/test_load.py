"""Load on an endpoint: which answers are good, from when latency counts, the figures, and the exit code."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core.errors import DataError
from jobs.loading import loops
from jobs.loading.client import EndpointClient
from jobs.loading.figures import percentile, summarize_load
from jobs.loading.loops import closed_loop, open_loop
from jobs.loading.plan import LoadPlan
from jobs.loading.questions import QuestionSource
from jobs.loading.results import LoadResult, RequestResult, Target
from jobs.loading.table import format_load
from tests.support.virtual_time import run_virtually

GOOD = {"choices": [{"message": {"role": "assistant", "content": "B"}}]}
PIECE = 'data: {"choices": [{"delta": {"content": "B"}}]}\n\n'
DONE = "data: [DONE]\n\n"
ROUTED = {"x-coe-expert": "captain", "x-coe-task": "%E7%9B%91%E6%8E%A7", "x-coe-version": "1"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def endpoint(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1"))


async def good(_: web.Request) -> web.Response:
    return web.json_response(GOOD, headers=ROUTED)


async def send_to(handler: Handler, *, stream: bool = False, timeout_s: float = 5.0) -> RequestResult:
    """The result of one request."""
    async with endpoint(handler) as url:
        return await send_once(Target(url, stream=stream, timeout_s=timeout_s))


async def send_once(target: Target) -> RequestResult:
    async with EndpointClient.open(target) as client:
        begun = time.monotonic()
        return await client.send("Which?", begun, begun)


def replying(body: object, status: int = 200) -> Handler:
    async def reply(_: web.Request) -> web.Response:
        return web.Response(text=body if isinstance(body, str) else json.dumps(body), status=status)

    return reply


async def test_a_good_answer_says_who_gave_it() -> None:
    request = await send_to(good)
    assert (request.ok, request.status, request.error) == (True, 200, None)
    assert (request.expert, request.task, request.version) == ("captain", "监控", "1")
    assert 0 <= request.late <= request.seconds


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"error": {"message": "no", "type": "server_error", "code": "ServerFault"}}, 502, "ServerFault"),
        ({"error": {"message": "no", "type": "server_error", "code": None}}, 500, "server_error"),
        ("<html>bad gateway</html>", 502, "no error object"),
        (GOOD, 500, "no error object"),
        (GOOD, 302, "no error object"),
        ({"choices": []}, 200, "no text in the answer"),
        ({"choices": [{"message": {"content": ""}}]}, 200, "no text in the answer"),
        ({"choices": [{"message": {"content": None}}]}, 200, "no text in the answer"),
        ({"error": {"message": "no"}}, 200, "no text in the answer"),
        ("", 200, "no text in the answer"),
    ],
)
async def test_an_answer_that_is_none_is_an_error(body: object, status: int, error: str) -> None:
    request = await send_to(replying(body, status))
    assert (request.ok, request.status, request.error) == (False, status, error)


@pytest.mark.parametrize(
    ("events", "error"),
    [
        (PIECE + PIECE + DONE, None),
        (PIECE, "the stream broke off"),
        (PIECE + 'data: {"error": {"code": "ServerFault"}}\n\n', "error in the stream (ServerFault)"),
        ('data: {"error": {"code": "ServerFault"}}\n\n' + DONE, "error in the stream (ServerFault)"),
        (DONE, "no text in the stream"),
        ("", "no text in the stream"),
    ],
)
async def test_a_stream_must_hold_text_and_end_as_it_should(events: str, error: str | None) -> None:
    request = await send_to(replying(events), stream=True)
    assert (request.status, request.error) == (200, error)


async def test_the_first_piece_of_a_stream_has_its_own_time() -> None:
    pause = asyncio.Event()

    async def two_pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(PIECE.encode())
        asyncio.get_running_loop().call_later(0.2, pause.set)
        await pause.wait()
        await response.write((PIECE + DONE).encode())
        return response

    request = await send_to(two_pieces, stream=True)
    assert request.ok
    assert request.first_s is not None
    assert request.first_s < request.seconds


async def test_no_answer_is_an_error_of_its_kind() -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def reset(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    refused = await send_once(Target(f"http://127.0.0.1:{unused_port()}/v1"))
    assert (refused.status, refused.error) == (None, "no connection")
    hung = await send_to(hang, timeout_s=0.2)
    assert (hung.status, hung.error) == (None, "timeout")
    lost = await send_to(reset)
    assert lost.status is None
    assert str(lost.error).startswith("connection lost")


class VirtualServer:
    """Server and connection in one, in virtual time: `at_once` requests are worked on, `STALL_S` for the tenth."""

    STALL_S = 0.6

    def __init__(self, at_once: int, work_s: float) -> None:
        self._turn = asyncio.Semaphore(at_once)
        self._work_s = work_s
        self.live = self.peak = self.served = 0

    async def send(self, question: str, due: float, origin: float) -> RequestResult:
        self.live += 1
        self.peak = max(self.peak, self.live)
        async with self._turn:
            self.served += 1
            await asyncio.sleep(self.STALL_S if self.served == 10 else self._work_s)
        self.live -= 1
        return RequestResult(due - origin, now() - due, 200, None)


def now() -> float:
    return asyncio.get_running_loop().time()


TARGET = Target("http://virtual/v1")
LoadVirtually = Callable[[VirtualServer, Coroutine[Any, Any, LoadResult]], LoadResult]


@pytest.fixture
def load_virtually(monkeypatch: pytest.MonkeyPatch) -> LoadVirtually:
    """Runs a loop against a virtual server."""

    def run(server: VirtualServer, loop: Coroutine[Any, Any, LoadResult]) -> LoadResult:
        @asynccontextmanager
        async def connect(_: Target) -> AsyncIterator[VirtualServer]:
            yield server

        monkeypatch.setattr(loops, "monotonic", now)
        monkeypatch.setattr(EndpointClient, "open", connect)
        return run_virtually(loop)

    return run


def test_the_closed_loop_has_so_many_at_once_and_leaves_the_warm_up_out(load_virtually: LoadVirtually) -> None:
    server = VirtualServer(at_once=5, work_s=0.02)
    loop = closed_loop(TARGET, itertools.repeat("?"), clients=5, seconds=2.0, warm_up_s=1.0)
    load = load_virtually(server, loop)
    assert server.peak == 5
    assert 0 < len(load.requests) < server.served
    assert all(request.start >= 0 for request in load.requests)
    assert load.seconds == max(request.start + request.seconds for request in load.requests)


def test_the_open_loop_counts_from_when_a_question_was_due(load_virtually: LoadVirtually) -> None:
    """Requests due while the server stalls wait until it goes on; a closed loop of one client meets that once."""
    stall = VirtualServer.STALL_S
    loop = open_loop(TARGET, itertools.repeat("?"), rate=200, seconds=1.2, seed=1)
    opened = load_virtually(VirtualServer(at_once=1, work_s=0.001), loop)
    loop = closed_loop(TARGET, itertools.repeat("?"), clients=1, seconds=1.2)
    closed = load_virtually(VirtualServer(at_once=1, work_s=0.001), loop)
    begin = sorted(each.start for each in opened.requests)[9]
    met = [each for each in opened.requests if begin <= each.start < begin + stall / 2]
    assert len(met) > 20
    assert all(each.seconds >= stall / 2 for each in met)
    assert sum(each.seconds >= stall / 2 for each in closed.requests) == 1


async def test_a_request_is_measured_from_when_it_was_due() -> None:
    async with endpoint(good) as url, EndpointClient.open(Target(url)) as client:
        due = time.monotonic() - 5
        request = await client.send("Which?", due, due - 2)
    assert request.ok
    assert request.start == pytest.approx(2)
    assert 5 <= request.late <= request.seconds


async def test_a_generator_that_is_late_counts_that_too() -> None:
    """A request that this process sends late counts from when it was due."""

    async def blocking(_: web.Request) -> web.Response:
        time.sleep(0.1)  # noqa: ASYNC251  # server and generator share this loop: both stand still
        return web.json_response(GOOD)

    async with endpoint(blocking) as url:
        load = await open_loop(Target(url), itertools.repeat("?"), rate=50, seconds=0.5, seed=2)
    assert max(each.late for each in load.requests) > 0.05
    assert all(each.seconds >= each.late for each in load.requests)
    assert summarize_load(_plan(rate=50), load)["generator"]["saturated"]


async def test_arrivals_depend_on_the_seed_alone() -> None:
    async def dues(seed: int) -> list[float]:
        async with endpoint(good) as url:
            load = await open_loop(Target(url), itertools.repeat("?"), rate=100, seconds=0.3, seed=seed)
        gaps = np.diff(sorted(each.start for each in load.requests))
        return [round(float(gap), 6) for gap in gaps]

    assert await dues(3) == await dues(3) != await dues(4)


@given(
    st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=200), st.sampled_from([0.1, 50, 90, 95, 99, 100])
)
def test_a_percentile_is_the_least_latency_that_so_many_do_not_exceed(seconds: list[float], percent: float) -> None:
    value = percentile(seconds, percent)
    assert value in seconds
    assert value == np.percentile(seconds, percent, method="inverted_cdf")
    at_most = sum(each <= value for each in seconds) / len(seconds)
    below = sum(each < value for each in seconds) / len(seconds)
    assert at_most >= percent / 100 - 1e-9
    assert below < percent / 100 + 1e-9


def _plan(rate: float | None = None) -> LoadPlan:
    return LoadPlan(Target("http://127.0.0.1:1/v1", key="coe-secret"), QuestionSource("t"), seconds=1.0, rate=rate)


def test_figures_are_complete_and_errors_are_in_no_latency() -> None:
    requests = [RequestResult(0.0, (each + 1) / 1000, 200, None, 0.0005, expert="a", task="x") for each in range(100)]
    requests += [RequestResult(0.0, 9.0, 502, "ServerFault", expert="b"), RequestResult(0.0, 9.0, None, "timeout")]
    requests += [RequestResult(0.5, 9.0, None, "timeout")]
    results = summarize_load(_plan(), LoadResult(tuple(requests), 2.0, (0.95,)))
    assert (results["requests"], results["ok"], results["requests_per_s"]) == (103, 100, 50.0)
    assert results["errors"] == {
        "total": 3,
        "by_status": {"none": 2, "502": 1},
        "by_class": {"timeout": 2, "ServerFault": 1},
    }
    assert results["latency_ms"] == {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert results["first_piece_ms"]["max"] == 0.5
    assert {name: share["ok"] for name, share in results["by_expert"].items()} == {"a": 100, "b": 0}
    assert results["by_expert"]["b"]["latency_ms"] is None
    assert list(results["by_task"]) == ["x"]
    assert results["by_version"] == {}
    assert results["generator"]["saturated"]
    assert "saturated" in format_load(results)
    assert "coe-secret" not in repr(_plan()) + json.dumps(results) + format_load(results)


def test_figures_of_nothing() -> None:
    results = summarize_load(_plan(), LoadResult((), 0.0, (0.1,)))
    assert (results["requests"], results["latency_ms"], results["requests_per_s"]) == (0, None, 0.0)
    assert "0 good" in format_load(results)


def test_made_up_questions_are_never_the_same_twice() -> None:
    parts = [list(itertools.islice(QuestionSource("t").texts(part, 3), 50)) for part in range(3)]
    assert len({text for part in parts for text in part}) == 150
    assert not set(parts[0]) & set(itertools.islice(QuestionSource("u").texts(), 200))


def test_rotation_and_benchmark() -> None:
    first, second = (list(itertools.islice(QuestionSource("t", repeat=4).texts(part, 2), 8)) for part in range(2))
    assert set(first) == set(second)
    assert (len(set(first)), first[:2]) == (4, second[2:4])
    sample = [question.full_text for question in load_benchmark("sample").questions]
    assert list(itertools.islice(QuestionSource("t", data="sample").texts(), len(sample) + 1)) == [*sample, sample[0]]
    assert list(itertools.islice(QuestionSource("t", 2, "sample").texts(), 3)) == [*sample[:2], sample[0]]
    with pytest.raises(DataError, match="sample has 280 questions; give no more than that as --repeat"):
        QuestionSource("t", 10_000, "sample").texts()


async def _load(*options: str, key: str | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors of the job as people start it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jobs.load", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | ({"COE_TEST_KEY": key} if key else {}),
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def test_several_processes_share_a_load_and_send_the_key(tmp_path: Path) -> None:
    keys, questions = set(), []

    async def keyed(request: web.Request) -> web.Response:
        keys.add(request.headers["Authorization"])
        questions.append((await request.json())["messages"][0]["content"])
        await asyncio.sleep(0.01)
        return await good(request)

    options = ("--seconds", "1", "--warm-up", "0", "--clients", "3", "--processes", "2", "--key-env", "COE_TEST_KEY")
    async with endpoint(keyed) as url:
        code, output, _ = await _load(url, *options, "--json", str(tmp_path / "results.json"), key="coe-secret")
    results = json.loads((tmp_path / "results.json").read_bytes())
    assert code == 0
    assert keys == {"Bearer coe-secret"}
    assert "coe-secret" not in output + json.dumps(results)
    assert results["requests"] == results["ok"] == len(questions) == len(set(questions))
    assert (results["clients"], results["generator"]["processes"], len(results["generator"]["cpu_shares"])) == (3, 2, 2)
    assert results["by_expert"]["captain"]["ok"] == results["ok"]


async def test_headers_are_sent_and_never_shown() -> None:
    sent = set()

    async def note_headers(request: web.Request) -> web.Response:
        sent.add((request.headers["x-tenant"], request.headers["x-scope"], request.headers["Content-Type"]))
        return await good(request)

    options = ("--seconds", "0.2", "--warm-up", "0", "--clients", "1", "--processes", "1")
    async with endpoint(note_headers) as url:
        code, output, errors = await _load(url, *options, "--header", "x-tenant=blue-secret", "--header", "x-scope=a=b")
        assert (code, sent) == (0, {("blue-secret", "a=b", "application/json")})
        assert "blue-secret" not in output + errors
    assert "blue-secret" not in repr(Target(url, headers=(("x-tenant", "blue-secret"),)))


@pytest.mark.parametrize("header", ["x-tenant: blue-secret", "=blue-secret", "x-tenant=blue-secret\nHost: other"])
async def test_a_header_that_is_none_is_refused_without_its_value(header: str) -> None:
    code, output, errors = await _load("http://127.0.0.1:1/v1", "--header", "x-scope=a", "--header", header)
    assert (code, output) == (2, "")
    assert "number 2 is not NAME=VALUE" in errors
    assert "blue-secret" not in errors


async def test_an_error_is_exit_code_1_and_a_wrong_order_is_2() -> None:
    async with endpoint(replying({"error": {"code": "ServerFault"}}, 502)) as url:
        code, output, _ = await _load(url, "--seconds", "0.2", "--warm-up", "0", "--rate", "50", "--json", "-")
        results = json.loads(output)
        assert code == 1
        assert results["errors"]["by_status"] == {"502": results["requests"]}
        code, output, errors = await _load(url, "--key-env", "COE_TEST_KEY")
        assert (code, output) == (2, "")
        assert "COE_TEST_KEY" in errors
    assert (await _load("localhost:8000"))[0] == 2
