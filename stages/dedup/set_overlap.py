"""How much two texts overlap, exactly, by their sets of shingles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.unsignedinteger]
Measure = Literal["containment", "jaccard"]


@dataclass(frozen=True)
class SetOverlap:
    """Sizes of two sets and of what they share."""

    first: int
    second: int
    shared: int

    @property
    def jaccard(self) -> float:
        """|A and B| / |A or B|."""
        union = self.first + self.second - self.shared
        return self.shared / union if union else 0.0

    @property
    def containment(self) -> float:
        """|A and B| / min(|A|, |B|), the overlap coefficient of Szymkiewicz and Simpson."""
        smaller = min(self.first, self.second)
        return self.shared / smaller if smaller else 0.0

    def by(self, measure: Measure) -> float:
        return self.containment if measure == "containment" else self.jaccard


def set_overlap(first: Hashes, second: Hashes) -> SetOverlap:
    """Of two ascending arrays of distinct hashes, both of one width."""
    small, large = (first, second) if len(first) <= len(second) else (second, first)
    if not len(small):
        return SetOverlap(len(first), len(second), 0)
    places = np.minimum(np.searchsorted(large, small), len(large) - 1)
    return SetOverlap(len(first), len(second), int(np.count_nonzero(large[places] == small)))
