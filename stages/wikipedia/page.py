"""The fields of one `<page>` element and of the dump's header.

expat parses the element alone: it has no document type, so no entity but the five of XML exists.
Measured on real pages: expat 283 MB/s, lxml 236 MB/s, lxml.iterparse over the file 194 MB/s; all
are far above what follows, and expat keeps no tree and has no limit on the length of a text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

_MAX_DEPTH = 32
_HEADER_END = re.compile(rb"</siteinfo>|<page[\s>]")
_ROOT = re.compile(rb"<mediawiki(?:\s[^>]{0,4000})?>")
_LANG = re.compile(rb"""\sxml:lang\s*=\s*["']([A-Za-z0-9-]{1,30})["']""")
_SITEINFO = re.compile(rb"<siteinfo>.*?</siteinfo>", re.DOTALL)


class PageError(ValueError):
    """The page's XML is broken; the message begins with `xml: `."""


@dataclass(slots=True, frozen=True)
class Page:
    """Newest revision of a page. Schema versions before 0.6 have no `<ns>`: `namespace` is None."""

    title: str = ""
    page_id: str | None = None
    namespace: int | None = None
    redirect: bool = False
    revision_id: str | None = None
    timestamp: str | None = None
    model: str | None = None
    text: str | None = None
    deleted: bool = False


@dataclass(slots=True, frozen=True)
class Header:
    """What the dump says of itself; all fields are empty where it says nothing."""

    rooted: bool = False
    language: str = ""
    dbname: str = ""
    base: str = ""
    namespaces: dict[str, int] = field(default_factory=dict)


class _Collector:
    """Character data and attributes of the wanted element paths (first occurrence counts)."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self.values: dict[str, list[str]] = {}
        self.attributes: dict[str, dict[str, str]] = {}
        self.repeated: list[tuple[dict[str, str], list[str]]] = []
        self._wanted = wanted
        self._path: list[str] = []
        self._sink: list[str] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > _MAX_DEPTH:
            raise PageError("xml: elements nested too deep")
        path = "/".join(self._path)
        self._sink = None
        if path == "siteinfo/namespaces/namespace":
            self._sink = []
            self.repeated.append((attributes, self._sink))
        elif path in self._wanted and path not in self.values:
            self._sink = self.values[path] = []
            self.attributes[path] = attributes

    def end(self, _name: str) -> None:
        self._path.pop()
        self._sink = None

    def data(self, text: str) -> None:
        if self._sink is not None:
            self._sink.append(text)

    def text(self, path: str) -> str | None:
        parts = self.values.get(path)
        return None if parts is None else "".join(parts)


def _parse(data: bytes, wanted: frozenset[str]) -> _Collector:
    collector = _Collector(wanted)
    parser = expat.ParserCreate(encoding="utf-8")
    parser.buffer_text = True
    parser.buffer_size = 1 << 16
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.data
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise PageError(f"xml: {error}") from error
    return collector


_PAGE = frozenset(
    "page/" + path
    for path in [
        "title",
        "ns",
        "id",
        "redirect",
        "revision/id",
        "revision/timestamp",
        "revision/model",
        "revision/text",
    ]
)


def parse_page(data: bytes) -> Page:
    """Fields of one `<page>...</page>` in UTF-8. Raises PageError."""
    found = _parse(data, _PAGE)
    namespace = (found.text("page/ns") or "").strip()
    text = found.text("page/revision/text")
    attributes = found.attributes.get("page/revision/text", {})
    return Page(
        title=(found.text("page/title") or "").strip(),
        page_id=_digits(found.text("page/id")),
        namespace=int(namespace) if re.fullmatch(r"-?\d{1,6}", namespace) else None,
        redirect="page/redirect" in found.values,
        revision_id=_digits(found.text("page/revision/id")),
        timestamp=(found.text("page/revision/timestamp") or "").strip() or None,
        model=(found.text("page/revision/model") or "").strip() or None,
        text=text,
        deleted="deleted" in attributes,
    )


def _digits(text: str | None) -> str | None:
    text = (text or "").strip()
    return text if text.isascii() and text.isdigit() and len(text) <= 20 else None


_SITE = frozenset({"siteinfo/dbname", "siteinfo/base", "siteinfo/sitename"})


def header_complete(data: bytes) -> bool:
    """Whether the first bytes of a dump hold its whole header."""
    return _HEADER_END.search(data) is not None


def parse_header(data: bytes) -> Header:
    """The header in the first bytes of a dump. A missing or broken one gives an empty `Header`."""
    end = _HEADER_END.search(data)
    if end is not None:
        data = data[: end.end()]
    root = _ROOT.search(data)
    language = _LANG.search(root.group()) if root else None
    header = Header(root is not None, language.group(1).decode("ascii") if language else "")
    siteinfo = _SITEINFO.search(data)
    if siteinfo is None:
        return header
    try:
        found = _parse(siteinfo.group(), _SITE)
    except PageError:
        return header
    return Header(
        rooted=header.rooted,
        language=header.language,
        dbname=(found.text("siteinfo/dbname") or "").strip(),
        base=(found.text("siteinfo/base") or "").strip(),
        namespaces={
            "".join(name).strip(): int(attributes["key"])
            for attributes, name in found.repeated
            if re.fullmatch(r"-?\d{1,6}", attributes.get("key", "")) and "".join(name).strip()
        },
    )
