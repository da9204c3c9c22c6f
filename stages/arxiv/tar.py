"""Tar members one by one from a hostile stream: bounded headers, forward only, resumable.

`tarfile` reads extension headers of any announced length whole into memory and keeps every member;
here it only parses header blocks, and all that follows is bounded.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol

BLOCK = 512
_MAX_EXTENSION = 64 << 10  # bytes of an extension header: GNU long names, pax records
_RESYNC = 256 << 20  # bytes searched for the next header behind damage
Kind = Literal["file", "folder", "link", "symlink", "special"]
_EXTENSIONS = (b"L", b"K", b"x", b"X", b"g")


class Input(Protocol):
    """A stream that goes forward only."""

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""

    def skip(self, size: int) -> int:
        """Passes over `size` bytes; returns how many there were."""


class SeekableInput:
    """`Input` over a seekable file."""

    def __init__(self, stream: BinaryIO, start: int = 0) -> None:
        self._stream = stream
        self._size = stream.seek(0, 2)
        stream.seek(start)

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        while data and len(data) < size and (more := self._stream.read(size - len(data))):
            data += more  # remote files may return less than asked
        return data

    def skip(self, size: int) -> int:
        here = self._stream.tell()
        end = min(here + size, self._size)
        self._stream.seek(end)
        return max(0, end - here)


@dataclass(frozen=True, slots=True)
class Member:
    """One member. `offset` is that of its first header block, extension headers included."""

    offset: int
    name: str
    size: int
    kind: Kind
    target: str = ""


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no tar: where, and what is wrong (`tar: ...` or `truncated: ...`)."""

    offset: int
    error: str


class MemberData:
    """The bytes of the current member, readable until the next one is asked for."""

    def __init__(self, source: Input, size: int) -> None:
        self._source, self._left = source, size
        self.short = False

    def read(self) -> bytes:
        """All bytes; fewer than announced, and `short` set, where the stream ends before."""
        data = self._source.read(self._left)
        self.short = len(data) < self._left
        self._left = 0
        return data

    def pass_over(self) -> None:
        if self._left and self._source.skip(self._left) < self._left:
            self.short = True
        self._left = 0


def is_header(block: bytes) -> bool:
    """Whether `block` begins with a tar header whose checksum is right."""
    return _header(block[:BLOCK]) is not None


def walk(
    source: Input, start: int = 0, end: int | None = None, go_on: bool = False
) -> Iterator[tuple[Member | Damage, MemberData]]:
    """The members whose (first) header begins in `start <= offset < end`, and their bytes.

    `source` stands at `start`, which is a header. With `go_on` reading does not end with the
    archive's end mark (tars may be joined) nor at damage: the next header is searched.
    """
    offset = first = start
    given: dict[str, str] = {}  # what extension headers say of the next member
    nothing = MemberData(source, 0)
    header: tarfile.TarInfo | None
    while end is None or first < end:
        block = source.read(BLOCK)
        if not block and (given or offset == start == 0):
            what = "truncated: it ends behind an extension header" if given else "tar: empty file"
            yield Damage(first, what), nothing
        if not block:
            return
        if not block.strip(b"\0"):
            if not go_on:
                return
            offset += BLOCK
            first, given = offset, {}
            continue
        if (header := _header(block)) is None:
            short = len(block) < BLOCK
            what = "truncated: it ends inside a header" if short else "tar: no header"
            yield Damage(first, what), nothing
            if short or not go_on or (found := _next_header(source)) is None:
                return
            offset += BLOCK + found[0]
            first, given, header = offset, {}, found[1]
        offset += BLOCK
        padded = -(-header.size // BLOCK) * BLOCK
        if header.type in _EXTENSIONS:
            data = source.read(padded) if header.size <= _MAX_EXTENSION else b""
            if len(data) < padded:
                yield Damage(first, f"tar: extension header of {header.size} bytes"), nothing
                return
            given |= _extension(header.type, data[: header.size])
            offset += padded
            continue
        kind = _kind(header)
        size = _size(header, given) if kind == "file" else 0
        name = given.get("path", header.name)
        data_of = MemberData(source, size)
        yield Member(first, name, size, kind, given.get("linkpath", header.linkname)), data_of
        data_of.pass_over()
        if data_of.short:
            yield Damage(first, f"truncated: it ends inside {name[:100]}"), nothing
            return
        padded = -(-size // BLOCK) * BLOCK
        source.skip(padded - size)
        offset += padded
        first, given = offset, {}


def split(stream: BinaryIO, size: int, target: int) -> list[tuple[int, int]]:
    """Cuts a tar of `size` bytes at member headers into stretches of about `target` bytes.

    Only headers are read. What lies behind damage belongs to the last stretch.
    """
    edges = [0]
    for found, _ in walk(SeekableInput(stream), go_on=True):
        if isinstance(found, Damage):
            break
        if found.offset - edges[-1] >= target:
            edges.append(found.offset)
    return list(zip(edges, [*edges[1:], size], strict=True))


def _header(block: bytes) -> tarfile.TarInfo | None:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None
    return header if 0 <= header.size < 1 << 50 else None


def _next_header(source: Input) -> tuple[int, tarfile.TarInfo] | None:
    """Passes over blocks up to the next header: bytes passed over, and the header."""
    passed = 0
    while passed < _RESYNC:
        block = source.read(BLOCK)
        if len(block) < BLOCK:
            return None
        # Old tars have no magic; but amid data the checksum alone is a weak sign.
        if block[257:262] == b"ustar" and (header := _header(block)) is not None:
            return passed, header
        passed += BLOCK
    return None


def _kind(header: tarfile.TarInfo) -> Kind:
    if header.isdir():
        return "folder"
    if header.islnk():
        return "link"
    if header.issym():
        return "symlink"
    # Sparse files too are special: they may announce any size, and no paper needs them.
    return "file" if header.isreg() and header.type != tarfile.GNUTYPE_SPARSE else "special"


def _size(header: tarfile.TarInfo, given: dict[str, str]) -> int:
    digits = given.get("size", "")
    return (
        int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else header.size
    )


def _extension(kind: bytes, data: bytes) -> dict[str, str]:
    """Name, link name and size that a GNU or pax extension header gives to the next member."""
    if kind in (b"L", b"K"):
        name = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
        return {"path" if kind == b"L" else "linkpath": name}
    found: dict[str, str] = {}
    place = 0
    while kind != b"g" and place < len(data):  # global records hold comments in practice
        space = data.find(b" ", place, place + 8)
        digits = data[place:space] if space > 0 else b""
        if not digits.isdigit() or not len(digits) < int(digits) <= len(data) - place:
            break
        key, _, value = data[space + 1 : place + int(digits)].rstrip(b"\n").partition(b"=")
        if key in (b"path", b"linkpath", b"size"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        place += int(digits)
    return found
