"""\\newenvironment: environments that only stand for others are replaced by them.

A theorem by any name reads as well as under its own, so only those count whose beginning opens
others that their end closes, as in \\newenvironment{eq}{\\begin{equation}}{\\end{equation}}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stages.arxiv import verbatim
from stages.arxiv.arguments import read_arguments
from stages.arxiv.definitions import group, optional_arguments
from stages.arxiv.expander import Expander, Handler
from stages.arxiv.lexer import blanks_end
from stages.arxiv.macros import Macro, Option, computes, parse_body
from stages.arxiv.signatures import specified
from stages.arxiv.source import Source

_NAME = re.compile(r"\s*\{([^{}\\%#\n]{1,120})\}")
_WORDS = re.compile(r"\\([A-Za-z@]+)")
_EDGE = re.compile(r"\\(begin|end)\s*\{([^{}\\%#\n]{1,120})\}")


@dataclass(frozen=True, slots=True)
class Environment:
    """What the beginning and the end of an environment stand for."""

    opening: Macro
    closing: Macro


def new_environment(x: Expander, source: Source, start: int) -> bool:
    """\\newenvironment{name}[n][default]{beginning}{end}, \\NewDocumentEnvironment."""
    after = source.pos
    command = source.text[start + 1 : after]
    source.pos = blanks_end(source.text, source.pos)
    source.pos += source.text.startswith("*", source.pos)
    match = _NAME.match(source.text, source.pos)
    options: list[Option | None] | None = None
    opening = closing = None
    if match is not None:
        source.pos = match.end()
        if "Document" in command:
            specification = group(x, source)
            options = specified(specification) if specification is not None else None
        else:
            options = optional_arguments(x, source)
        opening = group(x, source)
        closing = group(x, source) if opening is not None else None
    if match is None or options is None or opening is None or closing is None:
        source.pos = after
        return False
    name = match.group(1).strip()
    x.environments.pop(name, None)
    if _hides(x, name, opening):
        x.swallow_line(source)
        return True
    ends = parse_body(closing, len(options) if "Document" in command else 0)
    begins = parse_body(opening, len(options))
    only_others = _opened(opening, name) == _closed(closing) != [] and name not in x.verbatims
    if begins is None or ends is None or not only_others or command.startswith("re"):
        source.pos = after
        return False
    both = opening + closing
    left = any(not macro.usable for n in _WORDS.findall(both) if (macro := x.macros.get(n)))
    if left or computes(both, x.macros, source.style):
        source.pos = after
        return False
    # No control word: blanks behind it count.
    called = name + "}"
    delimiters = ("",) * (len(options) + 1)
    x.environments[name] = Environment(
        Macro(called, delimiters, tuple(options), begins, source.at),
        Macro(called, delimiters, (), ends, source.at),
    )
    x.swallow_line(source)
    return True


def _hides(x: Expander, name: str, opening: str) -> bool:
    """Takes environments up whose text is a comment (then True) or stands to the letter."""
    for inner in (opening.strip().removeprefix("\\"), *_opened(opening, name)):
        if inner in x.comments:
            x.comments.add(name)
            return True
        if inner in x.verbatims or inner in verbatim.ENVIRONMENTS:
            x.verbatims.add(name)
    return False


def _edges(text: str) -> list[tuple[str, str]]:
    return [(kind, name.strip()) for kind, name in _EDGE.findall(text)]


def _opened(text: str, name: str) -> list[str]:
    """The environments that a text opens and does not close, [] where it is odd."""
    found: list[str] = []
    for kind, inner in _edges(text):
        if inner == name or (kind == "end" and (not found or found.pop() != inner)):
            return []
        if kind == "begin":
            found.append(inner)
    return found


def _closed(text: str) -> list[str]:
    """The environments that a text closes, the outermost first; [] where it opens any."""
    edges = _edges(text)
    return [] if any(kind == "begin" for kind, _ in edges) else [name for _, name in edges][::-1]


def begin(x: Expander, source: Source, name: str) -> bool:
    """Puts what an environment's beginning stands for in the place of \\begin{name}."""
    environment = x.environments[name]
    arguments = read_arguments(x, environment.opening)
    if arguments is None:
        return False
    x.count_call(name, source)
    x.renamed.append((name, environment.closing.replacement(arguments)))
    x.push(environment.opening.replacement(arguments), source)
    return True


def end(x: Expander, source: Source, name: str) -> bool:
    """Does so for \\end{name} where the beginning was replaced."""
    if not x.renamed or x.renamed[-1][0] != name:
        return False
    x.push(x.renamed.pop()[1], source)
    return True


HANDLERS: dict[str, Handler] = dict.fromkeys(
    ("newenvironment", "renewenvironment", "NewDocumentEnvironment"), new_environment
)
