"""TeX's tokens, as far as text is rewritten by them: control sequences, braces, comments, text.

Category codes are TeX's own but for two things that sources do change: whether `@` is a letter,
and characters made short for \\verb. A token keeps its spelling, so that what is not touched stays
as the author wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

Charge = Callable[[int], None]
COMMENT = r"%[^\n]*(?:\n[ \t]*)?"
_PIECE = re.compile(rf"\\[\s\S]?|[{{}}]|{COMMENT}|[^\\{{}}%]+")
_SIMPLE_GROUP = re.compile(r"\{[^\\{}%]*\}")
_RAW_PIECE = re.compile(r"\\[\s\S]?|[{}]|[^\\{}]+")
_BLANKS = re.compile(rf"(?:[ \t]+|{COMMENT}|\n(?![ \t]*\n))*")
WORD = {False: re.compile(r"\\(?:[A-Za-z]+|[\s\S])"), True: re.compile(r"\\(?:[A-Za-z@]+|[\s\S])")}


@lru_cache(64)
def lexer(at: bool, short: str) -> re.Pattern[str]:
    """A pattern that matches at any place: a token and the text behind it, or text alone.

    Of the groups one takes part at most: 1 is the name of a control sequence, 2 a group that has
    only text in it, 3 any other brace. Nothing is matched at the end, before a comment and before
    characters of `short`, which begin verbatim text. `at`: `@` is a letter.
    """
    letters = "A-Za-z@" if at else "A-Za-z"
    text = rf"[^\\{{}}%{re.escape(short)}]*"
    return re.compile(rf"(?:\\([{letters}]+|[\s\S])|(\{{{text}\}})|([{{}}])|){text}")


def blanks_end(text: str, place: int) -> int:
    """The end of blanks, comments and single line ends: what TeX skips before an argument."""
    match = _BLANKS.match(text, place)
    return match.end() if match else place


def group_end(
    text: str, place: int, limit: int, charge: Charge | None = None, comments: bool = True
) -> int:
    """The place behind the `}` that closes the `{` at `place`; -1 where none is within `limit`.

    `charge` is told the number of tokens looked at. Without `comments` a `%` is an ordinary
    character, as in URLs.
    """
    match = (_PIECE if comments else _RAW_PIECE).match
    depth = steps = 0
    stop = min(len(text), place + limit)
    if (simple := _SIMPLE_GROUP.match(text, place)) is not None and simple.end() <= stop:
        if charge is not None:
            charge(2 + (simple.end() - place > 2))
        return simple.end()
    end = -1
    while place < stop and (piece := match(text, place)) is not None:
        steps += 1
        first = text[place]
        place = piece.end()
        if first == "{":
            depth += 1
        elif first == "}":
            depth -= 1
            if depth <= 0:
                end = place
                break
    if charge is not None:
        charge(steps)
    return end


def bracket_end(text: str, place: int, limit: int, charge: Charge | None = None) -> int:
    """As `group_end` for the `]` that closes an open `[`; those in groups do not count."""
    depth = steps = 0
    end = -1
    for match in _BRACKET_PIECE.finditer(text, place, min(len(text), place + limit)):
        steps += 1
        token = match.group()
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if depth < 0:
                break
        elif token == "]" and depth == 0:
            end = match.end()
            break
    if charge is not None:
        charge(steps)
    return end


_BRACKET_PIECE = re.compile(rf"\\[\s\S]?|[{{}}\]]|{COMMENT}|[^\\{{}}%\]]+")
_COMMENTED = re.compile(rf"(\\[\s\S]?)|{COMMENT}")


def without_comments(text: str) -> str:
    """`text` without comments, lines joined as TeX joins them; `\\%` is no comment."""
    if "%" not in text:
        return text
    return _COMMENTED.sub(_keep_escape, text)


def _keep_escape(match: re.Match[str]) -> str:
    if match.group(1) is not None:
        return match.group(1)
    # A blank line behind a comment still ends the paragraph.
    rest = match.string[match.end() : match.end() + 1]
    return "\n" if rest == "\n" and match.group().rstrip(" \t").endswith("\n") else ""
