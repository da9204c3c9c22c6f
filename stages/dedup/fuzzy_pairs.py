"""The near duplicates of one partition: documents that share a band, verified if told so.

Documents with the same key are a *bucket*. All pairs of a bucket would be quadratic, and a page
that a site shows ten thousand times makes such a bucket. So:

- not verified, connected groups: each member is paired with the first, which connects the same.
- otherwise all pairs of a bucket of up to `CROWD` members; each pair once, in the first band in
  which both agree.
- of a larger bucket, each member is compared with the *leaders*, the members that resemble no
  leader before them, up to `LEADERS` of them. Not verified, the first `FOLLOWED` members lead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stages.dedup.fuzzy_files import UnitReader
from stages.dedup.fuzzy_signature import agreement, standard_error
from stages.dedup.runs import first_of_group, read_runs
from stages.dedup.set_overlap import set_overlap

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

CROWD = 64
LEADERS = 64
FOLLOWED = 8
BAND_BITS = 12
"""A run's value is `row << BAND_BITS | band`."""

_PAIRS_AT_A_TIME = 1 << 15
_CROWD_BLOCK = 4096
_SURE = 5.0

Verify = Literal["none", "signature", "exact"]
Groups = Literal["connected", "direct"]
Keep = Literal["first", "longest"]


@dataclass(frozen=True)
class Matching:
    """What decides which pairs of a bucket are duplicates; `inputs` is the number of units of
    `input` (units from there on are `against`, whose pairs among themselves are none)."""

    bands: int
    rows: int
    threshold: float
    verify: Verify
    groups: Groups
    keep: Keep
    inputs: int


def bytes_per_key(verify: Verify, positions: int) -> int:
    """Memory of a reducer per key of its partition, at most: hash, value, unit, place and the
    orders by which they are sorted; with verification a signature and its number."""
    return 64 if verify == "none" else 80 + 4 * positions


def edges_of(references: Sequence[Any], how: Matching, reader: UnitReader) -> tuple[I64, int]:
    """Pairs of places, shape (pairs, 2), lower place first, ascending; and how many members of
    crowded buckets were left without a pair there. `references`: as `runs.emit_run` gives them.
    """
    places, bands, starts, ends = _buckets(references, how)
    if not len(starts):
        return np.empty((0, 2), np.int64), 0
    if how.verify == "none" and how.groups == "connected":
        return _sorted_pairs([_stars(places, starts, ends)]), 0
    finder = _Finder(how, reader, places, bands)
    crowded = ends - starts > CROWD
    found = list(finder.small(starts[~crowded], ends[~crowded]))
    for start, end in zip(starts[crowded].tolist(), ends[crowded].tolist(), strict=True):
        found.append(finder.crowd(start, end))
    return _sorted_pairs(found), finder.unpaired


def _buckets(references: Sequence[Any], how: Matching) -> tuple[I64, I64, I64, I64]:
    """Places and bands of all entries, sorted by key and place, and where the buckets that hold a
    pair begin and end."""
    hashes, values, lengths = read_runs([r[-1] for r in references])
    units = np.repeat(np.array([r[0] for r in references], dtype=np.int64), lengths)
    places = units << 32 | values >> BAND_BITS
    del units
    order = np.lexsort((places, hashes))
    hashes, places, values = hashes[order], places[order], values[order]
    starts = np.flatnonzero(first_of_group(hashes))
    ends = np.append(starts[1:], len(hashes))
    # Sorted by place, a bucket without a document of `input` begins with one of `against`.
    paired = (ends - starts > 1) & (places[starts] < how.inputs << 32)
    return places, values & ((1 << BAND_BITS) - 1), starts[paired], ends[paired]


def _stars(places: I64, starts: I64, ends: I64) -> I64:
    """Each member but the first with the first."""
    sizes = ends - starts - 1
    first = np.repeat(starts, sizes)
    others = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes) + first + 1
    return np.stack([places[first], places[others]], axis=1)


