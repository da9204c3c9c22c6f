"""Which lines a step took from a text, and which other documents have them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.find_document import Place, in_threads, rows_per_group
from pipeline.why_findings import Lines, Other, RemovedLine
from stages.documents import read_batches
from stages.engine.units import WorkUnit

_BITS = 20
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

UnitHashes = Callable[[WorkUnit], tuple[U64, I64, I64]]
"""Line hashes of a unit's documents, flat; the row of each line's document; and the rank of each
row: of several holders the one of least rank keeps a line, then the first."""


def difference(before: str, after: str) -> Lines:
    """The lines of `before` that are not in `after`, and the other way round.

    Linear in the texts. White space around lines does not count. Where `after` is what is left of
    `before`, each line of it is the first that it can be, since all stages keep first copies;
    otherwise lines are compared as bags.
    """
    old, new = before.split("\n"), after.split("\n") if after else []
    left = [line.strip() for line in new]
    place = 0
    gone: list[int] = []
    for i, line in enumerate(old):
        if place < len(left) and line.strip() == left[place]:
            place += 1
        else:
            gone.append(i)
    added: list[tuple[int, str]] = []
    if place < len(left):
        gone, added = _as_bags(old, new)
    return Lines(len(old), len(new), [RemovedLine(i + 1, old[i]) for i in gone], added)


def _as_bags(old: Sequence[str], new: Sequence[str]) -> tuple[list[int], list[tuple[int, str]]]:
    there = Counter(line.strip() for line in new)
    gone: list[int] = []
    for i, line in enumerate(old):
        if there[line.strip()]:
            there[line.strip()] -= 1
        else:
            gone.append(i)
    added: list[tuple[int, str]] = []
    for i in range(len(new) - 1, -1, -1):
        if there[line := new[i].strip()]:
            there[line] -= 1
            if line:
                added.append((i + 1, new[i]))
    return gone, added[::-1]


@dataclass(frozen=True)
class Holders:
    """Other documents that have a line: how many, the first of them, and whether the one that
    keeps the line (`keeper`) is another document."""

    documents: int
    first: tuple[Other, ...]
    keeper: Other | None


def holders(
    wanted: U64, units: Sequence[WorkUnit], hashes_of: UnitHashes, own: Place | None, n: int
) -> dict[int, Holders]:
    """For each hash the other documents of `units` that have a line with it.

    `own` is the row of the document itself, None if it is not in these units. At most `n` are
    named, in the order of the input.
    """
    wanted = np.unique(wanted)
    if not len(wanted):
        return {}
    found = in_threads(lambda unit: _hits(wanted, hashes_of(unit)), units)
    place = np.concatenate([np.full(len(f[0]), i, np.int64) for i, f in enumerate(found)])
    line, row, rank = (np.concatenate([f[k] for f in found]) for k in range(3))
    self_unit, self_row = locate(units, own) if own else (-1, -1)
    mine = (place == self_unit) & (row == self_row)
    chosen: dict[int, list[tuple[int, int]]] = {}
    keepers: dict[int, tuple[int, int]] = {}
    counts: dict[int, int] = {}
    order = np.lexsort((row, place, rank, line))
    ends = np.searchsorted(line[order], np.arange(len(wanted) + 1))
    for k in range(len(wanted)):
        rows = order[ends[k] : ends[k + 1]]
        if not len(rows):
            continue
        if not mine[rows[0]]:
            keepers[k] = (int(place[rows[0]]), int(row[rows[0]]))
        others = rows[~mine[rows]]
        counts[k] = len(others)
        others = others[np.lexsort((row[others], place[others]))][:n]
        chosen[k] = [(int(place[i]), int(row[i])) for i in others]
    named = _names(units, {r for rows_ in chosen.values() for r in rows_} | {*keepers.values()})
    return {
        int(wanted[k]): Holders(
            counts[k],
            tuple(named[r] for r in chosen[k]),
            named[keepers[k]] if k in keepers else None,
        )
        for k in chosen
    }


def _hits(wanted: U64, unit: tuple[U64, I64, I64]) -> tuple[I64, I64, I64]:
    """Distinct (place in `wanted`, row) of a unit's lines, with the rank of the row."""
    hashes, rows, ranks = unit
    # np.isin would sort the corpus; nearly all of it fails a look at a few bits.
    mask = np.uint64((1 << _BITS) - 1)
    seen = np.zeros(1 << _BITS, dtype=np.bool_)
    seen[wanted & mask] = True
    hit = np.flatnonzero(seen[hashes & mask])
    index = np.minimum(np.searchsorted(wanted, hashes[hit]), len(wanted) - 1)
    same = wanted[index] == hashes[hit]
    hit, index = hit[same], index[same]
    pairs = np.unique(np.stack([index.astype(np.int64), rows[hit]]), axis=1)
    return pairs[0], pairs[1], ranks[pairs[1]]


def locate(units: Sequence[WorkUnit], own: Place) -> tuple[int, int]:
    """The unit (by its place in `units`) that has a row, and the row's number in it; else -1s."""
    for i, unit in enumerate(units):
        before = 0
        if own.path not in {piece.path for piece in unit.pieces}:
            continue
        for piece in unit.pieces:
            rows = rows_per_group(piece.path)
            mine = range(len(rows)) if piece.row_groups is None else piece.row_groups
            if piece.path == own.path and own.group in mine:
                return i, before + sum(rows[g] for g in mine if g < own.group) + own.row
            before += sum(rows[g] for g in mine)
    return -1, -1


def _names(units: Sequence[WorkUnit], rows: set[tuple[int, int]]) -> dict[tuple[int, int], Other]:
    """Ids and URLs of rows, given as (place of the unit, row in it)."""
    by_unit: defaultdict[int, set[int]] = defaultdict(set)
    for unit, row in rows:
        by_unit[unit].add(row)

    def read(item: tuple[int, set[int]]) -> list[tuple[tuple[int, int], Other]]:
        unit, wanted = item
        found = []
        start = 0
        for piece in units[unit].pieces:
            columns = ["id", "url", "created"]
            for batch in read_batches(piece.path, columns, piece.row_groups):
                for row in sorted(r for r in wanted if start <= r < start + batch.num_rows):
                    values = batch.slice(row - start, 1).to_pylist()[0]
                    found.append(((unit, row), Other(**values)))
                start += batch.num_rows
        return found

    return dict(pair for pairs in in_threads(read, sorted(by_unit.items())) for pair in pairs)
