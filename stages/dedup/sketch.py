"""Samples of hash sets by value: candidates for a small set inside a large one.

MinHash finds pairs of high Jaccard similarity, and a story in a large collection has a low one. But
any two sets keep the same elements if each keeps those whose hash is low ("mod p" sampling, Broder
1997; "FracMinHash", Irber et al. 2022), and so a sample of the small set is found in the sample of
the large one in the same proportion as the set in the other set.

Here a set publishes its sample, and looks for its `probes` lowest hashes in the samples of others.
If the small set is contained to a share c, the number found is binomial, so the pair is missed with

    P(Bin(probes, c) < ceil(probes / 2))

which for 16 probes and c = 0.9 is 1e-5. Unrelated books share some hundredths of their shingles
and reach half of the probes never (1e-9 at c = 0.02). A set too small to have
that many sampled hashes uses those it has.
"""

from __future__ import annotations

from math import ceil, comb

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]


def sample(hashes: U64, rate: int) -> U64:
    """The hashes (ascending) that a sample of one in `rate` keeps."""
    return hashes[: int(np.searchsorted(hashes, np.uint64((1 << 64) // rate - 1), side="right"))]


def needed(probes: int) -> int:
    """How many of a set's probes must be found in another set to compare both."""
    return max(1, ceil(probes / 2))


def shared_probes(probes: U64, other: U64) -> U64:
    """Those of `probes` that are in the sample `other`; both ascending."""
    if not len(other):
        return probes[:0]
    places = np.minimum(np.searchsorted(other, probes), len(other) - 1)
    return probes[other[places] == probes]


def miss(containment: float, probes: int) -> float:
    """The probability that a set contained to this share is not found."""
    return sum(
        comb(probes, k) * containment**k * (1 - containment) ** (probes - k)
        for k in range(needed(probes))
    )
