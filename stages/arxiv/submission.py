"""One submission's bytes to its files: gzip of a tar or of one file, unpacked within bounds."""

from __future__ import annotations

import posixpath
import re
import zlib
from dataclasses import dataclass, field

from stages.arxiv.encoding import wide
from stages.arxiv.settings import ArxivSettings
from stages.arxiv.tar import BLOCK, Damage, Member, is_header, walk

_BLANK = b"\xef\xbb\xbf \t\r\n\x00\x04\x1b"
GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
_INPUT = 64 << 10

TEX_SUFFIXES = frozenset({".tex", ".ltx", ".latex", ".sty", ".bbl", ".ins", ".def", ".txt", ".inc"})
_README = re.compile(r"00readme(\.(xxx|json|yaml|yml|toml|txt))?", re.I)
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"7z\xbc\xaf", b"\xfd7zXZ", b"Rar!")
_PACKED_SUFFIXES = frozenset({".tar", ".tgz", ".gz", ".zip", ".bz2", ".7z", ".xz", ".rar", ".z"})


class DamagedError(Exception):
    """The submission cannot be read or is hostile; the message begins with a word of `FAULTS`."""


@dataclass(slots=True)
class Submission:
    """What a submission holds. `kind` is `files`, or that of a single file that is no TeX.

    `files`: the text files that may matter, by normalised name; `names`: all files.
    """

    kind: str
    files: dict[str, bytes] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)
    packed: bool = False


class _Gunzip:
    """Forward-only input over gzip members in memory; bounded in what it unpacks."""

    def __init__(self, data: bytes, limit: int) -> None:
        self._data, self._limit = data, limit
        self._place = self._made = 0
        self._engine = zlib.decompressobj(31)
        self._buffer = bytearray()
        self._tail = b""
        self._ended = False

    def _fill(self) -> bool:
        """Unpacks a little more; False at the end. Raises DamagedError."""
        while not self._ended:
            if self._engine.eof:
                self._place -= len(self._engine.unused_data)
                self._tail = b""
                if self._data[self._place : self._place + 2] != GZIP:
                    self._ended = True  # padding or other bytes behind the last member
                    break
                self._engine = zlib.decompressobj(31)
            chunk = self._tail
            if not chunk:
                chunk = self._data[self._place : self._place + _INPUT]
                self._place += len(chunk)
            if not chunk:
                raise DamagedError("gzip: it ends before its end mark")
            try:
                made = self._engine.decompress(chunk, _CHUNK)
            except zlib.error as error:
                raise DamagedError(f"gzip: {error}") from error
            self._tail = self._engine.unconsumed_tail
            if made:
                self._made += len(made)
                if self._made > self._limit:
                    raise DamagedError(f"bomb: unpacks to more than {self._limit} bytes")
                self._buffer += made
                return True
        return False

    def peek(self, size: int) -> bytes:
        while len(self._buffer) < size and self._fill():
            pass
        return bytes(self._buffer[:size])

    def read(self, size: int) -> bytes:
        data = self.peek(size)
        del self._buffer[: len(data)]
        return data

    def skip(self, size: int) -> int:
        left = size
        while left:
            if not self._buffer and not self._fill():
                break
            taken = min(left, len(self._buffer))
            del self._buffer[:taken]
            left -= taken
        return size - left


