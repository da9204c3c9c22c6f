"""Members of zip and tar archives, read in memory with bounds; nothing is ever written to disk.

What an archive says of itself (sizes, numbers, names) is not believed: output is counted as it
comes, a directory is not read if it is too long, names serve as keys only.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import posixpath
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, BinaryIO, cast

import xxhash

MAX_DIRECTORY_BYTES = 16 << 20
"""Central directory of a zip file: about 200,000 members. Python holds it in memory."""
_FREE_BYTES = 256 << 20
_READ = 1 << 20
_MAX_HEADER_BYTES = 4 << 20
_END = b"PK\x05\x06"
_BLOCK = 512

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    NotImplementedError,
    struct.error,
    RuntimeError,
    IndexError,
    OverflowError,
    UnicodeError,
)
"""What the archive modules raise on damaged input, besides OSError without a number."""


class ArchiveError(Exception):
    """Something in an archive cannot be read; the message begins with a short fixed word."""


class TooLargeError(Exception):
    """A member expands to more than the longest book."""


def is_damage(error: Exception) -> bool:
    """Whether an exception speaks of the data; an OSError with a number speaks of the machine."""
    return isinstance(error, DAMAGE) or (isinstance(error, OSError) and error.errno is None)


def damage(error: Exception) -> str:
    """The error of a bad record, of an exception that `is_damage`."""
    if isinstance(error, ArchiveError):
        return str(error)
    word = "encrypted" if "encrypted" in str(error) or "password" in str(error) else "archive"
    return f"{word}: {type(error).__name__}: {error}"[:300]


@dataclass
class Budget:
    """How much an archive may still expand to, in bytes."""

    left: int
    spent: int = field(default=0, init=False)

    @classmethod
    def of(cls, size: int, max_expansion: int) -> Budget:
        return cls(max(_FREE_BYTES, size * max_expansion))

    def spend(self, size: int) -> None:
        """Raises ArchiveError when it is used up."""
        self.spent += size
        if self.spent > self.left:
            raise ArchiveError(f"bomb: expands to more than {self.left} bytes")


def read_bounded(stream: IO[bytes], budget: Budget, max_bytes: int) -> bytes:
    """All of a member. Raises TooLargeError, ArchiveError, or what the module raises."""
    parts: list[bytes] = []
    size = 0
    while data := stream.read(min(_READ, max_bytes + 1 - size)):
        budget.spend(len(data))
        parts.append(data)
        size += len(data)
        if size > max_bytes:
            raise TooLargeError(f"more than {max_bytes} bytes")
    return b"".join(parts)


# -- zip ------------------------------------------------------------------------------------------


def open_zip(stream: BinaryIO) -> zipfile.ZipFile:
    """Raises ArchiveError for a file that is none or whose directory is too long."""
    size = _directory_bytes(stream)
    if size > MAX_DIRECTORY_BYTES:
        raise ArchiveError(f"bomb: a directory of {size} bytes")
    stream.seek(0)
    try:
        return zipfile.ZipFile(stream)
    except Exception as error:
        if not is_damage(error):
            raise
        raise ArchiveError(damage(error)) from error


def _directory_bytes(stream: BinaryIO) -> int:
    """Length of the central directory, by the record at the end of the file."""
    end = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, end - 65_557))
    tail = stream.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        raise ArchiveError("archive: no directory at its end (truncated?)")
    return int.from_bytes(tail[at + 12 : at + 16], "little")


def read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: Budget, max_bytes: int
) -> bytes:
    """One member. Raises TooLargeError, or ArchiveError whatever is wrong with the archive."""
    if member.flag_bits & 1:
        raise ArchiveError("encrypted: a password is needed")
    try:
        with archive.open(member) as stream:
            return read_bounded(stream, budget, max_bytes)
    except Exception as error:
        if not is_damage(error):
            raise
        raise ArchiveError(damage(error)) from error


# -- tar ------------------------------------------------------------------------------------------

_PACKED = (
    (b"\x1f\x8b", lambda s: cast(IO[bytes], gzip.GzipFile(fileobj=s))),
    (b"BZh", lambda s: cast(IO[bytes], bz2.BZ2File(s))),
    (b"\xfd7zXZ\x00", lambda s: cast(IO[bytes], lzma.LZMAFile(s))),  # noqa: SIM115 - handed on
)


_PROMISES = {
    ".epub": "zip",
    ".epub3": "zip",
    ".zip": "zip",
    ".tar": "tar",
    ".gz": "gzip",
    ".tgz": "gzip",
    ".bz2": "bzip2",
    ".tbz2": "bzip2",
    ".xz": "xz",
    ".txz": "xz",
}
_MAGIC = (
    # A member, the end of an empty archive, the mark of a split one.
    ("zip", (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")),
    ("gzip", (b"\x1f\x8b",)),
    ("bzip2", (b"BZh",)),
    ("xz", (b"\xfd7zXZ\x00",)),
)


def promised(name: str) -> str | None:
    """The container (`zip`, `tar`, `gzip`, `bzip2`, `xz`) that a file's name promises."""
    return _PROMISES.get(posixpath.splitext(name)[1].lower())


