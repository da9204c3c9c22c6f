"""Hashes of files, taken while they are read or written."""

from __future__ import annotations

import hashlib
import io
import zlib
from typing import IO, Any

import xxhash

BLOCK = 1 << 20


class Digest:
    """The sha256 of a stream, and of each of its blocks of a MiB a 64-bit hash and the CRC-32.

    The first proves a file, the hashes tell which block of a damaged one is damaged, and the CRC,
    being linear, which byte if it is one alone (`pipeline.damage`).
    """

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self._block = xxhash.xxh3_64()
        self._blocks: list[str] = []
        self._crc = 0
        self._crcs: list[str] = []
        self.count = 0

    def update(self, data: memoryview) -> None:
        self._sha.update(data)
        while len(data):
            here = data[: BLOCK - self.count % BLOCK]
            self._block.update(here)
            self._crc = zlib.crc32(here, self._crc)
            self.count += len(here)
            data = data[len(here) :]
            if self.count % BLOCK == 0:
                self._blocks.append(self._block.hexdigest())
                self._crcs.append(f"{self._crc:08x}")
                self._block.reset()
                self._crc = 0

    def hexdigest(self) -> str:
        return self._sha.hexdigest()

    def entry(self, path: str, rows: int = 0) -> dict[str, Any]:
        """A manifest's entry of the file."""
        last = [self._block.hexdigest()] if self.count % BLOCK else []
        last_crc = [f"{self._crc:08x}"] if self.count % BLOCK else []
        return {
            "path": path,
            "rows": rows,
            "bytes": self.count,
            "sha256": self.hexdigest(),
            "blocks": "".join([*self._blocks, *last]),
            "crcs": "".join([*self._crcs, *last_crc]),
        }


class HashingWriter(io.RawIOBase):
    """A write-only stream that counts and hashes what passes through it."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner = inner
        self.digest = Digest()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.digest.update(view)
        self._inner.write(view)
        return len(view)

    def tell(self) -> int:
        return self.digest.count

    def hexdigest(self) -> str:
        return self.digest.hexdigest()


class PlainWriter:
    """A write-only stream that counts and hashes what passes through it."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._write = inner.write
        self.hash = xxhash.xxh3_64()
        self.count = 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.hash.update(view)
        self._write(view)
        self.count += len(view)
        return len(view)
