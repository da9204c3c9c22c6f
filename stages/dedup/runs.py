"""Hash runs: how documents of different files meet without their text leaving its file.

Every unit writes one *run file*: its distinct 64-bit hashes, sorted, each with one 64-bit value,
cut into partitions by the hash's leading bits. What goes through the shuffle is a reference: where
the unit's part of a partition lies. A reducer reads those of its partition from all run files,
decides, and writes one bit per entry; each unit collects the bits of its own entries.

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

from stages.engine import files, stretches
from stages.engine.stretches import Ref, stretch

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
        """Writes each partition's hashes, then its values, raw little-endian; returns the bounds
        of the partitions."""
        hashes = self.hashes.astype("<u8", copy=False)
        values = self.values.astype("<i8", copy=False)
        cuts = np.searchsorted(self.hashes, partition_edges(partitions), side="left").tolist()
        bounds = list(pairwise([0, *cuts, len(hashes)]))
        with files.plain_writer(path) as out:
            for start, end in bounds:
                if end > start:
                    out.write(hashes[start:end].data)
                    out.write(values[start:end].data)
        return bounds

    def references(self, path: str, partitions: int) -> list[tuple[int, list[Any]]]:
        """Writes the run; of each partition that is not empty, its number and [first entry,
        entries, stretch]."""
        bounds = enumerate(self.write(path, partitions))
        size = 2 * self.hashes.itemsize
        return [
            (p, [start, end - start, stretch(path, size * start, size * (end - start))])
            for p, (start, end) in bounds
            if end > start
        ]


def read_runs(refs: Sequence[Ref]) -> tuple[U64, I64, I64]:
    """The entries of stretches of run files, one after another: hashes, values, and the number of
    entries of each stretch."""
    data = [np.frombuffer(part, dtype="<u8") for part in stretches.read(refs)]
    lengths = np.array([len(part) // 2 for part in data], dtype=np.int64)
    hashes = np.empty(int(lengths.sum()), dtype=np.uint64)
    values = np.empty(len(hashes), dtype=np.int64)
    at = 0
    for part, n in zip(data, lengths.tolist(), strict=True):
        hashes[at : at + n] = part[:n]
        values[at : at + n] = part[n:].view("<i8")
        at += n
    return hashes, values, lengths


def partition_key(group: int, partition: int, partitions: int) -> str:
    """The key of a partition in a shuffle."""
    return f"{group:05d}.{partition:05d}-of-{partitions:05d}"


def emit_run(run: Run, path: str, unit: int, group: int, partitions: int) -> list[Any]:
    """Writes a run; the pairs to emit: (group and partition, [unit, first entry, entries,
    stretch])."""
    return [
        (partition_key(group, p, partitions), [unit, *reference])
        for p, reference in run.references(path, partitions)
    ]


def decide_partition(references: Sequence[Any], decide: Decide, output: str) -> tuple[Any, int]:
    """Decides one partition and writes its bits to `output`, one stretch of bytes per unit.

    Returns the pairs to emit, (unit, [first entry, entries, stretch]), and the number of entries
    that do not keep.
    """
    hashes, values, lengths = read_runs([r[-1] for r in references])
    units = np.repeat(np.array([r[0] for r in references], dtype=np.int64), lengths)
    order = np.lexsort((units, hashes))
    # One after another, so that of each array there is one copy at a time.
    hashes = hashes[order]
    units = units[order]
    values = values[order]
    keep = np.empty(len(hashes), dtype=np.bool_)
    keep[order] = decide(hashes, units, values)
    emitted: list[Any] = []
    offset = position = 0
    with files.plain_writer(output) as out:
        for (unit, start, *_), n in zip(references, lengths.tolist(), strict=True):
            bits = np.packbits(keep[position : position + n])
            out.write(bits.data)
            emitted.append((unit, [start, n, stretch(output, offset, len(bits))]))
            offset += len(bits)
            position += n
    return emitted, int((~keep).sum())


def collect_bits(values: Sequence[Any], entries: int) -> Bools:
    """A unit's decisions, one per entry of its run, from all partitions."""
    keep = np.zeros(entries, dtype=np.bool_)
    seen = 0
    for (start, n, _), packed in zip(values, stretches.read([v[2] for v in values]), strict=True):
        bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=n)
        keep[start : start + n] = bits.astype(np.bool_)
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
