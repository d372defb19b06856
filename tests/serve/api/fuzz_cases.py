"""Malformed requests, the same for the same seed: by schemathesis after the OpenAPI document, and by mutation."""

import json
import random
import re
import string
from collections.abc import Callable
from typing import Any, cast

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode

from tests.serve.api.fuzz_requests import NOT_HTTP, Request

CHAT, ROUTE = b"/v1/chat/completions", b"/v1/route"
_JSON = (b"Content-Type", b"application/json")

# ---- after the document


def documented(document: dict[str, Any], mode: GenerationMode, count: int, number: int) -> list[Request]:
    """Requests that follow the document, or that break it in some way, as schemathesis makes them up."""
    cases: list[Case[Any]] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(schemathesis.openapi.from_dict(document).as_strategy(generation_mode=mode))
    def collect(case: Case[Any]) -> None:
        cases.append(case)

    collect()
    return [_as_bytes(case, f"schemathesis, {mode.value}") for case in cases]


def _as_bytes(case: Case[Any], why: str) -> Request:
    """Without what cannot stand in a header at all: other tests send that."""
    asked = case.as_transport_kwargs(base_url="http://testserver")
    asked["headers"] = {name: value for name, value in asked["headers"].items() if _fits(name) and _fits(str(value))}
    prepared = requests.Request(**asked).prepare()
    kept = [(name, str(value)) for name, value in prepared.headers.items() if name.lower() not in _OURS]
    headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in kept)
    body = cast("str | bytes | None", prepared.body) or b""
    method, target = str(prepared.method).encode(), prepared.path_url.encode()
    return Request(why, method, target, headers, body.encode() if isinstance(body, str) else body)


_OURS = {"content-length", "connection", "host", "transfer-encoding"}


def _fits(text: str) -> bool:
    return all(character not in "\r\n\0" and ord(character) < 256 for character in text)


# ---- by mutation

_NUMBERS = [0, -1, 1.5, 1e308, -0.0, 2**63, 2**64, -(2**63) - 1, 10**30, float("nan"), float("inf")]
_TEXTS = [
    *("", " ", "\0", "\ud800", "\udc00 \ud800", "\ufeff", "\u202e", "\U0010ffff", "é" * 300, "x" * 20_000, "coe"),
    *("%s%n{0}{tasks}", "../../etc/passwd", "http://127.0.0.1:1/", "os:system", "**Task: Broken**", "A. a\nB. b\nC. c"),
]
_HOLDERS: list[Any] = [
    *([], [None], [[]], [{}], {}, {"": None}, {"role": "user"}, {"type": "text"}, {"type": "image_url"}, {"$ref": "#"}),
    *([{"type": "text", "text": "x"}] * 300, list(range(3000)), {str(number): number for number in range(1000)}),
]
ODD: list[Any] = [None, True, False, *_NUMBERS, *_TEXTS, *_HOLDERS]
NAMES = [
    *("tools", "functions", "response_format", "logit_bias", "__proto__", "__class__", "MODEL", "coe", "base_url"),
    *("target", "user_config", "extra_body", "structured_outputs", "metadata", "model ", "", "\0", "\ud800"),
]
TYPES = [
    b"",
    b"text/plain",
    b"application/xml",
    b"multipart/form-data",
    b"application/json; charset=utf-16",
    b"/",
    b"\xff",
    b"application/x-www-form-urlencoded",
    b"application/json" * 300,
]
METHODS = b"BREW get GET PUT DELETE PATCH HEAD OPTIONS TRACE PROPFIND LOCK POST".split()
PATHS = [
    *b"/ // /v1 /v1/ /v1/chat /v1/chat/completions/ /v1//route /V1/ROUTE /v1/models/coe /v1/models/../models".split(),
    *b"/%2e%2e/%2e%2e/etc/passwd /v1/route%00 /v1/%ff%fe /docs /redoc /metrics /healthz/ /healthz/x /-/routes".split(),
    *b"/v1/completions /v1/embeddings /;a=b /v1/models /v1/leaderboard http://elsewhere/v1/models".split(),
    *(b"/" + b"a" * 4000, b"/\xc3\xa9", CHAT, ROUTE),
]
QUERIES = [*b"? ?a=b ?model=coe&stream=true ?%00=%ff ?a[]=1&a[]=2 ?\xff ??#x".split(), b"", b"?" + b"a" * 3000]
_DEADLINES = (b"", b"0", b"-1", b"nan", b"a", b"1e999", b"-inf", b"0x10", b"1,2", b"\xff")
_KEYS = (b"", b"Bearer", b"Basic Og==", b"Bearer \xff", b"Bearer coe-" + b"A" * 43, b"Bearer " + b"k" * 4000)
_REQUEST_IDS = (b"\xff" * 40, b"a" * 4000, b"{}'\"<script>")
HEADERS: list[tuple[bytes, bytes]] = [
    *((b"x-coe-deadline", value) for value in _DEADLINES),
    *((b"Authorization", value) for value in _KEYS),
    *((b"x-request-id", value) for value in _REQUEST_IDS),
    (b"Accept", b"\xff/\xff"),
    (b"Content-Encoding", b"gzip"),
    (b"Expect", b"200-maybe"),
    (b"Range", b"bytes=0-1"),
    (b"Cookie", b"a=" + b"b" * 3000),
    (b"traceparent", b"00-zz-zz-zz"),
    (b"tracestate", b",,,="),
    (b"baggage", b"=;=,\x80"),
    (b"x-forwarded-for", b"127.0.0.1"),
    (b"x-forwarded-host", b"\xff"),
    (b"x-http-method-override", b"DELETE"),
    (b"serve_multiplexed_model_id", b"\xfe"),
    (b"x-request-timeout-seconds", b"0.0001"),
    (b"Upgrade", b"websocket"),
    (b"Origin", b"null"),
    (b"If-Match", b"*"),
]


