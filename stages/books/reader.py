"""The source reader of books: every text and EPUB, loose or in archives, becomes one outcome."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from stages.books import archives, names
from stages.books.archives import ArchiveError, Budget, TooLargeError
from stages.books.epub import DrmError, EpubError, is_epub, read_epub
from stages.books.header import declared_charset, iso_day
from stages.books.languages import language_code
from stages.books.names import BookName
from stages.books.settings import BooksSettings
from stages.books.text import BookText, clean_book, letter_share
from stages.commoncrawl.charset import clean, decode
from stages.outcomes import Bad, Document, Outcome, Rejected, Skipped, Tally

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
_FIRST_PAGE = 3_000


class _Rejection(Exception):  # noqa: N818 - it is an outcome, no error
    """A file is rejected; the arguments are the reason and its detail."""


class BooksReader:
    """Reads .txt, .epub, .zip and .tar (also .gz, .bz2, .xz) files; members of archives too.

    Of the encodings of one edition the best readable one becomes a document, if they come to the
    same reader: within an archive in any order, between files best first (see `names.family`).

    `root` is the input folder: what lies below it names a file in its id.
    """

    def __init__(self, settings: BooksSettings | None = None, root: str = "") -> None:
        self.settings = settings or BooksSettings()
        self._root = root.rstrip("/") + "/" if root else ""
        self._kept: dict[str, str] = {}

    def __call__(
        self, stream: BinaryIO, path: str, tally: Tally, start: int = 0, end: int | None = None
    ) -> Iterator[Outcome]:
        """The outcomes of a file; of a tar those of the members that begin in `start..end`."""
        name = self.relative(path)
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        head = stream.read(_SNIFF)
        packed = archives.unpacked(stream, head)
        budget = Budget.of(size, self.settings.max_expansion)
        if packed is not None:
            try:
                begin = packed.read(_SNIFF)
                packed.seek(0)
            except Exception as error:
                if not archives.is_damage(error):
                    raise
                tally.record()
                yield Bad(path, 0, archives.damage(error))
                return
            if archives.is_tar(begin):
                yield from self._tar(packed, path, name, tally, budget, 0, None)
            else:
                inner = archives.packed_name(name)
                yield from self._single(packed, path, "", inner, tally, budget)
        elif archives.is_tar(head):
            stream.seek(0)
            yield from self._tar(stream, path, name, tally, budget, start, end)
        elif archives.container(head) == "zip":
            yield from self._zip(stream, path, "", name, tally, budget)
        else:
            stream.seek(0)
            yield from self._single(stream, path, "", name, tally, budget)

    def relative(self, path: str) -> str:
        """A file's path below the input folder."""
        if self._root and path.startswith(self._root):
            return path[len(self._root) :]
        return path.lstrip("/")

    # -- containers ------------------------------------------------------------------------------

    def _single(
        self, stream: IO[bytes], path: str, key: str, name: str, tally: Tally, budget: Budget
    ) -> Iterator[Outcome]:
        """One file that is no archive."""
        tally.record()
        base = posixpath.basename(name)
        if archives.promised(base):
            yield self._unopened(stream, path, key, name)
            return
        if not names.is_text(base) or names.is_legal(base):
            yield Skipped(_kind(base))
            return
        book = names.book_name(name)
        try:
            data = archives.read_bounded(stream, budget, self.settings.max_book_bytes)
        except TooLargeError as error:
            yield self._rejected(book, name, path, key, "too_large", str(error))
            return
        except Exception as error:
            if not archives.is_damage(error) and not isinstance(error, ArchiveError):
                raise
            yield Bad(path, key or 0, archives.damage(error))
            return
        yield self._text(data, book, name, path, key)

    def _unopened(self, stream: IO[bytes], path: str, key: str, name: str) -> Outcome:
        """A file named as an archive that is none, or lies too deep in others."""
        try:
            head = stream.read(_SNIFF)
        except Exception as error:
            if not archives.is_damage(error):
                raise
            return Bad(path, key or 0, archives.damage(error))
        kind = archives.promised(name)
        if archives.container(head) is None:
            return Bad(path, key or 0, f"archive: not a {kind} file")
        return self._rejected(names.book_name(name), name, path, key, "nested", f"a {kind} file")

    def _tar(
        self,
        stream: IO[bytes],
        path: str,
        name: str,
        tally: Tally,
        budget: Budget,
        start: int,
        end: int | None,
    ) -> Iterator[Outcome]:
        longest = self.settings.max_book_bytes
        for member in archives.tar_members(stream, budget, longest, start, end):
            inner = posixpath.normpath(member.name) if member.name else ""
            key = inner or str(member.offset)
            place = f"{name}/{inner}"
            if member.data is None:
                tally.record()
                if member.too_large:
                    book = names.book_name(inner, name)
                    yield self._rejected(book, place, path, key, "too_large", member.error)
                else:
                    yield Bad(path, key, member.error)
            elif archives.container(member.data[:_SNIFF]) == "zip":
                yield from self._zip(io.BytesIO(member.data), path, inner, place, tally, budget)
            else:
                data = io.BytesIO(member.data)
                yield from self._single(data, path, inner, place, tally, budget)

    def _zip(
        self,
        stream: BinaryIO,
        path: str,
        key: str,
        name: str,
        tally: Tally,
        budget: Budget,
        inside: bool = False,
    ) -> Iterator[Outcome]:
        """An EPUB, or an archive of texts: within it the encodings of an edition best first.

        A zip in it is read like it; what lies in archives within that one (`inside`) is not.
        """
        try:
            archive = archives.open_zip(stream)
        except ArchiveError as error:
            tally.record()
            yield Bad(path, key or 0, str(error))
            return
        with archive:
            if is_epub(archive):
                tally.record()
                book = names.book_name(name)
                yield self._epub(archive, book, name, path, key, budget)
                return
            texts = 0
            for member in _in_order(archive, name):
                inner = f"{key}/{member.filename}" if key else member.filename
                base = posixpath.basename(member.filename)
                if archives.promised(base) and not names.is_epub(base):
                    nested = self._nested(archive, member, name, path, inner, tally, budget, inside)
                    for outcome in nested:
                        texts += 1
                        yield outcome
                    if budget.spent > budget.left:
                        return
                    continue
                tally.record()
                if not (names.is_text(base) or names.is_epub(base)) or names.is_legal(base):
                    yield Skipped(_kind(base))
                    continue
                texts += 1
                yield self._zip_member(archive, member, name, path, inner, budget)
                if budget.spent > budget.left:
                    return  # The bomb is named; what comes after it is not unpacked.
            if not texts:
                tally.record()
                book = names.book_name("", name)
                yield self._rejected(book, name, path, key, "no_text", "")

    def _nested(
        self,
        archive: zipfile.ZipFile,
        member: zipfile.ZipInfo,
        name: str,
        path: str,
        key: str,
        tally: Tally,
        budget: Budget,
        inside: bool,
    ) -> Iterator[Outcome]:
        """The outcomes of an archive within a zip."""
        place = f"{name}/{member.filename}"
        book = names.book_name(member.filename, name)
        try:
            data = archives.read_member(archive, member, budget, self.settings.max_book_bytes)
        except TooLargeError as error:
            tally.record()
            yield self._rejected(book, place, path, key, "too_large", str(error))
            return
        except ArchiveError as error:
            tally.record()
            yield Bad(path, key, str(error))
            return
        if archives.container(data[:_SNIFF]) == "zip" and not inside:
            yield from self._zip(io.BytesIO(data), path, key, place, tally, budget, inside=True)
        else:
            tally.record()
            yield self._unopened(io.BytesIO(data), path, key, place)

    def _zip_member(
        self,
        archive: zipfile.ZipFile,
        member: zipfile.ZipInfo,
        name: str,
        path: str,
        key: str,
        budget: Budget,
    ) -> Outcome:
        book = names.book_name(member.filename, name)
        place = f"{name}/{member.filename}"
        try:
            data = archives.read_member(archive, member, budget, self.settings.max_book_bytes)
            if names.is_epub(member.filename):
                if archives.container(data[:_SNIFF]) != "zip":
                    raise ArchiveError("archive: not a zip file")
                with archives.open_zip(io.BytesIO(data)) as inner:
                    return self._epub(inner, book, place, path, key, budget)
        except TooLargeError as error:
            return self._rejected(book, place, path, key, "too_large", str(error))
        except ArchiveError as error:
            return Bad(path, key, str(error))
        return self._text(data, book, place, path, key)

    # -- books -----------------------------------------------------------------------------------

    def _epub(
        self,
        archive: zipfile.ZipFile,
        book: BookName,
        place: str,
        path: str,
        key: str,
        budget: Budget,
    ) -> Outcome:
        try:
            read = read_epub(archive, budget, self.settings.max_book_bytes)
            return self._judged(read.text, book, place, path, key, "epub", read.metadata)
        except DrmError as error:
            return self._rejected(book, place, path, key, "drm", str(error))
        except TooLargeError as error:
            return self._rejected(book, place, path, key, "too_large", str(error))
        except (EpubError, ArchiveError) as error:
            return Bad(path, key or 0, str(error))
        except _Rejection as rejected:
            return self._rejected(book, place, path, key, *rejected.args)
        except Exception as error:
            if isinstance(error, MemoryError | OSError):
                raise
            return Bad(path, key or 0, f"internal: {type(error).__name__}: {error}"[:300])

    def _text(self, data: bytes, book: BookName, place: str, path: str, key: str) -> Outcome:
        try:
            if _binary(data[:_SNIFF]):
                raise _Rejection("binary", "")
            declared = declared_charset(data)
            decoded = decode(data, declared, markup=False)
            by = "header" if decoded.by == "http" else decoded.by
            meta: dict[str, Any] = {"charset": decoded.charset, "charset_by": by}
            if decoded.replaced:
                meta["replaced"] = decoded.replaced
            return self._judged(decoded.text, book, place, path, key, "text", {}, meta)
        except _Rejection as rejected:
            return self._rejected(book, place, path, key, *rejected.args)
        except Exception as error:
            if isinstance(error, MemoryError | OSError):
                raise
            return Bad(path, key or 0, f"internal: {type(error).__name__}: {error}"[:300])

    def _judged(
        self,
        raw: str,
        book: BookName,
        place: str,
        path: str,
        key: str,
        form: str,
        metadata: dict[str, str],
        meta: dict[str, Any] | None = None,
    ) -> Document:
        """The document. Raises _Rejection."""
        settings = self.settings
        if book.old and settings.old == "reject":
            raise _Rejection("old_edition", "")
        if settings.encodings == "best" and (better := self._kept.get(book.edition)):
            raise _Rejection("other_encoding", f"kept: {better}")
        cleaned = clean_book(raw, settings)
        header, text = cleaned.header, cleaned.text
        number = self._number(book, cleaned)
        claim = _CLAIM.search(text[:_FIRST_PAGE]) if cleaned.found else None
        if settings.copyrighted == "reject":
            if header.copyrighted:
                raise _Rejection("copyrighted", header.title or "")
            if claim:
                raise _Rejection("copyrighted", " ".join(claim[0].split()))
        if not text:
            raise _Rejection("empty", "")
        if len(text) < settings.min_chars:
            raise _Rejection("too_short", f"{len(text)} characters")
        share = letter_share(text) if settings.min_letter_share else 1.0
        if share < settings.min_letter_share:
            raise _Rejection("not_prose", f"{share:.0%} letters")
        id_ = names.document_id(book, number, place)
        self._kept.setdefault(book.edition, id_)
        licence = metadata.get("rights")
        if cleaned.found:
            licence = CLAIMED if claim else PUBLIC_DOMAIN
            licence = COPYRIGHTED if header.copyrighted else licence
        stated = metadata.get("language") or header.language
        language = language_code(stated)
        more = {k: v for k, v in metadata.items() if k in ("publisher", "identifier", "subject")}
        return Document(
            id=id_,
            text=text,
            source=SOURCE,
            origin=_origin(path, key),
            url=_url(number),
            title=metadata.get("title") or header.title or _title(book),
            language=language,
            created=iso_day(metadata.get("date", "")) or header.created,
            license=licence,
            meta={
                **(meta or {}),
                **header.more,
                **more,
                "form": form,
                **_present("author", metadata.get("creator") or header.author),
                **_present("language", None if language else stated),
                **_present("gutenberg", number),
                **_present("gutenberg_marks", list(cleaned.found)),
                **_present("old", book.old),
                "removed_chars": len(raw) - len(text),
            },
        )

    def _number(self, book: BookName, cleaned: BookText) -> int | None:
        """Gutenberg's number: of the name, else of the header."""
        return book.number if book.number is not None else cleaned.header.number

    def _rejected(
        self, book: BookName, place: str, path: str, key: str, reason: str, detail: str
    ) -> Rejected:
        id_ = names.document_id(book, book.number, place)
        return Rejected(id_, _origin(path, key), reason, detail, _url(book.number))


