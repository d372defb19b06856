"""The retriever's deployment as one replica runs it, with an encoder of words; no cluster."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coe_ray.core.errors import DataError
from coe_ray.core.questions import make_question
from coe_ray.profile.profile import Profile
from coe_ray.retrieval.index import build_index
from coe_ray.serve.hosting import retriever
from coe_ray.serve.hosting.retriever import RetrieverDeployment
from tests.support.planted import WordEncoder
from tests.support.profiles import content, small_profile

QUESTIONS = [make_question(f"word{number} compiles", task="Build") for number in range(4)]


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """Its index is not built yet."""
    monkeypatch.setattr(retriever, "fetch_weights", lambda encoder: tmp_path)
    monkeypatch.setattr(retriever, "SentenceEncoder", lambda hub, weights: WordEncoder())
    return small_profile(tmp_path, retrieval={**content()["retrieval"], "index": "index"})


def replica(profile: Profile) -> Any:
    deployment: Any = RetrieverDeployment  # a class to mypy
    return deployment.func_or_class(profile)


async def test_questions_of_one_request_each_get_their_nearest(profile: Profile) -> None:
    build_index(profile.index_folder, QUESTIONS, WordEncoder())
    queries = [(make_question(f"Who compiles {k} things?"), k) for k in (1, 2, 3, 4)]
    results = await replica(profile).nearest_all(queries, str(profile.index_folder))
    assert [len(neighbours) for neighbours in results] == [1, 2, 3, 4]
    assert {near.question_id for near in results[3]} == {question.id for question in QUESTIONS}


def test_without_an_index_a_replica_does_not_start(profile: Profile) -> None:
    with pytest.raises(DataError, match="no retrieval index there"):
        replica(profile)


async def test_another_index_is_checked_before_it_is_used(profile: Profile, tmp_path: Path) -> None:
    build_index(profile.index_folder, QUESTIONS, WordEncoder())
    build_index(tmp_path / "other", QUESTIONS[:1], WordEncoder("other"))
    running = replica(profile)
    await running.check(str(profile.index_folder))
    await running.check_health()
    with pytest.raises(DataError, match="not with"):
        await running.check(str(tmp_path / "other"))


async def test_texts_are_embedded_a_few_at_a_time_and_counted(profile: Profile) -> None:
    build_index(profile.index_folder, QUESTIONS, WordEncoder())
    texts = [f"word{number} compiles" for number in range(20)]
    embeddings = await replica(profile).embed(texts)
    assert np.array_equal(embeddings.vectors, WordEncoder().encode(texts))
    assert embeddings.tokens == 40
