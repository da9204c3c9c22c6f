"""Words of those who made the electronic text: credits, and transcribers' notes.

Only the first and last paragraphs of a book are looked at, and only of books that Project
Gutenberg made: elsewhere `Produced by` may be the book's own.
"""

from __future__ import annotations

import re
from collections import deque

_VERBS = (
    r"(?:produced|prepared|transcribed|scanned|digiti[sz]ed|proof-?read|reproofed|proofed|typed"
    r"|entered|converted|(?:re)?formatted|created|contributed|updated|keyed|coded|provided"
    r"|marked up|corrected)"
)
_FIRST = re.compile(
    rf"[\W_]{{0,6}}(?:(?:mostly |originally |first )?{_VERBS} (?:by|from|for)\b"
    rf"|(?:an? |the )?e-?text (?:was )?{_VERBS}"
    r"|(?:etext|e-text|ebook|electronic text|text|html|pdf|additional|additions?|corrections?"
    rf"|updates?)\b.{{0,60}}?\b(?:{_VERBS}|editing|version|edition|proof(?:ing|reading))"
    r" ?(?:by|from|,|$)"
    r"|(?:this|the) (?:e-?text|e-?book|file|book|text|electronic (?:text|edition|version))\b"
    rf".{{0,60}}?\b{_VERBS}\b"
    r"|updates? by\b|electronic edition by\b|released to the public\b|italics = "
    r"|note: (?:project gutenberg|images of the original|this is the|the html version"
    r"|there is an (?:improved|illustrated))"
    r"|\[?(?:most recently|last) updated|\[?portions of this (?:header|ebook)"
    r"|this work contains two 7 bit|(?:chapters? [\d-]+: {1,4}mostly scanned))",
    re.I,
)
_ANYWHERE = re.compile(
    r"Proje[ck]t[- ]Gutenberg|Gutenberg[- ]?Projekt|gutenberg\.(?:org|net|aol|spiegel)"
    r"|Distributed Proofread|Proofreading Team|pgdp\.net|Proofreaders Europe|ebooksgratuits"
    r"|Internet Archive|archive\.org|Google (?:Books|Print)|gallica\.bnf|hathitrust"
    r"|Internet Wiretap|(?:scanned|proofread|reproofed|transcribed) by [A-Z]|Voice/Fax|\(BBS\)"
    r"|[\w.+-]{1,64}@[\w-]{1,64}\.[\w.]{1,64}",
    re.I,
)
_NOTES = (
    r"Transcriber['’`]?s?['’`]? ?(?:end)?notes?\b|Transcription notes?\b"
    r"|Notes? (?:by|of) the transcriber|Note (?:sur la|de) transcription"
    r"|Notes? d(?:u|e la) transcript|Anmerkung(?:en)? zur Transkription"
    r"|Opmerkingen van de (?:bewerker|transcribent)|Opmerking(?:en)? (?:bij|van) de transcri"
    r"|Notas? del? (?:la )?transcrip|Nota di trascrizione|Note del trascrittore|T\.? ?N\.?:"
)
_NOTE_HINTS = ("transcri", "transkri", "trascri", "van de bewerker", "tn:", "n.:")
_NOTE_HEADING = re.compile(rf"[\W_]{{0,6}}(?:{_NOTES})", re.I)
_NOTE_BRACKET = re.compile(rf"\[[\s*_]{{0,4}}(?:{_NOTES})", re.I)
_BRACKETS = re.compile(r"[\[\]]")
_RULE = re.compile(r"[\s*_=~.+-]{3,}$")

# `The Project Gutenberg Etext of X`, on a line of its own above `by Y`.
_TITLE = re.compile(r"[\s*_]{0,80}(?:The )?Project Gutenberg(?:['’]s)? E-?(?:text|book) of ", re.I)
_BY_LINE = re.compile(r"[\s*_]{0,80}(?:by|von|par|door)\s{1,4}\S.{0,200}$", re.I)

HEAD_PARAGRAPHS = 8
"""Paragraphs of the book that are read through for credits at its beginning."""
TAIL_PARAGRAPHS = 3
_CREDIT_LINES = 20
_NOTE_LINES = 80
_TAIL_NOTE_LINES = 400
_INLINE_NOTE_CHARS = 2_000
_END_NOTE_CHARS = 40_000
_BRACKET_DEPTH = 64

Paragraph = tuple[int, int]
"""First line and line behind the last of a run of lines that are not blank."""


