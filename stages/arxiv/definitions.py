"""\\newcommand, \\def and their kin: reads definitions and decides which of them are followed."""

from __future__ import annotations

import re
from dataclasses import replace

from stages.arxiv.expander import Expander, Handler
from stages.arxiv.lexer import WORD, blanks_end, bracket_end, group_end, without_comments
from stages.arxiv.macros import (
    Macro,
    Option,
    branches,
    computes,
    decidable,
    may_be_defined,
    parse_body,
    parse_parameters,
)
from stages.arxiv.source import Source

_MAX_DEFINITION = 20_000  # characters; longer ones are no abbreviations
DIGIT = re.compile(r"\s*\[\s*([0-9])\s*\]")
_PREFIXED = re.compile(
    r"\s*\\(long|global|outer|protected|def|gdef|edef|xdef|let|newcommand|renewcommand)(?![A-Za-z@])"
)
_PARAMETER_TEXT = re.compile(r"(?:[^{}\\%]|\\(?:[A-Za-z@]+|[^A-Za-z]))*")


def read_name(source: Source) -> str | None:
    """Reads the name that is being defined, with or without braces; without its backslash."""
    text = source.text
    place = blanks_end(text, source.pos)
    braced = text.startswith("{", place)
    if braced:
        place = blanks_end(text, place + 1)
    match = WORD[source.at].match(text, place)
    if match is None:
        return None
    place = match.end()
    if braced:
        place = blanks_end(text, place)
        if not text.startswith("}", place):
            return None
        place += 1
    source.pos = place
    return match.group()[1:]


def group(x: Expander, source: Source) -> str | None:
    """Reads a group, or a single token in its place; without braces and comments."""
    place = blanks_end(source.text, source.pos)
    if not source.text.startswith("{", place):
        match = WORD[source.at].match(source.text, place)
        if match is None:
            return None
        source.pos = match.end()
        return match.group()
    end = group_end(source.text, place, _MAX_DEFINITION, x.charge)
    if end < 0:
        return None
    source.pos = end
    return without_comments(source.text[place + 1 : end - 1])


def bracket(x: Expander, source: Source) -> str | None:
    """Reads `[...]` if there is one; without brackets and comments."""
    place = blanks_end(source.text, source.pos)
    if not source.text.startswith("[", place):
        return None
    end = bracket_end(source.text, place + 1, _MAX_DEFINITION, x.charge)
    if end < 0:
        return None
    source.pos = end
    return without_comments(source.text[place + 1 : end - 1])


def settle(
    x: Expander, source: Source, start: int, macro: Macro, body: str, known: bool = True
) -> bool:
    """Takes a definition up, or copies it: where it is odd, protected or no abbreviation."""
    if not may_be_defined(macro.name):
        return _copied(x, source, start)
    if macro.name in x.handlers and macro.name in ("onedot", "xspace"):
        x.swallow_line(source)  # of a style that most papers of a field share: done here
        return True
    inside = branches(body, x.macros) if not x.in_document else ()
    if not known or computes(body, x.macros, source.style, inside=bool(inside)):
        # The name no longer means what it did, so calls of it must stay.
        x.define(Macro(macro.name, usable=False))
        return _copied(x, source, start)
    x.define(replace(macro, branches=inside) if inside else macro)
    x.everywhere = False
    x.swallow_line(source)
    return True


def _copied(x: Expander, source: Source, start: int) -> bool:
    x.everywhere = False
    if source.pos <= start:
        return False
    # Not as verbatim text: lines are tidied, only macros are not looked for.
    x.out.text(without_comments(source.text[start : source.pos]))
    return True


def new_command(x: Expander, source: Source, start: int) -> bool:
    """\\newcommand{\\name}[n][default]{body}, starred or not, with or without braces."""
    after = source.pos
    provide = source.text.startswith("providecommand", start + 1)
    source.pos = blanks_end(source.text, source.pos)
    if source.text.startswith("*", source.pos):
        source.pos += 1
    name = read_name(source)
    options = optional_arguments(x, source) if name is not None else []
    body = group(x, source) if name is not None else None
    if name is None or body is None:
        source.pos = after
        return False
    if provide and name in x.macros:
        x.swallow_line(source)
        return True
    return abbreviation(x, source, start, name, options, body)


def optional_arguments(x: Expander, source: Source) -> list[Option | None]:
    """Reads the [n][default] of a definition."""
    digit = DIGIT.match(source.text, source.pos)
    if digit is None:
        return []
    source.pos = digit.end()
    default = bracket(x, source)
    options: list[Option | None] = [None] * int(digit.group(1))
    if default is not None and options:
        options[0] = Option(default)
    return options


def abbreviation(
    x: Expander, source: Source, start: int, name: str, options: list[Option | None], body: str
) -> bool:
    """Settles a macro whose arguments are groups, or may be left out."""
    body = decidable(body)
    parsed = parse_body(body, len(options))
    delimiters = ("",) * (len(options) + 1)
    macro = Macro(name, delimiters, tuple(options), parsed or (), source.at)
    return settle(x, source, start, macro, body, parsed is not None)


