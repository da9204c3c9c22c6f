"""C4 of the sample, in the form of the published dataset: gzipped JSON lines.

English text that is on every machine: what installed packages with a permissive licence say of
themselves in their metadata, and the project's own English pages. All of it goes through C4's rules
first, as the published dataset did. Some pages are pages of the sample's CommonCrawl too, with the
same URL, so that the overlap of both sources is not zero.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import orjson

from pipeline.sample import archives, benchmark
from pipeline.sample.content_traps import plain_page
from pipeline.sample.documentation import licence, reflow
from pipeline.sample.pages import WebPage, date, written_pages
from pipeline.sample.texts import LanguageText, load
from pipeline.sample.traps import Must, Trap
from stages.c4.clean import CleanSettings, clean_page
from stages.c4.sentences import count_by_marks
from stages.outcomes import Reject

STEP = "c4"
BYTES = 450_000
"""UTF-8 text at scale 1."""
SHARED_BYTES = 24_000
"""Of it, pages that the sample's CommonCrawl has too; fewer than it has English pages."""
FILES = 3
LONG_LINE = 128 << 20
"""Bytes of one line: far above what any page of C4 needs."""
ITEM_PLACE = benchmark.Place(
    f"c4/c4-train.00000-of-{FILES + 3:05}.json.gz", "https://c4.traps.example/benchmark"
)

_PAGE = 4_000  # characters after which a page is full
_BLOCK = b"boom " * 200_000
_DEEP = 100_000


@dataclass(slots=True)
class _File:
    """A file of JSON lines; places are offsets in the uncompressed data."""

    name: str
    data: bytearray = field(default_factory=bytearray)
    traps: list[Trap] = field(default_factory=list)

    def add(self, line: bytes) -> tuple[int, int]:
        place = len(self.data), len(line)
        self.data += line + b"\n"
        return place

    def trap(self, kind: str, must: Must, line: bytes, url: str | None, *any_of: str) -> None:
        offset, length = self.add(line)
        self.traps.append(
            Trap(
                kind=kind,
                must=must,
                steps=(STEP,),
                file=self.name,
                offset=offset,
                length=length,
                url=url,
                any_of=any_of,
            )
        )

    def write(self, out: Path, more: bytes = b"", cut: float = 1.0) -> None:
        """Writes a gzip member, or the first part of one, then `more` as it is."""
        path = out / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        member = archives.gzip_member(bytes(self.data))
        path.write_bytes(member[: int(len(member) * cut)] + more)


def write(out: Path, seed: int, scale: float) -> list[Trap]:
    """Writes `out/c4/c4-train.NNNNN-of-NNNNN.json.gz`; returns the traps in them.

    The same seed, scale and machine give the same bytes. `scale` changes the amount of ordinary
    text, not the number of traps.
    """
    rng = Random(f"{seed}/c4")
    text = load()["en"]
    total = FILES + 3
    files = [_File(f"c4/c4-train.{i:05}-of-{total:05}.json.gz") for i in range(total)]
    *ordinary, damaged, long, cut = files
    pages = list(_pages(text, seed, scale, rng))
    rng.shuffle(pages)
    for i, page in enumerate(pages):
        ordinary[i % FILES].add(_line(page))
    _plant_item(ordinary[0], text, seed)
    for file in ordinary:
        file.write(out)
    _plant(damaged, text, rng)
    damaged.write(out)
    long.write(out, _long_line(long, text, rng))
    _cut(cut, text, rng).write(out, cut=0.7)
    return [trap for file in files for trap in file.traps]


def _pages(text: LanguageText, seed: int, scale: float, rng: Random) -> Iterator[WebPage]:
    """Cleaned pages of about `BYTES` bytes in all."""
    size = 0
    shared = written_pages(text, round(SHARED_BYTES * scale), Random(f"{seed}/web/en"))
    for source in (shared, _package_pages(rng), _own_pages(text, rng)):
        for page in source:
            cleaned = _cleaned(page)
            if cleaned is None:
                continue
            size += sum(len(line.encode()) + 1 for line in cleaned.body)
            yield cleaned
            if size >= BYTES * scale:
                return


def _cleaned(page: WebPage) -> WebPage | None:
    """The page as C4's rules leave it: its lines as the body and no more; None if it leaves."""
    text = clean_page(page.text(), CleanSettings(), _ignore, count_by_marks)
    if isinstance(text, Reject):
        return None
    return replace(page, title="", body=tuple(text.split("\n")), frame=None)


def _ignore(rule: str, lines: int) -> None:
    """What the rules take from the sample's own pages is of no interest."""


def _package_pages(rng: Random) -> Iterator[WebPage]:
    """Descriptions of installed packages, by name, cut into pages."""
    for name in sorted({d.metadata["Name"] for d in importlib.metadata.distributions()}):
        if licence(name) is None:
            continue
        description = str(importlib.metadata.metadata(name).json.get("description", ""))
        lines: list[str] = []
        number = 0
        for line in reflow(description):
            lines.append(line)
            if sum(map(len, lines)) >= _PAGE:
                number += 1
                yield _package_page(name, number, lines, rng)
                lines = []
        if lines:
            yield _package_page(name, number + 1, lines, rng)


