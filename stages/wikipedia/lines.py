"""Last pass: quotes, headings, lists, entities and white space, line by line."""

from __future__ import annotations

import html
import re

from stages.wikipedia.markup import BREAK, SUB_CLOSE, SUB_OPEN, SUP_CLOSE, SUP_OPEN, VOID

_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_URL = re.compile(r"(?<![\w/])(?:https?|ftp)://[^\s<>\[\]{}|\"]*[^\s<>\[\]{}|\".,;:!?)'»”]")
_QUOTES = re.compile(r"('{2,})")
_SUP = re.compile(f"{SUP_OPEN}([^{SUP_OPEN}-{SUB_CLOSE}\n]{{0,60}}){SUP_CLOSE}")
_SUB = re.compile(f"{SUB_OPEN}([^{SUP_OPEN}-{SUB_CLOSE}\n]{{0,60}}){SUB_CLOSE}")
_MARKS = re.compile(f"[{SUP_OPEN}-{SUB_CLOSE}]")
_TO_SUP = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_TO_SUB = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_RAISED = re.compile(r"[-+−]?[0-9n]{1,12}[-+−]?")
_LOWERED = re.compile(r"[0-9+−=()-]{1,12}")

# What is left around a hole: "( ; born 1900)", "()", "word ,". Only there, for "f()" is text.
_V = VOID
_HOLE_RUN = re.compile(f"{_V}{{2,}}")
_EMPTY_LABEL = re.compile(f"(?<=[(;,])[^();:,{_V}]{{1,30}}: ?{_V} ?(?=[;,])")
_EMPTY_PAIR = re.compile(f" ?[(（\\[][ ,;:{_V}]{{0,20}}{_V}[ ,;:{_V}]{{0,20}}[)）\\]]")
_EMPTY_QUOTES = re.compile(f' ?(?:« ?{_V} ?»|[„“] ?{_V} ?[“”]|"{_V}")')
_OPEN_GAP = re.compile(f"([(（])[ ,;:]{{0,9}}{_V}[ ,;:{_V}]{{0,20}}")
_CLOSE_GAP = re.compile(f"[ ,;:{_V}]{{0,20}}{_V}[ ,;:]{{0,9}}([)）])")
_BEFORE_STOP = re.compile(f" ?{_V} ?(?=[,.](?: |$))")
_BRACKET = re.compile(r"[()（）\[\]]")
_QUOTE = re.compile('[«»„“”"]')
_WORD = re.compile(r"[^\W_]|[^\x00-\x7f]")
_EDGE = " \t" + VOID
_BLANK_LINES = re.compile(r"\n{3,}")
_LIST = re.compile(r"[*#:;]+")
_RULE = re.compile(r"-{4,}")


def finish(text: str, headings: bool, list_marker: str, keep_urls: bool) -> str:
    """Plain lines of a page whose links and templates are resolved."""
    out: list[tuple[int, str]] = []  # (level of a heading or 0, line)
    for line in text.split("\n"):
        if "''" in line:
            line = resolve_quotes(line)
        if "://" in line and not keep_urls:
            line = _URL.sub(VOID, line)
        if "&" in line:
            line = _ENTITY.sub(lambda match: html.unescape(match.group()), line).replace("\n", " ")
        level, line = _heading(line)
        if level:
            out.append((level, _squeeze(line.replace(BREAK, " "))))
            continue
        out.extend((0, part) for part in _body_lines(line, list_marker))
    return "\n".join(_sections(out, headings))


