"""Vector store of labelled examples: LanceDB on disk; small tables are searched in memory, large ones by index."""

import asyncio
from pathlib import Path
from typing import Any, Protocol

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfFlat

from coe_ray.core.errors import DataError
from coe_ray.retrieval.encoder import Vectors

MAX_IN_MEMORY = 10_000
"""Rows up to which a table is searched in memory: 0.03 ms for 1,000 of them, where LanceDB's flat scan takes 2.3 ms."""

MAX_ON_LOOP = 2_000
"""Rows up to which that runs on the event loop: it takes less time than waking a thread."""

_TABLE = "examples"
_ROWS_A_PARTITION = 1_000
_PARTITIONS_READ = 8
_SHOWN = ["near_key", "question_id", "text", "task"]


class ExampleTable(Protocol):
    """Rows with `near_key`, `question_id`, `text`, `task` and their `similarity` (inner product), nearest first."""

    async def nearest(self, vector: Vectors, count: int) -> list[dict[str, Any]]: ...


def write_table(folder: Path, rows: pa.Table) -> None:
    """A new table at `folder`. A large one gets a vector index that keeps the vectors whole: similarities are exact."""
    table = lancedb.connect(folder).create_table(_TABLE, rows)
    if rows.num_rows > MAX_IN_MEMORY:
        partitions = rows.num_rows // _ROWS_A_PARTITION
        table.create_index("vector", config=IvfFlat(distance_type="dot", num_partitions=partitions))


def open_table(folder: Path) -> ExampleTable:
    """Blocks while a small table is read. Raises `DataError` where there is none."""
    try:
        table = lancedb.connect(folder).open_table(_TABLE)
        return _InMemory(table.to_arrow()) if table.count_rows() <= MAX_IN_MEMORY else _OnDisk(folder)
    except (ValueError, RuntimeError, OSError) as error:  # LanceDB's words for files that are missing or broken
        raise DataError(f"{folder}: the index cannot be read; build it again with `coe-ray index` ({error})") from error


class _InMemory:
    def __init__(self, rows: pa.Table) -> None:
        vectors = rows["vector"].combine_chunks()
        self._vectors: Vectors = vectors.values.to_numpy().reshape(len(vectors), -1)
        self._shown: list[dict[str, Any]] = rows.select(_SHOWN).to_pylist()

    async def nearest(self, vector: Vectors, count: int) -> list[dict[str, Any]]:
        if len(self._shown) <= MAX_ON_LOOP:
            return self._nearest(vector, count)
        return await asyncio.to_thread(self._nearest, vector, count)

    def _nearest(self, vector: Vectors, count: int) -> list[dict[str, Any]]:
        products = self._vectors @ vector
        best = np.argsort(-products, kind="stable")[:count]
        return [self._shown[row] | {"similarity": float(products[row])} for row in best]


class _OnDisk:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table: Any = None

    async def nearest(self, vector: Vectors, count: int) -> list[dict[str, Any]]:
        table = await self._opened()
        query = table.query().nearest_to(vector).distance_type("dot").nprobes(_PARTITIONS_READ).limit(count)
        found = await query.select([*_SHOWN, "_distance"]).to_list()
        # LanceDB gives 1 - q·c as the distance of the inner product.
        return [row | {"similarity": 1.0 - row["_distance"]} for row in found]

    async def _opened(self) -> Any:
        if self._table is None:
            connection = await lancedb.connect_async(self._folder)
            self._table = await connection.open_table(_TABLE)
        return self._table
