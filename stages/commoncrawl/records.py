"""Raw records of a WARC, WET or ARC file: headers by name, payload, offset; damage told apart.

Neither warcio nor FastWARC goes on after damage without losing the rest of the file or passing over
it in silence, and neither bounds what it decompresses. So boundaries are found here, and the header
fields of each record found are read by FastWARC or, where they are out of the ordinary, by warcio.

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

from fastwarc.warc import HeaderMap
from warcio.statusandheaders import StatusAndHeadersParser

from stages.commoncrawl.members import (
    DamageError,
    GzipMember,
    Lz4Member,
    Member,
    RawFile,
    find_member,
    member_at,
)
from stages.commoncrawl.settings import Settings
from stages.commoncrawl.starts import (
    ANY_START,
    ARC_START,
    MAX_START,
    WARC_START,
    Starts,
    begins_record,
)
from stages.commoncrawl.window import MAX_HEADER, Plain, Run, Window

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
# Lines of printable ASCII that end with CRLF, none going on from the one before.
_REGULAR = re.compile(rb"(?:(?:[!-~][ -~]*)?\r\n)*\Z")
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
    reports it (the first range also has offset 0). Both hold for records up to `resync_bytes` long.
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
        # Uncompressed ARC has nothing that surely tells where a record begins but the lengths of
        # those before. Else one byte earlier, so that a line that begins there is seen to be one.
        place = 0 if starts is ARC_START else max(0, place - 1)
        window = Window(Plain(raw, place), place)
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
    head = bytes(raw.view(0, MAX_START)).removeprefix(b"\xef\xbb\xbf").lstrip()
    for starts in (WARC_START, ARC_START):
        if starts.here.match(head):
            return None, starts
    # The first record tells, also where the beginning is damaged.
    limit = min(raw.size, _SNIFF)
    first: type[Member] | None = None
    for compression in _COMPRESSIONS:
        if limit and (member := find_member(raw, 0, compression, limit)):
            first, limit = compression, member.at
    if limit and Window(Plain(raw, 0), 0).find(ANY_START, limit) is not None:
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
            window = Window(run, 0)
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
    window: Window,
    settings: Settings,
    starts: Starts,
    place: Callable[[int], tuple[int, int | str]],
) -> Iterator[RawRecord | Fault]:
    """The records from the window's place to its end; damage ends it with a fault."""
    at = window.tell()
    try:
        window.skip_blank()
        at = window.tell()
        while not window.ended():
            window.mark()
            if window.begins(starts):
                record, error, resume, short = _read_record(window, settings, starts)
                if record is not None:
                    window.source.progress()
                    record.at, record.offset = place(at)
                    yield record
                    at = window.tell()
                    continue
                window.seek(resume)
                following = window.find(starts)
                if short:
                    cut = following is None and not window.source.checked
                    error = ("truncated: " if cut else "length: ") + error
                yield Fault(*place(at), error)
            else:
                following = window.find(starts)
                stop = window.tell() if following is None else following
                error = f"garbage: no record ({stop - at} bytes)"
                yield Fault(*place(at), error, gap=not window.source.checked)
            if following is None:
                return
            window.seek(following)
            at = following
    except DamageError as damage:
        yield Fault(*place(at), str(damage))


def _read_record(
    window: Window, settings: Settings, starts: Starts
) -> tuple[RawRecord | None, str, int, bool]:
    """The record that begins here, its place not yet filled in, and the window after it.

    Or else why it is none, from where on to search, and whether it is because data are missing.
    Raises: DamageError.
    """
    arc = not window.startswith(b"WARC/")
    headers, error = _arc_headers(window) if arc else _warc_headers(window)
    body = window.tell()
    said = headers.get("content-length", "").strip()
    if error or not _LENGTH.match(said):
        return None, error or f"header: Content-Length {said[:40]!r}", body, False
    length = int(said)
    payload = window.take(length) if length <= settings.max_record_bytes else None
    end = window.seek(body + length) if payload is None else window.tell()
    # Also where nothing is missing: bytes after the record that cannot be read tell of damage.
    blank = window.skip_blank()
    if end < body + length:
        return None, f"{end - body} of {length} bytes are there", body, True
    if not (window.ended() or blank.startswith(_SEPARATORS[arc]) or window.begins(starts)):
        return None, f"length: no record ends after {length} bytes", body, False
    return RawRecord(0, 0, arc, headers, payload, length), "", body, False


def _warc_headers(window: Window) -> tuple[dict[str, str], str]:
    block = window.header_block()
    if block is None:
        window.skip_line()
        return {}, f"header: no end within {MAX_HEADER} bytes"
    return header_fields(block), ""


def header_fields(block: bytes) -> dict[str, str]:
    """The fields of a WARC header block by lower-case name; of a repeated one the first value.

    FastWARC reads regular blocks eight times as fast, but misreads bare line feeds, continuation
    lines and other charsets than UTF-8: what is not regular is left to warcio.
    """
    if _REGULAR.match(block):
        fields = HeaderMap()
        try:
            fields.parse(io.BytesIO(block))
        except OSError:
            pass  # Longer than it accepts.
        else:
            return {name.lower(): value for name, value in reversed(fields.items())}
    return {
        name.lower(): value
        for name, value in reversed(_WARC_PARSER.parse(io.BytesIO(block)).headers)
    }


def _arc_headers(window: Window) -> tuple[dict[str, str], str]:
    line = window.skip_line().rstrip(b" \t\r\n").decode("utf-8", "replace")
    for names in (_ARC_1, _ARC_2):
        fields = line.rsplit(" ", len(names) - 1)
        if len(fields) == len(names) and _ARC_DATE.match(fields[2]):
            headers = dict(zip(names, fields, strict=True))
            archive = fields[0].startswith("filedesc:")
            headers["warc-type"] = "warcinfo" if archive else "response"
            return headers, ""
    return {}, "header: not an ARC header line"
