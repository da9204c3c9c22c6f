"""Raw records of a WARC, WET or ARC file: headers by name, payload, offset; damage told apart.

Neither warcio nor FastWARC goes on after damage without losing the rest of the file or passing over
it in silence, and neither bounds what it decompresses. So boundaries are found here, and warcio
reads the header fields of each record found.

A record is *whole* when its header block can be read, its Content-Length bytes are there, and a
separator, another record or the end follows. Anything else is a `Fault`, and reading goes on at
the next place where a record begins.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from warcio.statusandheaders import StatusAndHeadersParser

from stages.commoncrawl.framing import (
    ANY_START,
    ARC_START,
    MAX_LINE,
    WARC_START,
    DamageError,
    GzipMember,
    Lz4Member,
    Member,
    Plain,
    RawFile,
    Run,
    Source,
    Starts,
    begins_record,
    find_member,
    member_at,
)
from stages.commoncrawl.settings import Settings

MAX_HEADER = 1 << 16
# How much of a file with an unknown beginning is searched for a first record.
_SNIFF = 1 << 26
_COMPRESSIONS: tuple[type[Member], ...] = (GzipMember, Lz4Member)
_FOREIGN = {
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf": "7z",
    b"PAR1": "parquet",
}
_BLANKS = re.compile(rb"[\r\n]*")
_BLANK_LINE = re.compile(rb"\n\r?\n")
# What follows a record, by whether it is ARC.
_SEPARATORS = {False: (b"\r\n\r\n", b"\n\n"), True: (b"\n", b"\r\n")}
_LENGTH = re.compile(r"[0-9]{1,18}\Z")
_ARC_DATE = re.compile(r"[0-9]{12,18}\Z")
_ARC_1: tuple[str, ...] = (
    "warc-target-uri",
    "warc-ip-address",
    "warc-date",
    "content-type",
    "content-length",
)
_ARC_2: tuple[str, ...] = (
    *_ARC_1[:4],
    "result-code",
    "checksum",
    "location",
    "offset",
    "filename",
    "content-length",
)
_WARC_PARSER = StatusAndHeadersParser([], verify=False)


@dataclass(slots=True)
class RawRecord:
    """One whole record.

    `at` is the byte offset in the file (of the compressed member that holds it, if any), `offset`
    the same, or `member+inner` where the record begins inside the decompressed member. Header names
    are in lower case; of a repeated header the first value stands. `payload` is None where it is
    longer than `max_record_bytes`.
    """

    at: int
    offset: int | str
    arc: bool
    headers: dict[str, str]
    payload: bytes | None
    length: int

    @property
    def type(self) -> str:
        return self.headers.get("warc-type", "").strip().lower()


@dataclass(slots=True)
class Fault:
    """A stretch that cannot be read as a record; `error` begins with a short fixed word and `: `.

    The words: `format`, `garbage`, `header`, `length`, `truncated`, `gzip`, `lz4`, `bomb`.
    `gap` says that no record, nor a member with records, begins at `at`.
    """

    at: int
    offset: int | str
    error: str
    gap: bool = False


def iter_records(
    stream: BinaryIO, settings: Settings, start: int = 0, end: int | None = None
) -> Iterator[RawRecord | Fault]:
    """The records whose first byte lies in `start <= offset < end`, in file order.

    Any cut of a file into adjacent ranges yields each record once. A stretch without records
    belongs to the range with `start < offset <= end`, so that the reader of the record before it
    reports it
    (the first range also has offset 0). Both hold for records up to `resync_bytes` long.
    `stream` must be seekable. Its I/O errors pass through.
    """
    raw = RawFile(stream)
    end = raw.size if end is None else min(end, raw.size)
    if raw.size == start == 0:
        yield Fault(0, 0, "format: empty file", gap=True)
    if start >= end:
        return
    for item in _walk(raw, settings, max(0, start - settings.resync_bytes), end):
        gap = isinstance(item, Fault) and item.gap
        if item.at > end or (item.at == end and not gap):
            return
        if item.at > start or (item.at == start and (start == 0 or not gap)):
            yield item


def _walk(raw: RawFile, settings: Settings, place: int, end: int) -> Iterator[RawRecord | Fault]:
    """Everything from the first record at or after `place`, to `end` at least."""
    compression, starts = _sniff(raw)
    if compression is not None:
        yield from _walk_members(raw, settings, compression, place, end)
    elif starts is not None:
        # One byte earlier, so that a line that begins exactly there is seen to be one.
        place = max(0, place - 1)
        window = _Window(Plain(raw, place), place)
        if place > 0:
            window.ended()
            window.seek(place + 1)
            first = window.find(starts, end)
            if first is None:
                return
            window.seek(first)
        elif bytes(raw.view(0, 3)) == b"\xef\xbb\xbf":
            window.seek(3)
        yield from _records(window, settings, starts, lambda at: (at, at))
    elif place == 0:
        head = bytes(raw.view(0, 8))
        name = next((name for magic, name in _FOREIGN.items() if head.startswith(magic)), "")
        yield Fault(0, 0, f"format: {name or 'neither WARC nor ARC'}", gap=True)


def _sniff(raw: RawFile) -> tuple[type[Member] | None, Starts | None]:
    """How the file is compressed, or else which records an uncompressed one holds."""
    head = bytes(raw.view(0, 2 * MAX_LINE)).removeprefix(b"\xef\xbb\xbf").lstrip()
    for starts in (WARC_START, ARC_START):
        if starts.here.match(head):
            return None, starts
    # The first record tells, also where the beginning is damaged.
    limit = min(raw.size, _SNIFF)
    first: type[Member] | None = None
    for compression in _COMPRESSIONS:
        if limit and (member := find_member(raw, 0, compression, limit)):
            first, limit = compression, member.at
    if limit and _Window(Plain(raw, 0), 0).find(ANY_START, limit) is not None:
        return None, ANY_START
    # Without any, the magic number says how to look for what is wrong.
    return first or next((kind for kind in _COMPRESSIONS if kind.MAGIC.match(head)), None), None


def _walk_members(
    raw: RawFile, settings: Settings, compression: type[Member], place: int, end: int
) -> Iterator[RawRecord | Fault]:
    at: int = place
    member = member_at(raw, 0, compression) if place == 0 else None
    if place > 0:
        member = find_member(raw, place, compression, end)
        at = member.at if member else raw.size
    while at < raw.size and at <= end:
        if member is not None and begins_record(member.head()):
            if at == end:
                return
            run = Run(raw, member, settings.max_skip_bytes)
            window = _Window(run, 0)
            yield from _records(window, settings, ANY_START, _place_in(at))
            if run.after >= 0:
                at, member = run.after, run.next
                continue
            member = find_member(raw, run.member.at + 1, compression, raw.size)
        else:
            why = member.unreadable if member else ""
            member = find_member(raw, at + 1, compression, raw.size)
            stop = member.at if member else raw.size
            yield Fault(at, at, f"{why or 'garbage: no record'} ({stop - at} bytes)", gap=True)
        if member is None:
            return
        at = member.at


def _place_in(at: int) -> Callable[[int], tuple[int, int | str]]:
    return lambda inner: (at, f"{at}+{inner}" if inner else at)


def _records(
    window: _Window,
    settings: Settings,
    starts: Starts,
    place: Callable[[int], tuple[int, int | str]],
) -> Iterator[RawRecord | Fault]:
    """The records from the window's place to its end; damage ends it with a fault."""
    at = window.tell()
    try:
        blank = window.skip_blank()
        at = window.tell()
        while not window.ended():
            window.mark()
            if not window.begins(starts):
                following = window.find(starts)
                stop = window.tell() if following is None else following
                error = f"garbage: no record ({stop - at} bytes)"
                yield Fault(*place(at), error, gap=not window.source.checked)
            else:
                arc = not window.startswith(b"WARC/")
                headers, error = _arc_headers(window) if arc else _warc_headers(window)
                body = window.tell()
                payload: bytes | None = None
                length = short = 0
                if not error:
                    said = headers.get("content-length", "").strip()
                    length = int(said) if _LENGTH.match(said) else -1
                    error = "" if length >= 0 else f"header: Content-Length {said[:40]!r}"
                if not error:
                    if length <= settings.max_record_bytes:
                        payload = window.take(length)
                        short = length - len(payload)
                    else:
                        short = body + length - window.seek(body + length)
                    blank = window.skip_blank()
                    if short:
                        error = f"{length - short} of {length} bytes are there"
                    elif not (
                        window.ended()
                        or blank.startswith(_SEPARATORS[arc])
                        or window.begins(starts)
                    ):
                        error = f"length: no record ends after {length} bytes"
                if not error:
                    window.source.progress()
                    yield RawRecord(*place(at), arc, headers, payload, length)
                    at = window.tell()
                    continue
                window.seek(body)
                following = window.find(starts)
                if short:
                    cut = following is None and not window.source.checked
                    error = ("truncated: " if cut else "length: ") + error
                yield Fault(*place(at), error)
            if following is None:
                return
            window.seek(following)
            at = following
    except DamageError as damage:
        yield Fault(*place(at), str(damage))