def _all_pairs(starts: I64, ends: I64) -> Iterator[tuple[I64, I64]]:
    """Positions of all pairs of all buckets, in chunks, those of small buckets first."""
    sizes = ends - starts
    for size in np.unique(sizes).tolist():
        first, second = np.triu_indices(size, 1)
        mine = starts[sizes == size]
        step = max(1, _PAIRS_AT_A_TIME // len(first))
        for i in range(0, len(mine), step):
            base = mine[i : i + step, None]
            yield (base + first).ravel(), (base + second).ravel()


def _sorted_pairs(found: Sequence[I64]) -> I64:
    """Each pair once, its lower place first, in order."""
    pairs = np.sort(np.concatenate(found), axis=1) if found else np.empty((0, 2), np.int64)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    new = np.ones(len(pairs), dtype=np.bool_)
    new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[new]


class _Finder:
    """Compares members of buckets; holds the signatures of all members of its partition."""

    def __init__(self, how: Matching, reader: UnitReader, places: I64, bands: I64) -> None:
        self._how, self._reader = how, reader
        self._places, self._bands = places, bands
        self.unpaired = 0
        self._joined = _Joined()
        self._documents = np.empty(0, np.int64)
        self._signatures = np.empty((0, reader.positions), np.uint32)

    def _load(self, starts: I64, ends: I64) -> None:
        """Signatures of the members of these buckets, by place."""
        member = np.zeros(len(self._places) + 1, dtype=np.int8)
        member[starts] += 1
        member[ends] -= 1
        self._documents = np.unique(self._places[np.cumsum(member[:-1]) > 0])
        self._signatures = self._reader.signatures(self._documents)

    def _signature(self, positions: I64) -> U32:
        return self._signatures[np.searchsorted(self._documents, self._places[positions])]

    # -- buckets of which all pairs are looked at ------------------------------------------------

    def small(self, starts: I64, ends: I64) -> Iterator[I64]:
        if self._how.verify != "none":
            self._load(starts, ends)
        for a, b in _all_pairs(starts, ends):
            mine = self._places[a] < self._how.inputs << 32
            a, b = a[mine], b[mine]
            if self._how.verify != "none":
                estimate, first = agreement(
                    self._signature(a), self._signature(b), self._how.bands, self._how.rows
                )
                owned = (first == self._bands[a]) & (estimate >= self._least)
                a, b = a[owned], b[owned]
            yield self._verified(self._places[a], self._places[b])

    @property
    def _least(self) -> float:
        """The estimate from which on a pair is a duplicate, or for `exact` worth reading: there a
        true pair is passed over once in 3 * 10^6."""
        how = self._how
        if how.verify == "signature":
            return how.threshold
        slack = _SURE * standard_error(how.threshold, self._reader.positions)
        return how.threshold - slack

    def _verified(self, a: I64, b: I64) -> I64:
        pairs = np.stack([a, b], axis=1)
        if self._how.verify != "exact" or not len(pairs):
            return pairs
        kept = [self._resemble(x, y) for x, y in pairs.tolist()]
        return pairs[np.array(kept, dtype=np.bool_)]

    def _resemble(self, a: int, b: int) -> bool:
        """Whether the exact similarity reaches the threshold. What is connected already needs no
        proof where connected groups are wanted."""
        connected = self._how.groups == "connected"
        if connected and self._joined.together(a, b):
            return False
        found = set_overlap(self._reader.shingles(a), self._reader.shingles(b))
        if found.jaccard < self._how.threshold:
            return False
        if connected:
            self._joined.join(a, b)
        return True

    # -- buckets with too many pairs -------------------------------------------------------------

    def crowd(self, start: int, end: int) -> I64:
        members = self._in_order(self._places[start:end])
        limit = self._how.inputs << 32
        if self._how.verify == "none":
            first = np.repeat(members[:FOLLOWED], len(members))
            others = np.tile(members, FOLLOWED)
            apart = (first != others) & (np.minimum(first, others) < limit)
            return np.stack([first[apart], others[apart]], axis=1)
        leaders: list[int] = []
        leading = np.empty((LEADERS, self._reader.positions), dtype=np.uint32)
        pairs: list[tuple[int, int]] = []
        for block in range(0, len(members), _CROWD_BLOCK):
            mine = members[block : block + _CROWD_BLOCK]
            sorted_mine = np.sort(mine)
            signatures = self._reader.signatures(sorted_mine)
            for member, i in zip(
                mine.tolist(), np.searchsorted(sorted_mine, mine).tolist(), strict=True
            ):
                alike = (leading[: len(leaders)] == signatures[i]).mean(axis=1) >= self._least
                near = [leaders[k] for k in np.flatnonzero(alike).tolist()]
                both = [leader for leader in near if min(leader, member) < limit]
                found = [leader for leader in both if self._follows(leader, member)]
                pairs += [(leader, member) for leader in found]
                if found or len(both) < len(near):
                    continue
                if len(leaders) < LEADERS:
                    leading[len(leaders)] = signatures[i]
                    leaders.append(member)
                else:
                    self.unpaired += member < limit
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    def _follows(self, leader: int, member: int) -> bool:
        if self._how.verify == "signature" or self._joined.together(leader, member):
            return True
        return self._resemble(leader, member)

    def _in_order(self, places: I64) -> I64:
        """Members in the order in which they may lead. Who stays must lead where only neighbours of
        those who stay leave; for connected groups any order does, and this one reads files once."""
        if self._how.groups == "connected":
            return places
        theirs = places >= self._how.inputs << 32
        if self._how.keep == "first":
            return places[np.lexsort((places, ~theirs))]
        rows = self._reader.rows(places)
        sizes = rows["size"].astype(np.int64)
        return places[np.lexsort((places, rows["tie"], -sizes, ~theirs))]


class _Joined:
    """Documents that pairs of this partition connect already (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def _root(self, node: int) -> int:
        parent = self._parent
        while (above := parent.get(node, node)) != node:
            parent[node] = parent.get(above, above)
            node = above
        return node

    def together(self, a: int, b: int) -> bool:
        return a in self._parent and b in self._parent and self._root(a) == self._root(b)

    def join(self, a: int, b: int) -> None:
        ra, rb = self._root(a), self._root(b)
        self._parent.setdefault(ra, ra)
        self._parent.setdefault(rb, rb)
        self._parent[max(ra, rb)] = min(ra, rb)
        self._parent.setdefault(a, min(ra, rb))
        self._parent.setdefault(b, min(ra, rb))
