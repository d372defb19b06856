"""Retrieval: near questions come back weighted, the question itself never; an index is swapped whole under readers."""

import asyncio
import math
from pathlib import Path

import pytest

from coe_ray.core.errors import DataError
from coe_ray.core.questions import make_question
from coe_ray.core.types import Question
from coe_ray.retrieval.batching import BatchingEncoder
from coe_ray.retrieval.encoder import Encoder
from coe_ray.retrieval.index import ExampleIndex, build_index, has_index, index_stamp, weigh_neighbours
from tests.support.planted import WordEncoder

EXAMPLES = (
    make_question("which tool compiles c code", ("make", "ping"), "A", "Build"),
    make_question("which tool compiles java code", ("ant", "top"), "A", "Build"),
    make_question("how often is a test run", ("daily", "never"), "A", "Test"),
    make_question("where do logs of the cluster go", ("disk", "tape"), "A", "Log Parser"),
)
ASKED = make_question("which tool compiles rust code", ("cargo", "df"))


def built(folder: Path, encoder: Encoder | None = None) -> ExampleIndex:
    encoder = encoder or WordEncoder()
    build_index(folder / "index", EXAMPLES, encoder)
    return ExampleIndex(folder / "index", encoder)


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
    assert weigh_neighbours([]) == ()


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
    assert await ExampleIndex(tmp_path / "index", WordEncoder()).nearest(EXAMPLES[0], 4) == ()


def test_another_encoder_than_the_indexs_is_refused(tmp_path: Path) -> None:
    built(tmp_path)
    with pytest.raises(DataError, match=r"built with encoder 'words', not with 'other'; build it again"):
        ExampleIndex(tmp_path / "index", WordEncoder("other"))


def test_a_missing_index_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no retrieval index there; build it with `coe-ray index`"):
        ExampleIndex(tmp_path / "index", WordEncoder())


def test_examples_without_a_task_are_left_out_and_near_duplicates_are_one(tmp_path: Path) -> None:
    more = (make_question("no task"), make_question("Which tool compiles C code?", ("ping", "make"), task="Build"))
    assert build_index(tmp_path / "index", [*EXAMPLES, *more], WordEncoder()) == 4
    assert ExampleIndex(tmp_path / "index", WordEncoder()).rows == 4


def test_an_index_of_no_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no labelled examples"):
        build_index(tmp_path / "index", [make_question("no task")], WordEncoder())
    assert not (tmp_path / "index").exists()


async def test_an_index_is_replaced_whole(tmp_path: Path) -> None:
    built(tmp_path)
    build_index(tmp_path / "index", EXAMPLES[2:], WordEncoder())
    found = await ExampleIndex(tmp_path / "index", WordEncoder()).nearest(ASKED, 10)
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


async def test_an_opened_index_goes_on_while_the_next_one_takes_its_place(tmp_path: Path) -> None:
    before = built(tmp_path)
    mark = index_stamp(tmp_path / "index")
    build_index(tmp_path / "index", EXAMPLES[2:], WordEncoder())
    assert index_stamp(tmp_path / "index") != mark
    assert len(await before.nearest(ASKED, 10)) == 4


async def test_readers_find_an_index_at_every_moment(tmp_path: Path) -> None:
    built(tmp_path)
    building = asyncio.create_task(asyncio.to_thread(rebuilt, tmp_path / "index", 8))
    seen = set()
    while not building.done():
        assert has_index(tmp_path / "index")
        index = await asyncio.to_thread(ExampleIndex, tmp_path / "index", WordEncoder())
        seen.add(index.rows)
        assert len(await index.nearest(ASKED, 10)) == index.rows
    await building
    assert seen <= {2, 4}


def rebuilt(folder: Path, times: int) -> None:
    for number in range(times):
        build_index(folder, EXAMPLES[2 * (number % 2) :], WordEncoder())


def test_an_index_keeps_the_version_before_and_no_more(tmp_path: Path) -> None:
    built(tmp_path)
    (tmp_path / "index" / "examples.lance").mkdir()  # where an older release had its table
    rebuilt(tmp_path / "index", 3)
    assert sum(each.is_dir() for each in (tmp_path / "index").iterdir()) == 2


def test_an_index_of_an_older_release_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "index.json").write_text('{"encoder": "words", "dimension": 64, "rows": 4}')
    with pytest.raises(DataError, match="build it again"):
        ExampleIndex(tmp_path / "index", WordEncoder())


async def test_indexes_may_share_one_cache(tmp_path: Path) -> None:
    encoder = WordEncoder()
    built(tmp_path, encoder)
    shared = BatchingEncoder(encoder)
    encoder.batches.clear()
    for _ in range(2):
        await ExampleIndex(tmp_path / "index", shared).nearest(ASKED, 2)
    assert encoder.batches == [1]
