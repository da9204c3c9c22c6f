"""Rows of the BigQuery export: JSON lines (plain or gzip) or Parquet, with bounded memory.

BigQuery writes 64-bit integers into JSON as text, and leaves out what is null; both forms are read.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from stages.outcomes import Bad

_READ_BYTES = 1 << 20
_BOMB_FREE_BYTES = 1 << 30
_BATCH_ROWS = 64  # a row of `contents` may have a MiB
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by column, and its place (a key for `origin` and dead letters)."""

    values: dict[str, Any]
    place: int | str


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a line, and the growth of a gzip file, beyond which input is bad."""

    max_record_bytes: int
    max_expansion: int


Found: TypeAlias = Row | Bad


def rows(
    stream: BinaryIO,
    path: str,
    columns: Sequence[str],
    limits: Limits,
    start: int = 0,
    end: int | None = None,
) -> Iterator[Found]:
    """Rows of a file in file order; unreadable ones as `Bad`.

    `start..end`: bytes of a plain file of lines (a line belongs to the stretch in which it begins),
    or row groups of a Parquet file. A gzip file is read whole.
    """
    stream.seek(0)
    head = stream.read(4)
    if head == _PARQUET:
        yield from _parquet_rows(stream, path, columns, start, end)
        return
    compressed = head.startswith(_GZIP)
    lines = _gzip_lines(stream, path, limits) if compressed else None
    for line in lines or _plain_lines(stream, path, limits, start, end):
        if isinstance(line, Bad):
            yield line
            continue
        offset, data = line
        if data.strip():
            yield _json_row(data, path, f"0+{offset}" if compressed else offset)


def _json_row(data: bytes, path: str, place: int | str) -> Found:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return Bad(path, place, f"json: {error}")
    if not isinstance(value, dict):
        return Bad(path, place, f"json: a {type(value).__name__}, not an object")
    return Row(value, place)


_Line: TypeAlias = tuple[int, bytes] | Bad


def _plain_lines(
    stream: BinaryIO, path: str, limits: Limits, start: int, end: int | None
) -> Iterator[_Line]:
    """A stretch begins behind the first line end at or after the byte before it."""
    stream.seek(max(0, start - 1))
    blocks = iter(lambda: stream.read(_READ_BYTES), b"")
    yield from _lines(blocks, path, limits, max(0, start - 1), skip_first=start > 0, end=end)


def _gzip_lines(stream: BinaryIO, path: str, limits: Limits) -> Iterator[_Line]:
    stream.seek(0)
    failed: list[Bad] = []

    def blocks() -> Iterator[bytes]:
        done = 0
        with gzip.GzipFile(fileobj=stream, mode="rb") as unpacked:
            while True:
                try:
                    data = unpacked.read1(_READ_BYTES)
                except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                    failed.append(Bad(path, f"0+{done}", f"gzip: {error}"))
                    return
                if not data:
                    return
                done += len(data)
                if done > max(_BOMB_FREE_BYTES, limits.max_expansion * max(1, stream.tell())):
                    problem = f"bomb: expands over {limits.max_expansion} times"
                    failed.append(Bad(path, f"0+{done}", problem))
                    return
                yield data

    yield from _lines(blocks(), path, limits, 0, skip_first=False, end=None, cut=failed)
    yield from failed


def _lines(
    blocks: Iterator[bytes],
    path: str,
    limits: Limits,
    offset: int,
    *,
    skip_first: bool,
    end: int | None,
    cut: Sequence[Bad] = (),
) -> Iterator[_Line]:
    """Lines with their offsets. Of a line over the limit only its place is kept. A last line that
    damage (`cut`) broke off is not a line: the damage speaks for it."""
    parts: list[bytes] = []
    size = 0
    skipping = skip_first

    def line() -> _Line | None:
        if skipping:
            return None
        if size > limits.max_record_bytes:
            return Bad(path, offset, f"too long: a line of {size} bytes")
        return offset, b"".join(parts)

    for block in blocks:
        at = 0
        while (newline := block.find(b"\n", at)) >= 0:
            size += newline - at
            if size <= limits.max_record_bytes:
                parts.append(block[at:newline])
            if found := line():
                yield found
            skipping = False
            offset += size + 1
            parts, size, at = [], 0, newline + 1
            if end is not None and offset >= end:
                return
        size += len(block) - at
        if size <= limits.max_record_bytes:
            parts.append(block[at:])
        else:
            parts.clear()
    if size and not cut and (found := line()):
        yield found


def _parquet_rows(
    stream: BinaryIO, path: str, columns: Sequence[str], start: int, end: int | None
) -> Iterator[Found]:
    try:
        parquet = pq.ParquetFile(cast(Any, stream))
        groups = range(parquet.metadata.num_row_groups)[start:end]
        names = [c for c in columns if c in parquet.schema_arrow.names]
        first = sum(parquet.metadata.row_group(i).num_rows for i in range(start))
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        yield Bad(path, 0, f"parquet: {error}")
        return
    for group in groups:
        row = first
        first += parquet.metadata.row_group(group).num_rows
        try:
            for batch in parquet.iter_batches(
                batch_size=_BATCH_ROWS, row_groups=[group], columns=names, use_threads=False
            ):
                for values in batch.to_pylist():
                    yield Row(values, f"row {row}")
                    row += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            yield Bad(path, f"row {row}", f"parquet: row group {group}: {error}")


def row_groups(path: str, size: int, target: int, stream: BinaryIO) -> list[tuple[int, int | None]]:
    """Stretches of row groups of a Parquet file of about `target` bytes; the whole file if it is
    unreadable, so that its reader says so."""
    try:
        metadata = pq.ParquetFile(cast(Any, stream)).metadata
    except (pa.ArrowException, OSError):
        return [(0, None)]
    stretches: list[tuple[int, int | None]] = []
    start, held = 0, 0
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        weight = sum(group.column(c).total_compressed_size for c in range(group.num_columns))
        if held and held + weight > target:
            stretches.append((start, i))
            start, held = i, 0
        held += weight
    return [*stretches, (start, None)]


def text_of(value: Any) -> str | None:
    """A value that must be text."""
    return value if isinstance(value, str) else None


def int_of(value: Any) -> int | None:
    """A value that must be an integer, as JSON number or, as BigQuery has it, as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.removeprefix("-").isascii() and len(value) < 20:
        try:
            return int(value)
        except ValueError:
            return None
    return None
