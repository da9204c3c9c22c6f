"""A book's file as text: decoded, with plain line ends, and Gutenberg's words taken off."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from stages.books.credits import without_credits, without_notes
from stages.books.gutenberg import unwrap
from stages.books.header import Header, parse_header
from stages.books.settings import BooksSettings

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufeff\ufffe\uffff]")
# `***`, `***End***` or `End of this Etext` as the last line of Gutenberg's old editions.
_END_MARK = re.compile(
    r"\s{0,80}(?:\*{3,80}\s{0,4}(?:(?:the )?end\s{0,4}\*{3,80})?"
    r"|[\W_]{0,8}(?:this is )?(?:the )?end of (?:the|this) e-?text\b.{0,80})$",
    re.I,
)
_PASSES = 8
_SAMPLES, _SAMPLE_CHARS = 64, 4_096


@dataclass
class BookText:
    """`found`: Gutenberg's boundaries that were met; empty for a book of other origin."""

    text: str
    header: Header = field(default_factory=Header)
    found: tuple[str, ...] = ()


def plain_lines(text: str) -> list[str]:
    """Lines without blanks at their ends and without control characters."""
    text = _LINE_ENDS.sub("\n", text)
    if not text.isprintable():
        text = _CONTROLS.sub("", text)
    return [line.rstrip() for line in text.split("\n")]


def clean_book(text: str, settings: BooksSettings) -> BookText:
    """The book alone. Passes are repeated until nothing changes, so the result is a fixed point:
    cleaning it again gives the same text."""
    lines = plain_lines(text)
    header = Header()
    found: tuple[str, ...] = ()
    for number in range(_PASSES):
        before = lines
        book = unwrap(lines)
        lines = book.body
        if number == 0:
            found = book.found
            if found:
                header = parse_header(book.header or lines[:100])
        if found and settings.credits == "remove":
            lines = without_credits(lines)
        if found and settings.transcriber_notes == "remove":
            lines = without_notes(lines)
        lines = _trimmed(lines)
        while found and lines and _END_MARK.match(lines[-1]):
            lines = _trimmed(lines[:-1])
        if lines == before:
            break
    return BookText("\n".join(lines), header, found)


def _trimmed(lines: list[str]) -> list[str]:
    start, end = 0, len(lines)
    while start < end and not lines[start]:
        start += 1
    while end > start and not lines[end - 1]:
        end -= 1
    return lines[start:end]


def letter_share(text: str) -> float:
    """Share of letters among the characters that are not blank; of a long text judged by evenly
    spaced samples of it, a quarter of a million characters in all."""
    if len(text) > _SAMPLES * _SAMPLE_CHARS:
        step = len(text) // _SAMPLES
        text = "".join(text[i * step : i * step + _SAMPLE_CHARS] for i in range(_SAMPLES))
    filled = len(text) - sum(map(str.isspace, text))
    return sum(map(str.isalpha, text)) / filled if filled else 0.0