def _package_page(name: str, number: int, lines: list[str], rng: Random) -> WebPage:
    url = f"https://packages.example/{name.lower()}/{number}"
    return WebPage(url, date(rng, 2019), "en", name, tuple(lines))


def _own_pages(text: LanguageText, rng: Random) -> Iterator[WebPage]:
    number = 0
    while True:
        number += 1
        page = plain_page("c4", f"{number}", text, rng)
        yield replace(page, url=f"https://www.en-notes.example/{number}")


def _line(page: WebPage) -> bytes:
    return orjson.dumps({"text": "\n".join(page.body), "timestamp": page.date, "url": page.url})


def _plant_item(file: _File, text: LanguageText, seed: int) -> None:
    """A page with an item of a benchmark between its paragraphs, as spoken lines."""
    page = plain_page("c4", "benchmark", text, Random(f"{seed}/c4/benchmark"))
    lines = [f"\u2014 {line}." for line in benchmark.planted("c4", seed).lines()]
    body = (*page.body[:4], *lines, *page.body[4:])
    file.add(_line(replace(page, url=ITEM_PLACE.url, body=body)))


def _plant(file: _File, text: LanguageText, rng: Random) -> None:
    """One line of each kind of damage, a sound page after each."""
    number = 0

    def page(kind: str) -> WebPage:
        nonlocal number
        number += 1
        return plain_page("c4", f"{kind}/{number}", text, rng, blocks=3)

    def survivor() -> None:
        sound = page("survivor")
        file.trap(
            "c4: page after a damaged line", Must.KEPT, _line(sound), sound.url, sound.body[-1]
        )

    damages: list[tuple[str, Callable[[WebPage], bytes]]] = [
        ("c4: cut line", lambda p: _line(p)[:-40]),
        ("c4: cut line", lambda p: _line(p)[7:]),
        ("c4: no object", lambda p: orjson.dumps([p.body[0]])),
        ("c4: no object", lambda p: orjson.dumps(p.body[0])),
        ("c4: no text", lambda p: orjson.dumps({"url": p.url, "timestamp": p.date})),
        ("c4: no text", lambda p: orjson.dumps({"text": None, "url": p.url})),
        ("c4: no text", lambda p: orjson.dumps({"text": list(p.body), "url": p.url})),
        ("c4: invalid UTF-8", lambda p: _line(p).replace(b" ", b" \xff\xc3(", 1)),
        ("c4: invalid UTF-8", lambda p: _line(p).replace(b" ", b" \\ud83d ", 1)),
        ("c4: deep nesting", lambda p: b'{"text":' + b"[" * _DEEP),
        ("c4: deep nesting", lambda p: b'{"text":' + b'{"a":' * _DEEP + b"1" + b"}" * _DEEP + b"}"),
        ("c4: two lines in one", lambda p: _line(p) * 2),
    ]
    for kind, line in damages:
        file.trap(kind, Must.UNREADABLE, line(page("damaged")), None)
        survivor()
    empty = page("empty")
    for body in ((), ("", "   ", "\u00a0")):
        file.trap("c4: no words", Must.REJECTED, _line(replace(empty, body=body)), None)
        survivor()
    file.add(b"")
    for kind, odd in (
        (
            "c4: line separator in a text",
            replace(page("odd"), body=("One\u2028two.", "Three\x85.")),
        ),
        ("c4: no date", replace(page("odd"), date="yesterday")),
        ("c4: no URL", replace(page("odd"), url="")),
    ):
        file.trap(kind, Must.KEPT, _line(odd), odd.url or None, odd.body[-1])
        survivor()


def _long_line(file: _File, text: LanguageText, rng: Random) -> bytes:
    """A line of `LONG_LINE` bytes between two pages: the members after the file's first one."""
    first, last = (plain_page("c4", f"long/{i}", text, rng) for i in (1, 2))
    kind = "c4: page after a damaged line"
    file.trap(kind, Must.KEPT, _line(first), first.url, first.body[-1])
    head = b'{"text": "'
    repeats = LONG_LINE // len(_BLOCK)
    length = len(head) + repeats * len(_BLOCK)
    at = len(file.data)
    where = {"file": file.name, "steps": (STEP,)}
    file.traps.append(
        Trap(kind="c4: line too long", must=Must.UNREADABLE, offset=at, length=length, **where)
    )
    end = b"\n" + _line(last)
    file.traps.append(
        Trap(
            kind=kind,
            must=Must.KEPT,
            offset=at + length + 1,
            length=len(end) - 1,
            url=last.url,
            any_of=(last.body[-1],),
            **where,
        )
    )
    return archives.gzip_repeated(head, _BLOCK, repeats) + archives.gzip_member(end)


def _cut(file: _File, text: LanguageText, rng: Random) -> _File:
    """A file whose download ended early: its first page is there, its end is not."""
    pages = [plain_page("c4", f"cut/{i}", text, rng, blocks=12) for i in range(8)]
    first = pages[0]
    file.trap("c4: page before the cut", Must.KEPT, _line(first), first.url, first.body[-1])
    for page in pages[1:]:
        file.add(_line(page))
    file.traps.append(
        Trap(kind="c4: cut gzip file", must=Must.UNREADABLE, steps=(STEP,), file=file.name)
    )
    return file
