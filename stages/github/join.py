"""The join of contents with the files that have them, outside of memory.

Each unit writes what it knows of content ids, cut into partitions by the id's first bytes, into one
run file: *places* (of the files table: repository, path, licence, rank) and *contents* (unit and
row). A reducer reads the stretches of its partition from all run files, finds for each content the
place that speaks for it, and writes the answers, one stretch per unit. No text is involved, and
places of one content are merged where they are written, so that the empty file, which millions of
repositories have, is one place per `CHUNK_ROWS` rows.

Run files hold Arrow IPC streams; a reference is a list of stretches (`stages.engine.stretches`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.engine import files
from stages.engine.stretches import Ref, packed, read, stretch, unpacked

ID_BYTES = 20
CHUNK_ROWS = 200_000
BYTES_PER_PLACE = 600
"""Memory of a reducer for one place: its row in Arrow (about 150 bytes), and its copies while the
partition is joined and sorted."""

_ID = pa.binary(ID_BYTES)
PLACES = pa.schema(
    [
        pa.field("id", _ID),
        pa.field("rank", pa.uint8()),
        pa.field("repository", pa.string()),
        pa.field("path", pa.string()),
        pa.field("license", pa.string()),
        # Of all places merged into this one: how many, and the first licence that is not kept.
        pa.field("places", pa.int64()),
        pa.field("foreign", pa.string()),
    ]
)
CONTENTS = pa.schema(
    [pa.field("id", _ID), pa.field("unit", pa.int64()), pa.field("row", pa.int64())]
)
ANSWERS = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("id", _ID),
        pa.field("again", pa.bool_()),
        *(f for f in PLACES if f.name != "id"),
    ]
)


def partitions_for(places: int, memory_bytes: int) -> int:
    """Partitions such that a reducer stays within `memory_bytes` (SHA-1 spreads evenly)."""
    return max(1, -(-places * BYTES_PER_PLACE // memory_bytes))


def merged(places: pa.Table) -> pa.Table:
    """One row per id, by id: the place of the smallest rank, repository and path."""
    if places.num_rows == 0:
        return places
    keys = ("id", "rank", "repository", "path", "license")
    ordered = places.sort_by([(key, "ascending") for key in keys]).combine_chunks()
    first = _first_of_group(ordered.column("id"))
    starts = np.flatnonzero(first)
    sums = np.add.reduceat(ordered.column("places").to_numpy(), starts)
    group = np.cumsum(first) - 1
    out = ordered.filter(pa.array(first))
    out = out.set_column(
        out.schema.get_field_index("places"), PLACES.field("places"), pa.array(sums)
    )
    foreign = _smallest(ordered.column("foreign"), group, len(starts))
    return out.set_column(out.schema.get_field_index("foreign"), PLACES.field("foreign"), foreign)


def _smallest(column: pa.ChunkedArray, group: npt.NDArray[np.int64], groups: int) -> pa.Array:
    """The smallest text of each group, null where it has none."""
    names = sorted(x for x in pc.unique(column).to_pylist() if x is not None)
    code = pc.fill_null(pc.index_in(column, value_set=pa.array(names, pa.string())), len(names))
    best = np.full(groups, len(names), dtype=np.int64)
    np.minimum.at(best, group, code.to_numpy().astype(np.int64))
    return pa.array([*names, None], pa.string()).take(pa.array(best))


def _first_of_group(ids: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    raw = _id_bytes(ids)
    first = np.ones(len(raw), dtype=np.bool_)
    first[1:] = (raw[1:] != raw[:-1]).any(axis=1)
    return first


def _id_bytes(ids: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(ids.to_pylist()), np.uint8).reshape(-1, ID_BYTES)


class Chunk:
    """Rows on their way into an Arrow table; `table` hands them over and begins anew."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._rows: list[tuple[Any, ...]] = []

    def add(self, *values: Any) -> None:
        self._rows.append(values)

    @property
    def full(self) -> bool:
        return len(self._rows) >= CHUNK_ROWS

    def table(self) -> pa.Table:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        self._rows = []
        arrays = [pa.array(c, f.type) for c, f in zip(columns, self._schema, strict=True)]
        return pa.Table.from_arrays(arrays, schema=self._schema)


class RunWriter:
    """Writes one run file; `close` gives the stretches of each partition."""

    def __init__(self, path: str, partitions: int) -> None:
        self.path, self.partitions = path, partitions
        self._stack = ExitStack()
        self._out = self._stack.enter_context(files.plain_writer(path))
        self._size = 0
        self.stretches: dict[int, list[Ref]] = {}

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def by_id(self, table: pa.Table) -> None:
        """Adds rows, each to the partition of its id."""
        if table.num_rows == 0:
            return
        raw = _id_bytes(table.column("id"))[:, :4].astype(np.int64)
        head = (raw[:, 0] << 24) | (raw[:, 1] << 16) | (raw[:, 2] << 8) | raw[:, 3]
        partition = head * self.partitions >> 32
        order = np.argsort(partition, kind="stable")
        table = table.take(pa.array(order)).combine_chunks()
        numbers, starts = np.unique(partition[order], return_index=True)
        ends = [*starts[1:].tolist(), table.num_rows]
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            self.add(number, table.slice(start, end - start))

    def add(self, key: int, table: pa.Table) -> None:
        data = packed(table, "lz4")
        self._out.write(data)
        self.stretches.setdefault(key, []).append(stretch(self.path, self._size, data.size))
        self._size += data.size


def answer(
    key: str, places: Sequence[Any], contents: Sequence[Any], output: str
) -> list[tuple[int, Any]]:
    """Joins the partition `key` and writes the answers: (unit, [key, stretches]) pairs.

    `places` and `contents` are references. Of contents with one id, the first (by unit and row)
    gets the place; the others are marked `again`.
    """
    known = merged(_tables(places, PLACES))
    asked = _tables(contents, CONTENTS).sort_by(
        [("id", "ascending"), ("unit", "ascending"), ("row", "ascending")]
    )
    if asked.num_rows == 0:
        return []
    found = known.take(pc.index_in(asked.column("id"), value_set=known.column("id")))
    columns: dict[str, Any] = {
        "row": asked.column("row"),
        "id": asked.column("id"),
        "again": pa.array(~_first_of_group(asked.column("id"))),
        **{f.name: found.column(f.name) for f in PLACES if f.name != "id"},
    }
    table = pa.table(columns, schema=ANSWERS)
    units = asked.column("unit").to_numpy()
    order = np.argsort(units, kind="stable")
    table, units = table.take(pa.array(order)).combine_chunks(), units[order]
    numbers, starts = np.unique(units, return_index=True)
    ends = [*starts[1:].tolist(), len(units)]
    with RunWriter(output, 1) as out:
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            out.add(number, table.slice(start, end - start))
    return [(number, [key, out.stretches[number]]) for number in numbers.tolist()]


def _tables(references: Sequence[Any], schema: pa.Schema) -> pa.Table:
    refs = [ref for stretches in references for ref in stretches]
    tables = [unpacked(data) for data in read(refs)]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def collect(references: Sequence[Any], rows: int | None = None) -> pa.Table:
    """A unit's answers, from all partitions, by row.

    Raises RuntimeError if `rows` is given and not their number.
    """
    table = _tables([refs for _, refs in references], ANSWERS).sort_by("row")
    if rows is not None and table.num_rows != rows:
        raise RuntimeError(f"{rows} contents were sent to the shuffle, {table.num_rows} came back")
    return table
