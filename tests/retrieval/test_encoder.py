"""The encoder: OpenVINO's vectors are sentence-transformers' own, whatever stands beside a text."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core.questions import make_question
from coe_ray.core.types import Question
from coe_ray.llm import weights
from coe_ray.profile.profile import load_profile
from coe_ray.retrieval.encoder import SentenceEncoder, Vectors
from coe_ray.retrieval.index import ExampleIndex, build_index
from coe_ray.retrieval.vector_store import MAX_IN_MEMORY

TEXTS = [
    "one",
    "two words",
    "",
    "  \n",
    "Prometheus 的 counter 与 gauge 有什么区别？\nA. 单调递增\nB. 可增可减",
    "kubectl rollout undo deployment/web --to-revision=2 # ünïcödé 🚀",
    "x" * 5_000,
    "a long log line with id 4711 and level=ERROR " * 2_000,
]


@pytest.fixture(scope="module")
def folder() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "_hub_in_reach", lambda: False)
        return weights.fetch_weights(load_profile("local-cpu").retrieval.encoder)


@pytest.fixture(scope="module")
def encoder(folder: str) -> SentenceEncoder:
    return SentenceEncoder("lab/minilm", folder)


def reference(folder: str, texts: Sequence[str]) -> Vectors:
    model = SentenceTransformer(folder, device="cpu")
    vectors = model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)


def test_vectors_are_those_of_sentence_transformers(folder: str, encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    assert (vectors * reference(folder, TEXTS)).sum(axis=1).min() >= 0.999


def test_a_text_has_one_vector_whatever_it_is_encoded_with(encoder: SentenceEncoder) -> None:
    together = encoder.encode(TEXTS)
    assert all(np.array_equal(vector, encoder.encode([text])[0]) for vector, text in zip(together, TEXTS, strict=True))


def test_no_text_gives_no_vector(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, 384)


def test_a_lone_surrogate_is_a_text_like_any_other(encoder: SentenceEncoder) -> None:
    assert np.array_equal(encoder.encode(["broken \ud800"]), encoder.encode(["broken ?"]))


def test_an_index_remembers_how_its_encoder_is_run(encoder: SentenceEncoder) -> None:
    assert encoder.name == "lab/minilm (openvino-mean-1)"


async def test_it_finds_a_paraphrase(tmp_path: Path, encoder: SentenceEncoder) -> None:
    texts = {"where do logs of the cluster go": "Log Parser", "which tool compiles java code": "Build"}
    examples = [make_question(text, task=task) for text, task in texts.items()]
    build_index(tmp_path / "index", examples, encoder)
    asked = make_question("In which place does our Kubernetes write its log files?")
    found = await ExampleIndex(tmp_path / "index", encoder).nearest(asked, 2)
    assert found[0].question_id == examples[0].id


def test_the_neighbours_vote_as_with_sentence_transformers(folder: str, encoder: SentenceEncoder) -> None:
    benchmark = load_benchmark("sample")
    asked, examples = benchmark.questions, benchmark.examples
    assert len(examples) <= MAX_IN_MEMORY
    texts = [each.full_text for each in (*asked, *examples)]
    wanted, found = (votes(each, len(asked), examples) for each in (reference(folder, texts), encoder.encode(texts)))
    agreed = np.mean([one == other for one, other in zip(wanted, found, strict=True)])
    assert agreed >= 0.99


def votes(vectors: Vectors, asked: int, examples: Sequence[Question]) -> list[str | None]:
    """For each asked question the task with the greatest weight (eq. 12) among its four nearest examples."""
    labels = []
    for products in vectors[:asked] @ vectors[asked:].T:
        weight: dict[str | None, float] = defaultdict(float)
        for row in np.argsort(-products, kind="stable")[:4]:
            weight[examples[row].task] += float(np.exp(products[row]))
        labels.append(max(weight, key=lambda task: weight[task]))
    return labels
