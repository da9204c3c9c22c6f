"""Hash runs: how documents of different files meet without their text leaving its file.

Every unit writes one *run file*: its distinct 64-bit hashes, sorted, each with one 64-bit value,
cut into partitions by the hash's leading bits. What goes through the shuffle is a reference
(path, first entry, number of entries). A reducer reads the stretches of its partition from all run
files, decides, and writes one bit per entry; each unit collects the bits of its own entries.

Memory of a reducer: 64 bytes per entry of its partition. The number of partitions is chosen from
the number of hashes, so it is bounded at any size of the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.engine import files

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Measured: 40 (the first of a hash stays) to 62 (cited URLs are joined), answers included.
BYTES_PER_ENTRY = 64

Decide = Callable[[U64, I64, I64], Bools]
"""(hashes, units, values) of all entries with the same leading bits -> which entries keep."""


def partition_edges(partitions: int) -> U64:
    """First hash of each partition but the first: `partitions - 1` values, equally spaced."""
    return np.array([(i << 64) // partitions for i in range(1, partitions)], dtype=np.uint64)


@dataclass(frozen=True)
class Run:
    """A unit's distinct hashes, ascending, and a value for each."""

    hashes: U64
    values: I64

    def write(self, path: str, partitions: int) -> list[tuple[int, int]]:
        """Writes `hashes` then `values`, raw little-endian; returns each partition's bounds."""
        with files.atomic_writer(path) as out:
            out.write(self.hashes.astype("<u8", copy=False).data)
            out.write(self.values.astype("<i8", copy=False).data)
        cuts = np.searchsorted(self.hashes, partition_edges(partitions), side="left").tolist()
        edges = [0, *cuts, len(self.hashes)]
        return list(pairwise(edges))


def _read(path: str, dtype: str, start: int, count: int) -> Any:
    with files.open_read(path) as f:
        f.seek(start)
        data = f.read(count * 8)
    if len(data) != count * 8:
        raise OSError(f"{path}: {len(data)} bytes where {count * 8} were expected")
    return np.frombuffer(data, dtype=dtype)


def read_run(path: str, entries: int, start: int, end: int) -> tuple[U64, I64]:
    """Entries `start..end` of a run file with `entries` entries."""
    n = end - start
    hashes = _read(path, "<u8", 8 * start, n)
    return hashes, _read(path, "<i8", 8 * (entries + start), n)


def emit_run(run: Run, path: str, unit: int, group: int, partitions: int) -> list[Any]:
    """Writes a run; the pairs to emit: (group and partition, [unit, path, entries, start, end])."""
    return [
        (f"{group:05d}.{p:05d}", [unit, path, len(run.hashes), start, end])
        for p, (start, end) in enumerate(run.write(path, partitions))
        if end > start
    ]


def decide_partition(references: Sequence[Any], decide: Decide, output: str) -> tuple[Any, int]:
    """Decides one partition and writes its bits to `output`, one stretch of bytes per unit.

    Returns the pairs to emit, (unit, [start in the run, entries, path, byte offset]), and the
    number of entries that do not keep.
    """
    loaded = [read_run(path, total, start, end) for _, path, total, start, end in references]
    lengths = [len(h) for h, _ in loaded]
    hashes = np.concatenate([h for h, _ in loaded])
    values = np.concatenate([v for _, v in loaded])
    units = np.repeat(np.array([r[0] for r in references], dtype=np.int64), lengths)
    del loaded
    order = np.lexsort((units, hashes))
    # One after another, so that of each array there is one copy at a time.
    hashes = hashes[order]
    units = units[order]
    values = values[order]
    keep = np.empty(len(hashes), dtype=np.bool_)
    keep[order] = decide(hashes, units, values)
    emitted: list[Any] = []
    offset = position = 0
    with files.atomic_writer(output) as out:
        for (unit, _, _, start, _), n in zip(references, lengths, strict=True):
            bits = np.packbits(keep[position : position + n])
            out.write(bits.data)
            emitted.append((unit, [start, n, output, offset]))
            offset += len(bits)
            position += n
    return emitted, int((~keep).sum())


def collect_bits(values: Sequence[Any], entries: int) -> Bools:
    """A unit's decisions, one per entry of its run, from all partitions."""
    keep = np.zeros(entries, dtype=np.bool_)
    seen = 0
    for start, n, path, offset in values:
        with files.open_read(path) as f:
            f.seek(offset)
            packed = np.frombuffer(f.read((n + 7) // 8), dtype=np.uint8)
        keep[start : start + n] = np.unpackbits(packed, count=n).astype(np.bool_)
        seen += n
    if seen != entries:
        raise RuntimeError(f"{entries} hashes were sent to the shuffle, {seen} came back")
    return keep


def first_of_group(hashes: U64) -> Bools:
    """True at the first entry of each run of equal values in a sorted array."""
    first = np.ones(len(hashes), dtype=np.bool_)
    first[1:] = hashes[1:] != hashes[:-1]
    return first


def partitions_for(entries: int, memory_bytes: int) -> int:
    """Partitions such that a reducer stays within `memory_bytes` (hashes spread evenly)."""
    return max(1, -(-entries * BYTES_PER_ENTRY // memory_bytes))
