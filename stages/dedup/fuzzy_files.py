"""What a unit leaves on disk for fuzzy dedup: a row of each document, read by place.

The *place* of a document is `unit << 32 | row`. Per unit there are a table of fixed rows
(`ROW`), the signatures, the ids, and the shingles where pairs are verified exactly. So whatever
meets in the shuffle is a place, and of the few documents that meet, their rows are read.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from stages.engine import files

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
Table = npt.NDArray[np.void]

ROW = np.dtype([("size", "<u8"), ("tie", "<u8"), ("id_end", "<u8"), ("shingle_end", "<u8")])
"""Bytes of text, a hash of the id, and where its id and its shingles end in their files (shingles
are counted also where they are not kept)."""

_TABLES = 64
_CACHE_BYTES = 64 << 20
_GAP = 64  # rows between two wanted ones that are read along rather than skipped


def place(unit: int, row: int) -> int:
    return unit << 32 | row


def unit_of(places: I64) -> I64:
    return places >> 32


def row_of(places: I64) -> I64:
    return places & 0xFFFFFFFF


class UnitWriter:
    """Writes a unit's rows as they come; a context manager. Memory: 32 bytes a document."""

    def __init__(self, folder: str, unit: int, keep_shingles: bool) -> None:
        self._folder, self._unit, self._keep = folder, unit, keep_shingles
        kinds = ["signatures", "ids", *(["shingles"] if keep_shingles else [])]
        self._contexts = {k: files.atomic_writer(_path(folder, k, unit)) for k in kinds}
        self._rows = array("Q")
        self._id_end = self._shingle_end = 0

    def __enter__(self) -> UnitWriter:
        self._out = {k: context.__enter__() for k, context in self._contexts.items()}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for context in self._contexts.values():
            context.__exit__(kind, error, trace)
        if error is None:
            table = np.array(self._rows, dtype="<u8")
            files.write_bytes(_path(self._folder, "table", self._unit), table.tobytes())

    def add(
        self, ids: Sequence[str], sizes: Sequence[int], sets: Sequence[U32], signatures: U32
    ) -> None:
        """`signatures`: shape (documents, positions)."""
        for id_, size, shingles in zip(ids, sizes, sets, strict=True):
            encoded = id_.encode()
            self._out["ids"].write(encoded)
            self._id_end += len(encoded)
            self._shingle_end += len(shingles)
            if self._keep:
                self._out["shingles"].write(shingles.astype("<u4", copy=False).data)
            tie = xxhash.xxh3_64_intdigest(encoded)
            self._rows.extend((size, tie, self._id_end, self._shingle_end))
        self._out["signatures"].write(signatures.astype("<u4", copy=False).tobytes())


class UnitReader:
    """Reads rows of any unit; tables and shingles that were read last are kept (a few MB, 64 MiB).

    Raises OSError if a file is shorter than its table says.
    """

    def __init__(self, folder: str, positions: int) -> None:
        self._folder, self.positions = folder, positions
        self._tables: OrderedDict[int, Table] = OrderedDict()
        self._shingles: OrderedDict[int, U32] = OrderedDict()
        self._held = 0

    def documents(self, unit: int) -> int:
        return files.size(_path(self._folder, "table", unit)) // ROW.itemsize

    def table(self, unit: int) -> Table:
        if unit not in self._tables:
            data = files.read_bytes(_path(self._folder, "table", unit))
            self._tables[unit] = np.frombuffer(data, dtype=ROW)
            if len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(unit)
        return self._tables[unit]

    def without_shingles(self, unit: int) -> int:
        """Documents of a unit whose set is empty."""
        return int(np.count_nonzero(np.diff(self.table(unit)["shingle_end"], prepend=0) == 0))

    def rows(self, places: I64) -> Table:
        """The table's rows of ascending places."""
        parts = [self.table(unit)[rows] for unit, rows in _by_unit(places)]
        return np.concatenate(parts) if parts else np.empty(0, ROW)

    def signatures(self, places: I64) -> U32:
        """Shape (places, positions); places ascending."""
        found = np.empty((len(places), self.positions), dtype=np.uint32)
        done = 0
        for unit, rows in _by_unit(places):
            path = _path(self._folder, "signatures", unit)
            width = 4 * self.positions
            with files.open_read(path) as stream:
                for start, end, wanted in _stretches(rows):
                    stream.seek(start * width)
                    data = _exactly(stream, (end - start) * width, path)
                    block = np.frombuffer(data, "<u4").reshape(-1, self.positions)
                    found[done : done + len(wanted)] = block[wanted]
                    done += len(wanted)
        return found

    def shingles(self, where: int) -> U32:
        """The shingles of the document at a place, ascending."""
        if where in self._shingles:
            self._shingles.move_to_end(where)
            return self._shingles[where]
        start, end = self._bounds(where, "shingle_end")
        path = _path(self._folder, "shingles", where >> 32)
        with files.open_read(path) as stream:
            stream.seek(4 * start)
            hashes = np.frombuffer(_exactly(stream, 4 * (end - start), path), dtype="<u4")
        self._shingles[where] = hashes
        self._held += hashes.nbytes
        while self._held > _CACHE_BYTES and len(self._shingles) > 2:
            self._held -= self._shingles.popitem(last=False)[1].nbytes
        return hashes

    def id(self, where: int) -> str:
        start, end = self._bounds(where, "id_end")
        path = _path(self._folder, "ids", where >> 32)
        with files.open_read(path) as stream:
            stream.seek(start)
            return _exactly(stream, end - start, path).decode()

    def _bounds(self, where: int, column: str) -> tuple[int, int]:
        table, row = self.table(where >> 32), where & 0xFFFFFFFF
        return int(table[column][row - 1]) if row else 0, int(table[column][row])


def _path(folder: str, kind: str, unit: int) -> str:
    return files.join(folder, f"{kind}-{unit:05d}.bin")


def _exactly(stream: Any, count: int, path: str) -> bytes:
    data: bytes = stream.read(count)
    if len(data) != count:
        raise OSError(f"{path}: {len(data)} bytes where {count} were expected")
    return data


def _by_unit(places: I64) -> Iterator[tuple[int, I64]]:
    units = unit_of(places)
    cuts = np.flatnonzero(np.diff(units)) + 1
    for rows in np.split(places, cuts) if len(places) else ():
        yield int(rows[0] >> 32), row_of(rows)


def _stretches(rows: I64) -> Iterator[tuple[int, int, I64]]:
    """(first row, row behind the last, places of the wanted ones in it) of ascending rows, such
    that no large gap is read along and no stretch is long."""
    cuts = np.flatnonzero((np.diff(rows) > _GAP) | (np.diff(rows // 4096) > 0)) + 1
    for part in np.split(rows, cuts) if len(rows) else ():
        yield int(part[0]), int(part[-1]) + 1, part - part[0]
