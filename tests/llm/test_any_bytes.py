"""Whatever bytes come back, only a CallError comes out."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coe_ray.core.errors import CallError
from coe_ray.core.types import Completion, Delta, Usage
from coe_ray.llm.faults import parse_retry_after, shorten
from coe_ray.llm.replies import StreamReader, read_completion
from tests.support.fault_server import FaultServer, Reply
from tests.support.model_under_test import CALL, FAULTS, KEY, collect_stream, made

pytestmark = pytest.mark.asyncio


NAMES = (
    *("error", "choices", "message", "content", "usage", "prompt_tokens", "code", "delta", "finish_reason"),
    *("logprobs", "top_logprobs", "token", "logprob"),
)
WILD = st.integers(-(2**70), 2**70) | st.sampled_from([2**31, 2**63, 2**64 - 1, -1])
SCALARS = st.none() | st.booleans() | st.integers(-9, 600) | WILD | st.floats(allow_nan=False) | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
PLACES = (
    "%s",
    '{"error": %s}',
    '{"error": {"message": %s}}',
    '{"error": {"code": %s, "type": "no", "metadata": [%s]}}',
    '{"choices": %s}',
    '{"choices": [{"message": {"content": %s}, "delta": {"content": %s}}]}',
    '{"choices": [{"message": {"content": "B"}, "delta": {"content": "B"}}], "usage": %s}',
    '{"choices": [{"message": {"content": "B"}, "logprobs": %s}]}',
    '{"choices": [{"message": {"content": "B"}, "logprobs": {"content": [{"top_logprobs": %s}]}}]}',
    '{"choices": [{"message": {}, "logprobs": {"content": [{"top_logprobs": [{"token": "A", "logprob": %s}]}]}}]}',
    '{"choices": [{"message": {"content": "B"}}], "usage": {"prompt_tokens": %s, "completion_tokens": %s}}',
)
NESTS = (("[", "]"), ('{"error": ', "}"), ('{"message": ', "}"), ('[{"text": ', "}]"), ('{"code": [', "]}"))


def nested(place: str, nest: tuple[str, str], depth: int, inmost: object) -> bytes:
    return place.replace("%s", nest[0] * depth + json.dumps(inmost) + nest[1] * depth).encode()


# Deeper than orjson writes (254), than Python calls (1000), than orjson reads (1024).
DEPTHS = st.integers(0, 3) | st.integers(240, 260) | st.integers(480, 520) | st.integers(950, 1100)
DEEP = st.builds(nested, st.sampled_from(PLACES), st.sampled_from(NESTS), DEPTHS, SCALARS)
COUNTED = SCALARS.map(lambda tokens: nested(PLACES[-1], ("", ""), 0, tokens))
BODIES = st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()) | DEEP | COUNTED


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, status=st.sampled_from([200, 200, 400, 429, 500]), streaming=st.booleans())
async def test_any_body_is_an_answer_or_a_call_error(
    server: FaultServer, body: bytes, status: int, *, streaming: bool
) -> None:
    server.reset(Reply(status, body))
    model = made(server.base_url)  # with a limiter of its own, which remembers refusals
    try:
        await (collect_stream(model) if streaming else model.complete(CALL))
    except CallError as error:
        assert error.attempts == server.served
        assert len(error.message) < 500
    finally:
        await model.close()


@settings(max_examples=300, deadline=None)
@given(body=BODIES, status=st.integers(200, 599))
async def test_reading_any_bytes_raises_call_errors_only(body: bytes, status: int) -> None:
    assert isinstance(FAULTS.from_status(status, {}, body), CallError)
    reader = StreamReader(FAULTS)
    for read in (
        lambda: [read_completion(FAULTS, body)],
        lambda: [*reader.feed(b"data: " + body), *reader.finish()],
    ):
        try:
            ends: list[Completion | Delta] = [*read()]
        except CallError as error:
            assert KEY not in str(error)
        else:
            assert all(is_believable(end.usage) for end in ends)


def is_believable(usage: Usage | None) -> bool:
    counts = (usage.prompt_tokens, usage.completion_tokens) if usage else ()
    return all(type(tokens) is int and 0 <= tokens < 2**31 for tokens in counts)


@given(text=st.text())
async def test_shortened_is_short(text: str) -> None:
    assert len(shorten(text)) <= 300
    assert "\n" not in shorten(text)


@settings(deadline=None)
@given(headers=st.dictionaries(st.sampled_from(["Retry-After", "retry-after-ms"]), st.text(max_size=30)))
async def test_any_retry_after_is_seconds_or_nothing(headers: dict[str, str]) -> None:
    seconds = parse_retry_after(headers, datetime.now(UTC))
    assert seconds is None or seconds >= 0
