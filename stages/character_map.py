"""A character-by-character text function, run as one table look-up for each character.

Normalising text in Python costs about a microsecond a character where the function has to look at
each one (`unicodedata.category`, a dictionary of replacements). Almost every such function maps a
character on its own, so its values can be tabled once and applied to whole batches by numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

# Unicode changes nothing outside these blocks by case, decomposition, digit value or accent: what
# lies beyond is ideographs, private use and unassigned (a test compares every code point).
_TABLED = (range(0x20000), range(0x2F800, 0x2FA20), range(0xE0000, 0xE0200))
_CODE_POINTS = 0x110000

_Codes: TypeAlias = npt.NDArray[np.uint32]

# Codes above the last code point say what to do instead of giving one character.
_DELETE = _CODE_POINTS
_EXPAND = _CODE_POINTS + 1
_CONTEXT = 1 << 30


class CharacterMap:
    """`"".join(map(function, text))`, fast.

    `function` maps one character to any number of characters and must be pure. Characters in
    `contextual` need their neighbours: a text with any of them goes through `prepare` first,
    after which `function` must be right for each character alone.
    """

    def __init__(
        self,
        function: Callable[[str], str],
        contextual: Iterable[str] = (),
        prepare: Callable[[str], str] = str,
    ) -> None:
        self._prepare = prepare
        self._table: _Codes = np.arange(_CODE_POINTS, dtype=np.uint32)
        tabled = characters()
        values = list(map(function, tabled))
        codes = _codes("".join(tabled))
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        self._table[codes[lengths == 1]] = _codes("".join([v for v in values if len(v) == 1]))
        self._table[codes[lengths == 0]] = _DELETE
        expansions = [value for value in values if len(value) > 1]
        self._table[codes[lengths > 1]] = np.arange(len(expansions), dtype=np.uint32) + _EXPAND
        for character in contextual:
            self._table[ord(character)] |= _CONTEXT
        self._lengths = np.array([len(value) for value in expansions], dtype=np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._bounds = np.append(self._starts, self._lengths.sum()).astype(np.uint32)
        self._pool = _codes("".join(expansions))
        self._ascii = self._table[:128].astype(np.uint8).tobytes() + bytes(range(128, 256))
        self._ascii_deleted = bytes(np.flatnonzero(self._table[:128] == _DELETE).tolist())
        self._ascii_exact = bool(np.all((self._table[:128] < 128) | (self._table[:128] == _DELETE)))

    def arrays(self) -> tuple[_Codes, _Codes, _Codes]:
        """The table, where expansions begin (and the last one ends) in their pool, and the pool.

        The table has what stands for each code point: a code point; 0x110000 for nothing; from
        there on, less 0x110001, the number of an expansion; 1 << 30 or more for a contextual one.
        """
        return self._table, self._bounds, self._pool

    def __call__(self, text: str) -> str:
        """The mapped text. Lone surrogates pass through."""
        if self._ascii_exact and text.isascii():
            kept = text.encode("ascii").translate(self._ascii, self._ascii_deleted)
            return kept.decode("ascii")
        mapped = self._table[_codes(text)]
        highest = int(mapped.max(initial=0))
        if highest >= _CONTEXT:
            mapped = self._table[_codes(self._prepare(text))] & np.uint32(_CONTEXT - 1)
            highest = int(mapped.max(initial=0))
        if highest >= _EXPAND:
            mapped = self._expanded(mapped)
        elif highest == _DELETE:
            mapped = mapped[mapped != _DELETE]
        return mapped.astype("<u4", copy=False).tobytes().decode("utf-32-le", "surrogatepass")

    def _expanded(self, mapped: _Codes) -> _Codes:
        lengths = np.ones(len(mapped), dtype=np.int64)
        lengths[mapped == _DELETE] = 0
        where = np.flatnonzero(mapped >= _EXPAND)
        which = (mapped[where] - np.uint32(_EXPAND)).astype(np.int64)
        lengths[where] = self._lengths[which]
        out = np.repeat(mapped, lengths)
        places = (np.cumsum(lengths) - lengths)[where]
        for step in range(int(self._lengths[which].max(initial=0))):
            longer = self._lengths[which] > step
            out[places[longer] + step] = self._pool[self._starts[which[longer]] + step]
        return out


def characters() -> list[str]:
    """All characters that Unicode changes in any way, and their neighbours."""
    return [chr(code) for block in _TABLED for code in block]


def _codes(text: str) -> _Codes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
