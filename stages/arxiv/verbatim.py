"""Text that TeX does not read as TeX: \\verb, listings, URLs, comment environments."""

from __future__ import annotations

import re

from stages.arxiv.expander import SHORT_FORM, Expander, Handler
from stages.arxiv.lexer import blanks_end, bracket_end, group_end
from stages.arxiv.source import Source
from stages.arxiv.words import words

ENVIRONMENTS = words(
    """
    verbatim verbatim* Verbatim Verbatim* BVerbatim LVerbatim SaveVerbatim lstlisting lstlisting*
    minted spverbatim verbatimtab listing* alltt pycode pyconsole sagesilent sageblock
    luacode luacode* tcblisting asy gnuplot dot2tex
    """
)
_MAX_URL = 4096
_MAX_VERB = 2000
_NAME = re.compile(r"\s*\{([^{}\\%]{1,120})\}")
_SHORT = re.compile(r"\*?\s*\{\s*\\?(\S)\s*\}")


def verb(x: Expander, source: Source, start: int) -> bool:
    """\\verb|...|: the delimiter is any character, the text stands on one line."""
    star = source.text.startswith("*", source.pos)
    return _between(x, source, start, source.pos + star)


def short_form(x: Expander, source: Source, start: int) -> bool:
    """|...| where \\MakeShortVerb made the character short for \\verb."""
    return _between(x, source, start, start)


def listing(x: Expander, source: Source, start: int) -> bool:
    """\\lstinline[options]|...|, or with braces; \\mintinline{language}|...|."""
    place = _options(x, source, source.pos)
    if source.text.startswith(("mintinline", "mint"), start + 1):
        if not source.text.startswith("{", place):
            return False
        place = group_end(source.text, place, _MAX_URL, x.charge)
        if place < 0:
            return False
    if source.text.startswith("{", place):
        end = group_end(source.text, place, _MAX_VERB, x.charge, comments=False)
        return _raw(x, source, start, end)
    return _between(x, source, start, place)


def url(x: Expander, source: Source, start: int) -> bool:
    """\\url{...}, \\path{...} or |...|, and the address of \\href: a `%` is no comment there."""
    place = blanks_end(source.text, _options(x, source, source.pos))
    if source.text.startswith("{", place):
        end = group_end(source.text, place, _MAX_URL, x.charge, comments=False)
        if end < 0 or "\n\n" in source.text[place:end]:
            return False
        return _raw(x, source, start, end)
    if source.text.startswith("href", start + 1):
        return False
    return _between(x, source, start, place)


def _options(x: Expander, source: Source, place: int) -> int:
    if source.text.startswith("[", place):
        end = bracket_end(source.text, place + 1, _MAX_URL, x.charge)
        return end if end > 0 else place
    return place


def _between(x: Expander, source: Source, start: int, place: int) -> bool:
    text = source.text
    delimiter = text[place : place + 1]
    if not delimiter or delimiter.isspace() or delimiter.isalnum() or delimiter in "{}\\%":
        return False
    line = text.find("\n", place, place + _MAX_VERB)
    stop = line if line >= 0 else place + _MAX_VERB
    end = text.find(delimiter, place + 1, stop)
    return _raw(x, source, start, end + 1 if end >= 0 else -1)


def _raw(x: Expander, source: Source, start: int, end: int) -> bool:
    if end < 0:
        return False
    x.out.verbatim(source.text[start:end])
    source.pos = end
    return True


def environment(x: Expander, source: Source, start: int, name: str) -> bool:
    """\\begin{verbatim}...\\end{verbatim}, to the letter; the source stands behind \\begin{...}."""
    closing = f"\\end{{{name}}}"
    end = source.find(closing)
    if end < 0:
        return False
    source.pos = end + len(closing)
    x.out.verbatim(source.text[start : source.pos])
    return True


def comment(x: Expander, source: Source, name: str) -> bool:
    """\\begin{comment}...\\end{comment} is left out."""
    closing = f"\\end{{{name}}}"
    end = source.find(closing)
    if end < 0:
        return False
    source.pos = end + len(closing)
    x.swallow_line(source)
    return True


def file_contents(x: Expander, source: Source, name: str) -> bool:
    """\\begin{filecontents}{name}: a file that the paper brings with it, read where it is named."""
    closing = f"\\end{{{name}}}"
    end = source.find(closing)
    place = _options(x, source, source.pos)
    match = _NAME.match(source.text, place)
    if end < 0 or match is None or match.end() > end:
        return False
    x.tree.add(match.group(1), source.text[match.end() : end].lstrip("\n"))
    source.pos = end + len(closing)
    x.swallow_line(source)
    return True


def new_environment(x: Expander, source: Source, start: int) -> bool:
    """\\DefineVerbatimEnvironment, \\lstnewenvironment, \\newminted, \\excludecomment."""
    command = source.text[start + 1 : source.pos]
    match = _NAME.match(source.text, _options(x, source, source.pos))
    if match is not None:
        name = match.group(1).strip()
        if command == "excludecomment":
            x.comments.add(name)
        elif command == "includecomment":
            x.comments.discard(name)
        else:
            x.verbatims.add(name + "code" if command == "newminted" else name)
    return False  # The definition itself is copied: what it does is not looked at.


def short_verb(x: Expander, source: Source, start: int) -> bool:
    """\\MakeShortVerb{\\|}: from here on `|...|` is verbatim."""
    match = _SHORT.match(source.text, source.pos)
    if match is None:
        return False
    character = match.group(1)
    source.pos = match.end()
    file = x.file()
    making = not source.text.startswith("Delete", start + 1)
    if character not in "\\{}%" and making:
        file.shorten(file.short.replace(character, "") + character)
    elif not making:
        file.shorten(file.short.replace(character, ""))
    x.swallow_line(source)
    return True


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("verb", "Verb", "spverb"), verb),
    SHORT_FORM: short_form,
    **dict.fromkeys(("lstinline", "mintinline", "mint"), listing),
    **dict.fromkeys(("url", "path", "nolinkurl", "href", "burl", "hyperref@url"), url),
    **dict.fromkeys(
        (
            *("DefineVerbatimEnvironment", "lstnewenvironment", "newminted", "excludecomment"),
            "includecomment",
        ),
        new_environment,
    ),
    **dict.fromkeys(("MakeShortVerb", "DeleteShortVerb", "lstMakeShortInline"), short_verb),
}
