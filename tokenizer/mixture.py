"""Proportions as whole numbers: how many sequences of each source a block holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

# A longer exact block mixes no better, and one block is worked out at a time; beyond this the
# weights are approximated to WEIGHT_TOLERANCE.
MAX_BLOCK = 10_000
WEIGHT_TOLERANCE = 1e-4


def block_counts(weights: Mapping[str, float]) -> dict[str, int]:
    """Sequences of each source in the smallest block that holds the proportions.

    Weights are read as the decimals that they are written as (0.045 is 45/1000) and mean shares of
    training sequences; they need not add up to 1. A source of weight 0 is left out. Exact if a
    block of at most 10,000 can be, else the smallest block in which every share is off by less than
    1e-4. The paper's weights give 134, 30, 9, 9, 9, 5, 4 of 200. Sorted by name.

    Raises:
        ValueError: a weight that is negative or no number, none above 0, or one too small to have a
            sequence in a block of 10,000.
    """
    for name, weight in weights.items():
        if not math.isfinite(weight) or weight < 0:
            raise ValueError(f"weight of {name!r} is {weight}; it must be 0 or more")
    exact = {name: Fraction(str(w)) for name, w in sorted(weights.items()) if w > 0}
    if not exact:
        raise ValueError("no source has a weight above 0")
    total = sum(exact.values())
    shares = {name: weight / total for name, weight in exact.items()}
    block = math.lcm(*(share.denominator for share in shares.values()))
    if block <= MAX_BLOCK:
        return {name: int(share * block) for name, share in shares.items()}
    wanted = {name: float(share) for name, share in shares.items()}
    for block in range(len(wanted), MAX_BLOCK + 1):
        counts = _round(wanted, block)
        off = max(abs(counts[name] / block - wanted[name]) for name in wanted)
        if off < WEIGHT_TOLERANCE and min(counts.values()) > 0:
            return counts
    smallest = min(wanted, key=lambda name: wanted[name])
    raise ValueError(
        f"weights cannot be held in a block of {MAX_BLOCK} sequences: {smallest!r} has only "
        f"{wanted[smallest]:.2g} of the whole"
    )


def _round(shares: Mapping[str, float], block: int) -> dict[str, int]:
    """Whole numbers that add up to `block`, by largest remainder; ties go by name."""
    counts = {name: int(share * block) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (counts[name] - shares[name] * block, name))
    for name in by_remainder[: block - sum(counts.values())]:
        counts[name] += 1
    return counts
