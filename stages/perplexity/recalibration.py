"""What recalibration did to the cutoffs: the shift against CCNet's table, and how sure they are.

CCNet's cutoffs belong to CCNet's language models. A run with models of its own cuts at percentiles
of its own documents; this report says, per language, how far those cutoffs lie from the published
ones, into which buckets documents would fall under each, and where a language has too few
documents for its percentiles to be more than chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from stages.perplexity.cutoffs import Cutoffs, Histogram, recalibrated

CONFIDENCE = 0.95
# A cutoff is called unstable where documents worth more than this share of the language, on either
# side, might change sides with another sample: the head could then hold 25 or 35 % for 30 %.
UNSTABLE_SHARE = 0.05
# Over so many documents the normal approximation is a rank off at most.
_EXACT_BINOMIAL = 10_000


@dataclass(frozen=True)
class Interval:
    """A percentile's confidence interval: perplexities between which it lies, None where the
    sample has no document on that side; `share` is that of the documents in between (0 to 1)."""

    low: float | None
    high: float | None
    share: float

    @property
    def stable(self) -> bool:
        ends = self.low is not None and self.high is not None
        return ends and self.share <= 2 * UNSTABLE_SHARE


def interval(histogram: Histogram, percent: float, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a percentile from order statistics.

    Of n documents, those below the true percentile are binomially distributed, whatever the
    distribution of perplexities; so the bounds are documents of certain ranks. Documents are taken
    for independent draws: pages of one site are alike, so the truth is wider.

    Raises:
        ValueError: nothing was counted, or `percent` is not within 0 to 100.
    """
    histogram.percentile(percent)
    n = len(histogram)
    outside = (1 - confidence) / 2
    first = _binomial_quantile(n, percent / 100, outside)  # 1-based rank of the lower bound
    last = _binomial_quantile(n, percent / 100, 1 - outside) + 1
    low = histogram.value(first - 1) if first >= 1 else None
    high = histogram.value(last - 1) if last <= n else None
    return Interval(low, high, (min(last, n) - max(first, 1)) / n if n > 1 else 1.0)


def _binomial_quantile(n: int, p: float, q: float) -> int:
    """The least k for which at least `q` of Binomial(n, p) is at or below k."""
    if p in (0.0, 1.0):
        return round(n * p)
    if n > _EXACT_BINOMIAL:
        near = n * p + NormalDist().inv_cdf(q) * math.sqrt(n * p * (1 - p))
        return min(max(math.ceil(near - 0.5), 0), n)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(n + 1)
    log_mass = (
        log_factorial[n]
        - log_factorial
        - log_factorial[::-1]
        + k * math.log(p)
        + (n - k) * math.log1p(-p)
    )
    return int(np.searchsorted(np.cumsum(np.exp(log_mass)), q))


@dataclass(frozen=True)
class Shift:
    """One language's row of the report; all of it goes into `cutoffs.json`.

    `cutoffs` are those applied. `shift` is `recalibrated` less `published`, `ratio` their
    quotient; both None where CCNet has no cutoffs. `shares` are of head, middle and tail.
    """

    documents: int
    cutoffs: tuple[float, float] | None
    recalibrated: tuple[float, float] | None
    published: tuple[float, float] | None
    shift: tuple[float, float] | None
    ratio: tuple[float, float] | None
    shares: dict[str, tuple[float, float, float]]
    intervals: tuple[Interval, Interval] | None

    @property
    def stable(self) -> bool:
        return self.intervals is not None and all(i.stable for i in self.intervals)

    def to_json(self) -> dict[str, object]:
        return {
            **{k: v for k, v in vars(self).items() if k != "intervals"},
            "intervals": [vars(i) for i in self.intervals] if self.intervals else None,
            "stable": self.stable,
        }


def report(
    histograms: Mapping[str, Histogram],
    languages: set[str],
    applied: Cutoffs,
    published: Cutoffs,
    percentiles: tuple[float, float],
) -> dict[str, Shift]:
    """A row for each language that has a model or documents, in order of its code.

    Args:
        histograms: perplexities of a run by language.
        languages: those that have a model; they get a row also without documents.
        applied: the cutoffs by which buckets were given.
        published: CCNet's table.
        percentiles: where recalibrated buckets are cut, 0 to 100.
    """
    own = recalibrated(histograms, percentiles)
    rows = {}
    for language in sorted({*histograms, *languages}):
        histogram = histograms.get(language, Histogram())
        new, old = own.get(language), published.get(language)
        shift = ratio = intervals = None
        if new and old:
            shift = (round(new[0] - old[0], 4), round(new[1] - old[1], 4))
            ratio = (round(new[0] / old[0], 4), round(new[1] / old[1], 4))
        if len(histogram):
            intervals = (
                interval(histogram, percentiles[0]),
                interval(histogram, percentiles[1]),
            )
        both = {"recalibrated": new, "published": old}
        rows[language] = Shift(
            documents=len(histogram),
            cutoffs=applied.get(language),
            recalibrated=new,
            published=old,
            shift=shift,
            ratio=ratio,
            shares={
                name: shares(histogram, cut) for name, cut in both.items() if cut and len(histogram)
            },
            intervals=intervals,
        )
    return rows


def shares(histogram: Histogram, cutoffs: tuple[float, float]) -> tuple[float, float, float]:
    """Shares of documents in head, middle and tail, by `stages.perplexity.cutoffs.bucket`."""
    head, upto = (histogram.below(cutoff) for cutoff in cutoffs)
    n = len(histogram)
    return (round(head / n, 6), round((upto - head) / n, 6), round((n - upto) / n, 6))
