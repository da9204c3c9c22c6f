"""CCNet's normal forms of lines and of text for language models, as its program has them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable


def line_key() -> Callable[[str], str]:
    """CCNet's line normalisation as its program has it: a regular expression a line."""
    from stages.ccnet_text import _CONTROLS, _REPLACEMENT

    digit = re.compile(r"\d")
    removed = re.compile(f"[{re.escape(''.join(sorted(_CONTROLS)) + ''.join(_REPLACEMENT))}]")
    return lambda line: removed.sub("", digit.sub("0", line.strip().lower()))


def model_line() -> Callable[[str], str]:
    """CCNet's normalisation for language models, as its program has it."""
    from stages.ccnet_text import _CONTROLS, _REPLACEMENT

    digit = re.compile(r"\d")
    table = str.maketrans({**_REPLACEMENT, **dict.fromkeys(_CONTROLS, "")})

    def normalise(text: str) -> str:
        decomposed = unicodedata.normalize("NFD", text.strip().lower())
        if len(decomposed) != len(text) or not decomposed.isascii():
            category = unicodedata.category
            decomposed = "".join([c for c in decomposed if category(c) != "Mn"])
        return digit.sub("0", decomposed).translate(table)

    return normalise
