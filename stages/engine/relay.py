"""Relays: how values of many sources reach many targets with few references.

If each of U units has something for each of P partitions, a shuffle carries U * P references, and
reducers read as many stretches: both grow with the square of the corpus. A relay parts the way in
two. Sources are taken together in *groups* and targets in *ranges*, each of about `side` members. A
source writes its values, by target, to a *sheet*, and emits one reference for each range. For each
group and range a *gather* merges the sheets of the group and copies what their values name, by
target, into one file, and emits one reference for each target. So of U * P references 2 U P / side
are left, and a target reads one stretch for each group. The way back, from partitions to units, is
the same (*scatter*). Nothing that a target gets differs from what it gets without a relay, but for
where it lies.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import orjson
import pyarrow as pa
import xxhash

from stages.engine import files
from stages.engine.stretches import Ref, moved, stretch

DIRECT = 20_000
"""Pairs up to which a shuffle needs no relay. One costs 0.1 ms of CPU there and back, and is two
references of 0.9 kB each in the process that runs the step (`docs/forecast.md`): so many are 2 s
and 36 MB."""

# Lines of a sheet name the same few files.
_PACKING = pa.Codec("zstd", compression_level=1)
# A gather holds the references of its group and range, the square of this many, for a moment.
_LARGEST_SIDE = 512
_WINDOWS_BYTES = 64 << 20
_SMALLEST_WINDOW = 64 << 10
_NUMBERED = re.compile(r"(\d+)-of-(\d+)$")

Key = str | int
Order = tuple[float, str]
Pair = tuple[Key, Any]


@dataclass(frozen=True)
class Relay:
    """`units`: work units of the step; `unit_groups`, `key_groups`: in how many groups (ranges, on
    the way to them) units and keys of the reduce are taken together."""

    units: int
    unit_groups: int
    key_groups: int

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    def place(self, key: Key) -> float:
        """Where a unit, or a key, stands among all: from 0 to below 1."""
        return key / self.units if isinstance(key, int) else place_of(key)

    def part(self, key: Key) -> int:
        """Of the groups of units, or of keys, the one that has this one."""
        groups = self.unit_groups if isinstance(key, int) else self.key_groups
        return int(self.place(key) * groups)


def planned(units: int, keys_each: int) -> Relay | None:
    """The relay for `units` units, each with values for up to `keys_each` keys; None where so few
    references go their way without one."""
    references = units * keys_each
    if references <= DIRECT:
        return None
    # Groups of 2 r ** 1/4 members leave r ** 3/4 references and make r ** 1/2 / 4 gathers.
    side = min(_LARGEST_SIDE, max(2, round(2 * references**0.25)))
    return Relay(units, -(-units // side), -(-keys_each // side))


@lru_cache(1 << 16)
def place_of(key: str) -> float:
    """From 0 to below 1, rising with the number of keys that end in `NUMBER-of-TOTAL`, so that
    neighbours lie together; by a hash for others."""
    if match := _NUMBERED.search(key):
        number, total = int(match[1]), int(match[2])
        if number < total:
            return number / total
    return (xxhash.xxh3_64_intdigest(key.encode()) >> 11) / (1 << 53)


# -- sources ---------------------------------------------------------------------------------------


def hand_over(relay: Relay, source: Key, pairs: Sequence[Pair], sheet: str) -> list[Any]:
    """Writes the sheet of a source, a block of lines for each range; the pairs to emit: (group and
    range, [source, sheet, first byte, bytes, bytes of the lines])."""
    ordered = sorted(((_order(key), key, value) for key, value in pairs), key=lambda row: row[0])
    emitted: list[Any] = []
    group = relay.part(source)
    with files.plain_writer(sheet) as out:
        start = 0
        for part, rows in groupby(ordered, key=lambda row: relay.part(row[1])):
            lines = b"".join(orjson.dumps([key, value]) + b"\n" for _, key, value in rows)
            block = _PACKING.compress(lines, asbytes=True)
            out.write(block)
            where = [source, sheet, start, len(block), len(lines)]
            emitted.append((f"{group:05d}.{part:05d}", where))
            start += len(block)
    return emitted


def _lines(blocks: Sequence[Any]) -> Iterator[list[bytes]]:
    """The lines of blocks of sheets: (sheet, first byte, bytes, bytes of the lines)."""
    stored = files.read_ranges(tuple(block[:3]) for block in blocks)
    for data, (*_, size) in zip(stored, blocks, strict=True):
        yield _PACKING.decompress(data, decompressed_size=size, asbytes=True).splitlines()


def _order(key: Key) -> Order:
    return (key, "") if isinstance(key, int) else (place_of(key), key)


# -- gathers ---------------------------------------------------------------------------------------


def gather(references: Sequence[Any], sheet: str, data: str) -> list[Any]:
    """Merges sheets of a group for a range, and copies what their values name.

    `references`: values that `hand_over` emitted. Writes the file `data` and its `sheet`, both by
    target and then by source; the pairs to emit: (target, [sheet, first byte, bytes, bytes of the
    lines]).
    """
    ordered = sorted(references, key=lambda r: r[0])
    lists = list(_lines([block for _, *block in ordered]))
    rows = heapq.merge(
        *(_keyed(lines, number) for number, lines in enumerate(lists)), key=lambda row: row[:2]
    )
    windows = _Windows(lists)
    emitted: list[Any] = []
    with files.plain_writer(data) as data_out, files.plain_writer(sheet) as sheet_out:
        written = start = 0

        def copy(path: str, first: int, count: int) -> Ref:
            nonlocal written
            data_out.write(windows.read(path, first, count))
            written += count
            return stretch(data, written - count, count)

        for key, same in groupby(rows, key=lambda row: row[2]):
            lines = b"".join(orjson.dumps(moved(row[3], copy)) + b"\n" for row in same)
            block = _PACKING.compress(lines, asbytes=True)
            sheet_out.write(block)
            emitted.append((key, [sheet, start, len(block), len(lines)]))
            start += len(block)
    return emitted


def _keyed(lines: Sequence[bytes], number: int) -> Iterator[tuple[Order, int, Key, Any]]:
    for line in lines:
        key, value = orjson.loads(line)
        yield _order(key), number, key, value


class _Windows:
    """Reads stretches of many files. While those of a file follow each other, a block of bounded
    size at a time, and no further than the last that is asked for."""

    def __init__(self, lists: Sequence[Sequence[bytes]]) -> None:
        self._starts: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        for line in (line for lines in lists for line in lines):
            moved(orjson.loads(line)[1], self._note)
        self._block = max(_SMALLEST_WINDOW, _WINDOWS_BYTES // max(1, len(self._ends)))
        self._held: dict[str, tuple[int, memoryview, int]] = {}

    def _note(self, path: str, start: int, count: int) -> Ref:
        self._starts[path] = min(self._starts.get(path, start), start)
        self._ends[path] = max(self._ends.get(path, 0), start + count)
        return {}

    def read(self, path: str, start: int, count: int) -> memoryview:
        begins, data, read_to = self._held.get(path, (0, memoryview(b""), start))
        if not begins <= start <= start + count <= begins + len(data):
            near = 0 <= start - read_to < self._block
            wanted = {path: (start, max(count, self._ahead(path, start) if near else 0))}
            if files.is_remote(path):
                wanted |= self._soon_due(path)
            places = [(other, *where) for other, where in wanted.items()]
            for (other, first, _), found in zip(places, files.read_ranges(places), strict=True):
                self._held[other] = first, memoryview(found), first
            begins, data, _ = self._held[path]
        self._held[path] = begins, data, start + count
        return data[start - begins : start - begins + count]

    def _ahead(self, path: str, start: int) -> int:
        return min(self._block, self._ends[path] - start)

    def _soon_due(self, path: str) -> dict[str, tuple[int, int]]:
        """Windows of other files that are half read, or not begun: files are read at the same pace,
        and requests side by side wait together."""
        due: dict[str, tuple[int, int]] = {}
        for other in self._ends.keys() - {path}:
            start = self._starts[other]
            begins, data, read_to = self._held.get(other, (start, memoryview(b""), start))
            end = begins + len(data)
            if end - read_to < self._block // 2 and end < self._ends[other]:
                due[other] = read_to, self._ahead(other, read_to)
        return due


# -- targets ---------------------------------------------------------------------------------------


def values_of(references: Sequence[Any]) -> list[Any]:
    """All values for a target, from the pairs that gathers emitted, by group and source."""
    return [orjson.loads(line) for lines in _lines(sorted(references)) for line in lines]
