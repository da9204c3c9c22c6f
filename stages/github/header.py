"""Licence and copyright comments at the top of a file removed, whatever the language.

LLaMA paper, section 2.1: "we removed boilerplate, such as headers, with regular expressions". It
does not say which. Here: of each comment before the first line of code, the paragraphs that claim a
copyright, grant a licence or refer to one, and the author, date and address lines beside them. What
a comment says about the code stays, and so do shebangs, encoding lines, editor modes, pragmas and
directives. Nothing from the first line of code on is ever touched.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from stages.github import licence_text, notices
from stages.github.attribution import is_address, is_attribution, is_heading
from stages.github.comments import Blank, Comment, Element, Line, Pinned, top
from stages.github.licence_text import Kind
from stages.github.syntax import Syntax

_DOCSTRING = re.compile(r"(?s)\s*[rRuU]?(\"\"\"|''').*\1\s*\Z")
_POD_COMMAND = re.compile(
    r"=(?:pod|over(?:\s+\d+)?|back|encoding\s+\S+|begin(?:\s+\w+)?|end(?:\s+\w+)?)"
)
_SIGNS = 2  # of a licence, where one alone may be the subject of the program
_PASSES = 24
_WHOLE_LICENCE = 8  # paragraphs; the longest header that only refers to a licence has six


def remove_header(text: str, syntax: Syntax) -> tuple[str, int]:
    """`text` without its boilerplate header, and the number of characters removed.

    A fixed point: of its own result it removes nothing. Time is linear in the top of the file
    (`comments.MAX_TOP_CHARS`) and in the number of passes, which is bounded; a top built so that
    the bound does not do is left as it is.
    """
    current = text
    for _ in range(_PASSES):
        shorter = _once(current, syntax)
        if shorter == current:
            return current, len(text) - len(current)
        current = shorter
    return text, 0


def _once(text: str, syntax: Syntax) -> str:
    kept: list[str] = []
    length = 0
    changed = pending = False  # pending: blank lines that parted a removed comment from the rest
    for element in top(text, syntax):
        length += len(element.raw)
        new = _without_boilerplate(element)
        if new != element.raw:
            changed = True
            if not new.strip():
                pending = True
                if new:  # the end of the line on which a mark like `<?php` stands
                    kept.append(new)
                continue
        elif isinstance(element, Blank) and pending and _ends_blank(kept):
            continue
        pending = pending and isinstance(element, Blank)
        kept.append(new)
    if not changed:
        return text
    while kept and not kept[0].strip():
        kept.pop(0)
    return "".join(kept) + text[length:]


def _ends_blank(kept: Sequence[str]) -> bool:
    return not kept or not kept[-1].strip()


def _without_boilerplate(element: Element) -> str:
    if isinstance(element, Blank | Pinned):
        return element.raw
    paragraphs = _paragraphs(element.lines)
    drop = _dropped(paragraphs, _DOCSTRING.match(element.raw) is not None)
    if not drop:
        return element.raw
    return _rebuilt(element, drop)


@dataclass(slots=True)
class _Paragraph:
    """Adjoining lines of a comment with words; `first` is the index of the first of them."""

    first: int
    lines: list[str] = field(default_factory=list)
    kind: Kind = Kind.TEXT

    def indices(self) -> range:
        return range(self.first, self.first + len(self.lines))


def _paragraphs(lines: Sequence[Line]) -> list[_Paragraph]:
    found: list[_Paragraph] = []
    open_ = False
    for i, line in enumerate(lines):
        if not line.text or line.protected:
            open_ = False
        elif open_:
            found[-1].lines.append(line.text)
        else:
            found.append(_Paragraph(i, [line.text]))
            open_ = True
    for paragraph in found:
        paragraph.kind = licence_text.kind_of(paragraph.lines)
    return found


def _is_header(paragraphs: Sequence[_Paragraph], docstring: bool) -> bool:
    """Is there enough in a comment to say that it has a licence, and not licences for a subject?

    A docstring documents by its nature: a grant alone does not do there, and one line of it must
    be a notice from its beginning.
    """
    kinds = [p.kind for p in paragraphs]
    if docstring:
        if sum(len(p.lines) for p in paragraphs) == 1:
            return notices.begins_notice(paragraphs[0].lines[0])
        if any(notices.begins_notice(line) for p in paragraphs for line in p.lines):
            return True
    elif Kind.NOTICE in kinds or Kind.GRANT in kinds:
        return True
    signs = 0
    for p in paragraphs:
        if p.kind >= Kind.HINT:
            signs += max(1, licence_text.hints(p.lines))
    return signs >= _SIGNS


def _dropped(paragraphs: Sequence[_Paragraph], docstring: bool) -> set[int]:
    """Indices of the lines of words that go."""
    if not _is_header(paragraphs, docstring):
        return set()
    grants = [i for i, p in enumerate(paragraphs) if p.kind in (Kind.GRANT, Kind.HINT)]
    between = range(grants[0] + 1, grants[-1]) if grants else range(0)
    legal = {
        i
        for i in between
        if paragraphs[i].kind is Kind.TEXT and licence_text.is_legal(" ".join(paragraphs[i].lines))
    }
    if len(between) > _WHOLE_LICENCE and 2 * len(legal | set(grants)) > len(between):
        legal = set(between)  # a licence in full: its headings and lists have no phrases of law
    drop: set[int] = set()
    for i, paragraph in enumerate(paragraphs):
        if i in legal or paragraph.kind is Kind.WEAK:
            drop.update(paragraph.indices())
        elif paragraph.kind in (Kind.GRANT, Kind.HINT):
            drop.update(_legal_lines(paragraph))
        elif paragraph.kind is Kind.NOTICE:
            drop.update(_notice_lines(paragraph))
    return drop - _needed(paragraphs, drop)


def _needed(paragraphs: Sequence[_Paragraph], drop: set[int]) -> set[int]:
    """Of the attributions that would go, those that something leans on that stays: an address to
    which the paragraph before leads, the heading of a list."""
    needed: set[int] = set()
    stays = [False, *(p.indices()[-1] not in drop for p in paragraphs)]
    for paragraph, led_to in zip(paragraphs, stays, strict=False):
        if paragraph.kind is Kind.WEAK and led_to and all(map(is_address, paragraph.lines)):
            needed.update(paragraph.indices())
    for paragraph, after in itertools.pairwise(paragraphs):
        heads = paragraph.kind is Kind.WEAK and is_heading(paragraph.lines[-1])
        if heads and after.first not in drop:
            needed.add(paragraph.indices()[-1])
    return needed


def _legal_lines(paragraph: _Paragraph) -> list[int]:
    legal = licence_text.legal_lines(paragraph.lines)
    return [i for i, gone in zip(paragraph.indices(), legal, strict=True) if gone]


def _notice_lines(paragraph: _Paragraph) -> list[int]:
    """The lines that claim a copyright, their continuations, and attributions beside them, unless
    one goes on with a sentence that stays (`This tree is`, `maintained by The Foresters`)."""
    drop: list[int] = []
    going_on, left = False, True
    claims = notices.notices(paragraph.lines)
    following = [*paragraph.lines[1:], ""]
    for i, line, claim, after in zip(
        paragraph.indices(), paragraph.lines, claims, following, strict=True
    ):
        runs_on = not left and (line[:1].islower() or is_address(line))
        gone = claim or going_on or (is_attribution(line) and not runs_on)
        if gone:
            drop.append(i)
        left = gone
        going_on = (claim or going_on) and notices.goes_on(line, after)
    return drop


def _rebuilt(comment: Comment, drop: set[int]) -> str:
    """The comment without the dropped lines; empty if no words are left."""
    lines = comment.lines
    if not any(_says(line) and i not in drop for i, line in enumerate(lines)):
        # A comment that began behind code or a mark leaves the end of that line.
        return "\n" if comment.inline and comment.raw.endswith("\n") else ""
    kept: list[tuple[str, bool]] = []  # raw line, is it a separator
    gap = False  # lines were dropped since the last one with words
    for i, line in enumerate(lines):
        if i in drop:
            gap = True
            if line.frame:
                kept.append((_frame_only(line), False))
            continue
        if line.text or line.frame:
            if not line.text and i == len(lines) - 1 and gap:
                _drop_separators(kept)
            kept.append((line.raw, False))
            gap = gap and not line.text
        elif gap and (not kept or not _has_words(kept[-1][0], kept[-1][1]) or kept[-1][1]):
            # Of two separators that now meet, the longer stays; at the start, none.
            if kept and kept[-1][1] and len(line.raw) > len(kept[-1][0]):
                kept[-1] = (line.raw, True)
        else:
            kept.append((line.raw, True))
    if gap:
        _drop_separators(kept)
    text = "".join(raw for raw, _ in kept)
    if not comment.raw.endswith("\n"):
        text = text.rstrip("\n") if not comment.inline else text
    return text


def _says(line: Line) -> bool:
    """Has a line words, and not a command of documentation alone (`=over 4`, `=back`)?"""
    return bool(line.text) and _POD_COMMAND.fullmatch(line.raw.strip()) is None


def _has_words(raw: str, separator: bool) -> bool:
    return not separator and any(c.isalnum() for c in raw)


def _drop_separators(kept: list[tuple[str, bool]]) -> None:
    while kept and kept[-1][1]:
        kept.pop()


def _frame_only(line: Line) -> str:
    """The marks of a first or last line whose words went."""
    if line.before and line.after:
        return line.before.rstrip(" \t") + line.after.lstrip(" \t")
    if line.before:
        return line.before.rstrip(" \t") + "\n"
    return line.after
