"""5,000 malformed requests and more at the whole stack, seeded: nothing breaks, nothing grows, nothing is let out."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import orjson
import pytest
import schemathesis
from schemathesis import GenerationMode

from coe_ray.core.api_keys import add_key
from coe_ray.serve.api.openapi import openapi_document
from tests.behaviour.fuzz_cases import NOT_HTTP, documented, mutated
from tests.behaviour.fuzz_requests import Reply, Request, all_sent
from tests.serve.world import build_world, write_profile
from tests.support.cluster import Cluster

APPLICATION = "fuzzed"
SEED = 20261123
NEGATIVE, POSITIVE, MUTATED = 1_500, 500, 4_200
WARMING_UP = 2_200
"""Of all 6,200. What is sent after it, 4,000 or more, must not make the ingress grow."""
AT_ONCE = 12
GROWTH = 0.05
SECRET = "a-word-of-a-question-that-no-log-may-hold"


@dataclass(frozen=True)
class Door:
    """An endpoint with one client, whose `key` it asks for."""

    cluster: Cluster
    key: str

    def replicas(self) -> dict[str, list[int]]:
        """Their processes, by deployment."""
        title = f"ray::ServeReplica:{APPLICATION}"
        return {name: sorted(self.cluster.processes(f"{title}:{name}")) for name in ("ingress", "retriever")}

    def ingress_mb(self) -> float:
        [ingress] = self.replicas()["ingress"]
        lines = Path(f"/proc/{ingress}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


@dataclass
class Findings:
    """What came of the requests, and everything about them that must not be."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def look_at(self, reply: Reply) -> None:
        self.statuses[reply.status] += 1
        if (reply.status >= 500 and not _hurried(reply)) or not _in_form(reply):
            self.wrong.append(f"{reply.status} {reply.body[:300]!r} for {reply.request.wire()[:600]!r}")


def _hurried(reply: Reply) -> bool:
    """504 is right where the request itself gave the answer less time than it takes."""
    given = [value for name, value in reply.request.headers if name.lower() == b"x-coe-deadline"]
    return reply.status == 504 and bool(given) and 0 < float(given[0]) < 5


def _in_form(reply: Reply) -> bool:
    """Every error is OpenAI's error object; what is not HTTP gets 400, by whoever reads it first."""
    if reply.status < 400 or reply.request.method == b"HEAD":
        return True
    if reply.request.why == NOT_HTTP and reply.status == 400:
        return True
    try:
        error = orjson.loads(reply.body)["error"]
    except (ValueError, KeyError, TypeError):
        return False
    return set(error) == {"message", "type", "param", "code"} and isinstance(error["message"], str)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, haproxy_cluster: Cluster) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("world")
    key = add_key(folder / "keys.json", "fuzzer", requests_per_minute=1_000_000)
    with pytest.MonkeyPatch.context() as offline:
        offline.setenv("HF_HUB_OFFLINE", "1")
        build_world(folder, "http://127.0.0.1:1/v1")
        profile = write_profile(folder / "fuzzed.yaml", "", **_scripted(), access={"keys": "keys.json"})
    with haproxy_cluster.serving(profile, name=APPLICATION):
        yield Door(haproxy_cluster, key)


def _scripted() -> dict[str, Any]:
    """Experts and a classifier that always answer: every 5xx is then the endpoint's own."""
    echo = {"kind": "scripted", "rules": [{"pattern": r"(?s)\A(.{0,50})", "reply": r"Aye: \1"}]}
    return {"models": {"echo": echo}, "experts": {"captain": {"model": "echo"}, "gauge": {"model": "echo"}}} | {
        "classifier": {"model": "echo", "decoding": "free", "k": 3}
    }


def _requests(openapi_document: dict[str, Any], key: str) -> list[Request]:
    """Shuffled. One in ten keeps the key that it came with, if any: all others have the right one."""
    made = documented(openapi_document, GenerationMode.NEGATIVE, NEGATIVE, SEED)
    made += documented(openapi_document, GenerationMode.POSITIVE, POSITIVE, SEED)
    made += mutated(MUTATED, SEED)
    dice = random.Random(SEED)
    dice.shuffle(made)
    return [each if dice.random() < 0.1 else _let_in(each, key) for each in made]


def _let_in(request: Request, key: str) -> Request:
    others = tuple(each for each in request.headers if each[0].lower() != b"authorization")
    headers = (*others, (b"Authorization", b"Bearer " + key.encode()))
    return Request(request.why, request.method, request.target, headers, request.body)


async def _looked_at(door: Door, requests: list[Request], findings: Findings) -> None:
    async for reply in all_sent(door.cluster.url, requests, AT_ONCE):
        findings.look_at(reply)


def _published(door: Door) -> dict[str, Any]:
    answer = httpx.get(f"{door.cluster.url}/openapi.json", headers={"Authorization": f"Bearer {door.key}"})
    published: dict[str, Any] = answer.raise_for_status().json()
    return published


def test_the_document_is_published(door: Door) -> None:
    published = _published(door)

    assert published == openapi_document()
    schemathesis.openapi.from_dict(published).validate()
    assert httpx.get(f"{door.cluster.url}/openapi.json").status_code == 401


def test_no_malformed_request_breaks_anything(
    door: Door, record_testsuite_property: Callable[[str, object], None]
) -> None:
    requests = _requests(_published(door), door.key)
    before, findings = door.replicas(), Findings()
    asyncio.run(_looked_at(door, requests[:WARMING_UP], findings))
    warm_mb = door.ingress_mb()
    asyncio.run(_looked_at(door, requests[WARMING_UP:], findings))

    growth = door.ingress_mb() / warm_mb - 1
    record_testsuite_property(
        "fuzzed", f"{len(requests)} requests: {dict(findings.statuses)}; {warm_mb:.0f} MB {growth:+.2%}"
    )
    assert findings.wrong == []
    assert {200, 400, 401, 404, 405} <= set(findings.statuses)
    assert door.replicas() == before
    assert growth < GROWTH


@pytest.mark.parametrize(
    ("path", "model", "schema"),
    [
        ("/v1/chat/completions", "coe", "ChatCompletion"),
        ("/v1/chat/completions", "captain", "ChatCompletion"),
        ("/v1/chat/completions", "nobody", "Error"),
        ("/v1/route", "coe", "Decision"),
        ("/v1/models", None, "ModelList"),
        ("/v1/leaderboard", None, "LeaderboardSaid"),
        ("/healthz", None, "Health"),
        ("/nowhere", None, "Error"),
    ],
)
def test_answers_are_as_documented(door: Door, path: str, model: str | None, schema: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": SECRET}]}
    headers = {"Authorization": f"Bearer {door.key}"}
    answer = httpx.request("POST" if model else "GET", door.cluster.url + path, json=body, headers=headers, timeout=60)

    components = openapi_document()["components"]
    jsonschema.validate(answer.json(), {"$ref": f"#/components/schemas/{schema}", "components": components})
    assert (answer.status_code >= 400) is (schema == "Error")


def test_nothing_of_it_is_in_the_logs(door: Door) -> None:
    assert "Traceback" not in door.cluster.log_of("ingress", APPLICATION) + door.cluster.log_of(
        "retriever", APPLICATION
    )
    for file in Path(door.cluster.folder).rglob("*"):
        if file.is_file() and file.suffix in (".log", ".out", ".err"):
            content = file.read_text(errors="replace")
            assert door.key not in content, file
            assert SECRET not in content, file
