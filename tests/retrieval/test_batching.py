"""Batches: what comes together is encoded together and once, lately seen texts not at all; failures reach their own."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from coe_ray.retrieval.batching import BatchingEncoder
from coe_ray.retrieval.encoder import Vectors
from tests.support.planted import WordEncoder


class SlowEncoder(WordEncoder):
    """Its first batch lasts until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = super().encode(texts)
        self.begun.set()
        self.go_on.wait(10)
        return vectors


async def started(encoder: SlowEncoder, batching: BatchingEncoder, *texts: str) -> list["asyncio.Task[Vectors]"]:
    """A first call that is being encoded, and the others waiting behind it."""
    tasks = [asyncio.create_task(batching.encode("first"))]
    await asyncio.to_thread(encoder.begun.wait, 10)
    tasks += [asyncio.create_task(batching.encode(text)) for text in texts]
    await asyncio.sleep(0)
    return tasks


async def test_calls_that_come_together_are_encoded_together() -> None:
    encoder = SlowEncoder()
    tasks = await started(encoder, BatchingEncoder(encoder, max_batch=4), *(f"text {n}" for n in range(6)))
    encoder.go_on.set()
    vectors = await asyncio.gather(*tasks)
    assert encoder.batches == [1, 4, 2]
    for text, vector in zip(["first", *(f"text {n}" for n in range(6))], vectors, strict=True):
        assert np.array_equal(vector, WordEncoder().encode([text])[0])


async def test_an_encoders_failure_reaches_everyone_in_its_batch_and_no_one_else() -> None:
    encoder = SlowEncoder()
    batching = BatchingEncoder(encoder)
    tasks = await started(encoder, batching, "fine", "poison")
    encoder.go_on.set()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, np.ndarray)
    assert [str(error) for error in others] == ["encoder broke"] * 2
    assert (await batching.encode("later")).shape == (64,)


async def test_a_caller_who_leaves_does_not_hurt_the_others() -> None:
    encoder = SlowEncoder()
    batching = BatchingEncoder(encoder)
    first, leaver, stayer = await started(encoder, batching, "leaver", "stayer")
    first.cancel()
    leaver.cancel()
    encoder.go_on.set()
    assert np.array_equal(await stayer, WordEncoder().encode(["stayer"])[0])
    assert first.cancelled()
    assert leaver.cancelled()


class ForgetfulEncoder(WordEncoder):
    def encode(self, texts: Sequence[str]) -> Vectors:
        return super().encode(texts)[:-1]


async def test_an_encoder_that_loses_a_text_leaves_no_one_waiting() -> None:
    batching = BatchingEncoder(ForgetfulEncoder())
    async with asyncio.timeout(5):
        with pytest.raises(ValueError, match="shorter"):
            await batching.encode("lost")


async def test_a_text_that_was_encoded_lately_is_not_encoded_again() -> None:
    encoder = WordEncoder()
    batching = BatchingEncoder(encoder, cached=2)
    for text in ("one", "two", "one", "three", "one", "two"):  # three drops two, the one asked least lately
        assert np.array_equal(await batching.encode(text), WordEncoder().encode([text])[0])
    assert encoder.batches == [1] * 4


async def test_callers_with_one_text_share_its_vector_and_may_leave() -> None:
    encoder = SlowEncoder()
    tasks = await started(encoder, BatchingEncoder(encoder), "same", "same", "other", "same")
    tasks[1].cancel()
    encoder.go_on.set()
    vectors = await asyncio.gather(*tasks, return_exceptions=True)
    assert encoder.batches == [1, 2]
    assert isinstance(vectors[1], asyncio.CancelledError)
    for same in (vectors[2], vectors[4]):
        assert isinstance(same, np.ndarray)
        assert np.array_equal(same, WordEncoder().encode(["same"])[0])


async def test_a_failure_is_not_remembered() -> None:
    encoder = WordEncoder()
    batching = BatchingEncoder(encoder)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="encoder broke"):
            await batching.encode("poison")
    assert encoder.batches == [1, 1]
