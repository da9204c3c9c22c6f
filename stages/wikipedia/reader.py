"""A Wikipedia dump, or a part of one, as documents."""

from __future__ import annotations

import hashlib
import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

from stages.outcomes import Bad, Document, Outcome, Rejected, Tally
from stages.wikipedia.archive import members
from stages.wikipedia.chunks import Flow, Gap, Key
from stages.wikipedia.citations import cited_urls
from stages.wikipedia.compression import CODECS, SUFFIXES, Compression, expand, plain, sniff
from stages.wikipedia.dump import Broken, PageScanner, RawPage
from stages.wikipedia.encoding import UnknownEncodingError, encoding_of, to_utf8
from stages.wikipedia.languages import language_of
from stages.wikipedia.namespaces import REDIRECT, namespace_of
from stages.wikipedia.page import (
    Header,
    Page,
    PageError,
    header_complete,
    parse_header,
    parse_page,
)
from stages.wikipedia.settings import WikipediaSettings
from stages.wikipedia.wikitext import PlainText, WikitextConverter

REASONS: dict[str, str] = {
    "language": "the dump is not a Wikipedia in one of the wanted languages",
    "namespace": "not an article (namespace other than 0)",
    "redirect": "the page only points to another one",
    "disambiguation": "a disambiguation page, and the settings reject them",
    "content_model": "the page is not wikitext (JSON, CSS, JavaScript, Lua, ...)",
    "too_large": "the newest revision is larger than max_page_bytes",
    "empty": "no text, or none that is left after cleaning",
    "too_short": "the body is shorter than min_chars",
}

_HEADER_BYTES = 1 << 20
_TITLE = re.compile(rb"<title>([^<]{0,1000})</title>")
_MAX_DROPPED_NAMES = 30
# Revisions since this day are under CC BY-SA 4.0 (Wikimedia's terms of use of 7 June 2023).
_VERSION_4 = "2023-06-07"


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
                yield from self._bare(self._flow(stream, compression, 0, None), path, tally)
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

    def _site(self, language: str, header: Header) -> _Site:
        return _Site(self.settings, language, header, language in self._languages)

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


class _Site:
    """One wiki: turns its pages into outcomes."""

    def __init__(
        self, settings: WikipediaSettings, language: str, header: Header, wanted: bool
    ) -> None:
        self._settings = settings
        self._language = language
        self._namespaces = header.namespaces
        self._wanted = wanted
        self._converter: WikitextConverter | None = None

    def _convert(self, wikitext: str, title: str) -> PlainText:
        if self._converter is None:  # built for the first article only: a dump may have none
            names = [(name.casefold(), number) for name, number in self._namespaces.items()]
            self._converter = WikitextConverter(
                self._settings,
                self._language,
                frozenset(name for name, number in names if number == 6),
                frozenset(name for name, number in names if number == 14),
            )
        return self._converter(wikitext, title)

    def too_large(self, raw: RawPage, path: str) -> Rejected:
        """The rejection of a page whose text was never read."""
        found = _TITLE.search(raw.head)
        title = found.group(1).decode("utf-8", "replace") if found else ""
        number = re.search(rb"</title>.{0,2000}?<id>(\d{1,20})</id>", raw.head, re.DOTALL)
        page = Page(title=title, page_id=number.group(1).decode() if number else None)
        return self.rejected(page, raw.key, path, "too_large", "")

    def rejected(self, page: Page, place: Key, path: str, reason: str, detail: str) -> Rejected:
        origin = f"{path}#{page.page_id or place}"
        return Rejected(self._id(page, place), origin, reason, detail[:200], self._url(page))

    def outcome(self, page: Page, place: Key, revisions: int, path: str) -> Outcome:
        """Document or rejection of one page; `Bad` where its conversion fails."""
        try:
            return self._outcome(page, place, revisions, path)
        except Exception as error:  # noqa: BLE001 - one page must not end the run; it is counted
            return Bad(path, place, f"wikitext: {type(error).__name__}: {error}"[:300])

    def _outcome(self, page: Page, place: Key, revisions: int, path: str) -> Outcome:
        settings = self._settings
        reason, detail = self._unwanted(page)
        if reason:
            return self.rejected(page, place, path, reason, detail)
        source = page.text or ""
        plain_text = self._convert(source, page.title)
        if plain_text.disambiguation and settings.disambiguation == "reject":
            return self.rejected(page, place, path, "disambiguation", page.title)
        body = plain_text.text
        if not body:
            return self.rejected(page, place, path, "empty", "nothing left after cleaning")
        if len(body) < settings.min_chars:
            return self.rejected(page, place, path, "too_short", f"{len(body)} characters")
        urls = cited_urls(source, settings.unwrap_archives)
        created = _utc(page.timestamp)
        meta: dict[str, Any] = {
            "revision_id": page.revision_id,
            "revisions": revisions,
            "wikitext_chars": len(source),
            "cited_urls": len(urls),
            "templates_dropped": dict(
                sorted(plain_text.dropped.items(), key=lambda item: (-item[1], item[0]))[
                    :_MAX_DROPPED_NAMES
                ]
            ),
            "templates_dropped_total": plain_text.dropped.total(),
        }
        if plain_text.disambiguation:
            meta["disambiguation"] = True
        return Document(
            id=self._id(page, place),
            text=f"{page.title}\n\n{body}" if settings.title_in_text and page.title else body,
            source="wikipedia",
            origin=f"{path}#{page.page_id or place}",
            url=self._url(page),
            title=page.title or None,
            language=self._language,
            created=created,
            license=_license(created),
            meta=meta,
            extra={"cited_urls": urls},
        )

    def _unwanted(self, page: Page) -> tuple[str, str]:
        """Reason and detail why a page is no candidate, or two empty strings."""
        if not self._wanted:
            return "language", self._language
        namespace = page.namespace
        if namespace is None:
            namespace = namespace_of(page.title, self._namespaces)
        if namespace != 0:
            return "namespace", str(namespace)
        if page.model is not None and page.model != "wikitext":
            return "content_model", page.model
        source = page.text or ""
        if page.redirect or REDIRECT.match(source):
            return "redirect", page.title
        if not source.strip():
            return "empty", "text deleted" if page.deleted else "no text in the dump"
        return "", ""

    def _id(self, page: Page, place: Key) -> str:
        if page.page_id is not None:
            return f"wikipedia/{self._language}/{page.page_id}"
        key = page.title or str(place)
        digest = hashlib.sha1(key.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
        return f"wikipedia/{self._language}/t{digest[:16]}"

    def _url(self, page: Page) -> str | None:
        if not page.title:
            return None
        name = quote(page.title.replace(" ", "_"), safe="/:@!$*(),;'~")
        return f"https://{self._language}.wikipedia.org/wiki/{name}"


def _utc(timestamp: str | None) -> str | None:
    """A dump's timestamp as ISO 8601 in UTC; None for one that is no date."""
    if timestamp is None:
        return None
    try:
        moment = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _license(created: str | None) -> str:
    if created is None:
        return "CC BY-SA"
    return "CC BY-SA 4.0" if created >= _VERSION_4 else "CC BY-SA 3.0"
