"""What the name of a file says: Gutenberg's number, encoding and edition; and the document's id.

Mirrors hold `9/98/98-0.txt`, `98-8.zip`, `98.zip` (UTF-8, 8 bit, ASCII), `9/98/old/2city12.zip`,
`cache/epub/98/pg98.txt`, `pg98-images.epub`; the oldest texts are `etext98/2city12.zip`, with
`7fau110`/`8fau110` for 7 and 8 bit. One archive for all of a book's files (`..._98.zip`) is common
too. Names of other books say nothing.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from dataclasses import dataclass

_NUMBERED = re.compile(
    r"(?P<date>\d{8}-|\d{4}-\d\d-\d\d-)?(?P<number>\d{1,6})(?:-(?P<code>[0578]))?$"
)
_CACHED = re.compile(r"pg(?P<number>\d{1,6})(?P<images>-images)?(?:-\d)?$")
_BITS = re.compile(r"(?P<code>[78])(?P<base>[a-z]\w{0,5}\d\d[a-z]?)$")
_REPOSITORY = re.compile(r"_(\d{1,6})$")
_UNSAFE = re.compile(r"[^\w.-]+")
_SUFFIXES = (".txt.utf8", ".utf8", ".utf-8", ".txt", ".text", ".epub3", ".epub", ".zip")
_RANK = {"0": 0, "8": 1, "5": 2, "": 3, "7": 4, "epub": 5, "images": 6}
_LEGAL = re.compile(r"(?:^|[-_ ])(?:licen[cs]e|copying|copyright|readme|manifest)$", re.I)
_NAME_CHARS = 80


@dataclass(frozen=True)
class BookName:
    """`edition`: what the encodings of one text share; `code`: its encoding there (`0` UTF-8, `8`,
    `5` and `7` bits, `` plain, `epub`, `images`), best first by `rank`; `old`: lies in old/."""

    number: int | None
    edition: str
    code: str
    old: bool
    stem: str

    @property
    def rank(self) -> int:
        return _RANK[self.code]


def book_name(place: str, container: str = "") -> BookName:
    """`place` is the path of a text below the input folder or inside the archive `container`."""
    folder, base = posixpath.split(place)
    outer, box = posixpath.split(container)
    stem, box_stem = stem_of(base), stem_of(box)
    # An archive named like its one text stands for that text, in the archive's folder.
    alike = bool(container) and stem == box_stem
    where = outer if alike else posixpath.join(container, folder) if container else folder
    parts = [p for p in posixpath.join(outer, folder).split("/") if p]
    old = "old" in parts
    form = "epub" if base.lower().endswith((".epub", ".epub3")) else ""
    number: int | None = None
    edition, code = stem, form
    if match := _CACHED.match(stem):
        number, edition = int(match["number"]), match["number"]
        code = ("images" if match["images"] else "epub") if form else "0"
    elif match := _NUMBERED.match(stem):
        # A bare number may be any book's title: 1984.txt.
        if container or match["code"] or old or (parts and parts[-1] == match["number"]):
            number = int(match["number"])
            edition, code = f"{match['date'] or ''}{match['number']}", match["code"] or form
    elif match := _BITS.match(stem):
        edition, code = f"?{match['base']}", match["code"]
    if number is None and container and not alike:
        named = _NUMBERED.match(box_stem) or _REPOSITORY.search(box_stem)
        number = int(named["number" if named.re is _NUMBERED else 1]) if named else None
    if number is None and old:
        above = parts[parts.index("old") - 1] if parts.index("old") else ""
        number = int(above) if re.fullmatch(r"\d{1,6}", above) else None
    return BookName(number, posixpath.join(where, edition), code, old, stem or box_stem)


def family(name: str) -> tuple[str, int]:
    """Files that may be encodings of one edition, by their path below the input folder, and the
    order in which they are to be read."""
    box = name if name.lower().endswith(".zip") else ""
    inner = posixpath.basename(name)[:-4] + ".txt" if box else name
    found = book_name(inner, box)
    return found.edition, found.rank


def stem_of(base: str) -> str:
    """A file name without the endings of texts and books (`Title.epub.txt`: `Title`)."""
    stem = base
    for _ in range(3):
        suffix = next((s for s in _SUFFIXES if stem.lower().endswith(s)), "")
        if not suffix or len(suffix) == len(stem):
            break
        stem = stem[: -len(suffix)]
    return stem


def as_text(name: str) -> str:
    r"""A name from an archive, with bytes that are no UTF-8 as `\xe9`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_text(base: str) -> bool:
    return base.lower().endswith((".txt", ".text", ".utf8", ".utf-8"))


def is_epub(base: str) -> bool:
    return base.lower().endswith((".epub", ".epub3"))


def is_legal(base: str) -> bool:
    """Whether a file is about the files beside it: a licence, a list, a read-me."""
    return bool(_LEGAL.search(stem_of(base)))


def document_id(name: BookName, number: int | None, place: str) -> str:
    """An id that no other file of the input has.

    `place` is the path below the input folder, with the path inside an archive: it decides, by its
    hash; number, edition or name are for people. So two books never share an id, whatever their
    folders number them, and a mirror keeps its ids wherever it is moved.
    """
    mark = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    if number is not None:
        variant = "" if name.stem == str(number) else name.stem
        variant = variant.removeprefix(f"{number}-").removeprefix(f"pg{number}")
        shown = "-".join(p for p in (str(number), "old" if name.old else "", _safe(variant)) if p)
        return f"books/gutenberg/{shown}.{mark}"
    return f"books/{_safe(name.stem) or 'book'}.{mark}"


def _safe(name: str) -> str:
    plain = unicodedata.normalize("NFC", name)
    return _UNSAFE.sub("_", plain.encode("utf-8", "replace").decode())[:_NAME_CHARS].strip("._-")
