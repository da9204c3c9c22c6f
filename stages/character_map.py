"""A character-by-character text function, run as one table look-up for each character.

Normalising text in Python costs about a microsecond a character where the function has to look at
each one (`unicodedata.category`, a dictionary of replacements). Almost every such function maps a
character on its own, so its values can be tabled once and applied to whole batches by numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

# Unicode changes nothing outside these blocks by case, decomposition, digit value or accent: what
# lies beyond is ideographs, private use and unassigned (a test compares every code point).
_TABLED = (range(0x20000), range(0x2F800, 0x2FA20), range(0xE0000, 0xE0200))
_CODE_POINTS = 0x110000

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
        self._table: npt.NDArray[np.uint32] = np.arange(_CODE_POINTS, dtype=np.uint32)
        expansions: list[str] = []
        for code in (code for block in _TABLED for code in block):
            value = function(chr(code))
            if len(value) == 1:
                self._table[code] = ord(value)
            elif not value:
                self._table[code] = _DELETE
            else:
                self._table[code] = _EXPAND + len(expansions)
                expansions.append(value)
        for character in contextual:
            self._table[ord(character)] |= _CONTEXT
        self._lengths = np.array([len(value) for value in expansions], dtype=np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._pool = _codes("".join(expansions))
        self._ascii = self._table[:128].astype(np.uint8).tobytes() + bytes(range(128, 256))
        self._ascii_deleted = bytes(np.flatnonzero(self._table[:128] == _DELETE).tolist())
        self._ascii_exact = bool(np.all((self._table[:128] < 128) | (self._table[:128] == _DELETE)))

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

    def _expanded(self, mapped: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
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


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
