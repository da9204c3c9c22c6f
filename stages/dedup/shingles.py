"""Shingles: the set of n-grams of words of a text, as 64-bit hashes.

Words are compared in a normal form: compatibility-decomposed, case-folded, without accents; what
is neither letter nor digit parts words. So the ASCII, 8-bit and UTF-8 editions of a text have (but
for spellings such as `ae` for `ä`) the same shingles, whatever their quotes, dashes, line breaks
and marks of italics. Characters of Chinese and Japanese are words by themselves.

Work is done for whole texts and distinct words: no word of a text becomes an object of Python.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_BLANK = 0x20
_PARTS, _LETTER, _IDEOGRAPH, _MARK = range(4)
_CODE_POINTS = 0x110000
_ASCII_NORMAL = bytes(
    ord(chr(byte).lower()) if byte < 128 and chr(byte).isalnum() else _BLANK for byte in range(256)
)


@cache
def _kinds() -> U8:
    """What each code point is to words, once it is decomposed and folded, shape (0x110000,)."""
    kinds = np.full(_CODE_POINTS, _PARTS, np.uint8)
    every = "".join(map(chr, range(_CODE_POINTS)))
    classes = {_LETTER: r"[^\W_]+", _IDEOGRAPH: f"[{_IDEOGRAPHS}]+", _MARK: "[\u0300-\u036f]+"}
    for kind, characters in classes.items():
        for match in re.finditer(characters, every):
            kinds[match.start() : match.end()] = kind
    return kinds


def _normal(text: str) -> bytes:
    """The words of a text in their normal form, in UTF-8, with one or more blanks between them."""
    if text.isascii():
        return text.encode().translate(_ASCII_NORMAL)
    folded = unicodedata.normalize("NFKD", text).casefold()
    codes = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), "<u4")
    kinds = _kinds()[codes]
    codes = np.where(kinds == _PARTS, np.uint32(_BLANK), codes)
    kept = kinds != _MARK
    if not kept.all():
        codes, kinds = codes[kept], kinds[kept]
    ideographs = np.flatnonzero(kinds == _IDEOGRAPH)
    if len(ideographs):
        codes = np.insert(codes, np.concatenate([ideographs, ideographs + 1]), _BLANK)
    return codes.astype("<u4", copy=False).tobytes().decode("utf-32-le").encode()


def words(text: str) -> list[str]:
    """The words of a text in their normal form."""
    return _normal(text).decode().split()


def word_hashes(text: str) -> U64:
    """The 64-bit hash (XXH3 of its UTF-8) of each word of a text, in order."""
    normal = _normal(text) + b" "
    # Each stretch up to a blank is a word; between two blanks stands an empty one.
    ends = np.flatnonzero(np.frombuffer(normal, np.uint8) == _BLANK) + 1
    offsets = np.concatenate([[0], ends])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(normal)]
    stretches = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(ends), buffers)
    encoded = stretches.dictionary_encode()
    distinct = [word[:-1] for word in encoded.dictionary.to_pylist()]
    codes = encoded.indices.to_numpy()
    if b"" in distinct:
        codes = codes[codes != distinct.index(b"")]
    return _hashes(distinct)[codes]


def _hashes(distinct: Iterable[bytes]) -> U64:
    return np.fromiter(map(xxhash.xxh3_64_intdigest, distinct), np.uint64)


def mix(values: U64) -> U64:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection that spreads all bits."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def shingles(hashes: U64, n: int) -> U64:
    """Distinct hashes of the n-grams of words, ascending, by the hashes of the words in order; none
    where there are fewer words.

    Two different n-grams of a pair of books with a million each share a hash with a probability of
    about 1e-7.
    """
    length = len(hashes) - n + 1
    if length < 1:
        return np.empty(0, np.uint64)
    grams = np.zeros(length, np.uint64)
    for k in range(n):
        grams = mix(grams ^ hashes[k : k + length])
    grams.sort()
    first = np.ones(length, np.bool_)
    first[1:] = grams[1:] != grams[:-1]
    return grams[first]


def shingle_hashes(tokens: list[str], n: int) -> U64:
    """`shingles` of words that are given one by one."""
    numbers = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    codes = np.fromiter(map(numbers.__getitem__, tokens), np.int64, len(tokens))
    distinct = _hashes(token.encode("utf-8", "surrogatepass") for token in numbers)
    return shingles(distinct[codes], n)
