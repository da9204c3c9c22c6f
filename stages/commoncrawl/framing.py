"""Where records lie in a file: random access, compressed members, and what a record begins with.

WARC and ARC files are a row of gzip members (or LZ4 frames), usually one for each record, or plain.
The functions here answer two questions without looking at what records mean: does a record begin at
this offset, and which is the next offset at which one does? Both look at bytes from the offset
on only, so all readers of ranges of one file agree on the answers.
"""

from __future__ import annotations

import io
import re
import zlib
from abc import ABC, abstractmethod
from typing import BinaryIO, ClassVar, NamedTuple, Protocol

from fastwarc.stream_io import Lz4Reader

CHUNK = 1 << 16
# Longest line by which an ARC record is recognised.
MAX_LINE = 1 << 13

_WARC = rb"WARC/\d{1,2}\.\d{1,3}[ \t]*\r?\n[!-9;-~]{1,128}[ \t]*:"
# `URL IP date type length`, or version 2 with five more fields before the length. The length is
# checked later: a record with a bad one is a bad record, not garbage.
_ARC = (
    rb"[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\r\n]{1,%d} [0-9A-Fa-f.:]{3,45} \d{12,18}"
    rb" [^ \r\n]{0,256}(?: [^ \r\n]{1,1024}){1,6}[ \t]*\r?\n" % MAX_LINE
)
_RECORD_START = re.compile(rb"\s*(?:" + _WARC + rb"|" + _ARC + rb")")


class Starts(NamedTuple):
    """How records of a kind begin: `here` matches at a place, `next` searches for the next one."""

    here: re.Pattern[bytes]
    next: re.Pattern[bytes]


WARC_START = Starts(re.compile(_WARC), re.compile(_WARC))
ARC_START = Starts(re.compile(_ARC), re.compile(rb"^" + _ARC, re.MULTILINE))
ANY_START = Starts(
    re.compile(_WARC + rb"|" + _ARC), re.compile(_WARC + rb"|^" + _ARC, re.MULTILINE)
)


class DamageError(Exception):
    """Compressed data cannot be read on; the message begins with a short fixed word and `: `."""


def begins_record(data: bytes) -> bool:
    """True where `data`, the bytes from some place on, begins with a WARC or ARC record header."""
    return _RECORD_START.match(data, 0, 2 * MAX_LINE) is not None


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
                while n < 2 * MAX_LINE and (part := self._next(CHUNK)):
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


class Source(Protocol):
    """Decompressed bytes by place; the places of an uncompressed file are its offsets.

    `checked` says that a sound end is known to be the end of what was written.
    """

    checked: bool

    def pull(self) -> bytes:
        """The next bytes, at most a few `CHUNK`; empty at the sound end. Raises: DamageError."""

    def seek(self, place: int) -> int:
        """Goes on from `place`; returns the place reached, less where the end comes before it.

        Raises: DamageError.
        """

    def progress(self) -> None:
        """A record ended: bounds on the search for the end of a record start anew."""


class Plain:
    """An uncompressed file from `place` on."""

    checked = False

    def __init__(self, raw: RawFile, place: int) -> None:
        self._raw = raw
        self._place = place

    def pull(self) -> bytes:
        out = bytes(self._raw.view(self._place, CHUNK))
        self._place += len(out)
        return out

    def seek(self, place: int) -> int:
        self._place = min(place, self._raw.size)
        return self._place

    def progress(self) -> None:
        pass


class Run:
    """Decompressed data from a member that begins a record up to the next member that does.

    Usually one member and one record. It is more where records and members do not coincide: one
    member with many records, or records that go on in the next member.

    After the sound end, `after` is the offset of the byte after it and `next` the member that
    begins there, if one does. `member` is the one read last.
    """

    checked = True
    # Each way back decompresses the run again.
    MAX_RESTARTS = 8

    def __init__(self, raw: RawFile, member: Member, max_skip_bytes: int) -> None:
        self.raw = raw
        self.at = member.at
        self.member = member
        self.after = -1
        self.next: Member | None = None
        self._limit = max_skip_bytes
        self._since = 0
        self._place = 0
        self._left = b""
        self._restarts = 0

    def pull(self) -> bytes:
        out, self._left = self._left or self._read(), b""
        self._place += len(out)
        return out

    def _read(self) -> bytes:
        while self.after < 0:
            if chunk := self.member.read():
                self._since += len(chunk)
                if self._since > self._limit:
                    raise DamageError(f"bomb: no record ends within {self._limit} bytes")
                return chunk
            after = self.member.end
            following = member_at(self.raw, after, type(self.member))
            if following is None or following.unreadable or begins_record(following.head()):
                self.after, self.next = after, following
            else:
                self.member = following
        return b""

    def seek(self, place: int) -> int:
        if place < self._place:
            self._restarts += 1
            if self._restarts > self.MAX_RESTARTS:
                raise DamageError("bomb: too many records longer than their data")
            self.member = type(self.member)(self.raw, self.at)
            self.after, self.next, self._left = -1, None, b""
            self._place = self._since = 0
        while self._place < place and (chunk := self.pull()):
            over = self._place - place
            if over > 0:
                self._left = chunk[-over:]
                self._place = place
        return self._place

    def progress(self) -> None:
        self._since = 0
