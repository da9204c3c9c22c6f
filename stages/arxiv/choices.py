"""Choices between texts that are decided where they are read: by a star, an argument, a switch."""

from __future__ import annotations

import re

from stages.arxiv.arguments import read_items
from stages.arxiv.expander import Expander, Handler
from stages.arxiv.signatures import NO_VALUE
from stages.arxiv.source import Source

_EQUAL = re.compile(r"\s*\\equal\s*\{([^{}\\]*)\}\s*\{([^{}\\]*)\}\s*")
_BOOLEAN = re.compile(r"\s*(\\NOT|\\not)?\s*\\boolean\s*\{\s*([A-Za-z@0-9_-]{1,80})\s*\}\s*")
_SWITCH = re.compile(r"\s*\{\s*([A-Za-z@0-9_-]{1,80})\s*\}")
_VALUE = re.compile(r"\s*\{\s*(true|false)\s*\}")
_TOGGLE = "toggle "  # etoolbox's toggles have names of their own; its bools are TeX's switches


def next_char(x: Expander, source: Source, start: int) -> bool:
    """\\@ifnextchar[{A}{B} and \\@ifstar{A}{B}, in replacement texts."""
    star = source.text.startswith("@ifstar", start + 1)
    items = None if source.file else read_items(x, source, 2 if star else 3)
    if items is None:
        return False
    token = "*" if star else "{" if items[0] == "\\bgroup" else items[0]
    found = x.peek(token) if token else None
    if star and found is not None:
        found.pos += 1
    x.push(items[-2] if found is not None else items[-1], source)
    return True


def given(x: Expander, source: Source, start: int) -> bool:
    """\\IfNoValueTF, \\IfValueTF, \\IfBooleanTF and their short forms, in replacement texts."""
    command = source.text[start + 1 : source.pos]
    both = command.endswith("TF")
    items = None if source.file else read_items(x, source, 3 if both else 2)
    if items is None:
        return False
    if command.startswith("IfBoolean"):
        value = items[0] == "\\BooleanTrue"
    else:
        value = (items[0] == NO_VALUE) == command.startswith("IfNo")
    _choose(x, source, value, command.removeprefix("IfNo"), items)
    return True


def _choose(x: Expander, source: Source, value: bool, command: str, items: list[str]) -> None:
    if command.endswith("TF"):
        x.push(items[1] if value else items[2], source)
    elif value == command.endswith("T"):
        x.push(items[1], source)


def blank(x: Expander, source: Source, start: int) -> bool:
    """\\ifblank, \\ifstrempty, \\notblank of etoolbox, in replacement texts."""
    items = None if source.file else read_items(x, source, 3)
    if items is None:
        return False
    value = bool(items[0].strip()) == source.text.startswith("notblank", start + 1)
    x.push(items[1] if value else items[2], source)
    return True


def if_then_else(x: Expander, source: Source, start: int) -> bool:
    """\\ifthenelse{test}{A}{B} where the test compares texts or asks a known switch."""
    after = source.pos
    items = read_items(x, source, 3)
    value = _tested(x, items[0]) if items is not None else None
    if items is None or value is None:
        source.pos = after
        return False
    x.push(items[1] if value else items[2], source)
    return True


def _tested(x: Expander, test: str) -> bool | None:
    if (match := _EQUAL.fullmatch(test)) is not None:
        return match.group(1).strip() == match.group(2).strip()
    if (match := _BOOLEAN.fullmatch(test)) is not None:
        on = x.switches.get("if" + match.group(2))
        return None if on is None else on != bool(match.group(1))
    return None


def new_switch(x: Expander, source: Source, start: int) -> bool:
    """\\newtoggle, \\newbool, \\newboolean: off at first."""
    match = _SWITCH.match(source.text, source.pos)
    if match is None:
        return False
    command = source.text[start + 1 : source.pos]
    source.pos = match.end()
    x.switches.setdefault(_key(command, match.group(1)), False)
    x.swallow_line(source)
    return True


def set_switch(x: Expander, source: Source, start: int) -> bool:
    """\\toggletrue{name}, \\boolfalse{name}, \\setboolean{name}{true} and their kin."""
    command = source.text[start + 1 : source.pos]
    match = _SWITCH.match(source.text, source.pos)
    value = _VALUE.match(source.text, match.end()) if match and command.startswith("set") else None
    if match is None or (value is None and command.startswith("set")):
        return False
    on = value.group(1) == "true" if value is not None else command.endswith("true")
    source.pos = value.end() if value is not None else match.end()
    x.set_switch(_key(command, match.group(1)), on)
    x.swallow_line(source)
    return True


def switched(x: Expander, source: Source, start: int) -> bool:
    """\\iftoggle{name}{A}{B}, \\ifbool and their negations, where the switch is known."""
    after = source.pos
    command = source.text[start + 1 : after]
    items = read_items(x, source, 3)
    on = x.switches.get(_key(command, items[0].strip())) if items is not None else None
    if items is None or on is None:
        source.pos = after
        return False
    x.push(items[1] if on != command.startswith("not") else items[2], source)
    return True


def _key(command: str, name: str) -> str:
    return (_TOGGLE if "toggle" in command else "if") + name


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("@ifnextchar", "kernel@ifnextchar", "@ifstar"), next_char),
    **{
        f"If{what}{form}": given
        for what in ("NoValue", "Value", "Boolean")
        for form in ("TF", "T", "F")
    },
    **dict.fromkeys(("ifblank", "ifstrempty", "notblank"), blank),
    "ifthenelse": if_then_else,
    **dict.fromkeys(
        (
            *("newtoggle", "providetoggle", "newbool", "providebool", "newboolean"),
            "provideboolean",
        ),
        new_switch,
    ),
    **dict.fromkeys(
        (
            *("toggletrue", "togglefalse", "settoggle", "booltrue", "boolfalse", "setbool"),
            "setboolean",
        ),
        set_switch,
    ),
    **dict.fromkeys(("iftoggle", "nottoggle", "ifbool", "notbool"), switched),
}
