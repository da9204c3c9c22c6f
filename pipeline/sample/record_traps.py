"""Traps that are damaged, odd or hostile records, each between sound pages that must survive."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from pipeline.sample import archives
from pipeline.sample.archives import Archive, Place
from pipeline.sample.content_traps import EXTRACT, plain_page
from pipeline.sample.pages import WebPage
from pipeline.sample.texts import LanguageText
from pipeline.sample.traps import Must, Trap

BOMB = 128 * 2**20
"""Bytes that the bombs expand to: far above CommonCrawl's cut of 1 or 5 MiB a page."""

_BLOCK = b"boom " * 200_000 + b"\n"
_CHARSETS = (  # language, encoding of the bytes, HTTP charset, charset in the page, last words
    ("ru", "windows-1251", "windows-1251", None, "Конец страницы."),
    ("cs", "iso-8859-2", None, "iso-8859-2", "Příliš žluťoučký kůň."),
    ("uk", "koi8-u", "KOI8-U", None, "Кінець її сторінки."),
    ("fr", "iso-8859-15", "ISO-8859-15", "iso-8859-15", "Une œuvre à 5 €."),
    ("pl", "utf-16", "utf-16", None, "Zażółć gęślą jaźń."),
    # As browsers do: who says latin-1 means windows-1252.
    ("de", "windows-1252", "iso-8859-1", None, "Das „Ende“ – für 5 €."),
)


@dataclass(slots=True)
class Planter:
    """Adds damaged records to an archive, a sound page after each, and remembers the traps."""

    archive: Archive
    texts: dict[str, LanguageText]
    rng: Random
    sound: Callable[[WebPage], bytes]
    traps: list[Trap] = field(default_factory=list)
    pages: int = 0

    def page(self, kind: str, language: str = "en") -> WebPage:
        self.pages += 1
        return plain_page("records", f"{kind}/{self.pages}", self.texts[language], self.rng)

    def trap(
        self,
        kind: str,
        must: Must,
        place: Place,
        page: WebPage | None = None,
        *any_of: str,
        note: str = "",
    ) -> None:
        self.traps.append(
            Trap(
                kind=kind,
                must=must,
                steps=(EXTRACT,),
                file=place.file,
                offset=place.offset,
                length=place.length,
                url=page.url if page else None,
                any_of=any_of,
                note=note,
            )
        )

    def survivor(self, after: str) -> None:
        """A sound page: that it is kept shows that the reader went on after the damage."""
        page = self.page("survivor")
        place = self.archive.add(self.sound(page))
        words = last_words(page)
        self.trap("page after an odd record", Must.KEPT, place, page, words, note=f"after: {after}")

    def damaged(
        self, kind: str, must: Must, member: bytes, page: WebPage, *any_of: str, note: str = ""
    ) -> None:
        """One trap and, after it, a sound page; `note` is what tells it from others of its kind."""
        self.trap(kind, must, self.archive.add_raw(member), page, *any_of, note=note)
        self.survivor(f"{kind}, {note}" if note else kind)


def last_words(page: WebPage) -> str:
    return page.body[-1]


def plant_wet(archive: Archive, texts: dict[str, LanguageText], rng: Random) -> list[Trap]:
    """Fills `archive` with one WET record of each kind of damage, two of some."""
    archive.add(archives.warcinfo(archive.name))
    plant = Planter(archive, texts, rng, archives.conversion)
    for share in (0.5, 0.8):
        page = plant.page("truncated")
        member = archives.gzip_member(archives.conversion(page))
        cut = member[: int(len(member) * share)]
        plant.damaged("truncated gzip member", Must.UNREADABLE, cut, page)
    for change in (400, -400, 10**12):
        page = plant.page("length")
        wrong = _content_length(archives.conversion(page), change)
        plant.damaged("wrong Content-Length", Must.ACCOUNTED, archives.gzip_member(wrong), page)
    for broken in (b"\xff\xfe\x80", b"\xc3(", b"\xed\xa0\x80"):
        page = plant.page("utf8")
        text = page.text().encode().replace(b" ", b" " + broken + b" ", 1)
        member = archives.gzip_member(archives.conversion(page, text))
        plant.damaged("invalid UTF-8", Must.KEPT, member, page, last_words(page))
    for name in ("WARC-Target-URI", "WARC-Date", "WARC-Record-ID", "Content-Length"):
        page = plant.page("missing")
        lacking = _without(archives.conversion(page), name)
        member = archives.gzip_member(lacking)
        plant.damaged("missing header", Must.ACCOUNTED, member, page, note=name)
    for url in ("http://[x", "http://[::1", "https://exa mple/\u00e4?%zz"):
        page = replace(plant.page("url"), url=url)
        sound = archives.conversion(replace(page, url="https://placeholder.example/"))
        named = sound.replace(b"https://placeholder.example/", url.encode())
        plant.damaged("invalid URL", Must.ACCOUNTED, archives.gzip_member(named), page)
    for turn in (2, 5):
        page = plant.page("order")
        turned = _reordered(archives.conversion(page), turn)
        member = archives.gzip_member(turned)
        plant.damaged("reordered headers", Must.KEPT, member, page, last_words(page))
    page = plant.page("newer")
    extra = b"WARC-Identified-Content-Language: eng\r\nContent-Type:"
    newer = archives.conversion(page).replace(b"Content-Type:", extra, 1)
    member = archives.gzip_member(newer)
    plant.damaged("header of newer dumps", Must.KEPT, member, page, last_words(page))
    page = plant.page("bomb")
    times = BOMB // len(_BLOCK)
    head = _content_length(archives.conversion(page, b""), times * len(_BLOCK))
    member = archives.gzip_repeated(head.removesuffix(b"\r\n\r\n"), _BLOCK, times)
    plant.damaged("gzip bomb (record)", Must.UNREADABLE, member, page)
    page = plant.page("line")
    line = b"word " * 400_000
    member = archives.gzip_member(archives.conversion(page, line))
    plant.damaged("line of two megabytes", Must.ACCOUNTED, member, page)
    place = archive.add_raw(b"\x00" * 100 + b"not gzip at all")
    plant.trap("bytes that are no record", Must.UNREADABLE, place)
    return plant.traps


