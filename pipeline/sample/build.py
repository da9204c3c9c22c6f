"""Builds the sample: raw dumps in their true formats, and the key of the traps in them."""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from pipeline.sample import (
    archives,
    arxiv,
    benchmark,
    books,
    c4,
    content_traps,
    github,
    record_traps,
    references,
    stackexchange,
    wiki_traps,
)
from pipeline.sample.archives import Archive
from pipeline.sample.documentation import MODULES, DocArticle, docstring_articles, module_pages
from pipeline.sample.mediawiki import WikiPage, write_dump
from pipeline.sample.pages import WebPage, docstring_page, module_page, written_pages
from pipeline.sample.texts import TEXTS, Article, LanguageText, load
from pipeline.sample.traps import Key, Trap, write_key
from pipeline.sample.wikitext import article_page, documentation_page

# Bytes of UTF-8 text at scale 1. A language needs about 100 kB of articles for a small language
# model; English has more, as it has in every crawl.
WIKI_BYTES = 90_000
WEB_BYTES = 48_000
DOCSTRING_BYTES = 1_900_000
DOCSTRING_WIKI_BYTES = 450_000

# Sources with a module of their own; CommonCrawl and Wikipedia share pages and are made here.
SOURCES = (arxiv, books, c4, github, stackexchange)

WET_FILES = 4
WARC_FILES = 2
_WARC_SHARE = 0.4  # of a language's own pages; the rest are WET
_CITED_SHARE = 0.25  # of the web pages that the Wikipedia of the language may cite
_PACKING = {"da": "7z", "hr": "xml", "sl": "gz", "sr": "7z"}  # the others are multistream
_TAG = re.compile(r"<[^<>]*>")
_CRAWL = "commoncrawl/{kind}/CC-MAIN-20200117123339-20200117153339-{number:05}.{suffix}"


@dataclass(slots=True)
class SampleInfo:
    """What was built. Sizes are bytes; `text_bytes` is UTF-8 before any packing."""

    root: Path
    key: Path
    files: dict[str, int] = field(default_factory=dict)
    text_bytes: dict[str, int] = field(default_factory=dict)  # by language, web and Wikipedia
    web_pages: int = 0
    articles: int = 0
    traps: dict[str, int] = field(default_factory=dict)
    modules_missing: dict[str, str] = field(default_factory=dict)

    def total_text_bytes(self) -> int:
        return sum(self.text_bytes.values())


def build(out: Path, seed: int = 0, scale: float = 1.0, texts: Path = TEXTS) -> SampleInfo:
    """Writes the sample below `out`: a folder for each source, `benchmarks/` and `KEY.json`.

    The same seed, scale and machine give the same bytes. `scale` changes the amount of ordinary
    text, not the number of traps. The key is written last: where it is, the sample is whole.
    Raises `SampleTextError` or `DocumentationError`.
    """
    languages = load(texts)
    info = SampleInfo(root=out, key=out / "KEY.json")
    info.key.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    documents = _documents(scale)
    modules, info.modules_missing = module_pages(
        MODULES[: max(2, round(len(MODULES) * scale))], out
    )

    wet, warc = _web_pages(languages, documents.web, modules, seed, scale)
    traps = [*_write_wet(out, wet, languages, seed), *_write_warc(out, warc, languages, seed)]
    traps += _write_wikipedia(out, info, languages, documents.wiki, [*wet, *warc], seed, scale)

    for source in SOURCES:
        traps += source.write(out, seed, scale)
        # Not a trap of the source's own step: the last step of every source shows it.
        name = source.ITEM_PLACE.file.split("/")[0]
        traps.append(benchmark.trap(name, seed, source.ITEM_PLACE))
    benchmark.write(out)

    write_key(info.key, Key(seed=seed, traps=tuple(traps)))
    _describe(info, [*wet, *warc], traps)
    return info


@dataclass(frozen=True, slots=True)
class _Documents:
    web: list[DocArticle]
    wiki: list[DocArticle]


def _documents(scale: float) -> _Documents:
    """Docstring pages, dealt so that web and Wikipedia hold every package in one proportion."""
    total = DOCSTRING_BYTES + DOCSTRING_WIKI_BYTES
    every = round(total / DOCSTRING_WIKI_BYTES)
    articles = list(docstring_articles(round(total * scale)))
    wiki = [a for i, a in enumerate(articles) if i % every == 0]
    return _Documents([a for i, a in enumerate(articles) if i % every], wiki)


def _web_pages(
    languages: dict[str, LanguageText],
    documents: list[DocArticle],
    modules: dict[str, str],
    seed: int,
    scale: float,
) -> tuple[list[WebPage], list[WebPage]]:
    """Ordinary pages for WET and for WARC; no URL is in both."""
    rng = Random(f"{seed}/web")
    wet = [docstring_page(article, i, rng) for i, article in enumerate(documents, 1)]
    warc = [module_page(name, markup, rng) for name, markup in modules.items()]
    for language, text in languages.items():
        pages = written_pages(text, round(WEB_BYTES * scale), Random(f"{seed}/web/{language}"))
        cut = round(len(pages) * _WARC_SHARE)
        warc += pages[:cut]
        wet += pages[cut:]
    return wet, warc


