"""The value of a template call, by the table of known templates.

Every peer drops whole templates, so "{{convert|5|km}} from {{lang|fr|Paris}}" becomes " from ".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from stages.wikipedia.template_functions import FUNCTIONS, Call, format_number
from stages.wikipedia.template_table import (
    COMMON,
    COMMON_PATTERNS,
    LOCAL,
    LOCAL_PATTERNS,
    SILENT_FUNCTIONS,
    Row,
)

Render: TypeAlias = Callable[[Call], str]
# A part of a pattern: literal text, parameter names (with a default), or an optional group.
_Part: TypeAlias = "str | tuple[tuple[str, ...], str] | list[_Part]"
_PIECE = re.compile(r"\{([^{}]+)\}|\[|\]|[^{}\[\]]+|[{}]")


def compile_action(action: str) -> Render:
    """Turn a table's action into a function. Raises KeyError for an unknown function name and
    ValueError for unbalanced groups."""
    if not action:
        return lambda call: ""
    if action.startswith("=") and len(action) > 1:
        return FUNCTIONS[action[1:]]
    if "{" not in action or len(action) < 3:
        return lambda call: action
    parts = _parse(action)
    return lambda call: _render(parts, call)[0]


def _parse(action: str) -> list[_Part]:
    stack: list[list[_Part]] = [[]]
    for piece in _PIECE.finditer(action):
        text = piece.group()
        if text == "[":
            stack.append([])
        elif text == "]" and len(stack) > 1:
            group = stack.pop()
            stack[-1].append(group)
        elif piece.group(1):
            names, _, default = piece.group(1).partition('|"')
            stack[-1].append((tuple(names.split("|")), default.rstrip('"')))
        else:
            stack[-1].append(text)
    if len(stack) != 1:
        raise ValueError(f"unbalanced [ ] in {action!r}")
    return stack[0]


def _render(parts: list[_Part], call: Call) -> tuple[str, bool]:
    """Text of the parts, and whether any parameter in them had a value."""
    out: list[str] = []
    filled = False
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, list):
            text, some = _render(part, call)
            if some:
                out.append(text)
                filled = True
        else:
            names, default = part
            value = _parameter(call, names)
            filled = filled or bool(value)
            out.append(value or default)
    return "".join(out), filled


def _parameter(call: Call, names: tuple[str, ...]) -> str:
    for name in names:
        if name == "name":
            return call.name
        if name.startswith("#"):
            value = format_number(call.args.get(name[1:], ""), call.language)
        elif name == "-1":
            positional = [value for value in call.positional() if value]
            value = positional[-1] if positional else ""
        else:
            value = call.args.get(name, "")
        if value:
            return value
    return ""


def _expand(rows: tuple[Row, ...]) -> dict[str, Render]:
    return {
        name.strip().casefold(): render
        for names, action in rows
        for render in (compile_action(action),)
        for name in names.split(",")
        if name.strip()
    }


class TemplateRegistry:
    """Known templates and parser functions of one wiki. Build once for each language."""

    def __init__(self, language: str, keep_ipa: bool = False) -> None:
        self._language = language
        self._keep_ipa = keep_ipa
        self._by_name = {**_expand(COMMON), **_expand(LOCAL.get(language, ()))}
        self._patterns = [
            (re.compile(pattern, re.IGNORECASE), compile_action(action))
            for pattern, action in (*LOCAL_PATTERNS.get(language, ()), *COMMON_PATTERNS)
        ]

    def render(self, name: str, args: dict[str, str], title: str) -> str | None:
        """Visible value of `{{name|args}}`, or None for a template that the table does not know."""
        render = self._by_name.get(name.casefold())
        if render is None:
            render = next((r for p, r in self._patterns if p.fullmatch(name)), None)
        if render is None:
            return self._variable(name, title)
        return render(Call(name, args, self._language, title, self._keep_ipa))

    @staticmethod
    def _variable(name: str, title: str) -> str | None:
        if name in ("PAGENAME", "FULLPAGENAME", "BASEPAGENAME", "SUBPAGENAME", "PAGENAMEE"):
            return title
        # Other variables (CURRENTYEAR, NAMESPACE, ...) depend on the moment or show nothing.
        return "" if name.isupper() and name.isascii() and len(name) > 8 else None

    def function(self, name: str, value: str, args: dict[str, str]) -> str | None:
        """Value of the parser function `{{name:value|args}}`, or None where it is none known."""
        name = name.casefold()
        simple = _SIMPLE_FUNCTIONS.get(name)
        if simple is not None:
            return simple(value)
        if name == "formatnum":
            raw = args.get("1", "").upper() in ("R", "NOSEP")
            return value if raw else format_number(value, self._language)
        if name == "#if":
            return args.get("1" if value.strip() else "2", "")
        if name == "#ifeq":
            return args.get("2" if value.strip() == args.get("1", "").strip() else "3", "")
        if name == "plural":
            return args.get("1" if value.strip() == "1" else "2", "") or args.get("1", "")
        if name == "grammar":
            return args.get("1", "")
        return "" if name in SILENT_FUNCTIONS else None


_SIMPLE_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "lc": str.lower,
    "uc": str.upper,
    "lcfirst": lambda text: text[:1].lower() + text[1:],
    "ucfirst": lambda text: text[:1].upper() + text[1:],
    "padleft": str.strip,
    "nowiki": str.strip,
    "ns": lambda text: "",
}
