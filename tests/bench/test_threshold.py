"""The threshold of the cascade: leave-one-out votes, what each threshold would decide, and the lowest good enough."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.bench.threshold import Threshold, Vote, choose_threshold, collect_votes, list_thresholds
from coe_ray.core.errors import DataError
from coe_ray.core.questions import make_question
from coe_ray.retrieval.index import ExampleIndex, build_index
from tests.support.planted import Shelf, WordEncoder
from tests.support.profiles import small_profile

CAST = [Vote(1.0, True), Vote(1.0, True), Vote(0.8, True), Vote(0.8, False), Vote(0.5, False)]
VOTES = st.lists(st.builds(Vote, st.sampled_from([0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=1, max_size=40)


def test_each_confidence_is_a_threshold_highest_first() -> None:
    assert list_thresholds(CAST) == [Threshold(1.0, 2, 2, 5), Threshold(0.8, 3, 4, 5), Threshold(0.5, 3, 5, 5)]


@pytest.mark.parametrize(("accuracy", "confidence"), [(1.0, 1.0), (0.75, 0.8), (0.6, 0.5), (0.0, 0.5)])
def test_the_lowest_that_is_accurate_enough(accuracy: float, confidence: float) -> None:
    assert choose_threshold(list_thresholds(CAST), accuracy).confidence == confidence


def test_where_none_is_accurate_enough_the_best_is_named() -> None:
    with pytest.raises(DataError, match=r"right in 50\.0% of the cases, not in 90\.0%"):
        choose_threshold(list_thresholds([Vote(1.0, True), Vote(1.0, False)]), 0.9)
    with pytest.raises(DataError, match="no threshold"):
        choose_threshold([], 0.9)


@given(VOTES)
def test_a_threshold_says_what_it_would_decide(cast: list[Vote]) -> None:
    for step in list_thresholds(cast):
        decided = [vote for vote in cast if vote.confidence >= step.confidence]
        assert (step.decided, step.right, step.total) == (len(decided), sum(v.right for v in decided), len(cast))
        low, high = step.interval
        assert low - 1e-9 <= step.accuracy <= high + 1e-9


async def test_an_example_does_not_vote_for_itself(tmp_path: Path) -> None:
    examples = [make_question(text, task="Build") for text in ("compile it", "compile that")]
    examples.append(make_question("compile this", task="Integration Test"))
    build_index(tmp_path / "index", examples, WordEncoder())
    profile = small_profile(tmp_path, classifier={"model": "sorter", "k": 1})
    cast = await collect_votes(profile, ExampleIndex(tmp_path / "index", WordEncoder()), examples)
    assert len(cast) == 3
    assert not cast[2].right  # its only like is itself


async def test_an_example_without_neighbours_does_not_count(tmp_path: Path) -> None:
    assert await collect_votes(small_profile(tmp_path), Shelf(), [make_question("?", task="Build")]) == []
