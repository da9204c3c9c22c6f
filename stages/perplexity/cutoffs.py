"""Head, middle and tail: perplexity cut at percentiles of each language."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeAlias

Bucket: TypeAlias = Literal["head", "middle", "tail"]
Cutoffs: TypeAlias = Mapping[str, tuple[float, float]]

# Perplexities from here on share one bin, which bounds a histogram to a million bins.
CEILING = 100_000.0


@cache
def published_cutoffs() -> Cutoffs:
    """CCNet's cutoffs for those of LLaMA's 20 languages that it has: all but sl, sr and sv.

    Source: percentiles 30 and 60 of `cc_net/data/cutoff.csv` (facebookresearch/cc_net, bda555b).
    They belong to CCNet's published models; under any other model they mean nothing.
    """
    table = resources.files("stages.perplexity").joinpath("ccnet_cutoffs.csv")
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return {row["language"]: (float(row["p30"]), float(row["p60"])) for row in rows}


def bucket(perplexity: float, low: float, high: float) -> Bucket:
    """`head` below the low cutoff, `middle` below the high one, else `tail` (cc_net's bounds)."""
    if perplexity < low:
        return "head"
    return "middle" if perplexity < high else "tail"


class BucketRule:
    """Gives a document its bucket; None where it has no perplexity or its language no cutoffs."""

    reads: tuple[str, ...] = ("perplexity", "language")
    writes: tuple[str, ...] = ("bucket",)

    def __init__(self, cutoffs: Cutoffs) -> None:
        self.cutoffs = dict(cutoffs)

    def __call__(self, *values: Any) -> tuple[Bucket | None]:
        perplexity, language = values
        if perplexity is None or language not in self.cutoffs:
            return (None,)
        return (bucket(perplexity, *self.cutoffs[language]),)


class Histogram:
    """Counts of perplexities in tenths, the precision in which they are stored.

    Its percentiles are therefore exact, whatever the number of documents, and histograms of parts
    of a corpus add up to that of the whole. From `CEILING` on all values count as `CEILING`. Before
    rounding, a percentile lies within 0.05 of the one given here.
    """

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[str, int] | Mapping[int, int] | None = None) -> None:
        """`counts`: documents by perplexity in tenths, as `as_dict` gives them.

        Raises:
            ValueError: a perplexity or a count is negative.
        """
        self._counts: Counter[int] = Counter()
        for tenths, count in (counts or {}).items():
            if int(tenths) < 0 or count < 0:
                raise ValueError("perplexities and counts cannot be negative")
            self._counts[min(int(tenths), round(CEILING * 10))] += count

    def add(self, perplexity: float) -> None:
        """Counts one document.

        Raises:
            ValueError: the perplexity is negative or not a number.
        """
        if not perplexity >= 0:
            raise ValueError(f"{perplexity} is no perplexity")
        self._counts[round(min(perplexity, CEILING) * 10)] += 1

    def __iadd__(self, other: Histogram) -> Histogram:
        self._counts.update(other._counts)
        return self

    def __len__(self) -> int:
        """Documents counted."""
        return self._counts.total()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]

    def as_dict(self) -> dict[str, int]:
        """Documents by perplexity in tenths, in order, ready for JSON."""
        return {str(tenths): count for tenths, count in sorted(self._counts.items())}

    def percentile(self, percent: float) -> float:
        """The percentile by linear interpolation, numpy's default: the value at position
        `percent / 100 * (n - 1)` of the sorted perplexities.

        Raises:
            ValueError: nothing was counted, or `percent` is not within 0 to 100.
        """
        if not len(self) or not 0 <= percent <= 100:
            raise ValueError("a percentile needs documents and a number from 0 to 100")
        position = percent / 100 * (len(self) - 1)
        below = int(position)
        low, high = (self._tenths(min(rank, len(self) - 1)) for rank in (below, below + 1))
        return (low + (high - low) * (position - below)) / 10

    def value(self, rank: int) -> float:
        """The perplexity with `rank` documents before it in order, `0 <= rank < len`.

        Raises:
            IndexError: there are not so many documents.
        """
        return self._tenths(rank) / 10

    def below(self, perplexity: float) -> int:
        """Documents whose perplexity is less."""
        return sum(count for tenths, count in self._counts.items() if tenths / 10 < perplexity)

    def _tenths(self, rank: int) -> int:
        for tenths, count in sorted(self._counts.items()):
            if rank < count:
                return tenths
            rank -= count
        raise IndexError(rank)


def recalibrated(
    histograms: Mapping[str, Histogram], percentiles: tuple[float, float] = (30.0, 60.0)
) -> dict[str, tuple[float, float]]:
    """Cutoffs from the perplexities of a run, by language; languages without documents have none.

    With ties at a cutoff the head may hold less than its share: `head` is what lies *below*.
    """
    low, high = percentiles
    return {
        language: (histogram.percentile(low), histogram.percentile(high))
        for language, histogram in sorted(histograms.items())
        if len(histogram)
    }
