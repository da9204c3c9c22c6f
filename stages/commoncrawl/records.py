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
    Damaged,
    GzipMember,
    Lz4Member,
    Member,
    RawFile,
    Run,
    begins_record,
    find_member,
    member_at,
    plain_pull,
)
from stages.commoncrawl.settings import Settings

MAX_HEADER = 1 << 16
# How much of a file with an unknown beginning is searched for a first record.
_SNIFF = 1 << 26
_FOREIGN = {
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf": "7z",
    b"PAR1": "parquet",
}
_BLANK_LINE = re.compile(rb"\n\r?\n")
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
    """

    at: int
    offset: int | str
    error: str


def iter_records(
    stream: BinaryIO, settings: Settings, start: int = 0, end: int | None = None
) -> Iterator[RawRecord | Fault]:
    """The records whose first byte lies in `start <= offset < end`, in file order.

    Any cut of a file into adjacent ranges yields each record once. A stretch without records belongs
    to the range with `start < offset <= end`, so that the reader of the record before it reports it
    (the first range also has offset 0). Both hold for records up to `resync_bytes` long.
    `stream` must be seekable. Its I/O errors pass through.
    """
    raw = RawFile(stream)
    end = raw.size if end is None else min(end, raw.size)
    found = _iter_plain_or_members(raw, settings, start, end)
    for item in found:
        if isinstance(item, Fault):
            mine = start < item.at <= end or item.at == start == 0
            if item.at > end:
                return
        else:
            mine = start <= item.at < end
            if item.at >= end:
                return
        if mine:
            yield item


def _iter_plain_or_members(
    raw: RawFile, settings: Settings, start: int, end: int
) -> Iterator[RawRecord | Fault]:
    if raw.size == 0:
        yield Fault(0, 0, "format: empty file")
        return
    from_ = max(0, start - settings.resync_bytes)
    kind, starts = _sniff(raw)
    if kind is not None:
        yield from _iter_members(raw, settings, kind, from_, start, end)
    elif starts is not None:
        # One byte earlier, so that a line that begins exactly there is seen to be one.
        yield from _iter_plain(raw, settings, starts, max(0, from_ - 1), start, end)
    else:
        head = bytes(raw.view(0, 8))
        name = next((name for magic, name in _FOREIGN.items() if head.startswith(magic)), "")
        yield Fault(0, 0, f"format: {name or 'neither WARC nor ARC'}")


def _sniff(raw: RawFile) -> tuple[type[Member] | None, re.Pattern[bytes] | None]:
    """How the file is compressed, or else which records an uncompressed one holds."""
    head = bytes(raw.view(0, 2 * MAX_LINE)).removeprefix(b"\xef\xbb\xbf").lstrip()
    for kind in (GzipMember, Lz4Member):
        if kind.MAGIC.match(head):
            return kind, None
    if begins_record(head):
        return None, WARC_START if head.startswith(b"WARC/") else ARC_START
    if any(head.startswith(magic) for magic in _FOREIGN):
        return None, None
    limit = min(raw.size, _SNIFF)
    places: list[tuple[int, type[Member] | None]] = []
    for kind in (GzipMember, Lz4Member):
        member = find_member(raw, 0, kind, limit)
        if member is not None:
            places.append((member.at, kind))
    plain = _Window(plain_pull(raw, 0), 0)
    if (place := plain.find(ANY_START, limit)) is not None:
        places.append((place, None))
    if not places:
        return None, None
    first = min(places, key=lambda place: place[0])[1]
    return first, ANY_START if first is None else None


def _iter_members(
    raw: RawFile, settings: Settings, kind: type[Member], from_: int, start: int, end: int
) -> Iterator[RawRecord | Fault]:
    if from_ == 0:
        at: int = 0
        member = member_at(raw, 0, kind)
    else:
        member = find_member(raw, from_, kind, end)
        if member is None:
            return
        at = member.at
    while at < raw.size and at <= end:
        if member is None or not begins_record(member.head()):
            following = find_member(raw, at + 1, kind, raw.size)
            stop = raw.size if following is None else following.at
            why = member.unreadable if member else ""
            yield Fault(at, at, f"{why or 'garbage: no record'} ({stop - at} bytes)")
        elif at >= end:
            return
        else:
            run = Run(raw, member, settings.max_skip_bytes)
            yield from _iter_run(run, settings)
            if run.after >= 0:
                at, member = run.after, run.next
                continue
            following = find_member(raw, run.member.at + 1, kind, raw.size)
        if following is None:
            return
        at, member = following.at, following


def _iter_run(run: Run, settings: Settings) -> Iterator[RawRecord | Fault]:
    def place(inner: int) -> tuple[int, int | str]:
        return run.at, (f"{run.at}+{inner}" if inner else run.at)

    window = _Window(run.pull, 0)
    yield from _iter_window(window, settings, ANY_START, place, run.progress)


def _iter_plain(
    raw: RawFile, settings: Settings, starts: re.Pattern[bytes], from_: int, start: int, end: int
) -> Iterator[RawRecord | Fault]:
    window = _Window(plain_pull(raw, from_), from_)
    if from_ == 0:
        if bytes(raw.view(0, 3)) == b"\xef\xbb\xbf":
            window.skip(3)
    elif (first := window.find(starts, end)) is None:
        return
    else:
        window.skip(first - window.tell())
    yield from _iter_window(window, settings, starts, lambda at: (at, at), lambda: None)


def _iter_window(
    window: _Window,
    settings: Settings,
    starts: re.Pattern[bytes],
    place: Callable[[int], tuple[int, int | str]],
    progress: Callable[[], None],
) -> Iterator[RawRecord | Fault]:
    """The records of a stretch of decompressed data, from the window's place on."""
    at = window.tell()
    first = at
    try:
        while True:
            window.skip_blank()
            # The blank lines before the first record of a member are part of it.
            at = first if first is not None else window.tell()
            first = None
            if window.ended():
                return
            ...
    except Damaged as damage:
        yield Fault(*place(at), str(damage))
