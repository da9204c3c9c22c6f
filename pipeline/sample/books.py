"""Books of the sample: a Gutenberg mirror and a folder of EPUBs and texts, with planted traps.

The books are made of the sample's own sentences in several languages, and in English of the
documentation of installed packages (see `pipeline.sample.documentation`). Gutenberg's header and
licence are imitated by words of this project that begin and end with its markers.
"""

from __future__ import annotations

import io
import tarfile
import textwrap
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from pipeline.sample import benchmark
from pipeline.sample.documentation import DocArticle, DocumentationError, docstring_articles
from pipeline.sample.texts import LanguageText, load
from pipeline.sample.traps import Must, Trap

EXTRACT = "books"
DEDUP = "books.book_dedup"
BOOK_BYTES = 40_000
BOMB = 96 << 20
_DUPLICATES = 5  # books of the dedup traps
_STORY_CHARS = 16_000
_EPOCH = (1980, 1, 1, 0, 0, 0)
_NAMES = {
    "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian",
    "nl": "Dutch", "pl": "Polish", "hu": "Hungarian", "cs": "Czech", "da": "Danish",
}  # fmt: skip
_HEADER = """{opening} {title}, by {author}

This eBook is for the use of anyone anywhere in this sample.

Title: {title}

Author: {author}

Release Date: {date} [EBook #{number}]

Language: {language}

Character set encoding: {charset}

*** START OF THIS PROJECT GUTENBERG EBOOK {upper} ***

Produced by the makers of the sample and the Online
Distributed Proofreading Team at nowhere.example

"""
_FOOTER = """

End of the Project Gutenberg EBook of {title}, by {author}

*** END OF THIS PROJECT GUTENBERG EBOOK {upper} ***

*** START: FULL LICENSE ***

LICENCE-WORDS of the sample, which are no part of the book.
"""
_OLD_HEADER = """**The Project Gutenberg Etext of {title}, by {author}**

Please take a look at the important information in this header.

{title}

by {author}

June, 1994  [Etext #{number}]

***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***
LICENCE-WORDS of the sample, which are no part of the book.
*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*

"""
_OLD_FOOTER = """

End of the Project Gutenberg Etext of {title}, by {author}
"""
_LICENCE_WORDS = ("LICENCE-WORDS", "START OF THIS PROJECT", "Distributed Proofreading")


@dataclass(frozen=True, slots=True)
class Book:
    """A made-up book: paragraphs parted by blank lines when printed, wrapped at 70 characters."""

    number: int
    title: str
    author: str
    language: str
    paragraphs: tuple[str, ...]

    def body(self) -> str:
        return "\n\n".join(textwrap.fill(p, 70) for p in [self.title.upper(), *self.paragraphs])

    @property
    def end(self) -> str:
        """Its last words, which show that nothing was cut off."""
        return self.paragraphs[-1][-40:]

    def with_share_changed(self, share: float, words: Sequence[str]) -> Book:
        """The book with the first `share` of its paragraphs' words replaced, in one stretch."""
        text = [p.split(" ") for p in self.paragraphs]
        left = round(sum(map(len, text)) * share)
        changed = []
        for i, paragraph in enumerate(text):
            count = min(left, len(paragraph))
            left -= count
            replaced = [words[(i * 7 + k) % len(words)] for k in range(count)]
            changed.append(" ".join([*replaced, *paragraph[count:]]))
        return replace(self, paragraphs=tuple(changed))


def as_gutenberg(
    book: Book, charset: str = "UTF-8", header: str = _HEADER, footer: str = _FOOTER
) -> str:
    """The text of a Gutenberg file, before it is encoded."""
    values = {
        "opening": "The Project Gutenberg EBook of",
        "title": book.title,
        "author": book.author,
        "upper": book.title.upper(),
        "number": book.number,
        "language": _NAMES[book.language],
        "charset": charset,
        "date": "May 3, 2006",
    }
    return f"{header.format(**values)}{book.body()}{footer.format(**values)}".replace("\n", "\r\n")


