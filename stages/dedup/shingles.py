"""Shingles: the set of n-grams of words of a text, as 64-bit hashes.

Words are compared in a normal form: compatibility-decomposed, case-folded, without accents; what
is neither letter nor digit parts words. So the ASCII, 8-bit and UTF-8 editions of a text have (but
for spellings such as `ae` for `ä`) the same shingles, whatever their quotes, dashes, line breaks
and marks of italics. Characters of Chinese and Japanese are words by themselves.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import numpy.typing as npt
import xxhash

U64 = npt.NDArray[np.uint64]

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_MARKS = re.compile("[\u0300-\u036f]+")


def words(text: str) -> list[str]:
    """The words of a text in their normal form."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    folded = unicodedata.normalize("NFKD", text).casefold()
    return _WORD.findall(_MARKS.sub("", folded))


def mix(values: U64) -> U64:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection that spreads all bits."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def shingle_hashes(tokens: list[str], n: int) -> U64:
    """Distinct hashes of the n-grams of `tokens`, ascending; none where there are fewer tokens.

    Two different n-grams of a pair of books with a million each share a hash with a probability of
    about 1e-7.
    """
    length = len(tokens) - n + 1
    if length < 1:
        return np.empty(0, np.uint64)
    numbers = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    codes = np.fromiter(map(numbers.__getitem__, tokens), np.int64, len(tokens))
    table = np.fromiter(
        (xxhash.xxh3_64_intdigest(t.encode("utf-8", "surrogatepass")) for t in numbers),
        np.uint64,
        len(numbers),
    )
    hashes = table[codes]
    grams = np.zeros(length, np.uint64)
    for k in range(n):
        grams = mix(grams ^ hashes[k : k + length])
    grams.sort()
    first = np.ones(length, np.bool_)
    first[1:] = grams[1:] != grams[:-1]
    return grams[first]
