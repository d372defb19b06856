"""Similar labelled questions: all-MiniLM-L6-v2 and a LanceDB table, inner product, softmax weights (eqs. 10 to 13).

What is encoded is the question with its options. The encoder reads 256 tokens and drops what comes after: a long
series or log is cut at its end, and so are the options behind it. The wording stands first in nearly every
question, which is what tells tasks apart; the classifier itself always reads the whole question.

An index is a folder: `index.json`, the card, names the version (a subfolder) that holds the table. The card is written
whole and last, so that a reader finds the old index or the new one; the version before stays for those who read it.
"""

import asyncio
import hashlib
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa

from coe_ray.core.errors import DataError
from coe_ray.core.files import hold_lock, write_atomic
from coe_ray.core.questions import near_duplicate_key
from coe_ray.core.types import Neighbour, Question
from coe_ray.retrieval.batching import BatchingEncoder
from coe_ray.retrieval.encoder import Encoder, Vectors
from coe_ray.retrieval.vector_store import open_table, write_table

_CARD = "index.json"
_LOCK = ".lock"

LONG_QUESTION = 10_000
"""Characters from which on a question's key takes milliseconds, and so a thread."""


class Retriever(Protocol):
    """Finds the labelled questions nearest to one; never that question itself or a near duplicate of it."""

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]: ...


def build_index(folder: Path, examples: Sequence[Question], encoder: Encoder) -> int:
    """Encode `examples` (each with its task) into a new index at `folder`; returns the number of rows.

    An index that is there is read until the new one is whole, and by those who have it open also after that.
    Raises `DataError` without examples.
    """
    unique = _unique(examples)
    if not unique:
        raise DataError("index: no labelled examples; the benchmark's dev split must name tasks of the profile")
    vectors = encoder.encode([example.full_text for example in unique.values()])
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / _LOCK, wait=True):
        version = uuid.uuid4().hex[:12]
        write_table(folder / version, _rows(unique, vectors))
        before = (_read_card(folder) or {}).get("version")
        card = {
            "encoder": encoder.name,
            "dimension": vectors.shape[1],
            "rows": len(unique),
            "examples": _fingerprint(unique),
            "version": version,
        }
        write_atomic(folder / _CARD, orjson.dumps(card))
        for entry in folder.iterdir():
            if entry.name not in {_CARD, _LOCK, version, before}:
                shutil.rmtree(entry, ignore_errors=True)
    return len(unique)


def has_index(folder: Path) -> bool:
    """Whether there is a whole index at `folder`, of whatever it was built."""
    return (folder / _CARD).is_file()


def is_index_of(folder: Path, examples: Sequence[Question], encoder: str) -> bool:
    """Whether the index at `folder` exists and holds just these examples, encoded by this encoder."""
    card = _read_card(folder)
    if card is None:
        return False
    return bool(card["encoder"] == encoder and card.get("examples") == _fingerprint(_unique(examples)))


def index_stamp(folder: Path) -> tuple[int, int] | None:
    """What changes whenever the index at `folder` is built again; `None` without an index. One look at the disk."""
    try:
        status = (folder / _CARD).stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


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


class ExampleIndex:
    """An opened index. Refuses to be read with another encoder than the one it was built with.

    Opening blocks. Indexes that are given one `BatchingEncoder` share its batches and its cache.
    """

    def __init__(self, folder: Path, encoder: Encoder | BatchingEncoder) -> None:
        self._encoder = encoder if isinstance(encoder, BatchingEncoder) else BatchingEncoder(encoder)
        card = _checked_card(folder, self._encoder.name)
        self.rows = int(card["rows"])
        self._table = open_table(folder / card["version"])

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        """The `k` nearest examples, nearest first."""
        if k == 0:
            return ()
        vector = await self._encoder.encode(question.full_text)
        # Keys are unique in a table: one more than wanted, less the own row, is cheaper than a filter.
        found = await self._table.nearest(vector, k + 1)
        own = await self._own_key(question)
        return weigh_neighbours([row for row in found if row["near_key"] != own][:k])

    @staticmethod
    async def _own_key(question: Question) -> str:
        if len(question.full_text) < LONG_QUESTION:
            return near_duplicate_key(question.text, question.options)
        return await asyncio.to_thread(near_duplicate_key, question.text, question.options)


def weigh_neighbours(found: Sequence[dict[str, Any]]) -> tuple[Neighbour, ...]:
    """A table's rows as neighbours, with the softmax of their inner products over the retrieved (eq. 12)."""
    similarities = np.array([row["similarity"] for row in found], dtype=np.float64)
    powers = np.exp(similarities - similarities.max(initial=-np.inf))
    weights = powers / powers.sum()
    return tuple(
        Neighbour(row["question_id"], row["text"], row["task"], float(similarity), float(weight))
        for row, similarity, weight in zip(found, similarities, weights, strict=True)
    )


def _read_card(folder: Path) -> dict[str, Any] | None:
    try:
        card: dict[str, Any] = orjson.loads((folder / _CARD).read_bytes())
    except FileNotFoundError:
        return None
    return card


def _checked_card(folder: Path, encoder: str) -> dict[str, Any]:
    card = _read_card(folder)
    if card is None:
        raise DataError(f"{folder}: no retrieval index there; build it with `coe-ray index`")
    if card["encoder"] != encoder or "version" not in card:  # an older release's index lay in the folder itself
        raise DataError(
            f"{folder}: built with encoder {card['encoder']!r}, not with {encoder!r}; "
            "build it again with `coe-ray index`"
        )
    return card
