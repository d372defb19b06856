"""Steady load on the endpoint while things break, and the outcome of each of its requests."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal

import httpx
import orjson

from jobs.loading.loops import open_loop
from jobs.loading.results import RequestResult, Target
from tests.serve.chaos.application import question, right_answer

CHAT = "/v1/chat/completions"
PATIENCE_S = 60.0
WITNESS_EVERY_S = 0.5
"""Between two requests of which every word is checked."""

Fate = Literal["answered", "failed over", "error object", "error event", "cut off", "lost"]
"""`cut off`: the connection broke in the middle of a stream, which every client notices. `lost`: the client can only
guess what happened; a stream that ends as if it were whole, but is not, is lost, too.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request and the task that it was about. Times are `monotonic`'s."""

    task: str
    stream: bool
    began: float
    ended: float
    request: RequestResult

    @property
    def fate(self) -> Fate:
        status, error = self.request.status, self.request.error
        if error is None:
            return "answered" if self.request.expert == self.task else "failed over"
        if status == 200 and error.startswith("error in the stream ("):
            return "error event"
        if status == 200 and self.stream and error.startswith("connection lost"):
            return "cut off"
        if status not in (None, 200) and error not in _GUESSES and not error.startswith("connection lost"):
            return "error object"
        return "lost"


_GUESSES = ("no error object", "timeout", "no connection")


@dataclass(frozen=True, slots=True)
class Load:
    """About `rate` requests a second, spread evenly over the tasks; half of them are streamed."""

    url: str
    tasks: Sequence[str]
    tag: str
    seconds: float
    rate: float = 20.0
    seed: int = 0

    async def run(self) -> list[Outcome]:
        """All requests, in the order of their ends."""
        kinds = list(itertools.product(self.tasks, (False, True)))
        rate = (self.rate - 1 / WITNESS_EVERY_S) / len(kinds)
        async with asyncio.TaskGroup() as group:
            parts = [
                group.create_task(self._part(task, stream, rate, self.seed + place))
                for place, (task, stream) in enumerate(kinds)
            ]
            parts.append(group.create_task(self._witnessed()))
        return sorted((each for part in parts for each in part.result()), key=lambda each: each.ended)

    async def _part(self, task: str, stream: bool, rate: float, seed: int) -> list[Outcome]:
        target = Target(f"{self.url}/v1", stream=stream, timeout_s=PATIENCE_S)
        texts = (question(task, number, f"{self.tag}{seed}") for number in itertools.count())
        origin = monotonic()
        load = await open_loop(target, texts, rate=rate, seconds=self.seconds, seed=seed)
        return [
            Outcome(task, stream, origin + each.start, origin + each.start + each.seconds, each)
            for each in load.requests
        ]

    async def _witnessed(self) -> list[Outcome]:
        until, numbers = monotonic() + self.seconds, itertools.count()
        kinds = itertools.cycle(itertools.product(self.tasks, (False, True)))
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S) as http, asyncio.TaskGroup() as group:
            tasks = []
            while monotonic() < until:
                task, stream = next(kinds)
                text = question(task, next(numbers), f"{self.tag}w")
                tasks.append(group.create_task(_witness(http, task, text, stream=stream)))
                await asyncio.sleep(WITNESS_EVERY_S)
        return [each.result() for each in tasks]


def chat_body(text: str, *, stream: bool = False) -> dict[str, Any]:
    return {"model": "coe", "messages": [{"role": "user", "content": text}], "stream": stream}


async def _witness(http: httpx.AsyncClient, task: str, text: str, *, stream: bool) -> Outcome:
    began, status, expert = monotonic(), None, None
    try:
        async with http.stream("POST", CHAT, json=chat_body(text, stream=stream)) as response:
            status, expert = response.status_code, response.headers.get("x-coe-expert")
            await response.aread()
        error = _wrong(response, task, text, stream=stream)
    except httpx.TransportError as fault:
        error = f"connection lost ({type(fault).__name__})"
    ended = monotonic()
    return Outcome(task, stream, began, ended, RequestResult(0.0, ended - began, status, error, expert=expert))


def _wrong(response: httpx.Response, task: str, text: str, *, stream: bool) -> str | None:
    """What an answer lacks. Raises `AssertionError` for one that says what it must not say."""
    if response.status_code != 200:
        return _code(response.content)
    events = list(_events(response.text)) if stream else [response.json()]
    if "error" in events[-1]:
        return f"error in the stream ({events[-1]['error']['code']})"
    if stream and not response.text.endswith("data: [DONE]\n\n"):
        return "the stream broke off"
    key = "delta" if stream else "message"
    answer = "".join(choice[key].get("content") or "" for event in events for choice in event["choices"])
    route = next(event["coe"] for event in reversed(events) if "coe" in event)
    assert answer == right_answer(route["expert"], text), f"asked {text!r}: {answer!r} by {route}"
    assert route["task"] == task
    assert route["expert"] == response.headers["x-coe-expert"]
    assert (route["expert"] != task) == any(attempt["expert"] == task for attempt in route["tried"]) or (
        not route["tried"] and route["row"][0]["expert"] == task  # who rests is not asked, and was not tried
    ), route
    return None


def _events(stream: str) -> Iterator[Any]:
    for line in stream.splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield orjson.loads(line.removeprefix("data: "))


def _code(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["error"]["code"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "no error object"