def _warc_headers(window: _Window) -> tuple[dict[str, str], str]:
    block = window.header_block()
    if block is None:
        window.skip_line()
        return {}, f"header: no end within {MAX_HEADER} bytes"
    fields = _WARC_PARSER.parse(io.BytesIO(block)).headers
    return {name.lower(): value for name, value in reversed(fields)}, ""


def _arc_headers(window: _Window) -> tuple[dict[str, str], str]:
    line = window.skip_line().decode("utf-8", "replace").rstrip()
    fields, names = line.rsplit(" ", 4), _ARC_1
    if not _ARC_DATE.match(fields[2]):
        fields, names = line.rsplit(" ", 9), _ARC_2
        if len(fields) < 10 or not _ARC_DATE.match(fields[2]):
            return {}, "header: not an ARC header line"
    headers = dict(zip(names, fields, strict=True))
    headers["warc-type"] = "warcinfo" if fields[0].startswith("filedesc:") else "response"
    return headers, ""


class _Window:
    """A stretch of decompressed data that can be looked ahead in, and gone back in."""

    def __init__(self, source: Source, place: int) -> None:
        self.source = source
        self._base = place
        self._data = b""
        self._pos = 0
        self._mark = 0

    def tell(self) -> int:
        return self._base + self._pos

    def seek(self, place: int) -> int:
        """Goes to `place`; returns the place reached, less where the data end before it."""
        if 0 <= place - self._base <= len(self._data):
            self._pos = place - self._base
        else:
            self._data, self._pos, self._mark = b"", 0, 0
            self._base = self.source.seek(place)
        return self.tell()

    def mark(self) -> None:
        """What lies behind this place need not be kept."""
        self._mark = self._pos

    def _fill(self, n: int) -> int:
        """Has at least `n` bytes at hand if there are so many; returns how many there are.

        Raises: DamageError.
        """
        have = len(self._data) - self._pos
        if have < n:
            parts = [self._data[self._mark :]]
            self._base += self._mark
            self._pos -= self._mark
            self._mark = 0
            while have < n and (part := self.source.pull()):
                parts.append(part)
                have += len(part)
            self._data = b"".join(parts)
        return have

    def ended(self) -> bool:
        return self._pos >= len(self._data) and not self._fill(1)

    def skip_blank(self) -> bytes:
        """Skips line ends; returns the first few of them."""
        first = b""
        while not self.ended():
            match = _BLANKS.match(self._data, self._pos)
            assert match is not None
            first = first or match[0][:4]
            self._pos = match.end()
            if self._pos < len(self._data):
                break
        return first

    def startswith(self, prefix: bytes) -> bool:
        return self._data.startswith(prefix, self._pos)

    def begins(self, starts: Starts) -> bool:
        """Whether a record begins here."""
        if starts.here.match(self._data, self._pos):
            return True
        if len(self._data) - self._pos >= 2 * MAX_LINE:
            return False
        self._fill(2 * MAX_LINE)
        return starts.here.match(self._data, self._pos) is not None

    def find(self, starts: Starts, limit: int | None = None) -> int | None:
        """The first place from here on, before `limit`, where a record begins; moves on to search.

        Raises: DamageError.
        """
        scan = self._pos
        while True:
            match = starts.next.search(self._data, scan)
            if match is not None:
                place = self._base + match.start()
                return place if limit is None or place < limit else None
            if limit is not None and self._base + scan >= limit:
                return None
            # A start that ran out of data is within the last bytes; the one before says whether
            # it begins a line.
            scan = max(scan, len(self._data) - 2 * MAX_LINE)
            self._pos = self._mark = max(0, scan - 1)
            scan -= self._mark
            have = len(self._data) - self._pos
            if self._fill(have + 1) == have:
                return None

    def take(self, n: int) -> bytes:
        """The next `n` bytes, fewer where the data end. Raises: DamageError."""
        self._fill(n)
        out = self._data[self._pos : self._pos + n]
        self._pos += len(out)
        return out

    def header_block(self) -> bytes | None:
        """The bytes to the end of the next blank line; None if there is none in bounds."""
        while True:
            match = _BLANK_LINE.search(self._data, self._pos, self._pos + MAX_HEADER)
            if match is not None:
                return self.take(match.end() - self._pos)
            have = len(self._data) - self._pos
            if have >= MAX_HEADER or self._fill(max(2 * have, MAX_LINE)) == have:
                return None

    def skip_line(self) -> bytes:
        """The bytes to the end of the line, at most `MAX_HEADER`. Raises: DamageError."""
        end = self._data.find(b"\n", self._pos)
        if end < 0:
            self._fill(2 * MAX_LINE)
            end = self._data.find(b"\n", self._pos)
        n = end + 1 - self._pos if end >= 0 else len(self._data) - self._pos
        return self.take(min(n, MAX_HEADER))
