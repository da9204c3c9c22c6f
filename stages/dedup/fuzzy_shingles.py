"""A document as a set of n-grams, of words or of characters: what near duplicates are measured on.

Words are in the normal form of `stages.dedup.shingles`: without case, accents and punctuation.
Hashes have 32 bits, as many as datasketch's permutations take; so in a pair of texts of 10^4
words each, two different n-grams share a hash with a probability of 0.02.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from stages.dedup.shingles import mix, shingles, word_hashes, words

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

Unit = Literal["words", "characters"]


@dataclass(frozen=True)
class Shingler:
    """Makes the set of n-grams of a text.

    A text of fewer words (or characters) than `n` has one n-gram, which is all of it: it resembles
    only texts of the same words. A text without a word has none.
    """

    unit: Unit = "words"
    n: int = 5

    def __call__(self, text: str) -> U32:
        """Distinct 32-bit hashes, ascending."""
        if self.unit == "words":
            hashes = word_hashes(text)
            return _upper(shingles(hashes, min(self.n, len(hashes)) or 1))
        return _upper(_character_hashes(" ".join(words(text)), self.n))


def _character_hashes(text: str, n: int) -> U64:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    width = min(n, len(codes))
    length = len(codes) - width + 1 if width else 0
    # The width is part of the hash, so that a short text is no n-gram of a long one.
    grams = np.full(length, width, np.uint64)
    for k in range(width):
        grams = mix(grams ^ codes[k : k + length])
    return np.sort(grams)


def _upper(hashes: U64) -> U32:
    """The upper halves of ascending hashes, each once."""
    upper = (hashes >> np.uint64(32)).astype(np.uint32)
    first = np.ones(len(upper), dtype=np.bool_)
    first[1:] = upper[1:] != upper[:-1]
    return upper[first]
