"""A unit's shingles on disk: read one document's by offset, for the few pairs to be compared.

`shingles.bin` has the hashes of all documents, one after the other; `documents.json` a row for
each: what decides which of two stays, and where its hashes lie.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from stages.engine import files

U64 = npt.NDArray[np.uint64]

_CACHE_BYTES = 64 << 20


@dataclass(frozen=True, order=True)
class Entry:
    """A document: row `row` of unit `unit`, with `count` shingles from number `start` on.

    `created` is in seconds since 1970; `old` says that its source has a newer edition of it.
    """

    unit: int
    row: int
    id: str
    created: int
    old: bool
    start: int
    count: int

    def to_json(self) -> list[Any]:
        return [self.unit, self.row, self.id, self.created, self.old, self.start, self.count]


class ShingleWriter:
    """Writes the shingles of a unit's documents as they come; memory is one document's."""

    def __init__(self, folder: str, unit: int) -> None:
        self._folder, self._unit = folder, unit
        self._context = files.atomic_writer(_shingles(folder, unit))
        self._entries: list[Entry] = []
        self._next = 0

    def __enter__(self) -> ShingleWriter:
        self._out = self._context.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._context.__exit__(kind, error, trace)
        if error is None:
            rows = [e.to_json() for e in self._entries]
            files.write_bytes(_documents(self._folder, self._unit), orjson.dumps(rows))

    def add(self, id_: str, created: int, old: bool, hashes: U64) -> int:
        """Returns the document's row."""
        row = len(self._entries)
        self._entries.append(Entry(self._unit, row, id_, created, old, self._next, len(hashes)))
        self._out.write(hashes.astype("<u8", copy=False).data)
        self._next += len(hashes)
        return row


class ShingleReader:
    """Reads entries and shingles of any unit; what was read last is kept, up to 64 MiB."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._units: dict[int, list[Entry]] = {}
        self._cache: OrderedDict[tuple[int, int], U64] = OrderedDict()
        self._cached = 0

    def entry(self, unit: int, row: int) -> Entry:
        if unit not in self._units:
            rows = orjson.loads(files.read_bytes(_documents(self._folder, unit)))
            self._units[unit] = [Entry(*row) for row in rows]
        return self._units[unit][row]

    def shingles(self, entry: Entry) -> U64:
        """Raises OSError if the file is shorter than its entries say."""
        key = (entry.unit, entry.row)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        path = _shingles(self._folder, entry.unit)
        with files.open_read(path) as stream:
            stream.seek(8 * entry.start)
            data = stream.read(8 * entry.count)
        if len(data) != 8 * entry.count:
            raise OSError(f"{path}: {len(data)} bytes where {8 * entry.count} were expected")
        hashes = np.frombuffer(data, dtype="<u8")
        self._cache[key] = hashes
        self._cached += hashes.nbytes
        while self._cached > _CACHE_BYTES and len(self._cache) > 2:
            self._cached -= self._cache.popitem(last=False)[1].nbytes
        return hashes


def _shingles(folder: str, unit: int) -> str:
    return files.join(folder, f"shingles-{unit:05d}.bin")


def _documents(folder: str, unit: int) -> str:
    return files.join(folder, f"documents-{unit:05d}.json")
