"""Tables: a small one is searched in memory, a large one by its vector index, and both find the same."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from coe_ray.core.errors import DataError
from coe_ray.retrieval import vector_store
from coe_ray.retrieval.encoder import Vectors
from coe_ray.retrieval.vector_store import open_table, write_table


def unit(count: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    normed: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed


def rows(vectors: Vectors) -> pa.Table:
    names = [str(number) for number in range(len(vectors))]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return pa.table({"near_key": names, "question_id": names, "text": names, "task": names, "vector": flat})


@pytest.mark.parametrize("in_memory", [10_000, 100], ids=["in memory", "by its index"])
async def test_the_nearest_come_first_with_exact_similarities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(vector_store, "MAX_IN_MEMORY", in_memory)
    monkeypatch.setattr(vector_store, "_ROWS_A_PARTITION", 250)
    vectors, query = unit(2_000, 0), unit(1, 1)[0]
    write_table(tmp_path / "table", rows(vectors))
    table = open_table(tmp_path / "table")
    for _ in range(2):
        found = await table.nearest(query, 5)
        products = vectors @ query
        assert [int(row["question_id"]) for row in found] == list(np.argsort(-products)[:5])
        assert [row["similarity"] for row in found] == pytest.approx(sorted(products, reverse=True)[:5], abs=1e-5)


def test_a_table_that_is_gone_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read; build it again with `coe-ray index`"):
        open_table(tmp_path / "nowhere")
