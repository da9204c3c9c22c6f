"""Definitions that say of each argument whether it may be left out: xparse, xargs, mathtools."""

from __future__ import annotations

import re

from stages.arxiv.definitions import DIGIT, abbreviation, bracket, group, read_name, settle
from stages.arxiv.expander import Expander, Handler
from stages.arxiv.lexer import blanks_end, group_end
from stages.arxiv.macros import Macro, Option
from stages.arxiv.source import Source

_SPECIFIED = re.compile(r"\s*(?:[+!]\s*)?(?:([mos])|t\s*(\S)|O\s*(?=\{))")
NO_VALUE = "-NoValue-"
"""What xparse gives for an argument that was left out; `choices` asks for it."""
_PAIRED = (
    r"\IfBooleanTF{#1}{\left%s#3\right%s}"
    r"{\IfNoValueTF{#2}{%s#3%s}{\mathopen{#2%s}#3\mathclose{#2%s}}}"
)


def new_command_x(x: Expander, source: Source, start: int) -> bool:
    """\\newcommandx{\\name}[n][1=default, 3=default]{body} of the package xargs."""
    after = source.pos
    source.pos = blanks_end(source.text, source.pos)
    source.pos += source.text.startswith("*", source.pos)
    name = read_name(source)
    digit = DIGIT.match(source.text, source.pos) if name is not None else None
    if digit is not None:
        source.pos = digit.end()
    given = bracket(x, source) if digit is not None else None
    body = group(x, source) if name is not None else None
    if name is None or body is None:
        source.pos = after
        return False
    options: list[Option | None] = [None] * (int(digit.group(1)) if digit is not None else 0)
    for number, default in re.findall(r"([1-9])\s*=\s*(\{[^{}]*\}|[^,{}]*)", given or ""):
        if int(number) <= len(options):
            options[int(number) - 1] = Option(default.strip().strip("{}"))
    return abbreviation(x, source, start, name, options, body)


def document_command(x: Expander, source: Source, start: int) -> bool:
    """\\NewDocumentCommand{\\name}{s o m}{body} with arguments of the kinds m, o, O, s and t."""
    after = source.pos
    name = read_name(source)
    specification = group(x, source) if name is not None else None
    body = group(x, source) if specification is not None else None
    if name is None or specification is None or body is None:
        source.pos = after
        return False
    if source.text.startswith("Provide", start + 1) and name in x.macros:
        x.swallow_line(source)
        return True
    options = specified(specification)
    if options is None:
        return settle(x, source, start, Macro(name), body, known=False)
    return abbreviation(x, source, start, name, options, body)


def specified(text: str) -> list[Option | None] | None:
    """xparse's specification of arguments; None where it has kinds that are not followed."""
    options: list[Option | None] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _SPECIFIED.match(text, place)
        if match is None or len(options) == 9:
            return None
        kind, mark = match.groups()
        place = match.end()
        if kind == "m":
            options.append(None)
        elif kind == "o":
            options.append(Option(NO_VALUE))
        elif kind == "s" or mark:
            options.append(Option(r"\BooleanFalse", mark or "*", r"\BooleanTrue"))
        else:
            stop = group_end(text, place, len(text))
            if stop < 0:
                return None
            options.append(Option(text[place + 1 : stop - 1]))
            place = stop
    return options


def paired_delimiter(x: Expander, source: Source, start: int) -> bool:
    """\\DeclarePairedDelimiter{\\name}{left}{right} of mathtools; starred it fits its height."""
    after = source.pos
    name = read_name(source)
    left = group(x, source) if name is not None else None
    right = group(x, source) if left is not None else None
    if name is None or left is None or right is None or "#" in left + right:
        source.pos = after
        return False
    options = specified("s o m")
    body = _PAIRED % ((left, right) * 3)
    return abbreviation(x, source, start, name, options or [], body)


HANDLERS: dict[str, Handler] = {
    "DeclarePairedDelimiter": paired_delimiter,
    **dict.fromkeys(
        ("newcommandx", "renewcommandx", "providecommandx", "DeclareRobustCommandx"), new_command_x
    ),
    **dict.fromkeys(
        (
            *("NewDocumentCommand", "RenewDocumentCommand", "DeclareDocumentCommand"),
            "ProvideDocumentCommand",
        ),
        document_command,
    ),
}
