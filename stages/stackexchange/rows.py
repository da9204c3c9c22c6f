"""Finding `<row .../>` elements in the bytes of a dump, whatever surrounds them.

In XML `<` cannot stand inside an attribute, so rows are found by their bytes: the scanner needs no
state from earlier bytes, starts anywhere, goes on behind damage, and no DTD or entity declaration
is ever given to a parser. Memory holds one row and one chunk of the file.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lxml import etree

from stages.wikipedia.chunks import Chunk, Flow, Gap, Key, key

_TOKEN = re.compile(rb"<row(?=[\s/>])|<posts(?=[\s/>])|</posts")
_TOKEN_BYTES = 7
# Characters that XML does not have, but that writers without checks have put into dumps.
_CHARACTER = re.compile(rb"&#(?:x([0-9A-Fa-f]{1,8})|([0-9]{1,10}));")


@dataclass(slots=True, frozen=True)
class RawRow:
    """The bytes of one row, from its `<row` to what follows it."""

    key: Key
    data: bytes


@dataclass(slots=True, frozen=True)
class Broken:
    """A row or a stretch of the file that cannot be read."""

    key: Key
    error: str


class RowError(Exception):
    """The row is not well-formed; the message begins with a fixed word."""


class RowScanner:
    """Iterates over the rows of a flow of bytes.

    `found` is called once for each row and each unreadable stretch of the flow's own bytes, when
    it is met. Rows are those whose `<row` begins in own bytes. `first` says that the flow starts
    with the file.
    """

    def __init__(
        self, flow: Iterable[Flow], found: Callable[[], None], max_row_bytes: int, first: bool
    ) -> None:
        self._flow = flow
        self._found = found
        self._limit = max_row_bytes
        self._first = first
        self._rooted = not first
        self._ended = False
        self._rows = 0
        self._buffer = b""
        self._base = 0  # place of buffer[0] in the decompressed bytes of this unit
        self._marks: deque[tuple[int, int | None, int]] = deque()
        self._foreign: int | None = None  # place where bytes of the next unit begin
        self._open: Key | None = None  # key of the row that the buffer begins with
        self._too_large = False

    def __iter__(self) -> Iterator[RawRow | Broken]:
        for item in self._flow:
            if isinstance(item, Gap):
                yield from self._gap(item)
                if not item.own:
                    return
                continue
            yield from self._chunk(item)
            if self._open is None and self._seen() >= _TOKEN_BYTES:
                return
        yield from self._at_end()

    def _seen(self) -> int:
        """Bytes of the next unit that were read."""
        return 0 if self._foreign is None else self._base + len(self._buffer) - self._foreign

    def _chunk(self, chunk: Chunk) -> Iterator[RawRow | Broken]:
        begin = self._base + len(self._buffer)
        last = self._marks[-1] if self._marks else None
        if last is None or last[1] != chunk.stream or last[2] + begin - last[0] != chunk.at:
            self._marks.append((begin, chunk.stream, chunk.at))
        if not chunk.own and self._foreign is None:
            self._foreign = begin
        own_tag = 4 if self._open is not None and not self._too_large else 0
        scanned = max(own_tag, len(self._buffer) - _TOKEN_BYTES)
        data = self._buffer + chunk.data
        self._buffer = data
        done = 0
        for token in _TOKEN.finditer(data, scanned):
            place = token.start()
            if self._open is not None:
                yield self._row(data[done:place])
            done = place
            tag = token.group()
            if tag == b"<row":
                if self._foreign is not None and self._base + place >= self._foreign:
                    break
                self._open = self._key(self._base + place)
                self._ended = False
                self._rows += 1
                self._found()
            else:
                self._rooted = True
                self._ended = tag == b"</posts"
        if self._open is None:
            done = max(done, len(data) - _TOKEN_BYTES)
        elif len(data) - done > self._limit:
            self._too_large = True
            done = len(data) - _TOKEN_BYTES
        self._drop(done)

    def _drop(self, count: int) -> None:
        self._buffer = self._buffer[count:]
        self._base += count

    def _key(self, place: int) -> Key:
        while len(self._marks) > 1 and self._marks[1][0] <= place:
            self._marks.popleft()
        begin, stream, at = self._marks[0]
        return key(stream, at + place - begin)

    def _row(self, data: bytes) -> RawRow | Broken:
        place, large = self._open, self._too_large or len(data) > self._limit
        assert place is not None
        self._open, self._too_large = None, False
        if large:
            return Broken(place, f"too_large: a row of more than {self._limit} bytes")
        return RawRow(place, data)

    def _gap(self, gap: Gap) -> Iterator[Broken]:
        if self._open is not None:
            yield Broken(self._open, f"truncated: {gap.error}")
            self._open, self._too_large = None, False
        if gap.own:
            self._found()
            yield Broken(gap.key, gap.error)
            self._ended = self._rooted = True  # the end of the file is reported already
        self._base += len(self._buffer)
        self._buffer = b""

    def _at_end(self) -> Iterator[RawRow | Broken]:
        end = self._base + len(self._buffer)
        if self._open is not None:
            if not self._buffer.rstrip().endswith(b">"):
                yield Broken(self._open, "truncated: the file ends inside a row")
                return
            yield self._row(self._buffer)
        if self._foreign is not None or self._ended or not (self._marks or self._first):
            return
        why = ""
        if not self._rooted and not self._rows:
            why = "not_a_dump: neither <posts> nor <row> found"
        elif self._rooted and (self._first or self._rows):
            why = "truncated: the file ends before </posts>"
        if why:
            self._found()
            yield Broken(self._key(end) if self._marks else 0, why)


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


_PARSER = _parser()


def attributes(data: bytes) -> dict[str, str]:
    """The attributes of one `<row>` element. References to characters that XML does not have are
    left out.

    Raises RowError if it is not well-formed; entities other than XML's five are errors.
    """
    data = data.strip()
    try:
        return _attributes(data)
    except etree.XMLSyntaxError as error:
        repaired = _CHARACTER.sub(_allowed, data)
        if repaired != data:
            try:
                return _attributes(repaired)
            except etree.XMLSyntaxError:
                pass
        raise RowError(f"xml: {error.msg}") from error


def _attributes(data: bytes) -> dict[str, str]:
    return {str(k): str(v) for k, v in etree.fromstring(data, _PARSER).attrib.items()}


def _allowed(match: re.Match[bytes]) -> bytes:
    code = int(match[1], 16) if match[1] else int(match[2])
    sound = (
        code in (0x9, 0xA, 0xD)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )
    return match.group() if sound else b""
