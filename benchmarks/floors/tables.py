"""What the floors share: the measure of their work, and Parquet read and written plainly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Work:
    """What a floor went through: documents read, and bytes of the text (UTF-8) worked on."""

    documents: int
    text_bytes: int


Floor = Callable[[], Work]


def read(path: str, columns: list[str] | None = None) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=columns, use_threads=False)


def write(table: Any, out: str, number: int) -> None:
    import pyarrow.parquet as pq

    Path(out).mkdir(parents=True, exist_ok=True)
    path = Path(out, f"{number:05d}.parquet")
    pq.write_table(table, path, compression="zstd", compression_level=2)


def write_rows(tables: list[Any], rows: Any, out: str) -> Work:
    """Writes the chosen rows, numbered through all tables."""
    import numpy as np

    keep = np.zeros(sum(table.num_rows for table in tables), dtype=bool)
    keep[rows] = True
    start = 0
    for number, table in enumerate(tables):
        write(table.filter(keep[start : start + table.num_rows]), out, number)
        start += table.num_rows
    return work_on(tables)


def with_column(table: Any, name: str, values: Any) -> Any:
    return table.set_column(table.schema.get_field_index(name), name, values)


def work_on(tables: Iterable[Any]) -> Work:
    import pyarrow.compute as pc

    documents = size = 0
    for table in tables:
        documents += table.num_rows
        size += pc.sum(pc.binary_length(table["text"])).as_py() or 0
    return Work(documents, size)


def size_of(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)
