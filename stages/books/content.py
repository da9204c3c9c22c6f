"""A book's bytes become a document or leave: the rules that look at what a file holds."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stages.books import names
from stages.books.archives import ArchiveError, Budget, TooLargeError
from stages.books.epub import DrmError, EpubError, read_epub
from stages.books.header import declared_charset, iso_day
from stages.books.languages import language_code
from stages.books.names import BookName
from stages.books.settings import BooksSettings
from stages.books.text import BookText, clean_book, letter_share
from stages.commoncrawl.charset import clean, decode
from stages.outcomes import Bad, Document, Outcome, Rejected

SOURCE = "books"

REASONS: dict[str, str] = {
    "binary": "a file named as text that is none",
    "copyrighted": "Project Gutenberg, or the first page, claims a copyright",
    "drm": "the EPUB is encrypted",
    "empty": "no text is left without header and licence",
    "nested": "an archive within archives, too deep to be unpacked",
    "no_text": "an archive without any text (pictures, sound, other formats only)",
    "not_prose": "too few letters: digits, tables, lists of files",
    "old_edition": "lies in old/, and the settings reject those",
    "other_encoding": "the same edition is there in a better encoding",
    "too_large": "longer than `max_book_bytes`",
    "too_short": "fewer characters than `min_chars`",
}
"""Why a readable file does not become a document."""

FAULTS: dict[str, str] = {
    "archive": "a file is not what its name promises, or it or a member cannot be unpacked",
    "bomb": "expands without end",
    "encrypted": "a zip member needs a password",
    "epub": "the parts that make an EPUB are not there",
    "internal": "an error of this program; the file is kept out and counted",
    "truncated": "a tar ends too early",
    "xml": "an EPUB's package file cannot be parsed",
}
"""The words with which the error of a bad record begins."""

PUBLIC_DOMAIN = "Public domain in the United States (Project Gutenberg License)"
CLAIMED = "Project Gutenberg License"
COPYRIGHTED = "Copyrighted; Project Gutenberg License"
_SNIFF = 4096
# New editions and translations say so on their first page: "Copyright (C) 2002 by ...".
_CLAIM = re.compile(r"(?:copyright|\(c\)|©)\D{0,20}(?:19[89]\d|20\d\d)", re.I)
_FIRST_PAGE, _SNIFF = 3_000, 4_096


@dataclass(frozen=True)
class Place:
    """Where a book lies. `path`: the raw file; `key`: the path inside it, if it is an archive;
    `place`: both, below the input folder, which decides the id; `name`: what its name tells."""

    name: BookName
    place: str
    path: str
    key: str

    @property
    def origin(self) -> str:
        return f"{self.path}#{self.key}" if self.key else self.path

    def rejected(self, reason: str, detail: str) -> Rejected:
        id_ = names.document_id(self.name, self.name.number, self.place)
        return Rejected(id_, self.origin, reason, detail, _url(self.name.number))

    def bad(self, error: str) -> Bad:
        return Bad(self.path, self.key or 0, error)


class _Rejection(Exception):  # noqa: N818 - it is an outcome, no error
    """A book is rejected; the arguments are the reason and its detail."""


@dataclass(frozen=True)
class _Raw:
    """A book's text before it is cleaned; `form`: text or epub; `stated`: an EPUB's metadata."""

    text: str
    form: str
    stated: dict[str, str]
    meta: dict[str, Any]


class BookRules:
    """Judges books by the settings, one after the other: of the encodings of one edition the first
    that becomes a document is kept."""

    def __init__(self, settings: BooksSettings) -> None:
        self._settings = settings
        self._kept: dict[str, str] = {}

    def epub(self, archive: zipfile.ZipFile, at: Place, budget: Budget) -> Outcome:
        """What becomes of an EPUB."""

        def judged() -> Outcome:
            try:
                read = read_epub(archive, budget, self._settings.max_book_bytes)
            except DrmError as error:
                return at.rejected("drm", str(error))
            except TooLargeError as error:
                return at.rejected("too_large", str(error))
            except (EpubError, ArchiveError) as error:
                return at.bad(str(error))
            return self._document(_Raw(read.text, "epub", read.metadata, {}), at)

        return _guarded(judged, at)

    def text(self, data: bytes, at: Place) -> Outcome:
        """What becomes of a plain text, given as the bytes of its file."""

        def judged() -> Outcome:
            if _binary(data[:_SNIFF]):
                raise _Rejection("binary", "")
            decoded = decode(data, declared_charset(data), markup=False)
            by = "header" if decoded.by == "http" else decoded.by
            meta: dict[str, Any] = {"charset": decoded.charset, "charset_by": by}
            if decoded.replaced:
                meta["replaced"] = decoded.replaced
            return self._document(_Raw(decoded.text, "text", {}, meta), at)

        return _guarded(judged, at)

    def _document(self, raw: _Raw, at: Place) -> Document:
        """Raises _Rejection."""
        settings = self._settings
        if at.name.old and settings.old == "reject":
            raise _Rejection("old_edition", "")
        if settings.encodings == "best" and (better := self._kept.get(at.name.edition)):
            raise _Rejection("other_encoding", f"kept: {better}")
        book = clean_book(raw.text, settings)
        claim = _CLAIM.search(book.text[:_FIRST_PAGE]) if book.found else None
        self._check(book, claim)
        number = at.name.number if at.name.number is not None else book.header.number
        id_ = names.document_id(at.name, number, at.place)
        self._kept.setdefault(at.name.edition, id_)
        header, stated = book.header, raw.stated
        licence = stated.get("rights")
        if book.found:
            licence = CLAIMED if claim else PUBLIC_DOMAIN
            licence = COPYRIGHTED if header.copyrighted else licence
        said = stated.get("language") or header.language
        language = language_code(said)
        more = {k: v for k, v in stated.items() if k in ("publisher", "identifier", "subject")}
        return Document(
            id=id_,
            text=book.text,
            source=SOURCE,
            origin=at.origin,
            url=_url(number),
            title=stated.get("title") or header.title or _title(at.name),
            language=language,
            created=iso_day(stated.get("date", "")) or header.created,
            license=licence,
            meta={
                **raw.meta,
                **header.more,
                **more,
                "form": raw.form,
                **_present("author", stated.get("creator") or header.author),
                **_present("language", None if language else said),
                **_present("gutenberg", number),
                **_present("gutenberg_marks", list(book.found)),
                **_present("old", at.name.old),
                "removed_chars": len(raw.text) - len(book.text),
            },
        )

    def _check(self, book: BookText, claim: re.Match[str] | None) -> None:
        """Raises _Rejection for what is no book, or not free."""
        settings, text = self._settings, book.text
        if settings.copyrighted == "reject":
            if book.header.copyrighted:
                raise _Rejection("copyrighted", book.header.title or "")
            if claim:
                raise _Rejection("copyrighted", " ".join(claim[0].split()))
        if not text:
            raise _Rejection("empty", "")
        if len(text) < settings.min_chars:
            raise _Rejection("too_short", f"{len(text)} characters")
        share = letter_share(text) if settings.min_letter_share else 1.0
        if share < settings.min_letter_share:
            raise _Rejection("not_prose", f"{share:.0%} letters")


def _guarded(judged: Callable[[], Outcome], at: Place) -> Outcome:
    """An outcome whatever happens; a rule that fails makes a bad record, what the machine lacks is
    raised."""
    try:
        return judged()
    except _Rejection as rejected:
        return at.rejected(*rejected.args)
    except Exception as error:
        if isinstance(error, MemoryError | OSError):
            raise
        return at.bad(f"internal: {type(error).__name__}: {error}"[:300])


def _binary(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    return head.count(0) > len(head) // 50 or head.startswith((b"%PDF", b"\x89PNG", b"\xff\xd8"))


def _url(number: int | None) -> str | None:
    return f"https://www.gutenberg.org/ebooks/{number}" if number else None


def _title(book: BookName) -> str | None:
    """The name of a file that tells nothing else; Gutenberg's file names are no titles."""
    return clean(book.stem)[:300] or None if book.number is None else None


def _present(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value else {}
