"""MinHash signatures of many documents at a time, equal to datasketch's, and their bands.

`datasketch.MinHash` sketches one set after the other. Here the sets of a batch lie in one array
and each permutation runs over all of them at once: the same numbers, several times as fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from datasketch import MinHash, MinHashLSH

from stages.dedup.shingles import mix

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

EMPTY = np.uint32(0xFFFFFFFF)
"""All positions of the signature of an empty set. Empty sets resemble nothing: leave them out."""

_CHUNK = 1 << 16  # hashes permuted at a time: with their temporaries they fit a cache


@lru_cache(maxsize=64)
def best_bands(
    threshold: float, permutations: int, weights: tuple[float, float]
) -> tuple[int, int]:
    """(bands, rows) as datasketch chooses them: of all that fit, those with the least weighted sum
    of the areas of false positives below and false negatives above the threshold."""
    index = MinHashLSH(threshold=threshold, num_perm=permutations, weights=weights)
    return int(index.b), int(index.r)


class Permutations:
    """datasketch's permutations of 32-bit hashes (scheme `affine32`) for a number and a seed."""

    def __init__(self, count: int, seed: int) -> None:
        factors, terms = MinHash(num_perm=count, seed=seed, scheme="affine32").permutations
        self.count = count
        self._factors = np.asarray(factors, dtype=np.uint32)
        self._terms = np.asarray(terms, dtype=np.uint32)

    def signatures(self, sets: Sequence[U32]) -> U32:
        """One row of `count` minima for each set of hashes; `EMPTY` throughout for an empty one."""
        found = np.full((len(sets), self.count), EMPTY, dtype=np.uint32)
        for which, starts, hashes in _chunks(sets):
            mixed = _finalised(hashes)
            for i in range(self.count):
                permuted = mixed * self._factors[i]
                permuted += self._terms[i]
                minima = np.minimum.reduceat(permuted, starts)
                found[which, i] = np.minimum(found[which, i], minima)
        return found


def _chunks(sets: Sequence[U32]) -> Iterator[tuple[I64, I64, U32]]:
    """Numbers of sets, where each begins, and their hashes; a long set comes in several chunks."""
    which: list[int] = []
    parts: list[U32] = []
    held = 0
    for number, hashes in enumerate(sets):
        for start in range(0, len(hashes), _CHUNK):
            part = hashes[start : start + _CHUNK]
            if held and held + len(part) > _CHUNK:
                yield _joined(which, parts)
                which, parts, held = [], [], 0
            which.append(number)
            parts.append(part)
            held += len(part)
    if parts:
        yield _joined(which, parts)


def _joined(which: list[int], parts: list[U32]) -> tuple[I64, I64, U32]:
    ends = np.cumsum([len(p) for p in parts])
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    return np.array(which, dtype=np.int64), starts, np.concatenate(parts)


def _finalised(hashes: U32) -> U32:
    """The finaliser of MurmurHash3 for 32 bits (Appleby 2011), which datasketch applies first."""
    h = hashes ^ (hashes >> np.uint32(16))
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


def band_keys(signatures: U32, bands: int, rows: int) -> U64:
    """A 64-bit key for each document and band, shape (documents, bands); band i is made of the
    positions from i * rows on. Keys of different bands differ."""
    keys = np.empty((len(signatures), bands), dtype=np.uint64)
    for band in range(bands):
        key = np.full(len(signatures), band, dtype=np.uint64)
        for position in range(band * rows, (band + 1) * rows):
            key = mix(key ^ signatures[:, position].astype(np.uint64))
        keys[:, band] = key
    return keys


def agreement(a: U32, b: U32, bands: int, rows: int) -> tuple[F64, I64]:
    """Of rows of two arrays of signatures: the share of equal positions, which estimates the
    Jaccard similarity, and the first band that agrees (-1: none)."""
    same = a == b
    banded = same[:, : bands * rows].reshape(-1, bands, rows).all(axis=2)
    first = np.where(banded.any(axis=1), banded.argmax(axis=1), -1)
    return same.mean(axis=1), first.astype(np.int64)


def standard_error(jaccard: float, permutations: int) -> float:
    """Of the estimate by that many positions."""
    return float((jaccard * (1 - jaccard) / permutations) ** 0.5)
