"""The source reader of books: every text and EPUB, loose or in archives, becomes one outcome."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, BinaryIO

from stages.books import archives, names
from stages.books.archives import ArchiveError, Budget, TarMember, TooLargeError
from stages.books.content import BookRules, Place
from stages.books.epub import is_epub
from stages.books.settings import BooksSettings
from stages.outcomes import Bad, Outcome, Skipped, Tally

_SNIFF = 4096


class BooksReader:
    """Reads .txt, .epub, .zip and .tar (also .gz, .bz2, .xz) files; members of archives too.

    Of the encodings of one edition the best readable one becomes a document, if they come to the
    same reader: within an archive in any order, between files best first (see `names.family`).

    `root` is the input folder: what lies below it names a file in its id.
    """

    def __init__(self, settings: BooksSettings | None = None, root: str = "") -> None:
        self.settings = settings or BooksSettings()
        self._root = root.rstrip("/") + "/" if root else ""
        self._rules = BookRules(self.settings)

    def __call__(
        self, stream: BinaryIO, path: str, tally: Tally, start: int = 0, end: int | None = None
    ) -> Iterator[Outcome]:
        """The outcomes of a file; of a tar those of the members that begin in `start..end`."""
        size = stream.seek(0, io.SEEK_END)
        budget = Budget.of(size, self.settings.max_expansion)
        walk = _Walk(self._rules, self.settings, path, tally, budget)
        yield from walk.raw(stream, self.relative(path), start, end)

    def relative(self, path: str) -> str:
        """A file's path below the input folder."""
        if self._root and path.startswith(self._root):
            return path[len(self._root) :]
        return path.lstrip("/")


