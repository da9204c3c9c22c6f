"""Keyed permutations of 0..n-1, evaluated at single points: cycle-walking Feistel networks.

A balanced Feistel network permutes the numbers of an even count of bits; results that are not below
n go through it again until they are, which is a permutation of 0..n-1 and needs under four rounds
on average. The round function ends in splitmix64's finaliser: it brings high bits down, without
which the low bits of the result would depend on few bits of the input.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

ROUNDS = 6
_MASK64 = (1 << 64) - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MUL_1 = np.uint64(0xBF58476D1CE4E5B9)
_MUL_2 = np.uint64(0x94D049BB133111EB)


def mix(x: Words) -> Words:
    """splitmix64's finaliser (Steele, Lea, Flood 2014; constants of Stafford's variant 13)."""
    x = (x ^ (x >> np.uint64(30))) * _MUL_1
    x = (x ^ (x >> np.uint64(27))) * _MUL_2
    return x ^ (x >> np.uint64(31))


def key_of(*parts: int | str) -> int:
    """A 64-bit key from integers and strings; every part and its place matters."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def keys_of(base: int, numbers: npt.NDArray[np.integer]) -> Words:
    """One key for each of `numbers`, all derived from the key `base`; shape as `numbers`."""
    steps = np.asarray(numbers).astype(np.uint64) + np.uint64(1)
    return mix(np.full_like(steps, np.uint64(base & _MASK64)) + steps * _GOLDEN)


def _round_keys(keys: Words) -> list[Words]:
    return [mix(keys + np.full_like(keys, _GOLDEN) * np.uint64(r + 1)) for r in range(ROUNDS)]


def _walk(values: Words, n: int, keys: Words, inverse: bool) -> Words:
    half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
    low = (np.uint64(1) << half) - np.uint64(1)
    result = np.empty_like(values)
    pending = np.arange(values.size)
    rounds = np.stack(_round_keys(keys))
    if inverse:
        rounds = rounds[::-1]
    while pending.size:
        left, right = values >> half, values & low
        for key in rounds:
            if inverse:
                left, right = right ^ (mix(left ^ key) & low), left
            else:
                left, right = right, left ^ (mix(right ^ key) & low)
        values = (left << half) | right
        inside = values < np.uint64(n)
        result[pending[inside]] = values[inside]
        pending, values, rounds = pending[~inside], values[~inside], rounds[:, ~inside]
    return result


def _checked(values: npt.NDArray[np.integer], n: int, keys: Words) -> tuple[Words, Words]:
    numbers = np.atleast_1d(np.asarray(values))
    if n < 1 or n > 1 << 62:
        raise ValueError(f"cannot permute 0 to {n}")
    if numbers.size and (numbers.min() < 0 or numbers.max() >= n):
        raise ValueError(f"values must be from 0 to {n - 1}")
    return numbers.astype(np.uint64), np.broadcast_to(keys, numbers.shape).astype(np.uint64)


def permute(values: npt.NDArray[np.integer], n: int, keys: Words) -> npt.NDArray[np.int64]:
    """The images of `values` under the permutation of 0..n-1 of each one's key.

    Args:
        values: integers of shape (m,), from 0 to n - 1.
        n: size of the domain, at most 2**62.
        keys: uint64 of shape (m,) or (1,).

    Returns:
        int64 of shape (m,).
    """
    words, keys = _checked(values, n, keys)
    return _walk(words, n, keys, inverse=False).astype(np.int64)


def unpermute(values: npt.NDArray[np.integer], n: int, keys: Words) -> npt.NDArray[np.int64]:
    """The inverse of `permute` with the same `n` and `keys`."""
    words, keys = _checked(values, n, keys)
    return _walk(words, n, keys, inverse=True).astype(np.int64)