def without_credits(lines: list[str]) -> list[str]:
    """The lines without credits among the first and the last paragraphs; with the project's title
    line goes the line `by ...` under it, which says nothing alone.

    Reading ends after a few paragraphs that stay, so a second pass changes nothing.
    """
    gone: list[Paragraph] = []
    for step, stay in ((1, HEAD_PARAGRAPHS), (-1, TAIL_PARAGRAPHS)):
        title = False
        for paragraph in _paragraphs(lines, step):
            start, end = paragraph
            by_line = title and end - start == 1 and bool(_BY_LINE.match(lines[start][:400]))
            title = step == 1 and end - start == 1 and bool(_TITLE.match(lines[start][:400]))
            if by_line or _is_credit(lines, paragraph):
                gone.append(paragraph)
            elif (stay := stay - 1) == 0:
                break
    return _without(lines, gone)


def _is_credit(lines: list[str], paragraph: Paragraph) -> bool:
    start, end = paragraph
    if end - start > _CREDIT_LINES:
        return False
    text = " ".join(line.strip()[:400] for line in lines[start:end])
    return bool(_FIRST.match(text) or _ANYWHERE.search(text))


def without_notes(lines: list[str]) -> list[str]:
    """The lines without transcribers' notes: those in square brackets wherever they are, and those
    under a heading of their own at the beginning (up to two blank lines) or end (all that follows)
    of the book."""
    text = "\n".join(lines)
    folded = text.lower()
    if not any(hint in folded for hint in _NOTE_HINTS):
        return lines
    lines = _without_bracketed(text).split("\n")
    stay = HEAD_PARAGRAPHS
    for start, end in _paragraphs(lines, 1):
        if _NOTE_HEADING.match(lines[start]) and (stop := _note_end(lines, start)):
            lines = _without(lines, [(start, stop)])
            break
        if (stay := stay - (end > start)) == 0:
            break
    floor = max(len(lines) - _TAIL_NOTE_LINES, len(lines) // 2)
    for i in range(floor, len(lines)):
        if _NOTE_HEADING.match(lines[i]) and (i == 0 or not lines[i - 1].strip()):
            return lines[:i]
    return lines


def _note_end(lines: list[str], start: int) -> int:
    """Behind a note at the beginning of a book: before two blank lines or a rule; 0 if it goes on
    for too long to be one."""
    for i in range(start + 1, min(start + _NOTE_LINES, len(lines))):
        if _RULE.match(lines[i]):
            return i + 1
        if not lines[i].strip() and i + 1 < len(lines) and not lines[i + 1].strip():
            return i
    return 0


def _without_bracketed(text: str) -> str:
    """The text without notes in square brackets, which may have brackets in them. One pass."""
    notes = {match.start() for match in _NOTE_BRACKET.finditer(text)}
    gone: list[tuple[int, int]] = []
    opened: deque[int] = deque(maxlen=_BRACKET_DEPTH)
    for match in _BRACKETS.finditer(text) if notes else ():
        if match[0] == "[":
            opened.append(match.start())
        elif opened and (start := opened.pop()) in notes:
            at_end = start >= len(text) - _END_NOTE_CHARS
            if match.end() - start <= (_END_NOTE_CHARS if at_end else _INLINE_NOTE_CHARS):
                while gone and gone[-1][0] > start:
                    gone.pop()
                gone.append((start, match.end()))
    kept: list[str] = []
    position = 0
    for start, end in gone:
        kept.append(text[position:start])
        position = end
    kept.append(text[position:])
    return "".join(kept)


def _paragraphs(lines: list[str], step: int) -> list[Paragraph]:
    """Paragraphs from the beginning (`step` 1) or, last first, from the end (-1): as many as can
    matter."""
    found: list[Paragraph] = []
    i = 0 if step == 1 else len(lines) - 1
    while 0 <= i < len(lines) and len(found) < 200:
        if not lines[i].strip():
            i += step
            continue
        k = i
        while 0 <= k < len(lines) and lines[k].strip():
            k += step
        found.append((i, k) if step == 1 else (k + 1, i + 1))
        i = k
    return found


def _without(lines: list[str], gone: list[Paragraph]) -> list[str]:
    keep = [True] * len(lines)
    for start, end in gone:
        keep[start:end] = [False] * (end - start)
    return [line for line, k in zip(lines, keep, strict=True) if k]
