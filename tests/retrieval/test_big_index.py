"""An index of 100,000 examples, perturbed embeddings of the sample's: its search finds what the flat scan finds.

`python -m pytest tests/retrieval/test_big_index.py -s` prints how long a search takes.
"""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.llm import weights
from coe_ray.profile.profile import load_profile
from coe_ray.retrieval.encoder import SentenceEncoder, Vectors
from coe_ray.retrieval.vector_store import open_table, write_table

ROWS, QUERIES, K = 100_000, 100, 4
NOISE = 0.03
"""Of each coordinate: the perturbed vectors have a cosine of 0.86 to their originals."""


@pytest.fixture(scope="module")
def sample() -> Vectors:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "_hub_in_reach", lambda: False)
        wanted = load_profile("local-cpu").retrieval.encoder
        encoder = SentenceEncoder(wanted.hub, weights.fetch_weights(wanted))
    benchmark = load_benchmark("sample")
    return encoder.encode([each.full_text for each in (*benchmark.questions, *benchmark.examples)])


def perturbed(sample: Vectors, count: int, seed: int) -> Vectors:
    chance = np.random.default_rng(seed)
    vectors = sample[chance.integers(len(sample), size=count)]
    vectors = vectors + chance.normal(0, NOISE, vectors.shape).astype(np.float32)
    normed: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed


async def test_a_large_table_finds_what_the_flat_scan_finds(tmp_path: Path, sample: Vectors) -> None:
    vectors, queries = perturbed(sample, ROWS, 0), perturbed(sample, QUERIES, 1)
    write_table(tmp_path / "table", _rows(vectors))
    table = open_table(tmp_path / "table")
    await table.nearest(queries[0], K + 1)
    recalled, seconds = 0, []
    for vector in queries:
        began = time.perf_counter()
        found = await table.nearest(vector, K + 1)
        seconds.append(time.perf_counter() - began)
        products = vectors @ vector
        best = {str(row) for row in np.argsort(-products)[:K]}
        recalled += len(best & {row["question_id"] for row in found[:K]})
        assert [row["similarity"] for row in found] == pytest.approx(
            [products[int(row["question_id"])] for row in found], abs=1e-5
        )
    middle, late = np.percentile(seconds, [50, 95]) * 1e3
    print(f"\n{ROWS} rows: p50 {middle:.1f} ms, p95 {late:.1f} ms, recall@{K} {recalled / (K * QUERIES):.3f}")  # noqa: T201
    assert recalled / (K * QUERIES) >= 0.95


def _rows(vectors: Vectors) -> pa.Table:
    names = [str(number) for number in range(len(vectors))]
    texts = [f"question {name}, as long as a question is; which of these is it? A. this B. that" for name in names]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return pa.table({"near_key": names, "question_id": names, "text": texts, "task": names, "vector": flat})
