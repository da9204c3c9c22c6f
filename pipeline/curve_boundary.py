"""The documents nearest to a threshold: what a person looks at before moving it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SHOWN_CHARS = 200


@dataclass(frozen=True, order=True)
class Sample:
    """A document by its distance from the threshold, then its id; `text` is its first
    `SHOWN_CHARS` characters as they are, control characters included."""

    distance: float
    id: str
    score: float
    kept: bool
    url: str | None
    text: str


class Boundary:
    """Per threshold the `size` documents nearest to it, on either side; equal ones by id.

    What it holds does not depend on the order in which documents come.
    """

    def __init__(self, limits: npt.NDArray[np.float64], keeps_above: bool, size: int) -> None:
        """`limits`: thresholds as stored, ascending, shape (n,)."""
        self._limits, self._keeps_above, self._size = limits, keeps_above, size
        self._nearest: list[list[Sample]] = [[] for _ in limits]

    def add(
        self,
        batch: pa.RecordBatch,
        rows: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float64],
    ) -> None:
        """Offers the documents of some rows with their scores, none of them NaN; both (n,)."""
        if not self._size or not len(rows):
            return
        for place, limit in enumerate(self._limits):
            distances = np.abs(scores - limit)
            near = np.flatnonzero(distances <= self._worst(place, distances))
            if len(near):
                ids = batch.column("id").take(pa.array(rows[near])).to_pylist()
                offers = zip(distances[near].tolist(), ids, near.tolist(), strict=True)
                found = [
                    self._sample(batch, int(rows[i]), float(scores[i]), place)
                    for _, _, i in nsmallest(self._size, offers)
                ]
                self._nearest[place] = nsmallest(self._size, [*self._nearest[place], *found])

    def _worst(self, place: int, distances: npt.NDArray[np.float64]) -> float:
        """No document farther than this can come in."""
        held = self._nearest[place]
        if len(held) == self._size:
            return held[-1].distance
        if len(distances) <= self._size:
            return float("inf")
        return float(np.partition(distances, self._size - 1)[self._size - 1])

    def _sample(self, batch: pa.RecordBatch, row: int, score: float, place: int) -> Sample:
        limit = float(self._limits[place])
        url = batch.schema.get_field_index("url")
        return Sample(
            distance=abs(score - limit),
            id=batch.column("id")[row].as_py(),
            score=score,
            kept=score >= limit if self._keeps_above else score <= limit,
            url=batch.column(url)[row].as_py() if url >= 0 else None,
            text=batch.column("text")[row].as_py()[:SHOWN_CHARS],
        )

    def samples(self, place: int) -> tuple[Sample, ...]:
        """Those of threshold number `place`, nearest first."""
        return tuple(self._nearest[place])

    @classmethod
    def merged(cls, parts: Sequence[Boundary]) -> Boundary:
        """The nearest of all; the parts have the same thresholds. At least one part."""
        first = parts[0]
        whole = cls(first._limits, first._keeps_above, first._size)
        for place in range(len(first._limits)):
            offers: Iterable[Sample] = (s for part in parts for s in part._nearest[place])
            whole._nearest[place] = nsmallest(first._size, offers)
        return whole
