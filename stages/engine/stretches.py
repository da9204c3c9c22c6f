"""Stretches: bytes that one piece of work leaves in a file for another.

A value that goes through a shuffle names its bytes as `{"at": [path, first byte, bytes]}`, anywhere
inside it. So the engine can move them into another file on their way (`stages.engine.relay`), and
stages read them wherever they came to lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa

from stages.engine import files

AT = "at"
Ref = dict[str, Any]
Move = Callable[[str, int, int], Ref]

# Neighbours in a file are read together up to this size.
_TOGETHER = 8 << 20


def stretch(path: str, start: int, count: int) -> Ref:
    """`count` bytes of the file at `path` from byte `start` on."""
    return {AT: [path, start, count]}


def size_of(ref: Ref) -> int:
    """Bytes of a stretch."""
    return int(ref[AT][2])


def read(refs: Sequence[Ref]) -> Iterator[memoryview]:
    """The bytes of each stretch, in the order given; those that follow each other in a file are
    read together.

    Raises OSError for a file that is shorter than it was when it was written.
    """
    ranges: list[tuple[str, int, int]] = []
    sizes: list[list[int]] = []
    for ref in refs:
        path, start, count = ref[AT]
        if ranges:
            last, begins, size = ranges[-1]
            if last == path and begins + size == start and size + count <= _TOGETHER:
                ranges[-1] = (path, begins, size + count)
                sizes[-1].append(count)
                continue
        ranges.append((path, start, count))
        sizes.append([count])
    for data, mine in zip(files.read_ranges(ranges), sizes, strict=True):
        at = 0
        for size in mine:
            yield memoryview(data)[at : at + size]
            at += size


def read_one(ref: Ref) -> memoryview:
    """The bytes of one stretch. Raises OSError as `read` does."""
    return next(read([ref]))


def packed(table: pa.Table, codec: Literal["lz4", "zstd"]) -> pa.Buffer:
    """A table as the bytes of a stretch, in Arrow's stream format."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def unpacked(data: memoryview) -> pa.Table:
    """The table that `packed` was given."""
    # Copied, since Arrow wants its buffers aligned.
    return pa.ipc.open_stream(bytes(data)).read_all()


def moved(value: Any, move: Move) -> Any:
    """`value` with each of its stretches as `move` gives it back, in the order of its text."""
    if isinstance(value, dict):
        if len(value) == 1 and AT in value:
            return move(*value[AT])
        return {name: moved(inner, move) for name, inner in value.items()}
    if isinstance(value, list):
        return [moved(inner, move) if isinstance(inner, list | dict) else inner for inner in value]
    return value


def nameless(value: Any) -> Any:
    """`value` without what its stretches say: what is left does not depend on where bytes lie."""
    return moved(value, lambda path, start, count: {})
