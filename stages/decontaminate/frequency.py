"""In how many documents each matched n-gram is: numbers of n-grams meet, never text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stages.decontaminate.matching import Matches
from stages.dedup.runs import Run, emit_run, read_runs
from stages.documents import TableFile
from stages.engine import files
from stages.engine.units import WorkUnit

I64 = npt.NDArray[np.int64]

_MATCHES = pa.schema(
    [pa.field(n, pa.int64(), nullable=False) for n in ("document", "gram", "start", "end")]
)
_BATCHES = pa.schema([pa.field("matches", pa.int64(), nullable=False)])


def emit_frequencies(found: Iterable[Matches], scratch: str, unit: WorkUnit) -> list[Any]:
    """Keeps the matches of a unit's batches, and emits its n-grams with their documents' number."""
    sizes: list[int] = []
    grams: list[I64] = []
    with TableFile(_path(scratch, "matches", unit), _MATCHES) as out:
        for matches in found:
            sizes.append(len(matches))
            if not len(matches):
                continue
            out.write(pa.RecordBatch.from_arrays(list(matches.columns()), schema=_MATCHES))
            # One for each document that has it.
            pairs = np.unique(np.stack([matches.document, matches.gram]), axis=1)
            grams.append(pairs[1])
    with TableFile(_path(scratch, "batches", unit), _BATCHES) as out:
        out.write(pa.RecordBatch.from_arrays([pa.array(sizes, pa.int64())], schema=_BATCHES))
    if not grams:
        return []
    distinct, counts = np.unique(np.concatenate(grams), return_counts=True)
    run = Run(distinct.astype(np.uint64), counts.astype(np.int64))
    return emit_run(run, files.join(scratch, f"run-{unit.name}.bin"), unit.index, 0, 1)


def common_grams(references: Sequence[Any], most: int, path: str) -> None:
    """Writes the numbers of the n-grams that more than `most` documents have."""
    total = np.zeros(0, np.int64)
    for reference in references:
        grams, counts, _ = read_runs([reference[-1]])
        numbers = grams.astype(np.int64)
        if len(numbers) and numbers[-1] >= len(total):
            total = np.append(total, np.zeros(int(numbers[-1]) + 1 - len(total), np.int64))
        total[numbers] += counts
    with files.atomic_writer(path) as out:
        np.lib.format.write_array(out, np.flatnonzero(total > most), allow_pickle=False)


def matches_of_batches(scratch: str, unit: WorkUnit, values: Sequence[Any]) -> Iterator[Matches]:
    """The kept matches, batch by batch, without the common n-grams listed in files `values`."""
    common: list[I64] = []
    for path in values:
        with files.open_read(path) as stream:
            common.append(np.lib.format.read_array(stream, allow_pickle=False))
    kept = _columns(_path(scratch, "matches", unit))
    (sizes,) = _columns(_path(scratch, "batches", unit))
    ends = np.cumsum(sizes)
    for end, size in zip(ends.tolist(), sizes.tolist(), strict=True):
        matches = Matches(*(column[end - size : end] for column in kept))
        if common:
            matches = matches.where(~np.isin(matches.gram, np.concatenate(common)))
        yield matches


def _path(scratch: str, kind: str, unit: WorkUnit) -> str:
    return files.join(scratch, f"{kind}-{unit.name}.parquet")


def _columns(path: str) -> list[I64]:
    with files.open_read(path) as stream:
        return [column.to_numpy() for column in pq.read_table(stream).columns]
