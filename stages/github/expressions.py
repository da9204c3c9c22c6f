"""SPDX licence expressions: `MIT`, `Apache-2.0 OR MIT`, `Apache-2.0 WITH LLVM-exception`.

SPDX specification, annex D: WITH binds closer than AND, AND closer than OR; case does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_CHARS = 200
"""A longer expression is none: SPDX has no limit, and nobody needs one."""
AND, OR, WITH = " AND ", " OR ", " WITH "
_TOKEN = re.compile(r"\s*([()]|[\w.+:-]+)")
_WORDS = frozenset(("and", "or", "with", "(", ")"))
_SAME = {
    "bsd-2-clause-freebsd": "bsd-2-clause",
    "bsd-2-clause-netbsd": "bsd-2-clause",
    "bsd-2-clause-views": "bsd-2-clause",
}
"""Names that SPDX gave up or keeps for a remark, for the same terms."""
_LATER = ("-or-later", "-only", "+")


class ExpressionError(ValueError):
    """Not an SPDX expression."""


def normal(expression: str) -> str:
    """An expression with names in lower case and words in upper case. Raises ExpressionError."""
    return _Parser(expression).parse()[0]


def is_kept(expression: str | None, kept: Iterable[str]) -> bool:
    """May what is under this expression be kept, if these licences (lower case) are?

    Of names joined by OR one suffices, of names joined by AND all are needed; an exception (WITH)
    only adds permissions. What is no expression is not kept.
    """
    if expression is None:
        return False
    try:
        return _Parser(expression, frozenset(kept)).parse()[1]
    except ExpressionError:
        return False


def joined(expressions: Iterable[str]) -> str | None:
    """One expression that demands all; None without any."""
    parts = sorted(set(expressions))
    if len(parts) < 2:
        return parts[0] if parts else None
    return AND.join(f"({p})" if OR in p else p for p in parts)


class _Parser:
    """Recursive descent; each step gives the normal form and whether it is kept."""

    def __init__(self, expression: str, kept: frozenset[str] = frozenset()) -> None:
        if len(expression) > MAX_CHARS:
            raise ExpressionError("too long")
        self._kept = kept
        self._tokens = self._split(expression)
        self._at = 0

    @staticmethod
    def _split(expression: str) -> list[str]:
        tokens: list[str] = []
        at = 0
        text = expression.strip().lower()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise ExpressionError(f"{text[at]!r} has no place in it")
            tokens.append(found[1])
            at = found.end()
        return tokens

    def parse(self) -> tuple[str, bool]:
        found = self._either()
        if self._at < len(self._tokens):
            raise ExpressionError("goes on after its end")
        return found

    def _next(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == word:
            self._at += 1
            return True
        return False

    def _either(self) -> tuple[str, bool]:
        text, kept = self._all()
        while self._next("or"):
            more, also = self._all()
            text, kept = f"{text}{OR}{more}", kept or also
        return text, kept

    def _all(self) -> tuple[str, bool]:
        text, kept = self._one()
        while self._next("and"):
            more, also = self._one()
            text, kept = f"{text}{AND}{more}", kept and also
        return text, kept

    def _one(self) -> tuple[str, bool]:
        if self._next("("):
            text, kept = self._either()
            if not self._next(")"):
                raise ExpressionError("a bracket is not closed")
            return (f"({text})" if OR in text else text), kept
        name = self._name()
        if self._next("with"):
            return f"{name}{WITH}{self._name()}", self._is_kept(name)
        return name, self._is_kept(name)

    def _name(self) -> str:
        if self._at == len(self._tokens) or self._tokens[self._at] in _WORDS:
            raise ExpressionError("a name is missing")
        self._at += 1
        name = self._tokens[self._at - 1]
        return _SAME.get(name, name)

    def _is_kept(self, name: str) -> bool:
        if name in self._kept:
            return True
        return any(name.endswith(e) and name.removesuffix(e) in self._kept for e in _LATER)