def mutated(count: int, number: int) -> list[Request]:
    """Each of them is wrong, or at least odd, in one way."""
    dice = random.Random(number)
    ways: list[Callable[[random.Random], Request]] = [
        _cut,
        _damaged,
        _exchanged,
        _exchanged,
        _with_more,
        _nested,
        _said_twice,
        _of_another_type,
        _with_odd_header,
        _elsewhere,
    ]
    return [ways[place % len(ways)](dice) for place in range(count)]


def _asked(dice: random.Random) -> dict[str, Any]:
    """A request that could be answered, with some of everything that may be asked for."""
    said = "".join(dice.choices(string.ascii_lowercase + " ", k=dice.randint(5, 200)))
    more: list[tuple[str, Any]] = [
        ("stream", True),
        ("stream_options", {"include_usage": True}),
        ("max_tokens", 5),
        ("temperature", 0.5),
        ("top_p", 0.5),
        ("stop", ["a", "b"]),
        ("seed", 1),
        ("n", 1),
        ("user", "u"),
        ("presence_penalty", 1),
        ("max_completion_tokens", 9),
    ]
    parts = dice.choice([f"x{said}", [{"type": "text", "text": f"x{said}"}]])
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": parts, "name": "n"}]
    return {"model": dice.choice(["coe", "captain"]), "messages": messages, **dict(dice.sample(more, 4))}


def _post(why: str, dice: random.Random, body: bytes, *headers: tuple[bytes, bytes]) -> Request:
    return Request(why, b"POST", dice.choice([CHAT, ROUTE]), headers or (_JSON,), body)


def _cut(dice: random.Random) -> Request:
    body = json.dumps(_asked(dice)).encode()
    return _post("cut off", dice, body[: dice.randrange(len(body))])


def _damaged(dice: random.Random) -> Request:
    body = bytearray(json.dumps(_asked(dice)).encode())
    for _ in range(dice.randint(1, 8)):
        place = dice.randrange(len(body))
        body[place : place + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 2))
    return _post("damaged", dice, bytes(body))


def _exchanged(dice: random.Random) -> Request:
    content = _asked(dice)
    holder, key = dice.choice(_places(content))
    holder[key] = dice.choice(ODD)
    return _post("an odd value", dice, json.dumps(content).encode())


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every value within, by what holds it and where."""
    if not isinstance(value, dict | list):
        return []
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    return [(value, key) for key, _ in items] + [place for _, each in items for place in _places(each)]


def _with_more(dice: random.Random) -> Request:
    content = _asked(dice)
    holder = dice.choice([content, content["messages"][0], content["messages"][1]])
    holder[dice.choice(NAMES)] = dice.choice(ODD)
    return _post("an unknown name", dice, json.dumps(content).encode())


def _nested(dice: random.Random) -> Request:
    depth = dice.choice([50, 300, 1000, 5000, 50_000])
    opening, closing = dice.choice([(b"[", b"]"), (b'{"messages":', b"}"), (b'{"a":[', b"]}")])
    inner = opening * depth + dice.choice([b"1" + closing * depth, b""])
    return _post("nested", dice, dice.choice([inner, b'{"messages":[{"role":"user","content":%s}]}' % inner]))


def _said_twice(dice: random.Random) -> Request:
    body, name = json.dumps(_asked(dice)), dice.choice(["model", "messages", "stream", "x"])
    return _post("said twice", dice, f'{body[:-1]}, "{name}": {json.dumps(dice.choice(ODD))}}}'.encode())


def _of_another_type(dice: random.Random) -> Request:
    text = json.dumps(_asked(dice), ensure_ascii=False)
    body = dice.choice(
        [text.encode("utf-16"), text.encode("utf-32"), b"\xef\xbb\xbf" + text.encode(), b"a=b&c=d", b"<a/>"]
    )
    return _post("another type", dice, body, (b"Content-Type", dice.choice(TYPES)))


def _with_odd_header(dice: random.Random) -> Request:
    headers = dice.sample(HEADERS, dice.randint(1, 3))
    return _post("odd headers", dice, json.dumps(_asked(dice)).encode(), _JSON, *headers)


def _elsewhere(dice: random.Random) -> Request:
    target = dice.choice(PATHS) + dice.choice(QUERIES)
    body = dice.choice([b"", b"{}", dice.randbytes(dice.randint(1, 300)), json.dumps(_asked(dice)).encode()])
    method = dice.choice(METHODS)
    fits = method not in (b"BREW", b"get") and re.fullmatch(rb"/[!-\"$-~]*", target)
    return Request("another place" if fits else NOT_HTTP, method, target, (_JSON,), body)
