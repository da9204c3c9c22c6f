"""A bounded sample of lines that does not depend on the order in which they come."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from typing import BinaryIO


class LineSample:
    """The lines with the smallest keyed hashes, as many as two bounds allow.

    Whichever order the same lines are added in, the sample is the same and comes in the same
    order, that of the hashes, which is as good as shuffled. Text lies in a spool file; memory
    holds about 100 bytes a line. For n lines of which k stay, the spool takes about
    k * (1 + ln(n / k)) lines.

    Args:
        spool: a file open for reading and writing bytes, empty.
        max_lines: most lines kept.
        max_bytes: most bytes kept (UTF-8, without line ends).
        seed: key of the hash.
    """

    def __init__(self, spool: BinaryIO, max_lines: int, max_bytes: int, seed: int = 0) -> None:
        self._spool = spool
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._key = seed.to_bytes(8, "little")
        self._heap: list[tuple[int, int, int]] = []  # minus hash, offset in the spool, bytes
        self._bound = 1 << 64  # no hash from here on may enter, whatever room there is
        self._end = 0
        self.lines_seen = 0
        self.bytes_seen = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, line: str) -> None:
        """Offers a line to the sample. It must be valid Unicode without newlines."""
        data = line.encode("utf-8")
        self.lines_seen += 1
        self.bytes_seen += len(data)
        digest = hashlib.blake2b(data, digest_size=8, key=self._key).digest()
        number = int.from_bytes(digest, "little")
        if number >= self._bound:
            return
        self._spool.seek(self._end)
        self._spool.write(data)
        heapq.heappush(self._heap, (-number, self._end, len(data)))
        self._end += len(data)
        self.bytes += len(data)
        while len(self._heap) > self._max_lines or self.bytes > self._max_bytes:
            largest, _, size = heapq.heappop(self._heap)
            self._bound = -largest
            self.bytes -= size
        # Equal hashes mean equal lines: all of them leave with the first, so order cannot matter.
        while self._heap and -self._heap[0][0] >= self._bound:
            self.bytes -= heapq.heappop(self._heap)[2]

    def __iter__(self) -> Iterator[str]:
        """The lines, smallest hash first."""
        for _, offset, size in sorted(self._heap, reverse=True):
            self._spool.seek(offset)
            yield self._spool.read(size).decode("utf-8")
