"""\\iffalse, \\newif switches and their kin: what TeX would skip is skipped where it is known."""

from __future__ import annotations

import re

from stages.arxiv.expander import Expander, Handler
from stages.arxiv.lexer import WORD, blanks_end, group_end
from stages.arxiv.macros import EMPTY_TEST
from stages.arxiv.source import Source
from stages.arxiv.words import words

CONDITIONALS = words(
    """
    if ifcat ifx ifcase ifnum ifdim ifodd ifmmode ifvmode ifhmode ifinner ifvoid ifhbox ifvbox
    ifeof iftrue iffalse ifdefined ifcsname iffontchar ifincsname ifpdfprimitive ifpdfabsnum
    ifpdf ifxetex ifluatex ifXeTeX ifLuaTeX ifPDFTeX ifpTeX ifupTeX iftutex ifTUTeX ifvtex ifVTeX
    ifetex iflatexml ifdraft ifoptionfinal ifCLASSOPTIONcompsoc ifCLASSINFOpdf
    ifCLASSOPTIONcaptionsoff ifCLASSOPTIONonecolumn ifCLASSOPTIONtwocolumn ifCLASSOPTIONdraftcls
    ifCLASSOPTIONpeerreview iftwocolumn ifcvprfinal ificcvfinal ifthreedprinting
    """
) | {EMPTY_TEST}
"""Commands that a \\fi ends. Others that begin with `if` (\\iff, \\ifthenelse) have no \\fi."""

_STEP = re.compile(r"\\(?:([A-Za-z@]+)|[\s\S])|%[^\n]*")
_NUMBERS = re.compile(r"\s*(-?\d{1,9})\s*([<=>])\s*(-?\d{1,9})\s?")
_LETTERS = re.compile(r"[ \t]*([0-9A-Za-z])(\s|[0-9A-Za-z])")
_TESTED = {"ifx": 2, "ifdefined": 1, "if": 2, "ifcat": 2}


def _opens(x: Expander, name: str) -> bool:
    return name in CONDITIONALS or name in x.switches or name.startswith("if@")


def _skip(x: Expander, source: Source, to_else: bool) -> str:
    """Passes over what is not read: to behind the \\else or \\fi, which is returned, or nowhere."""
    if "\\fi" in source.ended:
        return ""
    depth = 0
    for match in _STEP.finditer(source.text, source.pos):
        name = match.group(1)
        if name is None:
            continue
        if name == "fi":
            if depth == 0:
                source.pos = match.end()
                return name
            depth -= 1
        elif name == "else":
            if to_else and depth == 0:
                source.pos = match.end()
                return name
        elif name.startswith("if") and _opens(x, name):
            depth += 1
    source.ended.add("\\fi")
    return ""


def condition(x: Expander, source: Source, start: int) -> bool:
    """A conditional: decided where it can be, else copied with what it tests."""
    name = source.text[start + 1 : source.pos]
    after = source.pos
    value = _decide(x, source, name)
    if value is None:
        x.open_condition(decided=False)
        x.copy("\\" + name)
        for _ in range(_TESTED.get(name, 0)):  # what is tested is not what is meant
            match = WORD[True].match(source.text, blanks_end(source.text, source.pos))
            if match is None:
                break
            source.pos = match.end()
            x.copy(match.group())
        return True
    if not value:
        met = _skip(x, source, to_else=True)
        if not met:
            source.pos = after
            return False
        if met == "fi":
            x.swallow_blanks(source)
            return True
    x.open_condition(decided=True)
    x.swallow_blanks(source)
    return True


def _decide(x: Expander, source: Source, name: str) -> bool | None:
    if name in ("iftrue", "iffalse"):
        return name == "iftrue"
    if name in x.switches:
        return x.switches[name]
    if name == EMPTY_TEST:
        stop = group_end(source.text, source.pos, len(source.text), x.charge)
        argument = source.text[source.pos + 1 : stop - 1] if stop > 0 else None
        source.pos = max(source.pos, stop)
        return not argument.strip() if argument is not None else None
    if name == "ifnum" and (match := _NUMBERS.match(source.text, source.pos)):
        source.pos = match.end()
        left, right = int(match.group(1)), int(match.group(3))
        return {"<": left < right, "=": left == right, ">": left > right}[match.group(2)]
    if name == "if" and (match := _LETTERS.match(source.text, source.pos)):
        source.pos = match.start(2) if match.group(2).isspace() else match.end()
        return match.group(1) == match.group(2)
    return None


def otherwise(x: Expander, source: Source, start: int) -> bool:
    """\\else: the branch before it was read, so this one is not."""
    if not x.conditions or not x.conditions[-1]:
        return False
    if not _skip(x, source, to_else=False):
        return False
    x.close_condition()
    x.swallow_blanks(source)
    return True


def end(x: Expander, source: Source, start: int) -> bool:
    decided = x.close_condition()
    if decided:
        x.swallow_blanks(source)
    return bool(decided)


def new_switch(x: Expander, source: Source, start: int) -> bool:
    """\\newif\\ifname: a switch, off at first, that \\nametrue and \\namefalse set."""
    match = re.compile(r"\s*(?:\{\s*)?\\if([A-Za-z@]+)(?:\s*\})?").match(source.text, source.pos)
    if match is None:
        return False
    source.pos = match.end()
    name = match.group(1)
    x.switches["if" + name] = False
    x.handlers["if" + name] = condition
    x.handlers[name + "true"] = x.handlers[name + "false"] = set_switch
    x.swallow_blanks(source)
    return True


def set_switch(x: Expander, source: Source, start: int) -> bool:
    name = source.text[start + 1 : source.pos]
    on = name.endswith("true")
    x.set_switch("if" + name.removesuffix("true" if on else "false"), on)
    x.swallow_blanks(source)
    return True


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(sorted(CONDITIONALS), condition),
    "else": otherwise,
    "fi": end,
    "newif": new_switch,
}
