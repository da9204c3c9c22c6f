"""A paper's title in plain characters, from its front matter."""

from __future__ import annotations

import re
import unicodedata

from stages.arxiv.lexer import bracket_end, group_end

_TITLE = re.compile(r"\\(?:title|Title|icmltitle|TITLE)\s*(?=[\[{])")
_MAX_TITLE = 300
_DROPPED = re.compile(
    r"\\(?:thanks|footnote|footnotetext|footnotemark|label|vspace|hspace|vskip|color|fontsize|"
    r"selectfont|tnoteref|titlenote|corref|texorpdfstring)\*?\s*(?=\{)"
)
_ACCENT = re.compile(
    r"\\(?:(['`^\"~=.])|([uvHcdbkr])(?![A-Za-z]))\s*(?:\{\s*\\?([A-Za-z])\s*\}|\\?([A-Za-z]))"
)
_MARKS = {
    "'": "\u0301",
    "`": "\u0300",
    "^": "\u0302",
    '"': "\u0308",
    "~": "\u0303",
    "=": "\u0304",
    ".": "\u0307",
    "u": "\u0306",
    "v": "\u030c",
    "H": "\u030b",
    "c": "\u0327",
    "d": "\u0323",
    "b": "\u0331",
    "k": "\u0328",
    "r": "\u030a",
}
_LETTERS = {
    "ss": "ß",
    "ae": "æ",
    "AE": "Æ",
    "oe": "œ",
    "OE": "Œ",
    "o": "ø",
    "O": "Ø",
    "l": "ł",
    "L": "Ł",
    "aa": "å",
    "AA": "Å",
    "i": "i",
    "LaTeX": "LaTeX",
    "TeX": "TeX",
    "dots": "...",
    "ldots": "...",
    "textendash": "–",
    "textemdash": "—",
    "ensuremath": "",
}
_COMMAND = re.compile(r"\\([A-Za-z@]+)\*?(?:\s*\[[^\]]{0,100}\])?\s*|\\([^A-Za-z])")
_MATH = re.compile(r"(\$[^$]{0,300}\$)")


def title_of(front: str) -> str | None:
    """The title that the text before the first section gives, or None."""
    match = _TITLE.search(front)
    if match is None:
        return None
    place = match.end()
    if front[place] == "[":  # a short form for page heads
        place = bracket_end(front, place + 1, 2000)
        place += len(front[place:]) - len(front[place:].lstrip()) if place > 0 else 0
    if place < 0 or not front.startswith("{", place):
        return None
    end = group_end(front, place, 5000)
    return plain(front[place + 1 : end - 1])[:_MAX_TITLE].strip() or None if end > 0 else None


def plain(tex: str) -> str:
    """Short LaTeX without its commands; formulas stay."""
    while (match := _DROPPED.search(tex)) is not None:
        end = group_end(tex, match.end(), len(tex))
        tex = tex[: match.start()] + (tex[end:] if end > 0 else "")
    pieces = _MATH.split(tex)
    pieces[::2] = [_words(piece) for piece in pieces[::2]]
    return " ".join("".join(pieces).split())


def _words(tex: str) -> str:
    tex = re.sub(r"\\\\\*?(?:\[[^\]]{0,30}\])?|\\newline\b|~|\\[ ,;]", " ", tex)
    tex = _ACCENT.sub(_accented, tex)
    tex = _COMMAND.sub(lambda m: _LETTERS.get(m[1], "") if m[1] else m[2], tex)
    tex = tex.replace("---", "—").replace("--", "–").replace("``", "“").replace("''", "”")
    return tex.replace("{", "").replace("}", "")


def _accented(match: re.Match[str]) -> str:
    mark = _MARKS[match[1] or match[2]]
    return unicodedata.normalize("NFC", (match[3] or match[4]) + mark)