def _heading(line: str) -> tuple[int, str]:
    stripped = line.strip(_EDGE)
    if not stripped.startswith("=") or len(stripped) < 3:
        return 0, line
    front = len(stripped) - len(stripped.lstrip("="))
    back = len(stripped) - len(stripped.rstrip("="))
    level = min(front, back, 6, (len(stripped) - 1) // 2)
    return (level, stripped[level:-level]) if level and front < len(stripped) else (0, line)


def _body_lines(line: str, list_marker: str) -> list[str]:
    line = line.strip(_EDGE)
    if line.startswith("|") or line in ("{|", "|}"):
        return []  # a row of a table or template that was never closed
    if _RULE.match(line):
        line = line.lstrip("-")
    marker = ""
    found = _LIST.match(line)
    if found is not None:
        line = line[found.end() :]
        marker = list_marker if found.group()[-1] in "*#" else ""
    parts = [_squeeze(part) for part in line.split(BREAK)]
    # Punctuation alone is what a dropped citation leaves of its line, or a place holder.
    parts = [part for part in parts if _WORD.search(part)]
    if not parts:
        return [] if found is not None else [""]
    parts[0] = marker + parts[0]
    return parts


def _squeeze(line: str) -> str:
    """One line with scripts, white space and the traces of dropped templates put right."""
    if SUP_OPEN in line or SUB_OPEN in line:
        line = _MARKS.sub("", _SUB.sub(_subscript, _SUP.sub(_superscript, line)))
    elif SUP_CLOSE in line or SUB_CLOSE in line:
        line = _MARKS.sub("", line)
    if not line.isascii():
        line = _INVISIBLE.sub("", line)
    line = " ".join(line.split())  # all white space, no-break spaces included
    return _close_holes(line) if VOID in line else line


def _close_holes(line: str) -> str:
    # Most patterns are looked for only where there is a sign that they need.
    brackets = _BRACKET.search(line) is not None
    line = _HOLE_RUN.sub(VOID, line)
    if ":" in line:
        line = _EMPTY_LABEL.sub(VOID, line)
    if brackets:
        line = _EMPTY_PAIR.sub("", line)
    if _QUOTE.search(line):
        line = _EMPTY_QUOTES.sub(VOID, line)
    if brackets:
        line = _CLOSE_GAP.sub(r"\1", _OPEN_GAP.sub(r"\1", line))
    line = _BEFORE_STOP.sub("", line).replace(VOID, "")
    return " ".join(line.split())


def _superscript(match: re.Match[str]) -> str:
    text = match.group(1).strip()
    return text.translate(_TO_SUP) if _RAISED.fullmatch(text) else text


def _subscript(match: re.Match[str]) -> str:
    text = match.group(1).strip()
    return text.translate(_TO_SUB) if _LOWERED.fullmatch(text) else text


def _sections(items: list[tuple[int, str]], headings: bool) -> list[str]:
    """Lines without the headings that have nothing under them ("References", mostly)."""
    kept: list[str] = []
    below = 0  # level of the nearest kept line below; 7 is body text
    for level, line in reversed(items):
        if not level:
            below = 7 if line else below
            kept.append(line)
        elif below > level and line:
            below = level
            if headings:
                kept += ["", line, ""]
    kept.reverse()
    return kept


def tidy(text: str) -> str:
    """No blank lines at the ends, at most one between two lines."""
    return _BLANK_LINES.sub("\n\n", text).strip("\n ")


def resolve_quotes(line: str) -> str:
    """Remove bold and italic marks; keep apostrophes.

    MediaWiki's rule for three apostrophes that can be read two ways ("L'''Odyssée''"): when the
    line has an odd number of both bold and italic marks, one bold mark is an apostrophe and an
    italic mark: the first after a one-letter word, else after a longer word, else after a space.
    """
    parts = _QUOTES.split(line)
    bold = italic = 0
    runs: list[int] = []
    for index in range(1, len(parts), 2):
        length = len(parts[index])
        extra = 1 if length == 4 else max(0, length - 5)
        runs.append(length - extra)
        parts[index] = "'" * extra
        bold += length - extra in (3, 5)
        italic += length - extra in (2, 5)
    if bold % 2 and italic % 2:
        chosen = _ambiguous_bold(parts, runs)
        if chosen is not None:
            parts[chosen] += "'"
    return "".join(parts)


def _ambiguous_bold(parts: list[str], runs: list[int]) -> int | None:
    long_word = space = None
    for number, length in enumerate(runs):
        index = 2 * number + 1
        before = parts[index - 1]
        if length != 3:
            continue
        if not before or before.endswith(" "):
            space = index if space is None else space
        elif len(before) == 1 or before[-2] == " ":
            return index
        elif long_word is None:
            long_word = index
    return long_word if long_word is not None else space