@dataclass
class _Walk:
    """The way through one raw file. `name` is everywhere the place of a file: its path below the
    input folder, with the path inside archives; `key`: the latter alone."""

    rules: BookRules
    settings: BooksSettings
    path: str
    tally: Tally
    budget: Budget
    _met: Counter[str] = field(default_factory=Counter)

    def raw(self, stream: BinaryIO, name: str, start: int, end: int | None) -> Iterator[Outcome]:
        stream.seek(0)
        head = stream.read(_SNIFF)
        packed = archives.unpacked(stream, head)
        if packed is not None:
            yield from self._packed(packed, name)
        elif archives.is_tar(head):
            stream.seek(0)
            yield from self._tar(stream, name, start, end)
        elif archives.container(head) == "zip":
            yield from self._zip(stream, "", name)
        else:
            stream.seek(0)
            yield self._file(stream, "", name)

    def _packed(self, packed: IO[bytes], name: str) -> Iterator[Outcome]:
        try:
            begin = packed.read(_SNIFF)
            packed.seek(0)
        except Exception as error:
            if not archives.is_damage(error):
                raise
            self.tally.record()
            yield Bad(self.path, 0, archives.damage(error))
            return
        if archives.is_tar(begin):
            yield from self._tar(packed, name, 0, None)
        else:
            yield self._file(packed, "", archives.packed_name(name))

    def _file(self, stream: IO[bytes], key: str, name: str, place: str = "") -> Outcome:
        """One file that is no archive; `place`: its place, where that is not its name."""
        self.tally.record()
        base = posixpath.basename(name)
        at = Place(names.book_name(name), place or name, self.path, key)
        if archives.promised(base):
            return self._unopened(stream, base, at)
        if not names.is_text(base) or names.is_legal(base):
            return Skipped(_kind(base))
        try:
            data = archives.read_bounded(stream, self.budget, self.settings.max_book_bytes)
        except TooLargeError as error:
            return at.rejected("too_large", str(error))
        except Exception as error:
            if not archives.is_damage(error) and not isinstance(error, ArchiveError):
                raise
            return at.bad(archives.damage(error))
        return self.rules.text(data, at)

    def _unopened(self, stream: IO[bytes], base: str, at: Place) -> Outcome:
        """A file named as an archive that is none, or lies too deep in others."""
        try:
            head = stream.read(_SNIFF)
        except Exception as error:
            if not archives.is_damage(error):
                raise
            return at.bad(archives.damage(error))
        kind = archives.promised(base)
        if archives.container(head) is None:
            return at.bad(f"archive: not a {kind} file")
        return at.rejected("nested", f"a {kind} file")

    # -- tar -------------------------------------------------------------------------------------

    def _tar(self, stream: IO[bytes], name: str, start: int, end: int | None) -> Iterator[Outcome]:
        longest = self.settings.max_book_bytes
        for member in archives.tar_members(stream, self.budget, longest, start, end):
            inner = posixpath.normpath(names.as_text(member.name)) if member.name else ""
            key, place = self._once(inner or str(member.offset), f"{name}/{inner}")
            if member.data is None:
                self.tally.record()
                yield self._unread(member, self._at(key, place, names.book_name(inner, name)))
            elif archives.container(member.data[:_SNIFF]) == "zip":
                yield from self._zip(io.BytesIO(member.data), key, place)
            else:
                yield self._file(io.BytesIO(member.data), key, f"{name}/{inner}", place)

    def _unread(self, member: TarMember, at: Place) -> Outcome:
        if member.link:
            return Skipped("link in a tar")
        if member.too_large:
            return at.rejected("too_large", member.error)
        return at.bad(member.error)

    # -- zip -------------------------------------------------------------------------------------

    def _zip(
        self, stream: BinaryIO, key: str, name: str, inside: bool = False
    ) -> Iterator[Outcome]:
        """An EPUB, or an archive of texts: within it the encodings of an edition best first.

        A zip in it is read like it; what lies in archives within that one (`inside`) is not.
        """
        try:
            archive = archives.open_zip(stream)
        except ArchiveError as error:
            self.tally.record()
            yield Bad(self.path, key or 0, str(error))
            return
        with archive:
            if is_epub(archive):
                self.tally.record()
                yield self.rules.epub(archive, self._at(key, name), self.budget)
                return
            texts = 0
            for member in _in_order(archive, name):
                for outcome in self._member(archive, member, key, name, inside):
                    texts += not isinstance(outcome, Skipped)
                    yield outcome
                if self.budget.spent > self.budget.left:
                    return  # The bomb is named; what comes after it is not unpacked.
            if not texts:
                self.tally.record()
                yield self._at(key, name, names.book_name("", name)).rejected("no_text", "")

    def _member(
        self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, box: str, name: str, inside: bool
    ) -> Iterator[Outcome]:
        """The outcomes of a member of the zip `name`, which is `box` in the raw file."""
        base = posixpath.basename(member.filename)
        packed = archives.promised(base) is not None and not names.is_epub(base)
        if not packed and (
            not (names.is_text(base) or names.is_epub(base)) or names.is_legal(base)
        ):
            self.tally.record()
            yield Skipped(_kind(base))
            return
        key, place = self._once(
            f"{box}/{member.filename}" if box else member.filename, f"{name}/{member.filename}"
        )
        at = self._at(key, place, names.book_name(member.filename, name))
        data = self._read(archive, member, at)
        if not isinstance(data, bytes):
            self.tally.record()
            yield data
        elif packed and not inside and archives.container(data[:_SNIFF]) == "zip":
            yield from self._zip(io.BytesIO(data), key, place, inside=True)
        else:
            self.tally.record()
            yield self._content(data, base, at)

    def _read(
        self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, at: Place
    ) -> bytes | Outcome:
        try:
            return archives.read_member(archive, member, self.budget, self.settings.max_book_bytes)
        except TooLargeError as error:
            return at.rejected("too_large", str(error))
        except ArchiveError as error:
            return at.bad(str(error))

    def _content(self, data: bytes, base: str, at: Place) -> Outcome:
        """What becomes of an unpacked member of a zip, by its name."""
        if names.is_text(base):
            return self.rules.text(data, at)
        if not names.is_epub(base):
            return self._unopened(io.BytesIO(data), base, at)
        if archives.container(data[:_SNIFF]) != "zip":
            return at.bad("archive: not a zip file")
        try:
            with archives.open_zip(io.BytesIO(data)) as archive:
                return self.rules.epub(archive, at, self.budget)
        except ArchiveError as error:
            return at.bad(str(error))

    # -- places ----------------------------------------------------------------------------------

    def _at(self, key: str, name: str, book: names.BookName | None = None) -> Place:
        return Place(book or names.book_name(name), name, self.path, key)

    def _once(self, key: str, place: str) -> tuple[str, str]:
        """Archives may hold a name twice; from the second time on it gets a number."""
        self._met[place] += 1
        count = self._met[place]
        return (key, place) if count == 1 else (f"{key}#{count}", f"{place}#{count}")


def _in_order(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    """Files of an archive, by the edition that comes first, and within it best encoding first."""
    members = [m for m in archive.infolist() if not m.is_dir()]
    known = [names.book_name(m.filename, name) for m in members]
    first: dict[str, int] = {}
    for i, book in enumerate(known):
        first.setdefault(book.edition, i)
    order = sorted(range(len(members)), key=lambda i: (first[known[i].edition], known[i].rank, i))
    return [members[i] for i in order]


def _kind(base: str) -> str:
    """What a file is that holds no book."""
    if names.is_legal(base):
        return "legal"
    suffix = posixpath.splitext(base)[1].lower().lstrip(".")
    return f"file: {suffix}" if suffix.isalnum() and len(suffix) <= 5 else "file: other"
