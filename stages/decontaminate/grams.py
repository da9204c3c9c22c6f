"""Hashes of n-grams of words, for any n, from one pass of running sums.

The hash of words w0 w1 ... is the sum of their hashes times powers of an odd number, modulo 2^64;
an n-gram's comes out of two running sums, so another n costs no further pass over the words. Two
different n-grams share a hash with a probability of about 2^-64: of 10^12 n-grams (a corpus of
LLaMA's size) compared with 10^6 of benchmarks, 0.05 are expected to match by chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


class GramHasher:
    """Keeps the powers of the base, as many as were needed so far."""

    def __init__(self) -> None:
        self._up = self._down = np.ones(1, np.uint64)

    def sums(self, words: U64) -> U64:
        """Running sums, one more than there are words."""
        n = len(words)
        if n > len(self._up):
            self._up, self._down = _powers(_BASE, 2 * n), _powers(_INVERSE, 2 * n)
        total = np.zeros(n + 1, np.uint64)
        np.cumsum(words * self._up[:n], out=total[1:])
        return total

    def grams(self, sums: U64, n: int) -> U64:
        """The hashes of all n-grams, by their first word; none where there are fewer words."""
        count = len(sums) - n
        if count < 1:
            return np.empty(0, np.uint64)
        return (sums[n:] - sums[:count]) * self._down[:count]

    def grams_at(self, sums: U64, n: int, places: I64) -> U64:
        """The hashes of the n-grams that begin with the words at `places`; all must end in time."""
        return (sums[places + n] - sums[places]) * self._down[places]


def _powers(base: int, n: int) -> U64:
    powers = np.full(n, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)
