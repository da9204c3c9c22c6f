"""Superscripts and subscripts: `10<sup>6</sup>` must not become 106."""

from __future__ import annotations

import re

_RAISED = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_HAS_RAISED = re.compile(r"[0-9+\-−=()n]{1,12}")
_HAS_LOWERED = re.compile(r"[0-9+\-−=()]{1,12}")
# A variable, or a short formula: something that the line does not say without a mark.
_FORMULA = re.compile(r"[^\W\d_]|(?=[^\s]*[0-9+\-−=*/^_])[^\s]{2,20}")


def raised(text: str) -> str:
    """Digits and signs as Unicode superscripts, short formulas behind `^`, all else (ordinals,
    small print) as it is."""
    return _marked(text, "^", _HAS_RAISED, _RAISED)


def lowered(text: str) -> str:
    """As `raised`, with Unicode subscripts and `_`."""
    return _marked(text, "_", _HAS_LOWERED, _LOWERED)


def _marked(text: str, mark: str, has: re.Pattern[str], table: dict[int, int]) -> str:
    inner = text.strip()
    if has.fullmatch(inner):
        return inner.translate(table)
    if _FORMULA.fullmatch(inner):
        return f"{mark}{inner}" if len(inner) == 1 else f"{mark}({inner})"
    return text