def as_old_gutenberg(book: Book) -> str:
    """The text of a file of the 1990s: small print before the book."""
    return as_gutenberg(book, header=_OLD_HEADER, footer=_OLD_FOOTER)


def zipped(members: Sequence[tuple[str, bytes]]) -> bytes:
    """A zip file without clock or user in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return buffer.getvalue()


def epub_members(
    book: Book, doctype: str = "", title: str | None = None, folder: str = "OEBPS"
) -> list[tuple[str, bytes]]:
    """The files of an EPUB 2; chapters lie in it in another order than in its spine."""
    third = max(1, len(book.paragraphs) // 3)
    chapters = [book.paragraphs[i : i + third] for i in range(0, len(book.paragraphs), third)]
    names = [f"c{len(chapters) - i:02}.xhtml" for i in range(len(chapters))]
    items = "".join(
        f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>'
        for name in sorted(names)
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in names)
    package = f"""<?xml version="1.0" encoding="utf-8"?>{doctype}
<package xmlns="http://www.idpf.org/2007/opf" version="2.0">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title or book.title}</dc:title>
<dc:creator>{book.author}</dc:creator><dc:language>{book.language}</dc:language>
<dc:date>2001-02-03</dc:date></metadata>
<manifest>{items}</manifest><spine>{spine}</spine></package>"""
    container = f"""<?xml version="1.0"?><container version="1.0"
 xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="{folder}/content.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>"""
    documents = [
        (
            f"{folder}/{name}",
            '<?xml version="1.0" encoding="utf-8"?>'
            '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>'
            f"{''.join(f'<p>{p}</p>' for p in chapter)}</body></html>",
        )
        for name, chapter in zip(names, chapters, strict=True)
    ]
    files = [
        ("META-INF/container.xml", container),
        (f"{folder}/content.opf", package),
        *sorted(documents),
    ]
    return [("mimetype", b"application/epub+zip"), *((n, t.encode()) for n, t in files)]


