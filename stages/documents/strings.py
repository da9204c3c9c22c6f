"""Texts and values as Parquet, JSON and one-line reports can hold them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson


def meta_json(meta: dict[str, Any] | None) -> str | None:
    """`meta` as JSON with its keys in order; None where there is none."""
    return orjson.dumps(meta, option=orjson.OPT_SORT_KEYS).decode() if meta else None


def storable(values: Iterable[Any]) -> None:
    """Raises UnicodeEncodeError if a text among `values` has lone surrogates."""
    for value in values:
        if isinstance(value, str):
            value.encode()


def utf8(text: str) -> str:
    """`text` with lone surrogates as question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def printable(text: str) -> str:
    """`text` fit for a one-line report and valid UTF-8."""
    clean = utf8(text).replace("\n", " ").replace("\r", " ")
    if clean.isprintable():
        return clean
    return "".join(c if c.isprintable() else "\ufffd" for c in clean)
