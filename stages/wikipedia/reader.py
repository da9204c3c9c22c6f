"""A Wikipedia dump, or a part of one, as documents."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterable, Iterator
from typing import BinaryIO
from urllib.parse import unquote

from stages.outcomes import Bad, Outcome, Tally
from stages.wikipedia.archive import members
from stages.wikipedia.articles import REASONS, Site
from stages.wikipedia.chunks import Flow, Gap
from stages.wikipedia.compression import CODECS, SUFFIXES, Compression, expand, plain, sniff
from stages.wikipedia.dump import Broken, PageScanner
from stages.wikipedia.encoding import UnknownEncodingError, encoding_of, to_utf8
from stages.wikipedia.languages import language_of
from stages.wikipedia.page import (
    Header,
    Page,
    PageError,
    header_complete,
    parse_header,
    parse_page,
)
from stages.wikipedia.settings import WikipediaSettings

__all__ = ["ERRORS", "REASONS", "WikipediaReader"]

ERRORS: dict[str, str] = {
    "bomb": "a compressed file expands over max_expansion times; the rest is not read",
    "compression": "a compressed stream or archive is damaged, or the file is none",
    "encoding": "the declared encoding is unknown, or a bare file is not UTF-8",
    "garbage": "bytes between two compressed streams that begin none",
    "not_a_dump": "neither a <mediawiki> root nor a page in the file",
    "truncated": "a page or the file ends too early",
    "wikitext": "the conversion of a page failed (a defect of this step)",
    "xml": "a page is not well-formed XML or not UTF-8",
}

_HEADER_BYTES = 1 << 20


class WikipediaReader:
    """Reads MediaWiki XML exports (schema 0.3 to 0.11) and bare wikitext files.

    `stream` must be seekable. For bzip2 and uncompressed dumps `start` and `end` are (compressed)
    byte offsets: the pages whose `<page>` tag begins in a stream that begins there, or in these
    bytes. Other files are read whole by the unit that starts at 0. Each page gives one outcome:
    `Document`, `Rejected` with a reason of `REASONS`, or `Bad`. Documents have
    `extra["cited_urls"]` (list of str).
    """

    def __init__(self, settings: WikipediaSettings | None = None) -> None:
        self.settings = settings or WikipediaSettings()
        self._languages = frozenset(self.settings.languages)

    def __call__(
        self, stream: BinaryIO, path: str, tally: Tally, start: int = 0, end: int | None = None
    ) -> Iterator[Outcome]:
        stream.seek(0)
        compression = sniff(stream.read(16))
        expected = SUFFIXES.get(posixpath.splitext(path.lower())[1])
        if compression is Compression.NONE and expected is not None:
            if start == 0:
                tally.record()
                yield Bad(path, 0, f"compression: not a {expected.value} file")
            return
        if start > 0 and compression not in (Compression.NONE, Compression.BZIP2):
            return
        flow = self._flow(stream, compression, start, end)
        head, flow = _peek(flow)
        if self._is_bare(path, head):
            if start == 0:
                yield from self._bare(flow, path, tally)
            return
        if start > 0:
            head, _ = _peek(self._flow(stream, compression, 0, None))
            flow = self._flow(stream, compression, start, end)
        try:
            encoding = encoding_of(head)
        except UnknownEncodingError as error:
            if start == 0:
                tally.record()
                yield Bad(path, 0, f"encoding: unknown {error}")
            return
        if encoding != "utf-8":
            if start > 0:
                return
            if compression is Compression.NONE:
                flow = self._flow(stream, compression, 0, None)
            flow = to_utf8(flow, encoding)
            head, flow = _peek(flow)
        yield from self._pages(flow, parse_header(head), path, tally, start == 0)

    def _flow(
        self, stream: BinaryIO, compression: Compression, start: int, end: int | None
    ) -> Iterator[Flow]:
        limit = self.settings.max_expansion
        if compression is Compression.NONE:
            return plain(stream, start, end)
        if compression is Compression.SEVENZIP:
            size = stream.seek(0, 2)
            return members(stream, size, limit)
        return expand(stream, CODECS[compression], start, end, limit)

    def _pages(
        self, flow: Iterable[Flow], header: Header, path: str, tally: Tally, first: bool
    ) -> Iterator[Outcome]:
        language = language_of(path, header, self.settings)
        site = self._site(language, header)
        scanner = PageScanner(
            flow, tally.record, self.settings.max_page_bytes, header.rooted, first
        )
        for item in scanner:
            if isinstance(item, Broken):
                yield Bad(path, item.key, item.error)
            elif item.data is None:
                yield site.too_large(item, path)
            else:
                try:
                    page = parse_page(item.data)
                except PageError as error:
                    yield Bad(path, item.key, str(error))
                    continue
                yield site.outcome(page, item.key, item.revisions, path)

    def _site(self, language: str, header: Header) -> Site:
        return Site(self.settings, language, header, language in self._languages)

    def _is_bare(self, path: str, head: bytes) -> bool:
        name = path.lower()
        root, suffix = posixpath.splitext(name)
        if suffix in SUFFIXES:
            suffix = posixpath.splitext(root)[1]
        if suffix not in self.settings.bare_suffixes:
            return False
        return not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(
            (b"<?xml", b"<mediawiki", b"<page", b"\xff\xfe", b"\xfe\xff")
        )

    def _bare(self, flow: Iterator[Flow], path: str, tally: Tally) -> Iterator[Outcome]:
        tally.record()
        name = posixpath.basename(path.replace("\\", "/"))
        while posixpath.splitext(name)[1].lower() in (*self.settings.bare_suffixes, *SUFFIXES):
            name = posixpath.splitext(name)[0]
        title = " ".join(unquote(name).replace("_", " ").split())
        language = language_of(path, Header(), self.settings)
        site = self._site(language, Header())
        data = bytearray()
        for item in flow:
            if isinstance(item, Gap):
                yield Bad(path, item.key, item.error)
                return
            data += item.data
            if len(data) > self.settings.max_page_bytes:
                yield site.rejected(Page(title=title), "0", path, "too_large", "bare wikitext")
                return
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            yield Bad(path, error.start, f"encoding: {error.reason}")
            return
        yield site.outcome(Page(title=title, text=text), 0, 1, path)


def _peek(flow: Iterator[Flow]) -> tuple[bytes, Iterator[Flow]]:
    """The first bytes of a flow (up to the end of a dump's header), and the flow from its start."""
    head = b""
    taken: list[Flow] = []
    for item in flow:
        taken.append(item)
        if isinstance(item, Gap):
            break
        head += item.data
        if len(head) >= _HEADER_BYTES or header_complete(head):
            break
    return head[:_HEADER_BYTES], itertools.chain(taken, flow)
