"""Exact search for all partners of a sample: every document is streamed once past the sample.

Memory: the sets of the sampled documents (12 bytes a hash), a batch of documents, and up to
`PARTNERS` partners for each sampled document.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import xxhash

from stages.dedup.audit_measures import Hashes, Measure
from stages.documents import read_batches
from stages.engine import files

I64 = npt.NDArray[np.int64]

PARTNERS = 1000
"""Partners that are held for one document; of more, those of the lowest hash of their ids."""

_BATCH = 128


def keyed(id_: str, seed: int) -> int:
    """A hash by which ids are sampled: the lowest are a random sample, whatever their order."""
    return xxhash.xxh3_64_intdigest(id_.encode(), seed=seed)


class Lowest:
    """The `size` items of the lowest hash of those that passed by, and how many passed."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed, self.passed = size, seed, 0
        self._heap: list[tuple[int, str, str]] = []

    def add(self, id_: str, more: str = "") -> None:
        self.passed += 1
        item = (-keyed(id_, self._seed), id_, more)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, item)
        elif item > self._heap[0]:
            heapq.heapreplace(self._heap, item)

    def chosen(self) -> list[tuple[str, str]]:
        """(id, what came with it), by id."""
        return sorted((id_, more) for _, id_, more in self._heap)


@dataclass
class Partners:
    """Documents that resemble a sampled one: id -> similarity, and how many there are in all."""

    found: dict[str, float] = field(default_factory=dict)
    total: int = 0

    def add(self, id_: str, similarity: float, seed: int) -> None:
        self.total += 1
        self.found[id_] = similarity
        if len(self.found) > 2 * PARTNERS:
            self.trim(seed)

    def trim(self, seed: int) -> None:
        if len(self.found) > PARTNERS:
            lowest = heapq.nsmallest(PARTNERS, self.found, key=lambda i: keyed(i, seed))
            self.found = {i: self.found[i] for i in lowest}


def sets_of(paths: Sequence[str], wanted: Collection[str], measure: Measure) -> dict[str, Hashes]:
    """The sets of the documents with these ids, as far as they are there.

    Ids are read everywhere, texts only in row groups that hold a wanted one.
    """
    left = set(wanted)
    found: dict[str, Hashes] = {}
    for path in paths:
        with files.open_read(path) as handle:
            groups = range(pq.ParquetFile(handle).num_row_groups)
        for group in groups:
            ids = {
                i for b in read_batches(path, ["id"], [group]) for i in b.column("id").to_pylist()
            }
            if ids.isdisjoint(left):
                continue
            for id_, features in _features(path, measure, [group], left):
                found[id_] = features
                left.discard(id_)
    return found


def _features(
    path: str,
    measure: Measure,
    row_groups: Sequence[int] | None = None,
    only: Collection[str] | None = None,
) -> Iterator[tuple[str, Hashes]]:
    for batch in read_batches(path, ["id", *measure.reads], row_groups, _BATCH):
        columns = [batch.column(c).to_pylist() for c in ("id", *measure.reads)]
        for id_, *values in zip(*columns, strict=True):
            if only is None or id_ in only:
                yield id_, measure.features(*values)


class Sample:
    """The sets of sampled documents as an inverted index: hash -> documents that have it."""

    def __init__(self, sets: dict[str, Hashes]) -> None:
        self.ids = sorted(sets)
        arrays = [sets[i] for i in self.ids]
        self.sizes = np.array([len(a) for a in arrays], dtype=np.int64)
        hashes = np.concatenate(arrays) if arrays else np.empty(0, np.uint64)
        owners = np.repeat(np.arange(len(arrays), dtype=np.int32), self.sizes)
        order = np.argsort(hashes, kind="stable")
        self._owners = owners[order]
        self._hashes, self._starts = np.unique(hashes[order], return_index=True)
        self._ends = np.append(self._starts[1:], len(hashes))

    def shared(self, features: Hashes) -> I64:
        """How many hashes each sampled document has in common with a set."""
        if not len(self._hashes) or not len(features):
            return np.zeros(len(self.ids), dtype=np.int64)
        places = np.minimum(np.searchsorted(self._hashes, features), len(self._hashes) - 1)
        places = places[self._hashes[places] == features]
        counts = self._ends[places] - self._starts[places]
        # One position for each (hash, owner): a run of positions from each start on.
        before = np.repeat(np.cumsum(counts) - counts, counts)
        positions = np.arange(int(counts.sum())) - before + np.repeat(self._starts[places], counts)
        return np.bincount(self._owners[positions], minlength=len(self.ids)).astype(np.int64)

    def partners(
        self, paths: Sequence[str], measure: Measure, least: float, seed: int
    ) -> dict[str, Partners]:
        """For each sampled document all others of a similarity from `least` on."""
        found = {i: Partners() for i in self.ids}
        for path in paths:
            for id_, features in _features(path, measure):
                shared = self.shared(features)
                similarity = measure.similarity(shared, len(features), self.sizes)
                for k in np.flatnonzero((similarity >= least) & (shared > 0)).tolist():
                    if self.ids[k] != id_:
                        found[self.ids[k]].add(id_, float(similarity[k]), seed)
        for partners in found.values():
            partners.trim(seed)
        return found
