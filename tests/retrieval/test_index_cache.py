"""Open indexes: opened when first asked for, again when built anew, a bounded number of them."""

import shutil
from pathlib import Path

import pytest

from coe_ray.core.errors import DataError
from coe_ray.core.questions import make_question
from coe_ray.retrieval.index import build_index
from coe_ray.retrieval.index_cache import IndexCache
from tests.support.planted import WordEncoder


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def build(folder: Path, count: int) -> Path:
    build_index(folder, [make_question(f"question {n}", task="Build") for n in range(count)], WordEncoder())
    return folder


async def test_an_index_built_anew_is_seen_after_a_second(tmp_path: Path) -> None:
    clock = Clock()
    indexes = IndexCache(WordEncoder(), clock=clock)
    folder = build(tmp_path / "i", 1)
    first = await indexes.at(folder)
    build(folder, 2)
    assert await indexes.at(folder) is first
    clock.now = 1.5
    second = await indexes.at(folder)
    assert (first.rows, second.rows) == (1, 2)
    clock.now = 3
    assert await indexes.at(folder) is second


async def test_a_check_sees_the_new_index_at_once(tmp_path: Path) -> None:
    indexes = IndexCache(WordEncoder(), clock=Clock())
    folder = build(tmp_path / "i", 1)
    indexes.open(folder)
    build(folder, 2)
    await indexes.check(folder)
    assert (await indexes.at(folder)).rows == 2


async def test_what_is_not_there_or_of_another_encoder_is_refused(tmp_path: Path) -> None:
    indexes = IndexCache(WordEncoder("other"))
    for use in (indexes.at, indexes.check):
        with pytest.raises(DataError, match="no retrieval index there"):
            await use(tmp_path / "nowhere")
        with pytest.raises(DataError, match="not with 'other'; build it again"):
            await use(build(tmp_path / "i", 1))


@pytest.mark.parametrize("limit", [8, 1])
async def test_an_open_index_outlives_its_folder_but_a_check_says_so(tmp_path: Path, limit: int) -> None:
    clock = Clock()
    indexes = IndexCache(WordEncoder(), limit, clock)
    folder = build(tmp_path / "i", 3)
    opened = await indexes.at(folder)
    shutil.rmtree(folder)
    clock.now = 2
    assert await indexes.at(folder) is opened
    assert len(await opened.nearest(make_question("question"), 3)) == 3
    with pytest.raises(DataError, match="no retrieval index there"):
        await indexes.check(folder)


async def test_a_bounded_number_stays_open(tmp_path: Path) -> None:
    indexes = IndexCache(WordEncoder(), limit=2, clock=Clock())
    folders = [build(tmp_path / name, 1) for name in "abc"]
    opened = [await indexes.at(folder) for folder in folders]
    assert await indexes.at(folders[2]) is opened[2]
    assert await indexes.at(folders[1]) is opened[1]
    assert await indexes.at(folders[0]) is not opened[0]