def write(out: Path, seed: int, scale: float) -> list[Trap]:
    """Writes `books/gutenberg/` (a mirror) and `books/books3/` below `out`; returns their traps."""
    rng = Random(f"{seed}/books")
    texts = load()
    plant = _Plant(out, rng)
    count = max(6, round(12 * scale))
    articles = list(docstring_articles(count * BOOK_BYTES // 2 + _DUPLICATES * _STORY_CHARS))
    stories, ordinary = _taken(articles)
    for book in _books(texts, ordinary, rng, count):
        plant.add(mirror(book.number, f"{book.number}-0"), _single(book, "utf-8"))
    _plant_item(plant, texts, seed)
    _encodings(plant, texts)
    _duplicates(plant, stories)
    _no_books(plant, texts)
    _epubs(plant, texts)
    _hostile(plant, texts)
    return plant.traps


def _taken(articles: Sequence[DocArticle]) -> tuple[list[list[DocArticle]], list[DocArticle]]:
    """Articles for the books of the dedup traps, and those left."""
    groups: list[list[DocArticle]] = []
    rest = iter(articles)
    while len(groups) < _DUPLICATES:
        group: list[DocArticle] = []
        while sum(len(p) for a in group for p in a.paragraphs) < _STORY_CHARS:
            article = next(rest, None)
            if article is None:
                raise DocumentationError("this machine has too little documentation for the books")
            group.append(article)
        groups.append(group)
    return groups, list(rest)


def mirror(number: int, stem: str, old: bool = False) -> str:
    """Where a mirror keeps a book: 10123 below 1/0/1/2/10123."""
    digits = "/".join(str(number)[:-1]) or "0"
    return f"gutenberg/{digits}/{number}/{'old/' if old else ''}{stem}.zip"


_ITEM_NUMBER = 19_999
ITEM_PLACE = benchmark.Place(
    f"books/{mirror(_ITEM_NUMBER, f'{_ITEM_NUMBER}-0')}",
    f"https://www.gutenberg.org/ebooks/{_ITEM_NUMBER}",
)


@dataclass(slots=True)
class _Plant:
    """Writes files and remembers the traps."""

    out: Path
    rng: Random
    traps: list[Trap] = field(default_factory=list)
    number: int = 20_000

    def book(self, texts: dict[str, LanguageText], language: str = "en", blocks: int = 40) -> Book:
        self.number += 1
        return _written(self.number, texts[language], self.rng, blocks)

    def prose(self, articles: Sequence[DocArticle], title: str) -> Book:
        """A book that repeats itself no more than prose does, as dedup needs it."""
        self.number += 1
        return Book(self.number, f"{title} {self.number}", "The Authors", "en", _prose(articles))

    def add(self, name: str, data: bytes) -> str:
        path = self.out / "books" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"books/{name}"

    def trap(
        self,
        kind: str,
        must: Must,
        name: str,
        data: bytes,
        book: Book | None = None,
        any_of: tuple[str, ...] = (),
        steps: tuple[str, ...] = (EXTRACT,),
        note: str = "",
    ) -> None:
        file = self.add(name, data)
        self.also(kind, must, file, book, any_of, steps, note)

    def also(
        self,
        kind: str,
        must: Must,
        file: str,
        book: Book | None = None,
        any_of: tuple[str, ...] = (),
        steps: tuple[str, ...] = (EXTRACT,),
        note: str = "",
    ) -> None:
        self.traps.append(
            Trap(
                kind=kind,
                must=must,
                steps=steps,
                file=file,
                language=book.language if book else None,
                title=book.title if book else None,
                any_of=any_of,
                note=note,
            )
        )


def _prose(articles: Sequence[DocArticle]) -> tuple[str, ...]:
    paragraphs = (" ".join(p.split()) for a in articles for p in a.paragraphs)
    return tuple(p for p in paragraphs if p)


def _books(
    texts: dict[str, LanguageText], articles: Sequence[DocArticle], rng: Random, count: int
) -> Iterator[Book]:
    """Ordinary books: half of documentation in English, half in the written languages."""
    size = max(1, len(articles) // max(1, count // 2))
    for i in range(count):
        part = articles[i // 2 * size : (i // 2 + 1) * size]
        if i % 2 == 0 and part:
            yield Book(10_100 + i, f"The Book of {part[0].name} ({i})", "X", "en", _prose(part))
        else:
            language = sorted(_NAMES)[i % len(_NAMES)]
            yield _written(10_100 + i, texts[language], rng, 80)


def _written(number: int, text: LanguageText, rng: Random, blocks: int) -> Book:
    paragraphs = tuple(text.paragraph(rng) for _ in range(blocks))
    author = f"{text.word(rng)} {text.word(rng)}".title()
    return Book(number, f"{text.topic(rng)} {number}", author, text.language, paragraphs)


def _single(book: Book, encoding: str, charset: str = "") -> bytes:
    stem = {"utf-8": "-0", "windows-1252": "-8", "ascii": ""}[encoding]
    text = as_gutenberg(book, charset or encoding.upper())
    data = text.encode(encoding, "strict" if encoding == "utf-8" else "replace")
    return zipped([(f"{book.number}{stem}.txt", data)])


def _plant_item(plant: _Plant, texts: dict[str, LanguageText], seed: int) -> None:
    """An item of a benchmark in a book: its lines are broken, and a word is in italics."""
    book = replace(plant.book(texts), number=_ITEM_NUMBER)
    question, *rest = benchmark.planted("books", seed).lines()
    first, second, *words = question.split(" ")
    item = (" ".join([first, f"_{second}_", *words]), *rest)
    book = replace(book, paragraphs=(*book.paragraphs[:9], *item, *book.paragraphs[9:]))
    plant.add(ITEM_PLACE.file.removeprefix("books/"), _single(book, "utf-8"))


def _encodings(plant: _Plant, texts: dict[str, LanguageText]) -> None:
    for language in ("de", "fr"):
        book = plant.book(texts, language)
        at = mirror(book.number, f"{book.number}-0")
        plant.trap(
            "Gutenberg header and licence", Must.TEXT_GONE, at, _single(book, "utf-8"), book,
            _LICENCE_WORDS,
        )  # fmt: skip
        plant.also("book kept to its last word", Must.KEPT, f"books/{at}", book, (book.end,))
        for encoding, stem in (("windows-1252", "-8"), ("ascii", "")):
            name = mirror(book.number, f"{book.number}{stem}")
            plant.trap("other encoding of an edition", Must.REJECTED, name, _single(book, encoding))
    for language, wrong in (("es", "ASCII"), ("it", "UTF-8"), ("nl", "ISO Latin-1")):
        book = plant.book(texts, language)
        book = replace(book, paragraphs=(*book.paragraphs, "Fin: café, piñón, über, così è."))
        name = mirror(book.number, f"{book.number}-8")
        data = _single(book, "windows-1252", wrong)
        plant.trap("8-bit book, charset misnamed", Must.KEPT, name, data, book, (book.end,))


def _duplicates(plant: _Plant, stories: Sequence[Sequence[DocArticle]]) -> None:
    words = [plant.rng.choice(("lorem", "ipsum", "dolor")) + str(i) for i in range(997)]
    for share, articles in zip((0.02, 0.05), stories, strict=False):
        book = plant.prose(articles, "Two Editions")
        plant.add(mirror(book.number, f"{book.number}-0"), _single(book, "utf-8"))
        changed = book.with_share_changed(share, words)
        older = replace(changed, paragraphs=changed.paragraphs[:-1])
        stem = f"dupl{book.number % 100:02}10"
        name = mirror(book.number, stem, old=True)
        data = zipped([(f"{stem}.txt", as_old_gutenberg(older).encode())])
        note = f"{share:.0%} of the words differ"
        plant.trap("older edition", Must.REJECTED, name, data, steps=(DEDUP,), note=note)
        file = f"books/{name}"
        plant.also("header of the 1990s", Must.TEXT_GONE, file, book, _LICENCE_WORDS)
    book = plant.prose(stories[2], "Another Version")
    plant.add(mirror(book.number, f"{book.number}-0"), _single(book, "utf-8"))
    other = replace(
        book.with_share_changed(0.15, words), number=book.number + 500, title=f"{book.title} II"
    )
    name = mirror(other.number, f"{other.number}-0")
    plant.trap(
        "book with 15 % of another's words changed", Must.KEPT, name, _single(other, "utf-8"),
        other, (other.end,), (DEDUP,),
    )  # fmt: skip
    story, rest = plant.prose(stories[3], "The Story"), plant.prose(stories[4], "The Collection")
    collection = replace(rest, paragraphs=rest.paragraphs + story.paragraphs + ("The end.",))
    at = mirror(rest.number, f"{rest.number}-0")
    plant.trap(
        "collection with a story in it", Must.KEPT, at, _single(collection, "utf-8"), collection,
        (collection.end,), (DEDUP,),
    )  # fmt: skip
    at = mirror(story.number, f"{story.number}-0")
    data = _single(story, "utf-8")
    plant.trap("story that a collection has", Must.REJECTED, at, data, steps=(DEDUP,))


def _no_books(plant: _Plant, texts: dict[str, LanguageText]) -> None:
    book = plant.book(texts)
    notice = "** This is a COPYRIGHTED Project Gutenberg eBook, Details Below **\n\n"
    text = as_gutenberg(book, header=notice + _HEADER)
    name = f"{book.number}-0"
    data = zipped([(f"{name}.txt", text.encode())])
    plant.trap("copyrighted book", Must.REJECTED, mirror(book.number, name), data)
    book = plant.book(texts)
    digits = "".join(str(plant.rng.randrange(10)) for _ in range(20_000))
    numbers = replace(book, paragraphs=tuple(textwrap.wrap(digits, 500)))
    at = mirror(book.number, f"{book.number}-0")
    plant.trap("book of digits", Must.REJECTED, at, _single(numbers, "utf-8"))
    name = f"{plant.number + 1}-m.zip"
    data = zipped([("track01.mp3", bytes(range(256)) * 20), ("index.html", b"<html></html>")])
    plant.trap("archive without text", Must.REJECTED, f"gutenberg/audio/{name}", data)


def _epubs(plant: _Plant, texts: dict[str, LanguageText]) -> None:
    book = plant.book(texts)
    data = zipped(epub_members(book))
    folder = "books3"
    plant.trap("EPUB", Must.KEPT, f"{folder}/one/{book.number}.epub", data, book, (book.end,))
    turn = len(book.paragraphs) // 3
    # The end of a chapter and the beginning of the next one of the spine.
    seam = f"{book.paragraphs[turn - 1][-30:]} {book.paragraphs[turn][:30]}"
    at = f"books/{folder}/one/{book.number}.epub"
    plant.also("EPUB in the order of its spine", Must.KEPT, at, book, (seam,))
    book = plant.book(texts)
    rights = b"""<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"
 xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:EncryptionMethod
 Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></enc:EncryptedData></encryption>"""
    data = zipped([*epub_members(book), ("META-INF/encryption.xml", rights)])
    plant.trap("encrypted EPUB", Must.REJECTED, f"{folder}/two/{book.number}.epub", data)
    book = plant.book(texts)
    name = f"{folder}/two/{book.title} - {book.author}.epub.txt"
    named = replace(book, title=f"{book.title} - {book.author}")
    plant.trap("text of an EPUB", Must.KEPT, name, book.body().encode(), named, (book.end,))


def _hostile(plant: _Plant, texts: dict[str, LanguageText]) -> None:
    folder = "books3/hostile"
    bomb = zipped([("bomb.txt", b"boom " * (BOMB // 5))])
    plant.trap("zip bomb", Must.UNREADABLE, f"{folder}/bomb.zip", bomb)
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(12))
    book = plant.book(texts)
    members = epub_members(book, f"<!DOCTYPE package [{laughs}]>", "&l11;")
    data = zipped(members)
    plant.trap("entity bomb in an EPUB", Must.ACCOUNTED, f"{folder}/laughs.epub", data)
    book = plant.book(texts)
    up = [(f"../../../{book.number}.txt", as_gutenberg(book).encode())]
    plant.trap(
        "archive with ../ in names", Must.KEPT, f"{folder}/up.zip", zipped(up), book, (book.end,)
    )
    book = plant.book(texts)
    whole = _single(book, "utf-8")
    cut = whole[: len(whole) * 2 // 3]
    at = mirror(book.number, f"{book.number}-0")
    plant.trap("truncated zip", Must.UNREADABLE, at, cut)
    first, second = plant.book(texts), plant.book(texts)
    data = _tar([(f"../{first.number}.txt", first), (f"a/{second.number}-8.txt", second)])
    plant.trap("tar cut off", Must.UNREADABLE, f"{folder}/cut.tar", data[: len(data) * 2 // 3])
    first, second = plant.book(texts), plant.book(texts)
    data = _tar([(f"../{first.number}.txt", first), (f"/etc/{second.number}.txt", second)])
    file = plant.add(f"{folder}/up.tar", data)
    for book in (first, second):
        plant.also("tar with ../ in names", Must.KEPT, file, book, (book.end,))
    data = b"0123456789 " * 200_000
    plant.trap("line of two megabytes", Must.ACCOUNTED, f"{folder}/line.txt", data)


def _tar(books: Sequence[tuple[str, Book]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, book in books:
            data = as_gutenberg(book).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
