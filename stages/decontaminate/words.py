"""Words of a text in the normal form in which documents and benchmark items are compared.

GPT-3 (Brown et al. 2020, appendix C) compares lower-case words parted by white space, without
punctuation. Here, besides, compatibility characters, accents, soft hyphens and apostrophes make no
difference, and all other punctuation parts words (it is deleted on request, as GPT-3 does). So an
item is found across line breaks, quotation marks, bullets, comment signs and marks of emphasis; a
LaTeX command's name is no word. Characters of scripts that do not part words by blanks (Chinese,
Japanese, Thai, Lao, Khmer, Burmese) are words by themselves.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from stages.character_map import CharacterMap
from stages.dedup.shingles import mix

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

Punctuation = Literal["separates", "deleted"]

_APOSTROPHES = frozenset("'`\u2018\u2019\u201b\u02bc")
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
_NO_BLANKS = (
    range(0x0E00, 0x0F00),  # Thai, Lao
    range(0x1000, 0x10A0),  # Burmese
    range(0x1780, 0x1800),  # Khmer
    range(0x3040, 0x3100),  # Japanese
    range(0x3400, 0xA000),  # Chinese characters
)
# In the normal form everything up to the blank parts words; this one says that a command follows.
_BACKSLASH = 0x01
_BLANK = 0x20
_WORD_BYTES = 64
"""Longer words are told apart by so many of their first bytes and by their length."""

_PAD = b" " * 8
_NOTHING = 0x110000
"""What a `CharacterMap` has for characters that it leaves out; higher numbers: expansions."""
_LOW_BYTES: U64 = np.array([(1 << (8 * k)) - 1 for k in range(9)], np.uint64)


def _normal(punctuation: Punctuation, character: str) -> str:
    """The normal form of one character.

    It goes by the character's compatibility decomposition and leaves out all combining marks, so a
    text has one normal form whichever of NFC, NFD, NFKC and NFKD it comes in.
    """
    decomposed = unicodedata.normalize("NFKD", character).casefold()
    parts = unicodedata.normalize("NFKD", decomposed)
    normal = "".join(_normal_part(punctuation, part) for part in parts)
    return " " if normal.isspace() else normal  # An ellipsis need not become three blanks.


def _normal_part(punctuation: Punctuation, part: str) -> str:
    code, category = ord(part), unicodedata.category(part)
    if unicodedata.combining(part) or category == "Cf" or code in _VARIATION_SELECTORS:
        return ""
    if part in _APOSTROPHES:
        return ""
    if category[0] in "LNM":
        return f" {part} " if any(code in block for block in _NO_BLANKS) else part
    if category[0] in "PS" and punctuation == "deleted":
        return ""
    return chr(_BACKSLASH) if part == "\\" else " "


@cache
def _characters(punctuation: Punctuation) -> CharacterMap:
    """Tabling all characters takes a quarter of a second."""
    return CharacterMap(partial(_normal, punctuation))


@cache
def _sizes(punctuation: Punctuation) -> U8:
    """How many bytes of the normal form come from each code point, shape (0x110000,)."""
    table, bounds, pool = _characters(punctuation).arrays()
    sizes = _utf8_bytes(table)
    sizes[table == _NOTHING] = 0
    expanded = np.flatnonzero(table > _NOTHING)
    of_expansions = np.add.reduceat(_utf8_bytes(pool), bounds[:-1], dtype=np.uint8)
    sizes[expanded] = of_expansions[table[expanded] - (_NOTHING + 1)]
    return sizes


def _utf8_bytes(codes: npt.NDArray[np.uint32]) -> U8:
    sizes = np.ones(len(codes), np.uint8)
    for longer in (0x80, 0x800, 0x10000):
        sizes += codes >= longer
    return sizes


class NormalForm:
    """text -> its normal form, in UTF-8; and back from places in it to characters of the text."""

    def __init__(self, punctuation: Punctuation) -> None:
        self._map = _characters(punctuation)
        self._sizes = _sizes(punctuation)

    def __call__(self, text: str) -> bytes:
        return self._map(text).encode()

    def origins(self, text: str, places: I64) -> I64:
        """Numbers of the characters of `text` from which bytes of its normal form come."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        ends = np.cumsum(self._sizes[codes], dtype=np.int64)
        return np.searchsorted(ends, places, side="right")


@dataclass(frozen=True, slots=True)
class Words:
    """Hashes of words in their order, and where they begin and end in the normal form (bytes)."""

    hashes: U64
    starts: I64
    ends: I64


def words(normal: bytes) -> Words:
    """The words of a text in normal form. Work is done per word, not per character: a word of up to
    eight bytes is one number."""
    block = b" " + normal + _PAD
    data = np.frombuffer(block, np.uint8)
    inside = data > _BLANK
    turns = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = turns[0::2] + 1, turns[1::2] + 1
    commands = data[starts - 1] == _BACKSLASH
    if commands.any():
        # Two backslashes are a line break of LaTeX, and what follows is a word of the text.
        commands &= data[np.maximum(starts - 2, 0)] != _BACKSLASH
        starts, ends = starts[~commands], ends[~commands]
    return Words(_word_hashes(block, starts, ends - starts), starts - 1, ends - 1)


def _word_hashes(block: bytes, starts: I64, lengths: I64) -> U64:
    """Hashes of the words at `starts`; behind each there are eight bytes to be read at least."""
    # The eight bytes from each place on as one number.
    eight = np.ndarray((len(block) - 7,), "<u8", block, 0, (1,))
    first = eight[starts] & _LOW_BYTES[np.minimum(lengths, 8)]
    hashes = mix(first ^ lengths.astype(np.uint64))
    done = 8
    longer = np.flatnonzero(lengths > done)
    while len(longer) and done < _WORD_BYTES:
        rest = np.minimum(lengths[longer] - done, 8)
        more = eight[starts[longer] + done] & _LOW_BYTES[rest]
        hashes[longer] = mix(hashes[longer] ^ more)
        done += 8
        longer = longer[lengths[longer] > done]
    return hashes