class _Bytes:
    """Forward-only input over bytes that are not compressed."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def peek(self, size: int) -> bytes:
        return self._data[self._place : self._place + size]

    def read(self, size: int) -> bytes:
        data = self.peek(size)
        self._place += len(data)
        return data

    def skip(self, size: int) -> int:
        return len(self.read(size))


def unpack(data: bytes, settings: ArxivSettings) -> Submission:
    """The files of a submission. Raises DamagedError."""
    source: _Gunzip | _Bytes
    if data[:2] == GZIP:
        source = _Gunzip(data, settings.max_unpacked_bytes)
    else:
        source = _Bytes(data)
    head = source.peek(BLOCK)
    if is_header(head):
        return _archive(source, settings)
    kind = kind_of(head)
    blank = kind == "empty" and len(head) == BLOCK  # what follows may yet be text
    if kind != "text" and not blank:
        return Submission(kind)
    whole = source.read(settings.max_file_bytes + 1)
    if blank and len(whole) <= settings.max_file_bytes:
        kind = kind_of(whole.lstrip(_BLANK)[:BLOCK])
        if kind != "text":
            return Submission(kind)
    if len(whole) > settings.max_file_bytes:
        source.skip(settings.max_unpacked_bytes)  # finds bombs and damage
        return Submission("files", names=["paper.tex"], too_large=["paper.tex"])
    return Submission("files", {"paper.tex": whole}, ["paper.tex"])


def kind_of(head: bytes) -> str:
    """`text`, `empty`, `pdf`, `postscript`, `html`, `packed` or `binary`, by the first bytes."""
    start = head.lstrip(_BLANK)
    if not start:
        return "empty"
    if start.startswith(b"%PDF-"):
        return "pdf"
    if start.startswith((b"%!PS", b"%!\n", b"%!\r", b"\xc5\xd0\xd3\xc6", b"%-12345X")):
        return "postscript"
    if start.startswith(_PACKED) or is_header(head):
        return "packed"
    if re.match(rb"<(!doctype|html|\?xml)", start, re.I):
        return "html"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or wide(head) is not None:
        return "text"
    control = sum(byte < 32 and byte not in b"\t\n\r\x0b\x0c\x1a" for byte in head)
    return "binary" if control * 10 > len(head) else "text"


def clean_name(name: str) -> str | None:
    """A member's name without `.` parts; None if it leads out of the submission."""
    if name.startswith(("/", "\\")) or "\0" in name or re.match(r"[A-Za-z]:[\\/]", name):
        return None
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _archive(source: _Gunzip | _Bytes, settings: ArxivSettings) -> Submission:
    found = Submission("files")
    links: list[tuple[str, str]] = []
    count = held = 0
    for member, data in walk(source):
        if isinstance(member, Damage):
            raise DamagedError(f"{member.error} (in the submission, at {member.offset})")
        count += 1
        if count > settings.max_members:
            raise DamagedError(f"members: more than {settings.max_members}")
        name = clean_name(member.name)
        if name is None:
            raise DamagedError(f"traversal: {member.name[:100]!r}")
        if member.kind == "special":
            raise DamagedError(f"special: {name[:100]!r} is no file")
        if member.kind in ("link", "symlink"):
            links.append((name, _link_target(member, name)))
        if member.kind != "file" or not name:
            continue
        found.names.append(name)
        suffix = posixpath.splitext(name)[1].lower()
        found.packed = found.packed or suffix in _PACKED_SUFFIXES
        if not _wanted(name, suffix):
            continue
        if member.size > settings.max_file_bytes:
            found.too_large.append(name)
            continue
        held += member.size
        if held > settings.max_text_bytes:
            raise DamagedError(f"bomb: more than {settings.max_text_bytes} bytes of TeX")
        content = data.read()
        if suffix in TEX_SUFFIXES or kind_of(content[:BLOCK]) in ("text", "empty"):
            found.files[name] = content  # a later member of a name replaces an earlier one
    source.skip(settings.max_unpacked_bytes)  # finds bombs and damage behind the end mark
    for name, target in links:
        if target in found.files:
            found.files.setdefault(name, found.files[target])
    return found


def _link_target(member: Member, name: str) -> str:
    """A hard link names a member, a symbolic link is relative to its own folder."""
    folder = posixpath.dirname(name) if member.kind == "symlink" else ""
    target = clean_name(posixpath.join(folder, member.target))
    if target is None:
        raise DamagedError(f"link: {name[:100]!r} leads out of the submission")
    return target


def _wanted(name: str, suffix: str) -> bool:
    """Whether a file may be TeX: by suffix, or because it has none that is known."""
    base = posixpath.basename(name)
    if base.startswith("._") or "__MACOSX/" in name:
        return False  # what macOS adds to archives
    return (
        suffix in TEX_SUFFIXES
        or _README.fullmatch(base) is not None
        or not re.fullmatch(r"\.[a-z][a-z0-9_+-]{0,9}", suffix)
    )
