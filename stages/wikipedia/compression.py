"""Decompression with bounded memory, stream by stream, of files that may be damaged.

The format is told by the content, not by the file name: dumps are named
`.xml-p1p41242.bz2` and the like. A stream that is broken becomes a `Gap`; after a broken bzip2
stream reading goes on at the next one, whose start is recognisable.

Checksums come at the end of a block or stream, so bytes handed on before a mismatch stand; the
`Gap` names the stream.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Protocol

from stages.wikipedia.chunks import OUTPUT_BYTES, READ_BYTES, Chunk, Flow, Gap, key

# A dictionary beyond this is refused: `xz -9` needs 65 MiB, a hostile header may ask for 4 GiB.
_XZ_MEMORY = 192 << 20
_BOMB_FREE_BYTES = 1 << 30

# A bzip2 stream starts on a byte boundary with its level and then the magic of its first block.
BZIP2_START = re.compile(rb"BZh[1-9]1AY&SY")
_BZIP2_START_BYTES = 10


class Decompressor(Protocol):
    """The shape of `bz2.BZ2Decompressor`."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """`zlib` in the shape of `bz2.BZ2Decompressor`."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = len(out) < max_length and not self._zlib.unconsumed_tail
        return out


@dataclass(slots=True, frozen=True)
class Codec:
    """A format of concatenated compressed streams. `start` begins each stream; `resync` finds
    the next one after damage, where the format allows that."""

    new: Callable[[], Decompressor]
    start: re.Pattern[bytes]
    resync: re.Pattern[bytes] | None = None


class Compression(Enum):
    """How a file is compressed, as its first bytes say."""

    NONE = "none"
    BZIP2 = "bz2"
    GZIP = "gz"
    XZ = "xz"
    SEVENZIP = "7z"


CODECS: dict[Compression, Codec] = {
    Compression.BZIP2: Codec(bz2.BZ2Decompressor, re.compile(rb"BZh[1-9]"), BZIP2_START),
    Compression.GZIP: Codec(_Gzip, re.compile(rb"\x1f\x8b")),
    Compression.XZ: Codec(
        lambda: lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_XZ_MEMORY),
        re.compile(rb"\xfd7zXZ\x00|\x5d\x00\x00"),
    ),
}
SUFFIXES: dict[str, Compression] = {
    ".bz2": Compression.BZIP2,
    ".gz": Compression.GZIP,
    ".xz": Compression.XZ,
    ".lzma": Compression.XZ,
    ".7z": Compression.SEVENZIP,
}


def sniff(head: bytes) -> Compression:
    """The compression that the first bytes of a file (at least 10) tell."""
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return Compression.SEVENZIP
    for compression, codec in CODECS.items():
        if codec.start.match(head):
            return compression
    return Compression.NONE


def find_start(stream: BinaryIO, offset: int, limit: int | None = None) -> int | None:
    """Offset of the first bzip2 stream at or after `offset`, looking at `limit` bytes at most."""
    stream.seek(offset)
    window, base = b"", offset
    while limit is None or base - offset < limit:
        data = stream.read(READ_BYTES)
        if not data:
            return None
        window += data
        if found := BZIP2_START.search(window):
            return base + found.start()
        keep = min(len(window), _BZIP2_START_BYTES - 1)
        base += len(window) - keep
        window = window[-keep:]
    return None


def plain(stream: BinaryIO, start: int, end: int | None) -> Iterator[Flow]:
    """An uncompressed file from `start` on; bytes from `end` on are not the unit's own."""
    stream.seek(start)
    at = start
    while True:
        own = end is None or at < end
        size = READ_BYTES if end is None or not own else min(READ_BYTES, end - at)
        data = stream.read(size)
        if not data:
            return
        yield Chunk(data, None, at, own)
        at += len(data)


def expand(
    stream: BinaryIO, codec: Codec, start: int, end: int | None, max_expansion: int
) -> Iterator[Flow]:
    """The streams that begin in `start..end` (compressed offsets), then the following ones,
    which are not the unit's own. A `start` inside a stream means the next stream's start."""
    offset: int | None = start
    if start > 0:
        offset = find_start(stream, start) if codec.resync else None
    if offset is None:
        return
    stream.seek(offset)
    unread, produced = b"", 0
    while True:
        offset, unread = _next_bytes(stream, offset, unread)
        if not unread:
            return
        own = end is None or offset < end
        problem = "" if codec.start.match(unread) else "garbage: no compressed stream begins here"
        decompressor, at, consumed, data = codec.new(), 0, len(unread), unread
        while not problem and not decompressor.eof:
            try:
                out = decompressor.decompress(data, OUTPUT_BYTES)
            except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
                problem = f"compression: {error}"
                break
            if out:
                produced += len(out)
                yield Chunk(out, offset, at, own)
                at += len(out)
                if produced > max(_BOMB_FREE_BYTES, max_expansion * (offset - start + consumed)):
                    yield Gap(key(offset, at), f"bomb: expands over {max_expansion} times", own)
                    return
            data = b""
            if decompressor.needs_input and not decompressor.eof:
                data = stream.read(READ_BYTES)
                consumed += len(data)
                if not data:
                    problem = "truncated: the compressed stream ends early"
        if problem:
            yield Gap(key(offset, at), problem, own)
            # The decoder may have read over the next start before it stumbled: look from here on.
            following = find_start(stream, offset + 1) if codec.resync else None
            if following is None:
                return
            offset, unread = following, b""
            stream.seek(offset)
        else:
            unread = decompressor.unused_data
            offset += consumed - len(unread)


def _next_bytes(stream: BinaryIO, offset: int, unread: bytes) -> tuple[int, bytes]:
    """The bytes of the next stream and their offset: padding with zeros is allowed between two."""
    while True:
        stripped = unread.lstrip(b"\0")
        offset += len(unread) - len(stripped)
        if len(stripped) >= _BZIP2_START_BYTES:
            return offset, stripped
        more = stream.read(READ_BYTES)
        if not more:
            return offset, stripped
        unread = stripped + more
