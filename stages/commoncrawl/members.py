"""Compressed members of a file: random access, bounded decompression, the search for the next one.

WARC and ARC files are a row of gzip members (or LZ4 frames), usually one for each record.
"""

from __future__ import annotations

import io
import re
import zlib
from abc import ABC, abstractmethod
from typing import BinaryIO, ClassVar

from fastwarc.stream_io import Lz4Reader

from stages.commoncrawl.starts import MAX_START, begins_record

CHUNK = 1 << 16


class DamageError(Exception):
    """Compressed data cannot be read on; the message begins with a short fixed word and `: `."""


class RawFile:
    """Random access to a seekable binary stream by absolute offset, through one read buffer.

    I/O errors of the stream pass through: they are no damage of the data.
    """

    BLOCK = 1 << 18

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = stream.seek(0, io.SEEK_END)
        self._base = 0
        self._buffer = memoryview(b"")

    def view(self, at: int, n: int) -> memoryview:
        """The `n` bytes from offset `at`; fewer only at the end of the file."""
        n = max(0, min(n, self.size - at))
        i = at - self._base
        if i < 0 or i + n > len(self._buffer):
            self._stream.seek(at)
            self._buffer = memoryview(self._read(max(n, self.BLOCK)))
            self._base, i = at, 0
        return self._buffer[i : i + n]

    def _read(self, n: int) -> bytes:
        parts = []
        while n > 0 and (part := self._stream.read(n)):
            parts.append(part)
            n -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Member(ABC):
    """One compressed member of a file, decompressed step by step in bounded pieces."""

    MAGIC: ClassVar[re.Pattern[bytes]]

    def __init__(self, raw: RawFile, at: int) -> None:
        self.raw = raw
        self.at = at
        self._head: bytes | None = None
        self._damage: DamageError | None = None

    def head(self) -> bytes:
        """The first decompressed bytes, kept for `read`: enough to see whether a record begins."""
        if self._head is None:
            parts: list[bytes] = []
            n = 0
            try:
                while n < MAX_START and (part := self._next(CHUNK)):
                    parts.append(part)
                    n += len(part)
            except DamageError as damage:
                self._damage = damage
            self._head = b"".join(parts)
        return self._head

    @property
    def unreadable(self) -> str:
        """Why not one byte could be read; empty where some could."""
        return str(self._damage) if not self.head() and self._damage else ""

    def read(self) -> bytes:
        """The next bytes; empty at the member's sound end.

        Raises: DamageError.
        """
        if self._head:
            out, self._head = self._head, b""
            return out
        if self._damage:
            raise self._damage
        return self._next(CHUNK)

    @abstractmethod
    def _next(self, n: int) -> bytes:
        """At most `n` further bytes; empty at the sound end. Raises: DamageError."""

    @property
    @abstractmethod
    def end(self) -> int:
        """Offset after the member; known once `read` has returned nothing."""


class GzipMember(Member):
    """A gzip member; zlib checks its CRC and length."""

    MAGIC = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")
    # Small, since zlib copies what it leaves of each piece when the member ends inside it.
    FEED = 1 << 14

    def __init__(self, raw: RawFile, at: int) -> None:
        super().__init__(raw, at)
        self._zlib = zlib.decompressobj(31)
        self._fed = at

    def _next(self, n: int) -> bytes:
        inflate = self._zlib
        while not inflate.eof:
            data: bytes | memoryview = inflate.unconsumed_tail
            if not data:
                data = self.raw.view(self._fed, self.FEED)
                self._fed += len(data)
            try:
                out = inflate.decompress(data, n)
            except zlib.error as error:
                raise DamageError(f"gzip: {error}") from None
            if out:
                return out
            if not data:
                raise DamageError("truncated: the file ends inside a gzip member")
        return b""

    @property
    def end(self) -> int:
        return self._fed - len(self._zlib.unused_data)


class Lz4Member(Member):
    """An LZ4 frame. Its end is found by its block sizes, its data by FastWARC."""

    MAGIC = re.compile(rb"\x04\x22\x4d\x18[\x40-\x7f]")

    def __init__(self, raw: RawFile, at: int) -> None:
        super().__init__(raw, at)
        self._end, self._whole = self._walk()
        self._source = _Slice(raw, at, self._end)
        self._reader: Lz4Reader | None = None

    def _walk(self) -> tuple[int, bool]:
        raw, at = self.raw, self.at
        flags = raw.view(at + 4, 1)[0]
        at += 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
        while len(size := raw.view(at, 4)) == 4:
            n = int.from_bytes(size, "little") & 0x7FFFFFFF
            at += 4
            if n == 0:
                at += 4 if flags & 0x04 else 0
                return min(at, raw.size), at <= raw.size
            at += n + (4 if flags & 0x10 else 0)
        return raw.size, False

    def _next(self, n: int) -> bytes:
        try:
            if self._reader is None:
                self._reader = Lz4Reader(self._source)
            out: bytes = self._reader.read(n)
        except OSError as error:
            if self._source.error is not None:
                raise self._source.error from None
            if not self._whole:
                raise DamageError("truncated: the file ends inside an LZ4 frame") from None
            raise DamageError(f"lz4: {error}") from None
        if not out and not self._whole:
            raise DamageError("truncated: the file ends inside an LZ4 frame")
        return out

    @property
    def end(self) -> int:
        return self._end


class _Slice(io.RawIOBase):
    """The stretch `at..end` of a file as a stream; keeps I/O errors apart from decoding errors."""

    def __init__(self, raw: RawFile, at: int, end: int) -> None:
        self._raw, self._at, self._end = raw, at, end
        self._start = at
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (self._start, self._at, self._end)[whence]
        self._at = min(max(self._start, base + offset), self._end)
        return self.tell()

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        try:
            out = bytes(self._raw.view(self._at, left if size < 0 else min(size, left)))
        except OSError as error:
            self.error = error
            raise
        self._at += len(out)
        return out


def member_at(raw: RawFile, at: int, kind: type[Member]) -> Member | None:
    """The member that begins at `at`, or None where no magic number stands."""
    return kind(raw, at) if kind.MAGIC.match(raw.view(at, 8)) else None


def find_member(raw: RawFile, at: int, kind: type[Member], limit: int) -> Member | None:
    """The first member at or after `at`, before `limit`, that begins with a record."""
    while at < limit:
        block = raw.view(at, RawFile.BLOCK)
        # Copied, since opening a candidate may move the buffer that the view shows.
        data = bytes(block)
        place = 0
        while match := kind.MAGIC.search(data, place):
            place = match.start() + 1
            if at + match.start() >= limit:
                return None
            member = kind(raw, at + match.start())
            if begins_record(member.head()):
                return member
        if at + len(data) >= raw.size:
            return None
        at += len(data) - 7
    return None
