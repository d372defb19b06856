"""What the tests of calls share: a model with short patience, a call, and ways to see what comes of it."""

import asyncio
import traceback
from collections.abc import Callable, Mapping

import pytest

from coe_ray.core.errors import CallError
from coe_ray.core.types import Call, Delta, Message, SamplingParams
from coe_ray.llm.breaker import ModelBreaker
from coe_ray.llm.faults import FaultClassifier
from coe_ray.llm.http import HttpModel
from coe_ray.llm.provider_key import ProviderKey
from coe_ray.llm.retry import RetryPolicy, Timeouts
from coe_ray.ratelimit.governor import RateLimits
from coe_ray.ratelimit.limiter import LimiterRegistry
from tests.support.fault_server import piece

KEY = "sk-proj/very+secret=0123456789"
TRIES = 3
QUICK = RetryPolicy(attempts=TRIES, total_s=5.0, base_s=0.001, max_s=0.002)
CALL = Call((Message("system", "Be brief."), Message("user", "Which?")), SamplingParams(temperature=0.5, stop=("\n",)))
FAULTS = FaultClassifier("expert-a", ProviderKey(KEY), Timeouts())
PARIS = (piece(role="assistant", content=""), piece(content="Pa"), piece(content="ris"), piece("stop"))
LATE = "You exceeded your current quota, please check your plan and billing details."
LONG = "This model's maximum context length is 2048 tokens. However, you requested 5000 tokens."


def made(
    base_url: str,
    *,
    api_key: str | None = KEY,
    retry: RetryPolicy = QUICK,
    timeouts: Timeouts | None = None,
    max_concurrency: int = 64,
    limiters: LimiterRegistry | None = None,
    breaker: ModelBreaker | None = None,
    extra_body: Mapping[str, object] | None = None,
    parameters: Mapping[str, str | None] | None = None,
) -> HttpModel:
    limiters = limiters or LimiterRegistry()
    return HttpModel(
        name="expert-a",
        model="provider/model-a",
        base_url=base_url,
        api_key=api_key,
        retry=retry,
        timeouts=timeouts or Timeouts(connect_s=5, first_byte_s=5, total_s=5),
        limiter=limiters.limiter(base_url, api_key, RateLimits(max_concurrency)),
        breaker=breaker,
        extra_body=extra_body or {},
        parameters=parameters or {},
    )


async def failure(model: HttpModel) -> CallError:
    with pytest.raises(CallError) as caught:
        await model.complete(CALL)
    assert KEY not in everything_shown(caught.value)
    assert len(caught.value.body) <= 2000
    return caught.value


async def collect_stream(model: HttpModel) -> list[Delta]:
    return [delta async for delta in model.stream(CALL)]


async def until(true: Callable[[], bool]) -> None:
    """Wait for what cannot be awaited."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110  # a count, which tells nobody when it changes
            await asyncio.sleep(0.01)


def everything_shown(error: BaseException | None, *, with_locals: bool = False) -> str:
    """All that a printer could show of an error and of what hangs on it."""
    shown = ""
    while error is not None:
        frames = traceback.TracebackException.from_exception(error, capture_locals=with_locals)
        shown += f"{error!s} {error!r} {vars(error)} {''.join(frames.format())}"
        error = error.__cause__ or error.__context__
    return shown
