"""Score columns of the parts that `select` reads, a row group at a time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stages.engine import files
from stages.select import SelectRule

JUDGED = ("language", "language_score", "perplexity", "bucket", "reference_score")
"""What `SelectRule.verdict` takes after the number of characters, in its order."""

NO_LANGUAGE = "none"
_AHEAD = 2  # row groups that wait decoded, beside those being decoded


def decoded(paths: Sequence[str], columns: Sequence[str], threads: int) -> Iterator[pa.RecordBatch]:
    """Row groups in order, with those of the columns that they have.

    They are decompressed in threads, a few ahead, so memory is bounded by row groups.
    """
    waiting: deque[Future[list[pa.RecordBatch]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for path, group in _row_groups(paths):
            waiting.append(pool.submit(_read, path, group, columns))
            if len(waiting) >= threads + _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _row_groups(paths: Sequence[str]) -> Iterator[tuple[str, int]]:
    for path in paths:
        with files.open_read(path) as handle:
            count = pq.ParquetFile(handle).num_row_groups
        yield from ((path, group) for group in range(count))


def _read(path: str, group: int, columns: Sequence[str]) -> list[pa.RecordBatch]:
    with files.open_read(path) as handle:
        parquet = pq.ParquetFile(handle, page_checksum_verification=True)
        names = [c for c in columns if c in parquet.schema_arrow.names]
        table = parquet.read_row_group(group, names, use_threads=False)
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches()
    return batches


def values(batch: pa.RecordBatch, name: str) -> list[Any]:
    """A column as Python values; None for each row where the batch lacks it."""
    index = batch.schema.get_field_index(name)
    return batch.column(index).to_pylist() if index >= 0 else [None] * batch.num_rows


def scores(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.float64]:
    """The score of each row, NaN where it has none; shape (rows,)."""
    known = [np.nan if value is None else value for value in values(batch, name)]
    return np.array(known, dtype=np.float64)


def passing(
    batch: pa.RecordBatch, rule: SelectRule, left: Counter[str], chars: Sequence[int]
) -> npt.NDArray[np.bool_]:
    """Which rows, of texts of `chars` characters, the rule keeps; shape (rows,).

    The reasons of the others are counted in `left`.
    """
    keep = np.ones(batch.num_rows, dtype=np.bool_)
    rows = zip(chars, *(values(batch, name) for name in JUDGED), strict=True)
    for i, row in enumerate(rows):
        if (verdict := rule.verdict(*row)) is not None:
            keep[i] = False
            left[verdict.reason] += 1
    return keep


def by_language(
    batch: pa.RecordBatch, keep: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.int64]]:
    """Numbers of the rows to keep, ascending, by language; `NO_LANGUAGE` where there is none."""
    rows: dict[str, list[int]] = {}
    for i, (language, kept) in enumerate(zip(values(batch, "language"), keep, strict=True)):
        if kept:
            rows.setdefault(language or NO_LANGUAGE, []).append(i)
    return {language: np.array(found, dtype=np.int64) for language, found in rows.items()}
