"""Texts without markup, at their length: the second form in which documents are searched.

Entities, tags and the escapes of JSON strings part or hide words. Blanks in their place (or the
character that they stand for) make the words of what a reader sees, and each character keeps its
place, so that a match needs no way back.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]

_FILL = "'"
"""Fills up what became shorter: an apostrophe is nothing in the normal form, and it is ASCII."""

# All patterns begin with their signs, as `re` is fast to find these.
_AGAIN = re.compile("&(?:amp;)+(?=[#A-Za-z])")
_ENTITY = r"(?<=&)(?:amp;)*(?:\#\d{1,7}|\#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
# `<<2*3=6>>` are the notes of GSM8K's calculator.
_TAG = r"(?<=<)(?:<[^<>]{1,300}>>|[A-Za-z/!][^<>]{0,1000}>)"
_ESCAPE = r"(?<=\\)(?:u[0-9A-Fa-f]{4}|[\\nrtbf\"/])"
_MARKUP = re.compile(f"[&<](?:{_ENTITY}|{_TAG})")
_MARKUP_OR_ESCAPE = re.compile(rf"[&<\\](?:{_ENTITY}|{_TAG}|{_ESCAPE})")
_ESCAPED = re.compile(
    r"\\(?:[nrt](?![a-z])|u[0-9A-Fa-f]{4}|(?<=[a-z]{3}\\)n(?=[a-z]{3})|\\[nrtu](?![a-z]))"
)
"""What tells strings of JSON or of a program from LaTeX, where `\\nu` and `\\text` are commands."""


@dataclass(frozen=True, slots=True)
class Unmarked:
    """A text of the same length; `starts` and `ends` are the places where it differs."""

    text: str
    starts: I64
    ends: I64

    def outwards(self, ends: I64) -> I64:
        """Ends of words; one within a place where a character was decoded is that place's end."""
        place = np.searchsorted(self.starts, ends, side="left") - 1
        bounds = self.ends[np.maximum(place, 0)]
        return np.where((place >= 0) & (ends < bounds), bounds, ends)


def unmarked(text: str) -> Unmarked | None:
    """The text without markup; None where there is none (almost always, and soon seen)."""
    escaped = "\\" in text and _ESCAPED.search(text) is not None
    if not escaped and "&" not in text and "<" not in text:
        return None
    pattern = _MARKUP_OR_ESCAPE if escaped else _MARKUP
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    last = 0
    for found in pattern.finditer(text):
        start, end = found.span()
        shown = _shown(found[0])
        pieces += (text[last:start], shown, _FILL * (end - start - len(shown)))
        starts.append(start)
        ends.append(end)
        last = end
    if not starts:
        return None
    pieces.append(text[last:])
    return Unmarked("".join(pieces), np.array(starts, np.int64), np.array(ends, np.int64))


def _shown(markup: str) -> str:
    """What a reader sees of it; never longer."""
    if markup[0] == "<":
        return " " * len(markup)
    if markup[0] == "&":
        # However often it was escaped: `&amp;amp;nbsp;`.
        character = html.unescape(_AGAIN.sub("&", markup))
        return character if len(character) <= 2 else markup
    if markup[1] == "u":
        character = chr(int(markup[2:], 16))
        # Halves of a character beyond the first plane: symbols, as good as always.
        return " " if "\ud800" <= character <= "\udfff" else character
    return "\\" if markup[1] == "\\" else " " * len(markup)
