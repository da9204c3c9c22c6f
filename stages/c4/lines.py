"""The lines of a file that may be compressed, damaged or hostile, in bounded memory.

Places are byte offsets in the uncompressed data, so they do not change with the packing.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from backports import zstd

from stages.wikipedia.chunks import Chunk, Gap
from stages.wikipedia.compression import CODECS, Codec, Compression, expand, plain, sniff

# A frame may ask for up to 2 GiB to be decoded; encoders ask for 8 MiB, with --ultra for 128.
_ZSTD_WINDOW_LOG = 27
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class _Gzip:
    """`zlib` in the shape of `bz2.BZ2Decompressor`, which gives all that was decoded before it
    raises: `zlib` forgets what it decoded in the call that meets the damage, and a checksum comes
    in one call with the last (of a small file: with all) lines."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)
        self._error: zlib.error | None = None
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._error is not None:
            raise self._error
        data = self._zlib.unconsumed_tail + data
        before = self._zlib.copy()
        try:
            out = self._zlib.decompress(data, max_length)
        except zlib.error as error:
            # The next call raises it.
            self._zlib, self._error, self.needs_input = before, error, False
            return _until_damage(before.copy(), data)
        self.needs_input = len(out) < max_length and not self._zlib.unconsumed_tail
        return out


def _until_damage(decoder: zlib._Decompress, data: bytes) -> bytes:
    """What `data`, known to be damaged, gives before the damage: byte by byte nothing is lost."""
    out = bytearray()
    with contextlib.suppress(zlib.error):  # the caller has it
        for i in range(len(data)):
            out += decoder.decompress(data[i : i + 1])
    return bytes(out)


class _Zstd:
    """A decoder in the shape of `bz2.BZ2Decompressor`, whose errors are ValueErrors."""

    def __init__(self) -> None:
        options = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
        self._inner = zstd.ZstdDecompressor(options=options)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return self._inner.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        try:
            return self._inner.decompress(data, max_length)
        except zstd.ZstdError as error:
            raise ValueError(str(error)) from error


_CODECS: dict[Compression, Codec] = {
    Compression.GZIP: Codec(_Gzip, CODECS[Compression.GZIP].start),
    Compression.BZIP2: CODECS[Compression.BZIP2],
    Compression.XZ: CODECS[Compression.XZ],
}
_ZSTD = Codec(_Zstd, re.compile(re.escape(_ZSTD_MAGIC)))


@dataclass(slots=True, frozen=True)
class Line:
    """One line without its end; `data` is None where it is longer than allowed."""

    offset: int
    size: int
    data: bytes | None


@dataclass(slots=True, frozen=True)
class Damage:
    """From here on the file cannot be read; `error` begins with a fixed word and `: `."""

    offset: int
    error: str


Item: TypeAlias = Line | Damage


def is_compressed(head: bytes) -> bool:
    return _codec(head) is not None


def _codec(head: bytes) -> Codec | None:
    return _ZSTD if head.startswith(_ZSTD_MAGIC) else _CODECS.get(sniff(head))


def read_lines(
    stream: BinaryIO, start: int, end: int | None, max_line_bytes: int, max_expansion: int
) -> Iterator[Item]:
    """The lines that begin in `start <= offset < end`; of a compressed file all (if `start` is 0).

    `stream` must be seekable. What lies between the last sound line end and the damage of a
    compressed file is lost with it. A checksum comes last, so lines before a wrong one stand.
    """
    stream.seek(0)
    codec = _codec(stream.read(16))
    if codec is None:
        # The byte before tells whether a line begins at `start`.
        flow = plain(stream, max(0, start - 1), end)
        yield from _lines(flow, start, end, max_line_bytes)
    elif start == 0:
        yield from _lines(expand(stream, codec, 0, None, max_expansion), 0, None, max_line_bytes)


def _lines(
    flow: Iterator[Chunk | Gap], start: int, end: int | None, max_line_bytes: int
) -> Iterator[Item]:
    offset = max(0, start - 1)  # of the pending line's first byte
    skipping = start > 0
    parts: list[bytes] = []
    size = 0
    for item in flow:
        if isinstance(item, Gap):
            yield Damage(offset, item.error)
            return
        first, *rest = item.data.split(b"\n")
        size += len(first)
        if size <= max_line_bytes and not skipping:
            parts.append(first)
        else:
            parts.clear()
        for piece in rest:
            if not skipping:
                yield Line(offset, size, b"".join(parts) if size <= max_line_bytes else None)
            skipping = False
            offset += size + 1
            if end is not None and offset >= end:
                return
            parts, size = [piece] if len(piece) <= max_line_bytes else [], len(piece)
    if size and not skipping:
        yield Line(offset, size, b"".join(parts) if size <= max_line_bytes else None)
