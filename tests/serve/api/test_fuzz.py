"""6,200 malformed requests at the endpoint, seeded: nothing breaks, nothing grows, nothing is disclosed.

The endpoint runs in a process of its own, without Ray. A part of the same requests goes through HAProxy and Serve's
proxy in behaviour/test_hostile_clients.py.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest
import schemathesis
from schemathesis import GenerationMode

from coe_ray.core.api_keys import add_key
from coe_ray.serve.api.openapi import openapi_document
from tests.serve.api.fuzz_cases import documented, mutated
from tests.serve.api.fuzz_requests import FuzzReport, Request, all_sent
from tests.serve.world import build_world, write_profile
from tests.support.endpoint_program import EndpointProcess

SEED = 20261123
NEGATIVE, POSITIVE, MUTATED = 1_500, 500, 4_200
WARMING_UP = 2_200
"""Of all 6,200. The rest, 4,000, must not make the process grow."""
AT_ONCE = 12
GROWTH = 0.05
SECRET = "a-word-of-a-question-that-no-log-may-hold"


@dataclass(frozen=True)
class Served:
    """The endpoint with one client, whose `key` it asks for."""

    endpoint: EndpointProcess
    key: str

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.endpoint.url}{path}", headers={"Authorization": f"Bearer {self.key}"})

    def send(self, requests: list[Request], report: FuzzReport) -> None:
        async def send_all() -> None:
            async for reply in all_sent(self.endpoint.url, requests, AT_ONCE):
                report.add(reply)

        asyncio.run(send_all())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("world")
    key = add_key(folder / "keys.json", "fuzzer", requests_per_minute=1_000_000)
    with pytest.MonkeyPatch.context() as offline:
        offline.setenv("HF_HUB_OFFLINE", "1")
        build_world(folder, "http://127.0.0.1:1/v1")
    profile = write_profile(folder / "fuzzed.yaml", "", **_scripted(), access={"keys": "keys.json"})
    with EndpointProcess.started(profile, folder / "endpoint.log") as endpoint:
        yield Served(endpoint, key)


def _scripted() -> dict[str, Any]:
    """Experts and a classifier that always answer: every 5xx is then the endpoint's own."""
    echo = {"kind": "scripted", "rules": [{"pattern": r"(?s)\A(.{0,50})", "reply": r"Aye: \1"}]}
    return {"models": {"echo": echo}, "experts": {"captain": {"model": "echo"}, "gauge": {"model": "echo"}}} | {
        "classifier": {"model": "echo", "decoding": "free", "k": 3}
    }


def _requests(document: dict[str, Any], key: str) -> list[Request]:
    """Shuffled. One in ten keeps the key that it came with, if any: all others have the right one."""
    made = documented(document, GenerationMode.NEGATIVE, NEGATIVE, SEED)
    made += documented(document, GenerationMode.POSITIVE, POSITIVE, SEED)
    made += mutated(MUTATED, SEED)
    dice = random.Random(SEED)
    dice.shuffle(made)
    return [each if dice.random() < 0.1 else _let_in(each, key) for each in made]


def _let_in(request: Request, key: str) -> Request:
    others = tuple(each for each in request.headers if each[0].lower() != b"authorization")
    headers = (*others, (b"Authorization", b"Bearer " + key.encode()))
    return Request(request.why, request.method, request.target, headers, request.body)


def test_the_document_is_published(served: Served) -> None:
    published = served.get("/openapi.json").raise_for_status().json()

    assert published == openapi_document()
    schemathesis.openapi.from_dict(published).validate()
    assert httpx.get(f"{served.endpoint.url}/openapi.json").status_code == 401


def test_no_malformed_request_breaks_anything(
    served: Served, record_testsuite_property: Callable[[str, object], None]
) -> None:
    requests = _requests(openapi_document(), served.key)
    report = FuzzReport()
    served.send(requests[:WARMING_UP], report)
    warm_mb = served.endpoint.megabytes
    served.send(requests[WARMING_UP:], report)

    growth = served.endpoint.megabytes / warm_mb - 1
    record_testsuite_property(
        "fuzzed", f"{len(requests)} requests: {dict(report.statuses)}; {warm_mb:.0f} MB {growth:+.2%}"
    )
    assert report.wrong == []
    assert {200, 400, 401, 404, 405} <= set(report.statuses)
    assert served.endpoint.is_alive
    assert growth < GROWTH


@pytest.mark.parametrize(
    ("path", "model", "schema"),
    [
        ("/v1/chat/completions", "coe", "ChatCompletion"),
        ("/v1/chat/completions", "captain", "ChatCompletion"),
        ("/v1/chat/completions", "nobody", "Error"),
        ("/v1/route", "coe", "Decision"),
        ("/v1/models", None, "ModelList"),
        ("/v1/leaderboard", None, "LeaderboardContent"),
        ("/healthz", None, "Health"),
        ("/nowhere", None, "Error"),
    ],
)
def test_answers_are_as_documented(served: Served, path: str, model: str | None, schema: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": SECRET}]}
    headers = {"Authorization": f"Bearer {served.key}"}
    answer = httpx.request(
        "POST" if model else "GET", served.endpoint.url + path, json=body, headers=headers, timeout=60
    )

    components = openapi_document()["components"]
    jsonschema.validate(answer.json(), {"$ref": f"#/components/schemas/{schema}", "components": components})
    assert (answer.status_code >= 400) is (schema == "Error")


def test_nothing_of_it_is_in_the_log(served: Served) -> None:
    log = served.endpoint.log.read_text(errors="replace")
    assert log.count('"request_id"') > 6_000
    for text in ("Traceback", served.key, SECRET):
        assert text not in log
