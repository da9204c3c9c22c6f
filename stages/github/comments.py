"""The top of a source file: what stands before its first line of code.

A file is read from its beginning as a run of `Blank`, `Pinned` (shebang, `<?php`, doctype, ...)
and `Comment` elements; the first thing that is none of these is code, and nothing from there on is
looked at. Elements follow each other without a gap, so that their texts joined are the top.

Time is linear in the top, which ends after `MAX_TOP_CHARS` at the latest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from stages.github.directives import is_directive
from stages.github.syntax import Syntax, compiled

MAX_TOP_CHARS = 1 << 16
"""Longest stretch that is read as the top of a file: more than the longest licence in use."""

_DECORATION = " \t\r\n\f*#/;%!|-=~+_<>\u2500\u2550\ufeff"
_BLANK_LINES = re.compile(r"(?:[ \t\r\f\ufeff]*\n)+")
_SPACE = re.compile(r"[ \t\r\f\ufeff]*")
# Directives of the C preprocessor are code in whatever file they stand.
_PREPROCESSOR = re.compile(
    r"#(?:include|define|undef|ifdef|ifndef|if|else|elif|endif|pragma|import|error|warning|line"
    r"|using|region|endregion)\b(?!:)"
    r"|#[ \t]+(?:include[ \t]*[<\"]|(?:define|undef|ifdef|ifndef)[ \t]+[A-Z_]\w*|endif\b"
    r"|pragma[ \t]+\w)"
)
_SHEBANG = re.compile(r"#!(?!\[)")  # `#![...]` is an attribute of Rust
_DOCSTRING = re.compile(r"[rRuU]?(\"\"\"|''')")
_OPENER_TAIL = re.compile(r"[*!#=~+/|-]*")
_CLOSER_HEAD = " \t*#=~+|-/"
_RST_COMMENT = re.compile(
    r"\.\.(?=[ \t\r\n]|$)(?![ \t]+(?:\[|_|\|))(?![ \t]*[\w-]+(?:[:+.][\w-]+)*::)"
)


@dataclass(frozen=True, slots=True)
class Blank:
    raw: str


@dataclass(frozen=True, slots=True)
class Pinned:
    raw: str


@dataclass(slots=True)
class Line:
    """One line of a comment.

    text: its words, without marks and decoration; empty for a separator.
    before, after: the part of `raw` that must stay as long as the comment does (the comment's own
    opening and closing marks), should the words go.
    """

    raw: str
    text: str
    before: str = ""
    after: str = ""
    protected: bool = False

    @property
    def frame(self) -> bool:
        return bool(self.before or self.after)


@dataclass(slots=True)
class Comment:
    """A block comment, or adjoining line comments. `inline`: code or a mark before it shares its
    first or last line."""

    raw: str
    lines: list[Line]
    inline: bool = False


Element: TypeAlias = Blank | Pinned | Comment


def top(text: str, syntax: Syntax) -> Iterator[Element]:
    """The elements before the first line of code, in order."""
    limit = min(len(text), MAX_TOP_CHARS)
    at = 0
    while at < limit:
        element = _element(text, at, limit, syntax)
        if element is None:
            return
        yield element
        at += len(element.raw)


def _element(text: str, at: int, limit: int, syntax: Syntax) -> Element | None:
    if blank := _BLANK_LINES.match(text, at, limit):
        return Blank(blank.group())
    line_end = text.find("\n", at, limit) + 1 or (limit if limit == len(text) else 0)
    if not line_end:
        return None  # A line without an end in sight is no header.
    first = _SPACE.match(text, at, line_end).end()  # type: ignore[union-attr]
    if first == line_end:
        return Blank(text[at:line_end])
    if at == 0 and _SHEBANG.match(text, first):
        return Pinned(text[:line_end])
    if syntax.front and (found := compiled(syntax.front).match(text, first, limit)):
        end = _SPACE.match(text, found.end(), limit).end()  # type: ignore[union-attr]
        return Pinned(text[at : end + 1 if text[end : end + 1] == "\n" else end])
    if _PREPROCESSOR.match(text, first, line_end):
        return None
    if at == 0 or text[at - 1] == "\n":
        for opening, closing in syntax.lines:
            if compiled(opening).match(text, first, line_end):
                return _whole_lines(text, at, limit, closing)
        if syntax.indented:
            return _indented(text, at, limit)
    for opening, closing in syntax.block:
        if found := compiled(opening).match(text, first, limit):
            return _block(text, at, found.end(), limit, opening, closing, syntax.nested)
    if syntax.bracket and (found := _long_bracket(syntax.bracket).match(text, first, limit)):
        end = text.find(f"]{found[1]}]", found.end(), limit)
        stop = end + len(found[1]) + 2
        return None if end < 0 else _delimited(text, at, found.end(), end, stop, limit)
    if syntax.docstrings and (found := _DOCSTRING.match(text, first, limit)):
        return _docstring(text, at, found, limit)
    return _line_comments(text, at, limit, syntax)


def _long_bracket(mark: str) -> re.Pattern[str]:
    return compiled(rf"{re.escape(mark)}\[(=*)\[")


def _line(raw: str, words: str) -> Line:
    if is_directive(raw, words, _DECORATION):
        return Line(raw, words.strip(), protected=True)
    return Line(raw, words.strip(_DECORATION))


def _line_comments(text: str, at: int, limit: int, syntax: Syntax) -> Comment | None:
    lines: list[Line] = []
    end = at
    while end < limit:
        line_end = text.find("\n", end, limit) + 1 or (limit if limit == len(text) else 0)
        if not line_end:
            break
        mark = _line_mark(text, end, line_end, syntax)
        if mark is None:
            break
        lines.append(_line(text[end:line_end], text[mark:line_end]))
        end = line_end
    if _cut_short(text, end, limit):
        # The limit cut a paragraph: leave all of it to the next look, when the top is shorter.
        while lines and lines[-1].text:
            end -= len(lines.pop().raw)
    if not lines:
        return None
    return Comment(text[at:end], lines, inline=at > 0 and text[at - 1] != "\n")


def _cut_short(text: str, start: int, limit: int) -> bool:
    """Does the line from `start` on end behind the limit?"""
    return limit < len(text) and text.find("\n", start, limit) < 0


def _line_mark(text: str, start: int, line_end: int, syntax: Syntax) -> int | None:
    """Where the mark of a line comment ends, if the line is one."""
    if syntax.column and (found := compiled(syntax.column).match(text, start, line_end)):
        return found.end()
    if not syntax.line:
        return None
    first = _SPACE.match(text, start, line_end).end()  # type: ignore[union-attr]
    found = compiled(syntax.line).match(text, first, line_end)
    if found is None or (text.startswith("#!", start) and start == 0):
        return None
    if _PREPROCESSOR.match(text, first, line_end):
        return None
    if any(compiled(opening).match(text, first, line_end) for opening, _ in syntax.block):
        return None
    return found.end()


def _block(
    text: str, at: int, inner: int, limit: int, opening: str, closing: str, nested: bool
) -> Comment | None:
    marks = compiled(f"(?P<close>{closing})|{opening}" if nested else f"(?P<close>{closing})")
    depth, close = 1, None
    for mark in marks.finditer(text, inner, limit):
        depth += -1 if mark.group("close") is not None else 1
        if depth == 0:
            close = mark
            break
    if close is None:
        return None
    tail = _OPENER_TAIL.match(text, inner, close.start()).end()  # type: ignore[union-attr]
    return _delimited(text, at, tail, close.start(), close.end(), limit)


def _docstring(text: str, at: int, quotes: re.Match[str], limit: int) -> Comment | None:
    start = text.find(quotes.group(1), quotes.end(), limit)
    if start < 0 or "\\" in text[quotes.end() : start]:
        return None
    found = _delimited(text, at, quotes.end(), start, start + 3, limit)
    # A string that goes on (`"..." % x`) is code.
    return None if found.inline else found


def _delimited(text: str, at: int, inner: int, inner_end: int, end: int, limit: int) -> Comment:
    """A comment from `at` whose words are in `inner..inner_end`."""
    rest = _SPACE.match(text, end, limit).end()  # type: ignore[union-attr]
    inline = at > 0 and text[at - 1] != "\n"
    if rest == len(text) or text[rest] == "\n":
        stop = min(rest + 1, len(text))
    else:
        stop, inline = rest, True
    body = text[inner:inner_end]
    rows = body.split("\n")
    lines = [_line(f"{row}\n", row) for row in rows]
    first, last = lines[0], lines[-1]
    first.before = text[at:inner]
    closing = body[len(body.rstrip(_CLOSER_HEAD)) :] if not last.text else ""
    head = rows[-1][: len(rows[-1]) - len(rows[-1].lstrip(" \t"))] if len(rows) > 1 else ""
    last.after = (closing if len(rows) > 1 and not last.text else head) + text[inner_end:stop]
    if len(rows) == 1:
        first.raw = text[at:stop]
    else:
        first.raw = text[at:inner] + first.raw
        last.raw = rows[-1] + text[inner_end:stop]
    return Comment(text[at:stop], lines, inline)


def _whole_lines(text: str, at: int, limit: int, closing: str) -> Comment | None:
    """`=pod` to `=cut`: the first and the last line are marks."""
    lines: list[Line] = []
    position = at
    while position < limit:
        line_end = text.find("\n", position, limit) + 1 or (limit if limit == len(text) else 0)
        if not line_end:
            return None
        raw = text[position:line_end]
        last = bool(lines) and compiled(closing).match(text, position, line_end) is not None
        if not lines or last:
            lines.append(Line(raw, "", before=raw))
        else:
            lines.append(_line(raw, raw))
        position = line_end
        if last:
            return Comment(text[at:position], lines)
    return None


def _indented(text: str, at: int, limit: int) -> Comment | None:
    """A reStructuredText comment: `.. words`, and the indented lines that follow; but `..` before
    a blank line is a comment of its own."""
    found = _RST_COMMENT.match(text, at, limit)
    if found is None:
        return None
    lines: list[Line] = []
    end = position = at
    kept = 0
    while position < limit:
        line_end = text.find("\n", position, limit) + 1 or (limit if limit == len(text) else 0)
        if not line_end:
            return None
        raw = text[position:line_end]
        if not lines:
            words = raw[2:]
            lines.append(_line(raw, words))
            lines[0].before, lines[0].after = "..", "\n"
        elif raw.strip() and raw[0] not in " \t":
            break
        else:
            lines.append(_line(raw, raw))
        position = line_end
        if raw.strip():
            end, kept = position, len(lines)
        if kept == 1 and raw.strip() == ".." and text[position : position + 1] == "\n":
            break
    return Comment(text[at:end], lines[:kept])
