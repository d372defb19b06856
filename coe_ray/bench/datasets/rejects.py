"""Rejected rows: kept with their reason, so that no row of a benchmark vanishes unseen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_SCHEMA = pa.schema([("file", pa.string()), ("row", pa.int64()), ("id", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row left out.

    `file` is relative to the benchmark's folder, `row` counts data rows from 1 (0: the file as a whole) and
    `id` is the one the file gives.
    """

    file: str
    row: int
    id: str
    reason: str


def write_rejected(path: str | Path, rejected: Sequence[RejectedRow]) -> None:
    """Write the rows as Parquet with the columns file, row, id and reason; raises OSError if it cannot."""
    columns = {
        "file": [_encodable(one.file) for one in rejected],
        "row": [one.row for one in rejected],
        "id": [_encodable(one.id) for one in rejected],
        "reason": [_encodable(one.reason) for one in rejected],
    }
    pq.write_table(pa.table(columns, schema=_SCHEMA), path)


def count_reasons(rejected: Sequence[RejectedRow]) -> str:
    """The reasons with their counts, most frequent first, each up to its colon."""
    counts = Counter(one.reason.split(":")[0] for one in rejected)
    return ", ".join(f"{count} × {reason}" for reason, count in counts.most_common())


def _encodable(text: str) -> str:
    # Parquet takes only UTF-8, and a rejected row may have been rejected because it is none.
    return text.encode("utf-8", "backslashreplace").decode()