def _write_wet(
    out: Path, pages: list[WebPage], languages: dict[str, LanguageText], seed: int
) -> list[Trap]:
    rng = Random(f"{seed}/wet")
    planted = list(content_traps.content_traps(languages, rng))
    planted += references.planted_pages(seed)
    planted.append(benchmark.web_page(languages["en"], seed))
    files = [
        Archive(_CRAWL.format(kind="wet", number=i, suffix="warc.wet.gz"))
        for i in range(WET_FILES + 1)
    ]
    *ordinary, damaged = files
    for file in ordinary:
        file.add(archives.warcinfo(file.name))
    positions = list(range(len(pages) + sum(len(p.pages) for p in planted)))
    queue = [*pages]
    rng.shuffle(queue)
    for group in planted:  # in between, but a group's pages in their own order
        spots = sorted(rng.sample(positions, len(group.pages)))
        for spot, page in zip(spots, group.pages, strict=True):
            queue.insert(spot, page)
    where: dict[tuple[str, str], archives.Place] = {}
    for i, page in enumerate(queue):
        where[page.url, page.date] = ordinary[i % WET_FILES].add(archives.conversion(page))
    traps: list[Trap] = []
    for group in planted:
        last = group.pages[-1]
        traps += group.placed(where[last.url, last.date])
    traps += content_traps.boilerplate_lines(pages, ordinary[0].name)
    traps += record_traps.plant_wet(damaged, languages, Random(f"{seed}/wet/damaged"))
    for file in files:
        file.write(out)
    return traps


def _write_warc(
    out: Path, pages: list[WebPage], languages: dict[str, LanguageText], seed: int
) -> list[Trap]:
    rng = Random(f"{seed}/warc")
    files = [
        Archive(_CRAWL.format(kind="warc", number=i, suffix="warc.gz"))
        for i in range(WARC_FILES + 1)
    ]
    *ordinary, damaged = files
    for file in ordinary:
        file.add(archives.warcinfo(file.name))
    queue = [*pages]
    rng.shuffle(queue)
    for i, page in enumerate(queue):
        file = ordinary[i % WARC_FILES]
        file.add(archives.request(page))
        file.add(archives.response(page, page.html().encode()))
    traps = record_traps.plant_warc(damaged, languages, Random(f"{seed}/warc/damaged"))
    for file in files:
        file.write(out)
    return traps


def _write_wikipedia(
    out: Path,
    info: SampleInfo,
    languages: dict[str, LanguageText],
    documents: list[DocArticle],
    web: list[WebPage],
    seed: int,
    scale: float,
) -> list[Trap]:
    traps: list[Trap] = []
    for language, text in languages.items():
        rng = Random(f"{seed}/wikipedia/{language}")
        cited = [page.url for page in web if page.language == language]
        cited = sorted(rng.sample(cited, max(1, round(len(cited) * _CITED_SHARE))))
        pages = _articles(text, cited, round(WIKI_BYTES * scale), rng)
        if language == "en":
            pages += [documentation_page(article, text, rng) for article in documents]
            pages += references.citing_articles(seed)
        info.text_bytes[language] = sum(len((page.text or "").encode()) for page in pages)
        info.articles += len(pages)
        packing = _PACKING.get(language, "multistream")
        planted = list(wiki_traps.planted_pages(language, text, "", rng))
        if language == "en":
            planted.append(benchmark.article(text, seed))
        for page, _ in planted:
            pages.insert(rng.randrange(len(pages) + 1), page)
        name = write_dump(out / "wikipedia", language, pages, packing)
        for _, its in planted:
            traps += [trap.model_copy(update={"file": f"wikipedia/{name}"}) for trap in its]
    traps += wiki_traps.damaged_dumps(out, languages, Random(f"{seed}/wikipedia/damaged"))
    return traps


def _articles(text: LanguageText, cited: list[str], budget: int, rng: Random) -> list[WikiPage]:
    """The written articles first, then ones of frames alone, until there is enough text."""
    pages: list[WikiPage] = []
    titles: set[str] = set()
    size = 0
    written = iter(text.articles)
    while size < budget:
        article = next(written, None) or Article(text.topic(rng), (text.paragraph(rng),))
        if article.title in titles:
            continue
        titles.add(article.title)
        page = article_page(article, text, cited, rng)
        size += len((page.text or "").encode())
        pages.append(page)
    return pages


def _describe(info: SampleInfo, web: list[WebPage], traps: list[Trap]) -> None:
    for page in web:
        text = page.text() if page.markup is None else html.unescape(_TAG.sub("", page.markup))
        size = info.text_bytes.get(page.language, 0)
        info.text_bytes[page.language] = size + len(text.encode())
    info.web_pages = len(web)
    counts: Counter[str] = Counter()
    for trap in traps:
        counts[trap.kind] += trap.count
    info.traps = dict(counts)
    dumps = info.root.rglob("*")
    info.files = {
        path.relative_to(info.root).as_posix(): path.stat().st_size
        for path in sorted(dumps)
        if path.is_file()
    }
