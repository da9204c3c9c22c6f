"""The lines of a column of texts as stretches of its bytes, and texts cut down to some of them.

Texts stay in Arrow's buffers: a crawl has a hundred lines a page, and making each a Python string
costs more than all the rest of removing some.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

_NEWLINE = 10


@dataclass(frozen=True)
class ColumnLines:
    """The lines of texts, numbered through all of them; each has the newline after it, if any.

    `ends[i]`: byte after line i; `first[d]`: first line of text d, `first[-1]` the number of lines.
    An empty text has one line.
    """

    data: Bytes
    ends: I64
    first: I64

    @classmethod
    def of(cls, column: pa.Array) -> ColumnLines:
        """Lines of a string column without nulls."""
        data, offsets = column_bytes(column)
        newlines = np.flatnonzero(data == _NEWLINE)
        before = np.searchsorted(newlines, offsets)
        first = before + np.arange(len(offsets))
        ends = np.empty(int(first[-1]), dtype=np.int64)
        inner = np.ones(len(ends), dtype=np.bool_)
        inner[first[1:] - 1] = False
        ends[inner] = newlines + 1
        ends[first[1:] - 1] = offsets[1:]
        return cls(data, ends, first)

    @property
    def counts(self) -> I64:
        """Lines of each text."""
        return np.diff(self.first)

    def only(self, keep: Bools) -> pa.Array:
        """The texts with only the lines that `keep` says, joined by newlines: large_string."""
        starts = np.concatenate([[0], self.ends[:-1]])
        kept_before = np.concatenate([[0], np.cumsum(keep)])
        first, last = self.first[:-1], self.first[1:]
        kept = np.flatnonzero(keep)
        some = kept_before[last] > kept_before[first]
        # The last line that stays has no newline, unless it has none anyway.
        final = kept[kept_before[last[some]] - 1]
        bare = final[final != last[some] - 1]
        lengths = (self.ends - starts) * keep
        lengths[bare] -= 1
        stays = np.repeat(keep, self.ends - starts)
        stays[self.ends[bare] - 1] = False
        offsets = np.concatenate([[0], np.cumsum(lengths)])[self.first]
        data = self.data[stays]
        return pa.LargeStringArray.from_buffers(
            len(first), pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data)
        )


def column_bytes(column: pa.Array) -> tuple[Bytes, I64]:
    """The bytes of a string or binary column without nulls, end to end, and the values' bounds."""
    if column.null_count:
        raise ValueError(f"{column.null_count} values are missing")
    wide = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    _, places, values = column.buffers()
    n = len(column)
    if places is None or n == 0:
        return np.empty(0, np.uint8), np.zeros(n + 1, np.int64)
    kind = np.dtype(np.int64 if wide else np.int32)
    found = np.frombuffer(places, kind, n + 1, column.offset * kind.itemsize).astype(np.int64)
    start, end = int(found[0]), int(found[-1])
    data = np.frombuffer(values, np.uint8, end - start, start) if end > start else None
    return np.empty(0, np.uint8) if data is None else data, found - start
