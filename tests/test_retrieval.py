"""Retrieval: near questions come back weighted, the question itself never; batches fail and are left one by one."""

import asyncio
import math
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from coe_ray import weights
from coe_ray.config import load_profile
from coe_ray.errors import DataError
from coe_ray.questions import make_question
from coe_ray.retrieval import BatchingEncoder, Encoder, Index, SentenceEncoder, Vectors, build_index, weighted
from coe_ray.types import Question
from tests.planted import WordEncoder

EXAMPLES = (
    make_question("which tool compiles c code", ("make", "ping"), "A", "Build"),
    make_question("which tool compiles java code", ("ant", "top"), "A", "Build"),
    make_question("how often is a test run", ("daily", "never"), "A", "Test"),
    make_question("where do logs of the cluster go", ("disk", "tape"), "A", "Log Parser"),
)
ASKED = make_question("which tool compiles rust code", ("cargo", "df"))


def built(folder: Path, encoder: Encoder | None = None) -> Index:
    encoder = encoder or WordEncoder()
    build_index(folder / "index", EXAMPLES, encoder)
    return Index(folder / "index", encoder)


async def test_the_nearest_come_first_with_their_tasks_and_inner_products(tmp_path: Path) -> None:
    encoder = WordEncoder()
    found = await built(tmp_path, encoder).nearest(ASKED, 4)
    own = encoder.encode([ASKED.full_text])[0]
    products = {each.id: float(encoder.encode([each.full_text])[0] @ own) for each in EXAMPLES}
    assert [near.task for near in found[:2]] == ["Build", "Build"]
    assert [near.similarity for near in found] == pytest.approx(sorted(products.values(), reverse=True), abs=1e-6)
    assert {near.question_id: near.similarity for near in found} == pytest.approx(products, abs=1e-6)
    assert found[0].text in {each.full_text for each in EXAMPLES}


async def test_weights_are_the_softmax_of_the_inner_products_retrieved(tmp_path: Path) -> None:
    found = await built(tmp_path).nearest(ASKED, 3)
    powers = [math.exp(near.similarity) for near in found]
    assert [near.weight for near in found] == pytest.approx([power / sum(powers) for power in powers])
    assert sum(near.weight for near in found) == pytest.approx(1)


def test_weights_of_nothing_are_nothing() -> None:
    assert weighted([]) == ()


@pytest.mark.parametrize(
    "copy",
    [
        make_question("which tool compiles c code", ("make", "ping")),
        make_question("Which tool compiles C code?", ("Make.", "Ping.")),
        make_question("which  tool\ncompiles c code", ("ping", "make")),
        make_question("ｗｈｉｃｈ tool compiles c code", ("make", "ping")),
    ],
    ids=["itself", "case and punctuation", "white space and order", "full width"],
)
async def test_a_question_never_finds_itself_or_a_near_duplicate(tmp_path: Path, copy: Question) -> None:
    found = await built(tmp_path).nearest(copy, 10)
    assert len(found) == 3
    assert EXAMPLES[0].id not in {near.question_id for near in found}


async def test_more_neighbours_than_rows_gives_every_row(tmp_path: Path) -> None:
    assert len(await built(tmp_path).nearest(ASKED, 99)) == 4


async def test_no_neighbours_wanted_encodes_nothing(tmp_path: Path) -> None:
    encoder = WordEncoder()
    index = built(tmp_path, encoder)
    before = list(encoder.batches)
    assert await index.nearest(ASKED, 0) == ()
    assert encoder.batches == before


async def test_an_index_of_the_question_alone_has_no_neighbours(tmp_path: Path) -> None:
    build_index(tmp_path / "index", EXAMPLES[:1], WordEncoder())
    assert await Index(tmp_path / "index", WordEncoder()).nearest(EXAMPLES[0], 4) == ()


def test_another_encoder_than_the_indexs_is_refused(tmp_path: Path) -> None:
    built(tmp_path)
    with pytest.raises(DataError, match=r"built with encoder 'words', not with 'other'; build it again"):
        Index(tmp_path / "index", WordEncoder("other"))


def test_a_missing_index_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no retrieval index there; build it with jobs/index.py"):
        Index(tmp_path / "index", WordEncoder())


def test_examples_without_a_task_are_left_out_and_near_duplicates_are_one(tmp_path: Path) -> None:
    more = (make_question("no task"), make_question("Which tool compiles C code?", ("ping", "make"), task="Build"))
    assert build_index(tmp_path / "index", [*EXAMPLES, *more], WordEncoder()) == 4
    assert Index(tmp_path / "index", WordEncoder()).rows == 4


def test_an_index_of_no_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no labelled examples"):
        build_index(tmp_path / "index", [make_question("no task")], WordEncoder())
    assert not (tmp_path / "index").exists()


async def test_an_index_is_replaced_whole(tmp_path: Path) -> None:
    built(tmp_path)
    build_index(tmp_path / "index", EXAMPLES[2:], WordEncoder())
    found = await Index(tmp_path / "index", WordEncoder()).nearest(ASKED, 10)
    assert {near.question_id for near in found} == {each.id for each in EXAMPLES[2:]}


def test_a_finished_index_stands_alone(tmp_path: Path) -> None:
    for _ in range(2):
        built(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["index"]


async def test_an_index_stays_when_building_the_next_one_fails(tmp_path: Path) -> None:
    index = built(tmp_path)
    for _ in range(2):  # what the first failure leaves behind does not hinder the second
        with pytest.raises(RuntimeError, match="encoder broke"):
            build_index(tmp_path / "index", [make_question("poison", task="Build")], WordEncoder())
    assert len(await index.nearest(ASKED, 10)) == 4


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


async def test_the_real_encoder_finds_a_paraphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_hub_in_reach", lambda: False)
    wanted = load_profile("local-cpu").retrieval.encoder
    encoder = SentenceEncoder(wanted.hub, weights.locate(wanted))
    vectors = encoder.encode(["one", "two words"])
    assert vectors.shape == (2, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    asked = make_question("In which place does our Kubernetes write its log files?")
    found = await built(tmp_path, encoder).nearest(asked, 4)
    assert found[0].question_id == EXAMPLES[3].id