def define(x: Expander, source: Source, start: int) -> bool:
    """\\def\\name#1 delimiter #2{body}, also \\gdef, \\edef and \\xdef."""
    after = source.pos
    command = source.text[start:after].rpartition("\\")[2]
    if command in ("gdef", "xdef"):
        x.everywhere = True
    source.pos = blanks_end(source.text, source.pos)
    # An active character or an odd place: not followed.
    match = WORD[source.at].match(source.text, source.pos)
    parameters = None
    if match is not None:
        place = match.end()
        name = match.group()[1:]
        parameters = _PARAMETER_TEXT.match(source.text, place, place + 500)
    if match is None or parameters is None or not source.text.startswith("{", parameters.end()):
        x.everywhere = False
        source.pos = after
        return False
    source.pos = parameters.end()
    body = group(x, source)
    if body is None:
        x.everywhere = False
        source.pos = after
        return False
    text = parameters.group()
    brace = text.endswith("#")
    body = decidable(body)
    delimiters = parse_parameters(text.removesuffix("#").lstrip(" \t"))
    if delimiters is None:
        return settle(x, source, start, Macro(name), body, known=False)
    parsed = parse_body(body, len(delimiters) - 1)
    if brace and parsed is not None:
        brace = len(delimiters) > 1
    macro = Macro(name, delimiters, (), parsed or (), source.at, brace=brace)
    # \\edef fixes the meanings of now; that is the same only where nothing in it has another.
    early = command in ("edef", "xdef") and any(
        word[1:] in x.macros for word in WORD[source.at].findall(body)
    )
    return settle(x, source, start, macro, body, parsed is not None and not early)


def prefix(x: Expander, source: Source, start: int) -> bool:
    """\\long, \\global, \\outer, \\protected before a definition."""
    match = _PREFIXED.match(source.text, source.pos)
    if match is None:
        return False
    after = source.pos
    everywhere = source.text.startswith("global", start + 1)
    source.pos = match.end()
    x.everywhere = x.everywhere or everywhere
    if HANDLERS[match.group(1)](x, source, match.start(1) - 1):
        return True
    x.everywhere = False
    source.pos = after
    return False


def let(x: Expander, source: Source, start: int) -> bool:
    """\\let\\name=\\other: a name gets the meaning that the other has now."""
    after = source.pos
    name = read_name(source)
    place = blanks_end(source.text, source.pos)
    if source.text.startswith("=", place):
        place = blanks_end(source.text, place + 1)
    match = WORD[source.at].match(source.text, place)
    if name is None or match is None:
        x.everywhere = False
        source.pos = after
        return False
    source.pos = match.end()
    return _same(x, source, start, name, match.group()[1:])


def copy_command(x: Expander, source: Source, start: int) -> bool:
    """\\LetLtxMacro{\\name}{\\other} and \\NewCommandCopy."""
    after = source.pos
    name, other = read_name(source), read_name(source)
    if name is None or other is None:
        source.pos = after
        return False
    return _same(x, source, start, name, other)


def _same(x: Expander, source: Source, start: int, name: str, other: str) -> bool:
    if not may_be_defined(name) or name == other:
        return _copied(x, source, start)
    meaning = x.macros.get(other)
    if meaning is not None and meaning.alias is not None:
        other = meaning.alias
        meaning = None
    if meaning is None and (other in _GROUPING or other.startswith("if") or "@" in other):
        x.define(Macro(name, usable=False))
        return _copied(x, source, start)
    if meaning is None or not meaning.usable:
        x.define(Macro(name, alias=other))
    else:
        x.define(replace(meaning, name=name))
    x.everywhere = False
    x.swallow_line(source)
    return True


_GROUPING = frozenset({"fi", "else", "or", "relax", "undefined", "bgroup", "egroup", "@undefined"})


def operator(x: Expander, source: Source, start: int) -> bool:
    """\\DeclareMathOperator{\\name}{text}; starred with limits."""
    after = source.pos
    place = blanks_end(source.text, source.pos)
    star = "*" if source.text.startswith("*", place) else ""
    source.pos = place + len(star)
    name = read_name(source)
    body = group(x, source) if name is not None else None
    if name is None or body is None:
        source.pos = after
        return False
    macro = Macro(name, body=(f"\\operatorname{star}{{{body}}}",), at=source.at)
    return settle(x, source, start, macro, body)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(
        ("newcommand", "renewcommand", "providecommand", "DeclareRobustCommand", "newrobustcmd"),
        new_command,
    ),
    **dict.fromkeys(("renewrobustcmd",), new_command),
    **dict.fromkeys(("def", "gdef", "edef", "xdef"), define),
    **dict.fromkeys(("long", "global", "outer", "protected"), prefix),
    "let": let,
    **dict.fromkeys(("LetLtxMacro", "NewCommandCopy", "RenewCommandCopy"), copy_command),
    "DeclareMathOperator": operator,
}
