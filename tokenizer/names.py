"""The `.names` sidecar of a shard: which of its documents has a name, without reading them all.

A name is a document's id, and whatever else its writer says it is known by (a URL, a place in a raw
file). The sidecar has 12 bytes a name, all little-endian: the names' 64-bit hashes in ascending
order (u64), then for each the number of its document in the shard (u32). Hashes are spread evenly,
so the place of one is known to within a few hundred and is found in one read, local or remote.
Hashes may collide and names may be shared: what is found must be compared with the document.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tokenizer.files import file_system, is_local
from tokenizer.local import LocalFile
from tokenizer.sample import hash64

ENDING = ".names"
_HASH = np.dtype("<u8")
_ROW = np.dtype("<u4")
_ENTRY = _HASH.itemsize + _ROW.itemsize
# Standard deviations of a hash's place that the first read allows for.
_DEVIATIONS = 4


def hash_of(name: str) -> int:
    """The 64-bit hash that a name is filed under."""
    return hash64(0, name, "name")


def write(stream: BinaryIO, hashes: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint32]) -> None:
    """Writes a sidecar; `hashes` and `rows` have shape (names,) and come in any order."""
    order = np.lexsort((rows, hashes))
    stream.write(hashes[order].astype(_HASH).tobytes())
    stream.write(rows[order].astype(_ROW).tobytes())


class Names:
    """Looks names up in the sidecar at a path or URL. Raises ValueError if it is not one."""

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = os.fspath(url)
        self._fs: Any = None
        self._path = self.url
        if ":" in self.url:  # Else it is a path, and asking for the file system is slower than all.
            self._fs, self._path = file_system(self.url)
        local = self._fs is None or is_local(self._fs)
        self._file = LocalFile(self._path) if local else None
        try:
            size = self._file.bytes if self._file else int(self._fs.size(self._path))
        except FileNotFoundError:
            raise ValueError(f"{self.url}: no such file") from None
        if size % _ENTRY:
            raise ValueError(f"{self.url}: {size} bytes are no whole number of names")
        self._n = size // _ENTRY

    def __len__(self) -> int:
        return self._n

    def rows(self, names: Iterable[str]) -> list[int]:
        """The numbers of the documents that may have one of these names, ascending."""
        found: set[int] = set()
        for name in set(names):
            found.update(self._rows(hash_of(name)))
        return sorted(found)

    def _rows(self, wanted: int) -> list[int]:
        guess = wanted * self._n >> 64
        reach = 64 + _DEVIATIONS * math.isqrt(self._n)
        while True:
            low, high = max(0, guess - reach), min(self._n, guess + reach)
            hashes = self._read(low, high, 0, _HASH)
            # All that are equal must be inside, so the ends must differ or be the file's.
            if (low == 0 or hashes[0] < wanted) and (high == self._n or hashes[-1] > wanted):
                break
            reach *= 4
        key = np.uint64(wanted)
        first, last = (int(np.searchsorted(hashes, key, s)) for s in ("left", "right"))
        if first == last:
            return []
        rows = self._read(low + first, low + last, self._n * _HASH.itemsize, _ROW)
        return [int(row) for row in rows]

    def _read(self, first: int, last: int, base: int, dtype: np.dtype) -> npt.NDArray:
        start, size = base + first * dtype.itemsize, (last - first) * dtype.itemsize
        if self._file is not None:
            content = self._file.read(start, size)
        else:
            content = self._fs.cat_file(self._path, start, start + size) if size else b""
        if len(content) != size:
            raise ValueError(f"{self.url}: the file ends too early")
        return np.frombuffer(content, dtype=dtype)
