"""Whatever bytes come back, only a CallError comes out."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coe_ray.calls.faults import retry_after, shortened
from coe_ray.calls.replies import StreamReader, read_completion
from coe_ray.errors import CallError
from tests.calls.fault_server import FaultServer, Reply
from tests.calls.model_under_test import CALL, FAULTS, KEY, made, said

pytestmark = pytest.mark.asyncio


NAMES = ("error", "choices", "message", "content", "usage", "prompt_tokens", "code", "delta", "finish_reason")
SCALARS = st.none() | st.booleans() | st.integers(-9, 600) | st.floats(allow_nan=False) | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.binary(max_size=60) | JSON.map(orjson.dumps)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, status=st.sampled_from([200, 200, 400, 429, 500]), streaming=st.booleans())
async def test_any_body_is_an_answer_or_a_call_error(
    server: FaultServer, body: bytes, status: int, *, streaming: bool
) -> None:
    server.reset(Reply(status, body))
    model = made(server.base_url)  # with a gate of its own: it remembers refusals
    try:
        await (said(model) if streaming else model.complete(CALL))
    except CallError as error:
        assert error.attempts == server.served
        assert len(error.message) < 500
    await model.close()


@settings(max_examples=300, deadline=None)
@given(body=BODIES, status=st.integers(200, 599))
async def test_reading_any_bytes_raises_call_errors_only(body: bytes, status: int) -> None:
    assert isinstance(FAULTS.of_status(status, {}, body), CallError)
    reader = StreamReader(FAULTS)
    for read in (
        lambda: read_completion(FAULTS, body),
        lambda: [*reader.feed(b"data: " + body), *reader.finish()],
    ):
        try:
            read()
        except CallError as error:
            assert KEY not in str(error)


@given(text=st.text())
async def test_shortened_is_short(text: str) -> None:
    assert len(shortened(text)) <= 300
    assert "\n" not in shortened(text)


@settings(deadline=None)
@given(headers=st.dictionaries(st.sampled_from(["Retry-After", "retry-after-ms"]), st.text(max_size=30)))
async def test_any_retry_after_is_seconds_or_nothing(headers: dict[str, str]) -> None:
    seconds = retry_after(headers, datetime.now(UTC))
    assert seconds is None or seconds >= 0