def container(head: bytes) -> str | None:
    """The container that a file is by its first 512 bytes."""
    for kind, starts in _MAGIC:
        if head.startswith(starts):
            return kind
    return "tar" if is_tar(head) else None


def packed_name(name: str) -> str:
    """The name of what a packed file holds: of `a.txt.gz` `a.txt`, of `a.tgz` `a.tar`."""
    stem, suffix = posixpath.splitext(name)
    if promised(name) not in ("gzip", "bzip2", "xz"):
        return name
    return f"{stem}.tar" if suffix.lower().startswith(".t") else stem


def is_tar(head: bytes) -> bool:
    """Whether the first 512 bytes (unpacked) begin a tar file."""
    if len(head) < _BLOCK:
        return False
    if head[257:262] == b"ustar":
        return True
    try:
        tarfile.TarInfo.frombuf(head[:_BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def unpacked(stream: BinaryIO, head: bytes) -> IO[bytes] | None:
    """A stream of what a gzip, bzip2 or xz file holds; None for other files."""
    for magic, opened in _PACKED:
        if head.startswith(magic):
            stream.seek(0)
            return opened(stream)
    return None


class _Guard(io.RawIOBase):
    """Refuses to read more at once than any header needs, so that a header that claims to be
    gigabytes long is not held in memory; and counts what passes."""

    def __init__(self, inner: IO[bytes], budget: Budget) -> None:
        self._inner, self._budget, self._top = inner, budget, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._inner.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        # Seeking ahead in a packed stream unpacks what lies between.
        place = self._inner.seek(offset, whence)
        self._count(place)
        return place

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        data = self._inner.read(size)
        self._count(self._inner.tell())
        return data

    def _count(self, place: int) -> None:
        if place > self._top:
            self._budget.spend(place - self._top)
            self._top = place


@dataclass(frozen=True)
class TarMember:
    """A file of a tar; without `data` it is a link or a device, too large (`error` says how much),
    or the end of a damaged tar."""

    name: str
    offset: int
    data: bytes | None
    error: str = ""
    too_large: bool = False
    link: bool = False


def tar_members(
    stream: IO[bytes], budget: Budget, max_bytes: int, start: int = 0, end: int | None = None
) -> Iterator[TarMember]:
    """The files whose header begins in `start..end` (offsets unpacked), in order.

    After damage there is one member with an `error` and then no more: a tar has no marks to find
    the next header by. An archive that ends without its mark, or with something else in its
    place, is damaged; Python's reader would end there in silence.
    """
    guard = _Guard(stream, budget)
    try:
        guard.seek(start)
        with tarfile.TarFile(fileobj=cast(IO[bytes], guard), mode="r") as tar:
            while (member := tar.next()) is not None:
                _forget(tar)
                if end is not None and member.offset >= end:
                    return
                if member.isreg():
                    yield _tar_member(tar, member, budget, max_bytes)
                elif not member.isdir():
                    yield TarMember(member.name, member.offset, None, link=True)
            if rest := _after_last(guard, tar.offset):
                yield TarMember("", tar.offset, None, rest)
    except Exception as error:
        if not is_damage(error) and not isinstance(error, ArchiveError):
            raise
        yield TarMember("", _tell(stream), None, damage(error))


def _forget(tar: tarfile.TarFile) -> None:
    """Drops the list of members met, which grows with the archive; links are not followed."""
    tar.members = []  # type: ignore[attr-defined]


def _tar_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, budget: Budget, max_bytes: int
) -> TarMember:
    if member.size > max_bytes:
        return TarMember(member.name, member.offset, None, f"{member.size} bytes", too_large=True)
    opened = tar.extractfile(member)
    assert opened is not None  # a regular file
    with opened:
        # The guard counts already what is read.
        data = read_bounded(opened, Budget(max_bytes + 1), max_bytes)
    return TarMember(member.name, member.offset, data)


def _after_last(guard: _Guard, offset: int) -> str:
    guard.seek(offset)
    block = guard.read(_BLOCK)
    if not block:
        return "truncated: the tar ends without its mark"
    return "archive: no tar header where one should be" if block.strip(b"\0") else ""


def _tell(stream: IO[bytes]) -> int:
    try:
        return stream.tell()
    except (OSError, ValueError):
        return 0


def tar_stretches(stream: BinaryIO, target: int) -> list[tuple[int, int | None]]:
    """Stretches of about `target` bytes of an unpacked tar, cut where members begin; one that has
    a name twice stays whole, so that its reader sees that."""
    edges = [0]
    met: set[int] = set()
    twice = False
    size = stream.seek(0, io.SEEK_END)
    guard = _Guard(stream, Budget(size * 2 + _FREE_BYTES))
    try:
        guard.seek(0)
        with tarfile.TarFile(fileobj=cast(IO[bytes], guard), mode="r") as tar:
            while (member := tar.next()) is not None:
                _forget(tar)
                key = xxhash.xxh3_64_intdigest(member.name.encode("utf-8", "surrogateescape"))
                twice = twice or key in met
                met.add(key)
                if member.offset - edges[-1] >= target:
                    edges.append(member.offset)
    except Exception as error:
        if not is_damage(error) and not isinstance(error, ArchiveError):
            raise
    return [(0, None)] if twice else list(zip(edges, [*edges[1:], None], strict=True))
