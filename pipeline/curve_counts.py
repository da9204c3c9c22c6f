"""Documents, bytes and tokens between neighbouring thresholds, and what each threshold keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.curve_boundary import Boundary
from stages.select import stored

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Kept:
    """`tokens`: exact ones and estimates together; None where nothing is known of some.
    `estimated`: documents whose tokens are an estimate, or unknown."""

    documents: int
    text_bytes: int
    tokens: int | None
    estimated: int


class Tally:
    """Counts of one language's documents between neighbouring thresholds.

    Place i of `counts`, int64 of shape (5, thresholds + 1), holds the documents that lie above i of
    the thresholds. Its rows: documents, text bytes, tokens known, documents without known tokens,
    their text bytes. `unscored`, of shape (5,), is the same of documents without a score.
    """

    def __init__(self, thresholds: tuple[float, ...], keeps_above: bool, samples: int) -> None:
        """`thresholds`: ascending. `samples`: documents to remember at each."""
        self.thresholds = thresholds
        self._keeps_above = keeps_above
        self._limits = np.array([stored(t) for t in thresholds], dtype=np.float64)
        self.counts: Counts = np.zeros((5, len(thresholds) + 1), dtype=np.int64)
        self.unscored: Counts = np.zeros(5, dtype=np.int64)
        self.boundary = Boundary(self._limits, keeps_above, samples)

    def add(
        self, batch: pa.RecordBatch, rows: Counts, scores: Floats, sizes: Counts, tokens: Counts
    ) -> None:
        """Documents of the language: their rows in the batch, scores (NaN: none), text bytes, and
        tokens (-1: not known); all of shape (n,)."""
        known, scored = tokens >= 0, ~np.isnan(scores)
        values = np.stack(
            [
                np.ones_like(rows),
                sizes,
                np.where(known, tokens, 0),
                ~known,
                np.where(known, 0, sizes),
            ]
        )
        self.unscored += values[:, ~scored].sum(axis=1)
        # A document that lies on a threshold is kept by it.
        side: Literal["left", "right"] = "right" if self._keeps_above else "left"
        places = np.searchsorted(self._limits, scores[scored], side=side)
        for counts, more in zip(self.counts, values[:, scored], strict=True):
            np.add.at(counts, places, more)
        self.boundary.add(batch, rows[scored], scores[scored])

    def kept(self, at: int) -> Counts:
        """Of the documents with a score, those that threshold number `at` keeps; shape (5,)."""
        part = self.counts[:, at + 1 :] if self._keeps_above else self.counts[:, : at + 1]
        return np.asarray(part.sum(axis=1))

    @property
    def whole(self) -> Counts:
        return np.asarray(self.counts.sum(axis=1) + self.unscored)

    @property
    def documents(self) -> int:
        return int(self.whole[0])


def ratios_of(tallies: Mapping[str, Tally]) -> dict[str, float]:
    """Bytes a token by language, measured on the documents whose tokens are known; languages that
    have none of those are absent."""
    ratios = {}
    for language, tally in sorted(tallies.items()):
        _, size, tokens, _, unknown = (int(n) for n in tally.whole)
        if tokens:
            ratios[language] = (size - unknown) / tokens
    return ratios


def total(
    parts: Iterable[tuple[str, Counts]], ratios: Mapping[str, float], otherwise: float | None
) -> Kept:
    """The sum over languages; `otherwise`: bytes a token of languages that `ratios` lacks."""
    documents = size = tokens = estimated = 0
    all_known = True
    for language, counts in parts:
        n, mine, exact, without, guessed = (int(c) for c in counts)
        documents, size, estimated = documents + n, size + mine, estimated + without
        tokens += exact
        ratio = ratios.get(language, otherwise)
        if without and ratio is None:
            all_known = False
        elif without and ratio is not None:
            tokens += round(guessed / ratio)
    return Kept(documents, size, tokens if all_known else None, estimated)