def _in_order(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    """Files of an archive, by the edition that comes first, and within it best encoding first."""
    members = [m for m in archive.infolist() if not m.is_dir()]
    known = [names.book_name(m.filename, name) for m in members]
    first: dict[str, int] = {}
    for i, book in enumerate(known):
        first.setdefault(book.edition, i)
    order = sorted(range(len(members)), key=lambda i: (first[known[i].edition], known[i].rank, i))
    return [members[i] for i in order]


def _binary(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    return head.count(0) > len(head) // 50 or head.startswith((b"%PDF", b"\x89PNG", b"\xff\xd8"))


def _kind(base: str) -> str:
    """What a file is that holds no book."""
    if names.is_legal(base):
        return "legal"
    suffix = posixpath.splitext(base)[1].lower().lstrip(".")
    return f"file: {suffix}" if suffix.isalnum() and len(suffix) <= 5 else "file: other"


def _origin(path: str, key: str) -> str:
    return f"{path}#{key}" if key else path


def _url(number: int | None) -> str | None:
    return f"https://www.gutenberg.org/ebooks/{number}" if number else None


def _title(book: BookName) -> str | None:
    """The name of a file that tells nothing else; Gutenberg's file names are no titles."""
    return clean(book.stem)[:300] or None if book.number is None else None


def _present(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value else {}
