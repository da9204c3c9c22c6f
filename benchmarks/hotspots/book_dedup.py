"""Book dedup: from texts to the keys of MinHash bands."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash
from datasketch import MinHash

from benchmarks.hotspots.core import Hotspot, compared, size_of
from benchmarks.hotspots.texts import books
from stages.dedup.minhash import Bands
from stages.dedup.shingles import shingles, word_hashes

U64 = npt.NDArray[np.uint64]

_WORDS = 5
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_MARKS = re.compile("[\u0300-\u036f]+")
_CHUNK = 4_096


def plain_words(text: str) -> list[str]:
    """Words by regular expressions."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(_MARKS.sub("", unicodedata.normalize("NFKD", text).casefold()))


def plain_word_hashes(text: str) -> U64:
    """Words as a list; each distinct one is hashed once."""
    found = plain_words(text)
    hashes = {word: xxhash.xxh3_64_intdigest(word.encode()) for word in dict.fromkeys(found)}
    return np.fromiter(map(hashes.__getitem__, found), np.uint64, len(found))


def plain_signature(bands: Bands, hashes: U64) -> npt.NDArray[np.uint32]:
    """By datasketch."""
    sketch = MinHash(bands.positions, seed=bands.seed, hashfunc=int, scheme="affine32")
    upper = (hashes >> np.uint64(32)).astype(np.uint32)
    for start in range(0, len(upper), _CHUNK):
        sketch.update_batch(upper[start : start + _CHUNK].tolist())
    return np.asarray(sketch.hashvalues, dtype=np.uint32)


def measure(repeats: int, folder: Path) -> list[Hotspot]:
    texts = books(folder)
    if not texts:
        return []
    bands, size = Bands(), size_of(texts)
    hashes = [word_hashes(text) for text in texts]
    sets = [shingles(words, _WORDS) for words in hashes]

    def plainly(text: str) -> U64:
        return bands.keys(plain_signature(bands, shingles(plain_word_hashes(text), _WORDS)))

    def here(text: str) -> U64:
        return bands.keys(bands.signature(shingles(word_hashes(text), _WORDS)))

    return [
        compared(
            "book dedup",
            "word_hashes",
            size,
            lambda: [plain_word_hashes(text) for text in texts],
            lambda: [word_hashes(text) for text in texts],
            repeats,
        ),
        compared(
            "book dedup",
            "Bands.signature",
            size,
            lambda: [plain_signature(bands, some) for some in sets],
            lambda: [bands.signature(some) for some in sets],
            repeats,
        ),
        compared(
            "book dedup",
            "all: text to keys of bands",
            size,
            lambda: [plainly(text) for text in texts],
            lambda: [here(text) for text in texts],
            repeats,
        ),
    ]
