"""MinHash signatures (Broder 1997) cut into bands: candidates for near duplicates.

The signatures of two sets of Jaccard similarity J agree in each position with probability J. Cut
into b bands of r positions, at least one band agrees with probability

    P(J) = 1 - (1 - J^r)^b

(Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.2). With the default of 25
bands of 5: P(0.9) = 1 - 2e-10, P(0.818) = 1 - 1e-5, P(0.5) = 0.55, P(0.1) = 2.5e-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from stages.dedup.fuzzy_signature import Permutations

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]


def recall(jaccard: float, bands: int, rows: int) -> float:
    """The probability that a pair of this similarity becomes a candidate."""
    return float(1.0 - (1.0 - jaccard**rows) ** bands)


def jaccard_of(containment: float, ratio: float = 1.0) -> float:
    """Jaccard similarity of two sets of which the smaller, `ratio` times as large as the other,
    is contained in the larger one to a share of `containment`."""
    return containment * ratio / (1.0 + ratio - containment * ratio)


@dataclass(frozen=True)
class Bands:
    """Makes signatures and their band keys; `seed` chooses the permutations.

    Compare only what was made with the same numbers and seed.
    """

    bands: int = 25
    rows: int = 5
    seed: int = 1
    _permutations: Permutations = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_permutations", Permutations(self.positions, self.seed))

    @property
    def positions(self) -> int:
        return self.bands * self.rows

    def signature(self, hashes: U64) -> U32:
        """The minima of `positions` permutations of a set of 64-bit hashes (their upper halves)."""
        upper = (hashes >> np.uint64(32)).astype(np.uint32)
        return self._permutations.signatures([upper])[0]

    def keys(self, signature: U32) -> U64:
        """One 64-bit key per band; equal keys at the same place mean that the bands agree."""
        parts = signature.astype("<u4", copy=False).reshape(self.bands, self.rows)
        keys = (xxhash.xxh3_64_intdigest(part.tobytes(), seed=i) for i, part in enumerate(parts))
        return np.fromiter(keys, np.uint64, self.bands)


def first_shared(a: U64, b: U64) -> int:
    """The first band whose keys agree, -1 if none does."""
    same = np.flatnonzero(a == b)
    return int(same[0]) if len(same) else -1


def pairs_of(group: Sequence[Any]) -> list[tuple[Any, Any]]:
    """All pairs of a group, the earlier element first."""
    return [(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]
