"""Similar labelled questions: all-MiniLM-L6-v2 and a LanceDB table, inner product, softmax weights (eqs. 10 to 13).

What is encoded is the question with its options. The encoder reads 256 tokens and drops what comes after: a long
series or log is cut at its end, and so are the options behind it. The wording stands first in nearly every
question, which is what tells tasks apart; the classifier itself always reads the whole question.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import lancedb
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from coe_ray.errors import DataError
from coe_ray.questions import near_duplicate_key
from coe_ray.types import Neighbour, Question

_TABLE = "examples"
_CARD = "index.json"

Vectors = npt.NDArray[np.float32]


class Encoder(Protocol):
    """Texts to unit vectors, shape (len(texts), dimension)."""

    @property
    def name(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class Retriever(Protocol):
    """Finds the labelled questions nearest to one; never that question itself or a near duplicate of it."""

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]: ...


class SentenceEncoder:
    """all-MiniLM-L6-v2, or any other sentence-transformers model in `folder`; `name` is what the index remembers."""

    def __init__(self, name: str, folder: str) -> None:
        from sentence_transformers import SentenceTransformer  # 6 s of import, for those who encode only

        self.name = name
        self._model = SentenceTransformer(folder, device=None)

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)


def build_index(folder: Path, examples: Sequence[Question], encoder: Encoder) -> int:
    """Encode `examples` (each with its task) into a new index at `folder`; returns the number of rows.

    The folder is written aside and renamed, so an index exists only whole. Raises `DataError` without examples.
    """
    unique = _unique(examples)
    if not unique:
        raise DataError("index: no labelled examples; the benchmark's dev split must name tasks of the profile")
    aside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    vectors = encoder.encode([example.full_text for example in unique.values()])
    lancedb.connect(aside).create_table(_TABLE, _rows(unique, vectors))
    card = {
        "encoder": encoder.name,
        "dimension": vectors.shape[1],
        "rows": len(unique),
        "examples": _fingerprint(unique),
    }
    (aside / _CARD).write_bytes(orjson.dumps(card))
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return len(unique)


def is_built_of(folder: Path, examples: Sequence[Question], encoder: str) -> bool:
    """Whether the index at `folder` exists and holds just these examples, encoded by this encoder."""
    try:
        card = orjson.loads((folder / _CARD).read_bytes())
    except FileNotFoundError:
        return False
    return bool(card["encoder"] == encoder and card.get("examples") == _fingerprint(_unique(examples)))


def _unique(examples: Sequence[Question]) -> dict[str, Question]:
    return {near_duplicate_key(each.text, each.options): each for each in examples if each.task is not None}


def _fingerprint(unique: dict[str, Question]) -> str:
    pairs = sorted((question.id, question.task) for question in unique.values())
    return hashlib.sha256(orjson.dumps(pairs)).hexdigest()


def _rows(unique: dict[str, Question], vectors: Vectors) -> pa.Table:
    questions = list(unique.values())
    return pa.table(
        {
            "near_key": list(unique),
            "question_id": [question.id for question in questions],
            "text": [question.full_text for question in questions],
            "task": [question.task for question in questions],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
        }
    )


class BatchingEncoder:
    """Encodes in a thread, whatever has come together meanwhile in one batch: no loop stands still, no timer waits."""

    def __init__(self, encoder: Encoder, max_batch: int = 32) -> None:
        self._encoder = encoder
        self._max_batch = max_batch
        self._waiting: list[tuple[str, asyncio.Future[Vectors]]] = []
        self._working: asyncio.Task[None] | None = None

    async def encode(self, text: str) -> Vectors:
        """One vector of shape (dimension,)."""
        future: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, future))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
            try:
                vectors = await asyncio.to_thread(self._encoder.encode, [text for text, _ in batch])
                encoded = list(zip(batch, vectors, strict=True))
            except Exception as error:  # handed to everyone who waits for it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), vector in encoded:
                if not future.done():  # its caller may have left
                    future.set_result(vector)


class Index:
    """An opened index. Refuses to be read with another encoder than the one it was built with."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self._folder = folder
        self._encoder = BatchingEncoder(encoder)
        self._table: lancedb.AsyncTable | None = None
        self.rows = int(_card(folder, encoder)["rows"])

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        """The `k` nearest examples, nearest first."""
        if k == 0:
            return ()
        vector = await self._encoder.encode(question.full_text)
        table = await self._opened()
        own = near_duplicate_key(question.text, question.options)
        query = table.query().nearest_to(vector).distance_type("dot").where(f"near_key != '{own}'").limit(k)
        found = await query.select(["question_id", "text", "task", "_distance"]).to_list()
        return weighted(found)

    async def _opened(self) -> "lancedb.AsyncTable":
        if self._table is None:
            connection = await lancedb.connect_async(self._folder)
            self._table = await connection.open_table(_TABLE)
        return self._table


def weighted(found: Sequence[dict[str, Any]]) -> tuple[Neighbour, ...]:
    """LanceDB's rows as neighbours, with the softmax of their inner products over the retrieved (eq. 12)."""
    # LanceDB gives 1 - q·c as the distance of the inner product.
    similarities = np.array([1.0 - row["_distance"] for row in found], dtype=np.float64)
    powers = np.exp(similarities - similarities.max(initial=-np.inf))
    weights = powers / powers.sum()
    return tuple(
        Neighbour(row["question_id"], row["text"], row["task"], float(similarity), float(weight))
        for row, similarity, weight in zip(found, similarities, weights, strict=True)
    )


def _card(folder: Path, encoder: Encoder) -> dict[str, Any]:
    try:
        card: dict[str, Any] = orjson.loads((folder / _CARD).read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{folder}: no retrieval index there; build it with jobs/index.py") from error
    if card["encoder"] != encoder.name:
        raise DataError(
            f"{folder}: built with encoder {card['encoder']!r}, not with {encoder.name!r}; "
            "build it again with jobs/index.py"
        )
    return card
