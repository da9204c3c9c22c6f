"""Project Gutenberg's own words around a book: where the book begins and ends.

A file of Gutenberg is read line by line as a sequence of *boundaries*. From 2002 on a line
`*** START OF ...` opens the book and `*** END OF ...` closes it. Before, the legal text ("small
print") stood in front of the book and its last line opens it; nothing but `End of Project
Gutenberg's ...` closes it. Collected editions hold several books in one file, so a boundary may
come any number of times, and what lies outside of every book goes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

# Project, Projekt, Projet, Projecto, Proyecto, Progetto, Prosjekt; Gutenberg is cut short in some.
_PG = r"Pro(?:j|sj|y|g)e[ckt]{1,2}t?[oui]?[-\s]{1,3}Gutenbe(?:rg)?"
_START = re.compile(
    r"\*{2,}\s{0,4}(?:START|BEGIN(?:NING)?|D[EÉ]BUT|ANFANG|IN[IÍ]CIO|INIZIO)\s{1,4}"
    r"(?:(?:OF|DE|DU|DEL|DO|VON)\s{1,4})?(?:(?:TH(?:E|IS)|CE|DIESES|DES|ESTE)\s{1,4})?"
    rf"(?:COPYRIGHTED\s{{1,4}})?{_PG}"
    rf"|(?:This is the )?Beginning of (?:the|this) {_PG}",
    re.I,
)
_END = re.compile(
    r"\*{2,}\s{0,4}(?:END|FIN|ENDE|FINE|FIM)\s{1,4}(?:(?:OF|DE|DU|DEL|DO|VON)\s{1,4})?"
    rf"(?:(?:TH(?:E|IS)|CE|DIESES|DES|ESTE)\s{{1,4}})?(?:COPYRIGHTED\s{{1,4}})?{_PG}"
    rf"|End of this is COPYRIGHTED {_PG}"
    r"|\*{3}\s{0,4}START:\s{0,4}FULL LICENSE|THE FULL PROJECT GUTENBERG(?:-tm|™)? LICENSE$"
    r"|Updated editions will replace the previous one",
    re.I,
)
_SMALL_PRINT = re.compile(
    r"\*+\s{0,4}START\s{0,4}\*+\s{0,4}(?:THE )?SMALL PRINT|\*{3,}\s{0,8}SMALL PRINT!"
    r"|\*+\s{0,4}The Legal Small Print\s{0,4}\**$"
    rf"|\*+Information prepared by the {_PG} legal advisor",
    re.I,
)
_SMALL_PRINT_END = re.compile(
    r"\*+\s{0,4}END\s{0,4}\*?\s{0,4}(?:OF )?(?:THE )?SMALL PRINT|\[\"Small Print\" V\."
    r"|\*+\s{0,4}SMALL PRINT!.{0,120}END\s{0,4}\*+$",
    re.I,
)
# "Ende dieses Projekt Gutenberg Etextes", "Fin de Project Gutenberg's", "Einde van dit ..."
_FAREWELL = re.compile(
    r"[\W_]{0,12}(?:(?:This is )?(?:the )?End|Ende|Fine?|Einde|Fim|Fino|Slutt?|Loppu|Konec)\b"
    rf".{{0,60}}?\b{_PG}"
    r"|[\W_]{0,12}Ende (?:dieses|des) E-?(?:text|book)(?:e?s)?\b",
    re.I,
)
# In the collected Shakespeare it stands after every act.
_NOTICE = re.compile(r"\s{0,8}<<\s{0,4}THIS ELECTRONIC VERSION OF", re.I)
_ABOUT = re.compile(
    rf"\[E-?(?:text|book)\s{{0,3}}#\s{{0,3}}\d|This E-?(?:text|book) is for the use of anyone"
    rf"|{_PG}(?:.s)? E-?(?:text|book)|{_PG} License included",
    re.I,
)

LONGEST_LINE = 400
"""A longer line is no boundary (characters)."""
# The last sentences of the small print of all years, for files that lost the line after them.
_PRINT_ENDS = re.compile(
    r"scanning machines, OCR software|royalty.free copyright licenses|Benedictine (?:College|Univ)"
    r"|Carnegie.Mellon University|Portions of this header are copyright",
    re.I,
)
_HEADER_LINES, _PRINT_LINES = 60, 400
_MARKER_LINES = 5
_NOTICE_LINES = 15
_TAIL_LINES = 12
_BOOK_LINES = 50


class Boundary(Enum):
    START = "start"
    END = "end"
    SMALL_PRINT = "small print"
    SMALL_PRINT_END = "end of the small print"
    FAREWELL = "farewell"
    NOTICE = "notice"


_OPENS = (Boundary.START, Boundary.SMALL_PRINT_END)
_KINDS = (
    (Boundary.START, _START),
    (Boundary.END, _END),
    (Boundary.SMALL_PRINT_END, _SMALL_PRINT_END),
    (Boundary.SMALL_PRINT, _SMALL_PRINT),
    (Boundary.NOTICE, _NOTICE),
    (Boundary.FAREWELL, _FAREWELL),
)
_HINTS = (
    "gutenbe",
    "small print",
    "this electronic version of",
    "full license",
    "updated editions",
    "dieses e",
    "des e",
)


@dataclass(frozen=True)
class Book:
    """`body`: the book's own lines; `header`: the lines before it; `found`: the kinds of
    boundaries that were met, sorted."""

    body: list[str]
    header: list[str]
    found: tuple[str, ...]


def boundary(line: str) -> Boundary | None:
    """What a line (stripped) is, if it is a boundary."""
    if len(line) > LONGEST_LINE:
        return None
    return next((kind for kind, pattern in _KINDS if pattern.match(line)), None)


def boundaries(lines: list[str]) -> list[tuple[int, Boundary]]:
    """The lines that are boundaries, with what they are, in order.

    Every boundary has one of a few words in it, which a search of the whole text finds fifty times
    faster than patterns tried on each line.
    """
    text = "\n".join(lines).lower()
    candidates: set[int] = set()
    for hint in _HINTS:
        line, counted, place = 0, 0, text.find(hint)
        while place >= 0:
            line += text.count("\n", counted, place)
            candidates.add(line)
            counted = text.find("\n", place)
            if counted < 0:
                break
            place = text.find(hint, counted)
    return [(i, kind) for i in sorted(candidates) if (kind := boundary(lines[i].strip()))]


def unwrap(lines: list[str]) -> Book:
    """The book without Gutenberg's header, licence, notices and farewells.

    Lines of a text that has none of them come back unchanged, with nothing in `found`. Time is
    linear in the lines.
    """
    marks = boundaries(lines)
    found = {kind.value for _, kind in marks}
    start = 0
    if not any(kind in _OPENS for _, kind in marks):
        start = max(_without_marks(lines), _small_print_end(lines, marks))
        if start:
            found.add("header")
        marks = [m for m in marks if m[0] >= start and m[1] is not Boundary.SMALL_PRINT]
    keep = _keep(lines, marks, start)
    first = next((i for i, k in enumerate(keep) if k), len(lines))
    body = [line for line, k in zip(lines, keep, strict=True) if k]
    return Book(body, lines[:first], tuple(sorted(found)))


def _without_marks(lines: list[str]) -> int:
    """Where a file without a sign of its beginning begins: after the last paragraph of its first
    lines that speaks of the project."""
    last = -1
    for i, line in enumerate(lines[:_HEADER_LINES]):
        if boundary(line.strip()) in (Boundary.END, Boundary.FAREWELL):
            break
        if _ABOUT.search(line[:LONGEST_LINE]):
            last = i
    if last < 0:
        return 0
    while last < len(lines) and lines[last].strip():
        last += 1
    return last


def _small_print_end(lines: list[str], marks: list[tuple[int, Boundary]]) -> int:
    """Behind a small print near the beginning that no line ends: after its last known sentence."""
    first = next((i for i, kind in marks if kind is Boundary.SMALL_PRINT), len(lines))
    if first > _PRINT_LINES:
        return 0
    last = -1
    for i in range(first, min(first + _PRINT_LINES, len(lines))):
        if _PRINT_ENDS.search(lines[i][:LONGEST_LINE]):
            last = i
    return _paragraph_end(lines, last, _PRINT_LINES) if last >= 0 else 0


def _keep(lines: list[str], marks: list[tuple[int, Boundary]], start: int) -> list[bool]:
    """Which lines are the book's, by the boundaries in their order."""
    opened = not any(kind in _OPENS for _, kind in marks)
    keep = [False] * len(lines)
    inside, position, paused = opened, start, False
    ends = [i for i, _ in marks[1:]] + [len(lines)] * bool(marks)
    for (i, kind), following in zip(marks, ends, strict=True):
        if i < position:
            continue  # within a marker of several lines
        if inside:
            keep[position:i] = [True] * (i - position)
        position = i + 1
        if kind is Boundary.START:
            position, inside = _marker_end(lines, i), True
        elif kind is Boundary.SMALL_PRINT:
            paused, inside = paused or inside, False
        elif kind is Boundary.SMALL_PRINT_END:
            # After the licence at the end of a file come a few words at most.
            inside = not opened or inside or paused
            inside = inside or _filled(lines, position, following) >= _BOOK_LINES
            paused = False
        elif kind is Boundary.END:
            inside = paused = False
        elif kind is Boundary.NOTICE:
            position = _notice_end(lines, i)
        elif kind is Boundary.FAREWELL:
            position = _paragraph_end(lines, i, _MARKER_LINES)
            if _filled(lines, position, following) <= _TAIL_LINES:
                position = following
        opened = opened or inside
    if inside:
        keep[position:] = [True] * (len(lines) - position)
    return keep


def _filled(lines: list[str], start: int, end: int) -> int:
    """Lines between `start` and `end` that are not blank, counted as far as it matters."""
    count = 0
    for i in range(start, min(end, start + 20 * _BOOK_LINES)):
        count += bool(lines[i].strip())
    return count


def _marker_end(lines: list[str], i: int) -> int:
    """Behind a marker `*** ... ***` that may run over a few lines."""
    for k in range(i, min(i + _MARKER_LINES, len(lines))):
        line = lines[k].strip()
        if not line:
            break
        if line.endswith("**") and len(line) > 3:
            return k + 1
    return i + 1


def _notice_end(lines: list[str], i: int) -> int:
    for k in range(i, min(i + _NOTICE_LINES, len(lines))):
        if ">>" in lines[k]:
            return k + 1
    return i + 1


def _paragraph_end(lines: list[str], i: int, most: int) -> int:
    """Behind the paragraph at `i`, or one line on where it is longer than `most` lines."""
    for k in range(i, min(i + most, len(lines))):
        if not lines[k].strip():
            return k
    return len(lines) if len(lines) <= i + most else i + 1
