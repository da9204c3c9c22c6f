"""Shares with intervals, from samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z95 = 1.959964  # two-sided 95 % of the normal distribution


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of a share seen in n independent trials; (0, 1) for none.

    It holds for means of values from 0 to 1 too, which vary no more than ones and zeros do.
    """
    if n <= 0:
        return 0.0, 1.0
    z2 = Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * sqrt(max(0.0, share * (1 - share)) / n + z2 / (4 * n * n))
    # At the ends the formula gives them but for rounding.
    return max(0.0, middle - half) if share > 0 else 0.0, middle + half if share < 1 else 1.0


@dataclass(frozen=True)
class Share:
    """A share of `of` things with its 95 % interval; `value` is None where there were none.

    `effective` is the number of independent observations that the interval is for.
    """

    value: float | None
    low: float
    high: float
    of: int
    effective: float

    def __str__(self) -> str:
        if self.value is None:
            return "none to judge"
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def simple(right: int, of: int) -> Share:
    """A share of independent things."""
    value = right / of if of else None
    low, high = wilson(value or 0.0, of)
    return Share(value, low, high, of, float(of))


@dataclass(frozen=True)
class Cluster:
    """What one sampled document says: `right` of its `of` pairs; each stands for `weight` pairs."""

    right: float
    of: int
    weight: float


def weighted(clusters: Sequence[Cluster]) -> Share:
    """The share over all pairs. Pairs of one document are alike, so the number of observations is
    Kish's effective number (1965) of documents that have pairs, not the number of pairs."""
    having = [c for c in clusters if c.of]
    total = sum(c.weight * c.of for c in having)
    if not total:
        return Share(None, 0.0, 1.0, 0, 0.0)
    value = sum(c.weight * c.right for c in having) / total
    effective = total * total / sum((c.weight * c.of) ** 2 for c in having)
    low, high = wilson(value, effective)
    return Share(value, low, high, sum(c.of for c in having), effective)
