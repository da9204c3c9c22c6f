"""Texts of a row by the names of its fields, also of nested ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stages.decontaminate.rows import RowError
from stages.documents import printable

_NAMES = 12
_NAME_CHARS = 40


def text_at(row: dict[str, Any], name: str) -> str | list[str]:
    """The text or list of texts at a path such as `question.stem` or `choices.text`.

    A key with dots in it comes before a path; the elements of a list are gone through. Numbers are
    texts. Raises RowError where there is no such field or no text.
    """
    value = _value_at(row, name, name)
    if isinstance(value, list):
        return [_text(v, name) for v in value]
    return _text(value, name)


def _value_at(value: Any, path: str, name: str) -> Any:
    if isinstance(value, list):
        found = [_value_at(v, path, name) for v in value]
        return [t for v in found for t in (v if isinstance(v, list) else [v])]
    if not isinstance(value, dict):
        raise RowError(f"field: there is no {name!r}")
    if path in value:
        return value[path]
    parts = path.split(".")
    for n in range(len(parts) - 1, 0, -1):
        if (head := ".".join(parts[:n])) in value:
            return _value_at(value[head], ".".join(parts[n:]), name)
    raise RowError(f"field: there is no {name!r}; there {_listed(value)}")


def _listed(names: Iterable[str]) -> str:
    known = [printable(n[:_NAME_CHARS]) for n in names]
    if not known:
        return "is none at all"
    more = f" and {len(known) - _NAMES} more" if len(known) > _NAMES else ""
    return f"is {', '.join(repr(n) for n in known[:_NAMES])}{more}"


def _text(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise RowError(f"field: {name!r} is no text")