def plant_warc(archive: Archive, texts: dict[str, LanguageText], rng: Random) -> list[Trap]:
    """Fills `archive` with HTTP responses in every coding, and with what is no page."""
    archive.add(archives.warcinfo(archive.name))
    plant = Planter(archive, texts, rng, lambda p: archives.response(p, p.html().encode()))

    def kept(kind: str, note: str, page: WebPage, record: bytes) -> None:
        member = archives.gzip_member(record)
        plant.damaged(kind, Must.KEPT, member, page, last_words(page), note=note)

    for coding in ("chunked", "gzip", "deflate", "gzip and chunked"):
        page = plant.page("coding")
        body, headers = _coded(page.html().encode(), coding)
        kept("coded body", coding, page, archives.response(page, body, headers=headers))
    page = plant.page("coding")
    claims = (("Transfer-Encoding", "chunked"), ("Content-Encoding", "gzip"))
    plain = archives.response(page, page.html().encode(), headers=claims)
    kept("coded body", "coding claimed, not used", page, plain)
    page = plant.page("chunks")
    cut = archives.chunked(page.html().encode())[:-5]
    unfinished = archives.response(page, cut, headers=claims[:1])
    kept("coded body", "last chunk missing", page, unfinished)
    for language, encoding, in_http, in_page, words in _CHARSETS:
        page = plant.page("charset", language)
        page = replace(page, body=(*page.body, words))
        body = page.html(in_page).encode(encoding, errors="xmlcharrefreplace")
        media = f"text/html; charset={in_http}" if in_http else "text/html"
        kept("charset", encoding, page, archives.response(page, body, content_type=media))

    for status in ("404 Not Found", "500 Internal Server Error", "301 Moved Permanently"):
        page = plant.page("status")
        answer = archives.response(page, page.html().encode(), status)
        member = archives.gzip_member(answer)
        plant.damaged("error status", Must.REJECTED, member, page, note=status)
    for media, start in (("image/png", b"\x89PNG\r\n\x1a\n"), ("application/pdf", b"%PDF-1.4\n")):
        page = plant.page("media")
        answer = archives.response(page, start + bytes(range(256)) * 8, content_type=media)
        plant.damaged("no HTML", Must.REJECTED, archives.gzip_member(answer), page, note=media)
    page = plant.page("revisit")
    again = archives.revisit(page, plant.page("revisit"))
    plant.damaged("revisit", Must.NO_DOCUMENT, archives.gzip_member(again), page)

    page = plant.page("bomb")
    head = b"<html><body><p>"
    bomb = archives.gzip_repeated(head, _BLOCK, BOMB // len(_BLOCK))
    answer = archives.response(page, bomb, headers=(("Content-Encoding", "gzip"),))
    plant.damaged("gzip bomb (body)", Must.UNREADABLE, archives.gzip_member(answer), page)
    page = plant.page("deep")
    nested = b"<html><body>" + b"<div>" * 100_000 + b"deep" + b"</div>" * 100_000
    answer = archives.response(page, nested)
    plant.damaged("HTML nested too deep", Must.ACCOUNTED, archives.gzip_member(answer), page)
    return plant.traps


def _coded(body: bytes, coding: str) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    headers = []
    if "gzip" in coding:
        body = gzip.compress(body, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    if coding == "deflate":
        body = zlib.compress(body)
        headers.append(("Content-Encoding", "deflate"))
    if "chunked" in coding:
        body = archives.chunked(body)
        headers.append(("Transfer-Encoding", "chunked"))
    return body, tuple(headers)


def _fields(record: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = record.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


def _joined(fields: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join(fields) + b"\r\n\r\n" + body


def _content_length(record: bytes, change: int) -> bytes:
    fields, body = _fields(record)
    for i, line in enumerate(fields):
        if line.startswith(b"Content-Length: "):
            fields[i] = b"Content-Length: %d" % max(0, int(line[16:]) + change)
    return _joined(fields, body)


def _without(record: bytes, name: str) -> bytes:
    fields, body = _fields(record)
    return _joined([f for f in fields if not f.startswith(name.encode() + b":")], body)


def _reordered(record: bytes, turn: int) -> bytes:
    fields, body = _fields(record)
    names = fields[1:]
    return _joined([fields[0], *names[turn:], *names[:turn]], body)
