"""From the pairs of all partitions to who leaves: once, for the whole corpus.

The units that need the decisions come after all pairs are written. The first of them on a machine
decides and writes the result beside the pairs; the others find it there. Deciding twice (on two
machines) is harmless: it gives the same bytes.

Memory: 4 bytes a document, and 40 more for each that is in a pair, whatever the number of pairs,
which are read in chunks; `groups: direct` also holds 24 bytes a pair.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.dedup.components import Nodes, lowest_connected, lowest_staying, node_type
from stages.dedup.fuzzy_files import UnitReader, row_of, unit_of
from stages.dedup.fuzzy_pairs import Groups, Keep
from stages.engine import files
from stages.engine.digests import HashingWriter

I64 = npt.NDArray[np.int64]

_CHUNK = 1 << 18


def write_edges(path: str, pairs: I64) -> None:
    """`pairs`: places, shape (pairs, 2), raw little-endian."""
    with files.atomic_writer(path) as out:
        out.write(pairs.astype("<i8", copy=False).tobytes())


def read_edges(paths: Sequence[str]) -> Iterator[I64]:
    """Chunks of pairs of places, shape (pairs, 2)."""
    for path in paths:
        with files.open_read(path) as stream:
            while data := stream.read(16 * _CHUNK):
                yield np.frombuffer(data, "<i8").reshape(-1, 2)


@dataclass(frozen=True)
class Corpus:
    """All units: those of `input` are numbers below `inputs`, those of `against` follow up to
    `units`."""

    reader: UnitReader
    inputs: int
    units: int

    def starts(self) -> I64:
        """The number of each unit's first document, where documents of `against` come first, and
        behind them the number of all documents."""
        order = [*range(self.inputs, self.units), *range(self.inputs)]
        ends = np.cumsum([self.reader.documents(unit) for unit in order])
        starts = np.empty(self.units + 1, dtype=np.int64)
        starts[order] = np.concatenate([[0], ends[:-1]])
        starts[self.units] = ends[-1]
        return starts


@dataclass(frozen=True)
class Outcome:
    """How many documents leave, by unit; for how many one stays (`groups`), and for how many at
    most, itself included."""

    leaving: list[int]
    groups: int
    largest_group: int


def decide(
    paths: Sequence[str], corpus: Corpus, groups: Groups, keep: Keep, out: HashingWriter
) -> Outcome:
    """Writes two places (raw, little-endian) for each document that leaves, ascending: its own and
    that of the one that stays for it."""
    starts = corpus.starts()
    total, theirs = int(starts[-1]), int(starts[0])
    number: Nodes = np.zeros(total, dtype=node_type(total))
    for chunk in read_edges(paths):
        number[_document(chunk.ravel(), starts)] = 1
    documents: Nodes = np.flatnonzero(number).astype(number.dtype)
    if keep == "longest":
        documents = _longest_first(documents, theirs, starts, corpus)
    number[documents] = np.arange(len(documents), dtype=number.dtype)

    def pairs() -> Iterator[tuple[Nodes, Nodes]]:
        for chunk in read_edges(paths):
            nodes = number[_document(chunk.ravel(), starts)].reshape(-1, 2)
            yield nodes[:, 0], nodes[:, 1]

    choose = lowest_connected if groups == "connected" else lowest_staying
    stays_for = choose(len(documents), pairs())
    # From here on `number` holds, for each document that leaves, the one that stays.
    number.fill(-1)
    stands: Nodes = np.zeros(len(documents), dtype=number.dtype)
    for at in range(0, len(documents), _CHUNK):
        part, stays = documents[at : at + _CHUNK], stays_for[at : at + _CHUNK]
        leaves = (stays != np.arange(at, at + len(part))) & (part >= theirs)
        number[part[leaves]] = documents[stays[leaves]]
        np.add.at(stands, stays[leaves], 1)
    leaving = np.zeros(corpus.inputs, dtype=np.int64)
    for at in range(theirs, total, _CHUNK):
        gone = at + np.flatnonzero(number[at : at + _CHUNK] >= 0)
        places = _place(gone, starts, corpus)
        both = np.stack([places, _place(number[gone], starts, corpus)], axis=1)
        out.write(both.astype("<i8", copy=False).tobytes())
        leaving += np.bincount(unit_of(places), minlength=corpus.inputs)
    return Outcome(leaving.tolist(), int(np.count_nonzero(stands)), int(stands.max(initial=0)) + 1)


def _document(places: I64, starts: I64) -> I64:
    return np.asarray(starts[unit_of(places)] + row_of(places))


def _place(documents: Nodes, starts: I64, corpus: Corpus) -> I64:
    order = np.array([*range(corpus.inputs, corpus.units), *range(corpus.inputs)], dtype=np.int64)
    begins = starts[order]
    at = np.searchsorted(begins, documents, side="right") - 1
    return np.asarray(order[at] << 32 | (documents - begins[at]))


def _longest_first(documents: Nodes, theirs: int, starts: I64, corpus: Corpus) -> Nodes:
    """Documents of `against` first, then the longest; of equal ones that of the lowest hash of its
    id, so that the order of files decides nothing."""
    sizes = np.empty(len(documents), dtype=np.int64)
    ties = np.empty(len(documents), dtype=np.uint64)
    done = 0
    for at in range(0, len(documents), _CHUNK):
        places = _place(documents[at : at + _CHUNK], starts, corpus)
        # In chunks of documents a unit's table is read at most twice.
        order = np.argsort(places)
        rows = corpus.reader.rows(places[order])
        here = slice(done, done + len(rows))
        sizes[here][order] = rows["size"]
        ties[here][order] = rows["tie"]
        done += len(rows)
    return documents[np.lexsort((documents, ties, -sizes, documents >= theirs))]


class Decisions:
    """The written decisions of a step, by unit."""

    def __init__(self, folder: str) -> None:
        self._data = files.join(folder, "decisions.bin")
        self._index = files.join(folder, "decided.json")
        self._lock = _lock_path(folder)

    def make(self, paths: Sequence[str], corpus: Corpus, groups: Groups, keep: Keep) -> None:
        """Decides unless that is done; one process of a machine at a time."""
        if files.exists(self._index):
            return
        with _alone(self._lock):
            if files.exists(self._index):
                return
            with files.atomic_writer(self._data) as out:
                outcome = decide(paths, corpus, groups, keep, out)
            files.write_json(self._index, asdict(outcome))

    def outcome(self) -> Outcome:
        return Outcome(**files.read_json(self._index))

    def of_unit(self, unit: int) -> dict[int, int]:
        """Row of each document that leaves -> the place of the one that stays for it."""
        leaving = self.outcome().leaving
        start = sum(leaving[:unit])
        end = start + leaving[unit]
        with files.open_read(self._data) as stream:
            stream.seek(16 * start)
            data = stream.read(16 * (end - start))
        if len(data) != 16 * (end - start):
            raise OSError(f"{self._data}: shorter than {self._index} says")
        both = np.frombuffer(data, "<i8").reshape(-1, 2)
        return dict(zip(row_of(both[:, 0]).tolist(), both[:, 1].tolist(), strict=True))


def _lock_path(folder: str) -> str:
    if not files.is_remote(folder):
        return files.join(files.filesystem(folder)[1], "decide.lock")
    return os.path.join(tempfile.gettempdir(), f"llama-corpus-{files.digest_of(folder)[:24]}.lock")


@contextmanager
def _alone(path: str) -> Iterator[Any]:
    """Waits until no other process holds the lock; it goes with the process, however that ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
