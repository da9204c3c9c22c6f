"""Finding `<page>` elements in the bytes of a dump, whatever surrounds them.

In a MediaWiki export `<` inside text is always escaped, so tags can be found by their bytes: the
scanner needs no state from earlier bytes, starts anywhere, goes on behind damage, and no DTD or
entity declaration is ever given to a parser. Memory holds one revision: of a page's revisions only
the newest so far is kept, and what exceeds the limit is passed over without being kept.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from stages.wikipedia.chunks import Flow, Gap, Key, key

_TOKEN = re.compile(
    rb"<page(?=[\s>])|</page>|<revision(?=[\s>])|</revision>|<!--|<!\[CDATA\["
    rb"|<mediawiki(?=[\s>])|</mediawiki"
)
_TOKEN_BYTES = 16
_END_TAG = b"</mediawiki>"
_TIMESTAMP = re.compile(rb"<timestamp>([^<]{1,40})")
_HEAD_BYTES = 1 << 16


@dataclass(slots=True, frozen=True)
class RawPage:
    """XML of one page with its newest revision only; `data` is None when that is too large."""

    key: Key
    data: bytes | None
    head: bytes
    revisions: int


@dataclass(slots=True, frozen=True)
class Broken:
    """A page or a stretch of the file that cannot be read."""

    key: Key
    error: str


class _Open:
    """A page whose end has not been seen."""

    __slots__ = (
        "best", "head", "in_revision", "key", "large", "revision_large", "revisions", "time",
    )  # fmt: skip

    def __init__(self, place: Key) -> None:
        self.key = place
        self.head: bytes | None = None
        self.best: bytes | None = None
        self.time = b""
        self.revisions = 0
        self.large = False
        self.in_revision = False
        self.revision_large: bytes | None = None

    def close_revision(self, data: bytes, limit: int) -> None:
        """Keep the revision if it is the newest; at equal times the later one in the file."""
        if self.revision_large is None and len(data) > limit:
            self.revision_large = _time_of(data)
        self.revisions += 1
        self.in_revision = False
        time = self.revision_large if self.revision_large is not None else _time_of(data)
        if self.revisions == 1 or time >= self.time:
            self.large = self.revision_large is not None
            self.best, self.time = (None if self.large else data), time
        self.revision_large = None

    def finish(self, data: bytes, limit: int) -> RawPage:
        head = data if self.head is None else self.head
        if self.large or len(head) > min(limit, _HEAD_BYTES):
            return RawPage(self.key, None, head[:_HEAD_BYTES], self.revisions)
        return RawPage(self.key, head + (self.best or b"") + b"</page>", head, self.revisions)


def _time_of(revision: bytes) -> bytes:
    found = _TIMESTAMP.search(revision, 0, 4096)
    return found.group(1) if found else b""


class PageScanner:
    """Iterates over the pages of a flow of bytes.

    `found` is called once for each page and each own unreadable stretch, when it is met. Pages
    are those whose `<page>` tag begins in the flow's own bytes. `first` says that the flow starts
    with the file, `rooted` that its header has a `<mediawiki>` root, so that a missing end of it
    means a cut file.
    """

    def __init__(
        self,
        flow: Iterable[Flow],
        found: Callable[[], None],
        max_page_bytes: int,
        rooted: bool,
        first: bool = True,
    ) -> None:
        self._flow = iter(flow)
        self._found = found
        self._limit = max_page_bytes
        self._rooted = rooted
        self._first = first
        self._buffer = bytearray()
        self._base = 0  # position of buffer[0] in the decompressed bytes of this unit
        self._marks: deque[tuple[int, int | None, int]] = deque()
        self._foreign: int | None = None  # position where bytes of the next unit begin
        self._ended = False
        self._lead = b""  # the unit's first bytes

    def _key(self, position: int) -> Key:
        while len(self._marks) > 1 and self._marks[1][0] <= position:
            self._marks.popleft()
        if not self._marks:
            return position
        begin, stream, at = self._marks[0]
        return key(stream, at + position - begin)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._base += count

    def _pull(self) -> Gap | bool:
        """More bytes into the buffer: True, False at the end, or the gap that comes first."""
        item = next(self._flow, None)
        if item is None:
            return False
        if isinstance(item, Gap):
            return item
        position = self._base + len(self._buffer)
        last = self._marks[-1] if self._marks else None
        if last is None or last[1] != item.stream or last[2] + position - last[0] != item.at:
            self._marks.append((position, item.stream, item.at))
        if not item.own and self._foreign is None:
            self._foreign = position
        if len(self._lead) < _TOKEN_BYTES:
            self._lead += item.data[:_TOKEN_BYTES]
        self._buffer += item.data
        return True

    def __iter__(self) -> Iterator[RawPage | Broken]:
        page: _Open | None = None
        until = b""  # end of the comment or CDATA section that is open inside a page
        scanned = 0
        pages = 0
        while True:
            if until:
                end = self._buffer.find(until, scanned)
                token = None
                if end >= 0:
                    scanned, until = end + len(until), b""
                    continue
            else:
                token = _TOKEN.search(self._buffer, scanned)
            if token is None:
                scanned = max(scanned, len(self._buffer) - _TOKEN_BYTES)
                if page is None:
                    self._drop(scanned)
                    scanned = 0
                    if self._foreign is not None and self._base >= self._foreign:
                        return
                elif len(self._buffer) > self._limit:
                    if page.in_revision and page.revision_large is None:
                        page.revision_large = _time_of(bytes(self._buffer[:4096]))
                    elif not page.in_revision and page.head is None:
                        page.head, page.large = bytes(self._buffer[: _HEAD_BYTES + 1]), True
                    self._drop(scanned)
                    scanned = 0
                more = self._pull()
                if more is True:
                    continue
                if page is not None:
                    why = more.error if isinstance(more, Gap) else "the file ends inside the page"
                    yield Broken(page.key, f"truncated: {why}")
                    page, until = None, b""
                if isinstance(more, Gap):
                    if not more.own:
                        return
                    self._found()
                    yield Broken(more.key, more.error)
                    self._ended = True  # the end of the file is reported already
                    self._drop(len(self._buffer))
                    scanned = 0
                    continue
                yield from self._at_end(pages)
                return
            tag = token.group()
            scanned = token.end()
            if tag == b"<page":
                if page is not None:
                    yield Broken(page.key, "truncated: the next page begins inside this one")
                start = self._base + token.start()
                if self._foreign is not None and start >= self._foreign:
                    return
                self._drop(token.start())
                scanned = len(tag)
                page = _Open(self._key(start))
                self._ended = False
                pages += 1
                self._found()
            elif page is None:
                if tag == b"<mediawiki":
                    self._rooted, self._ended = True, False
                elif tag == b"</mediawiki":
                    self._ended = True
            elif tag == b"<revision":
                if page.head is None:
                    page.head = bytes(self._buffer[: token.start()])
                self._drop(token.start())
                scanned = len(tag)
                page.in_revision = True
            elif tag == b"</revision>":
                page.close_revision(bytes(self._buffer[: token.end()]), self._limit)
                self._drop(token.end())
                scanned = 0
            elif tag == b"</page>":
                raw = page.finish(bytes(self._buffer[: token.start()]), self._limit)
                self._drop(token.end())
                scanned, page = 0, None
                yield raw
            elif tag in (b"<!--", b"<![CDATA["):
                until = b"-->" if tag == b"<!--" else b"]]>"

    def _at_end(self, pages: int) -> Iterator[Broken]:
        read_nothing = not self._marks and not self._first
        # The end tag may have begun in the last stream of the unit before.
        rest = not self._first and not pages and _END_TAG.endswith(self._lead.strip())
        if self._foreign is not None or self._ended or read_nothing or rest:
            return
        end = self._key(self._base + len(self._buffer))
        if self._rooted:
            self._found()
            yield Broken(end, "truncated: the file ends before </mediawiki>")
        elif self._first and not pages:
            self._found()
            yield Broken(end, "not_a_dump: neither <mediawiki> nor <page> found")
