"""How good a model is on domains that it has not seen, and what the leaks alone would reach."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.reference import metrics
from stages.reference.examples import (
    SPLITS,
    Pages,
    domain_scores,
    domain_scores_within,
    length_scores,
)
from stages.reference.metrics import Scores

PAPER_THRESHOLD = 0.5
"""LLaMA discards "pages not classified as references": of two classes, the likelier one."""
REDPAJAMA_THRESHOLD = 0.25
"""RedPajama v1, chosen so that as many tokens were left as LLaMA reports."""
THRESHOLDS = (PAPER_THRESHOLD, REDPAJAMA_THRESHOLD)

_TRAIN, _VALID, _TEST = range(3)


def split_counts(pages: Pages) -> dict[str, dict[str, int]]:
    """Pages of each class, and registered domains, by split."""
    found = {}
    for i, name in enumerate(SPLITS):
        mine = pages.split == i
        found[name] = {
            "references": int((mine & pages.reference).sum()),
            "random": int((mine & ~pages.reference).sum()),
            "domains": len(np.unique(pages.domain[mine])),
        }
    return found


def leaks(pages: Pages) -> dict[str, Any]:
    """The baselines that read no word, tested as the model is.

    `domain_only_by_page` is what the domain would tell if pages rather than domains were dealt to
    the splits: the distance to one half is what such a split would add to the model's figures.
    """
    train, test = (_part(pages, i) for i in (_TRAIN, _TEST))
    found: dict[str, Any] = {}
    for name, judge in (("length_only", length_scores), ("domain_only", domain_scores)):
        found[name] = _short(test, judge(train, test)) if len(train) and len(test) else None
    found["domain_only_by_page"] = _short(pages, domain_scores_within(pages))
    return found


def length_leak_before(pages: Pages) -> dict[str, Any] | None:
    """The length-only baseline on pages that are not matched: what matching takes away."""
    train, test = (_part(pages, i) for i in (_TRAIN, _TEST))
    return _short(test, length_scores(train, test)) if len(train) and len(test) else None


def report(pages: Pages, scores: Scores) -> dict[str, Any]:
    """Figures of the model on the test split, and the threshold that is best on the valid split.

    Args:
        pages: all that were chosen.
        scores: the model's, one for each of `pages`.
    """
    valid, test = pages.split == _VALID, pages.split == _TEST
    best = metrics.best_f1_threshold(pages.reference[valid], scores[valid])
    found = metrics.summary(pages.reference[test], scores[test], THRESHOLDS)
    if best is not None:
        found["best_f1_on_valid"] = {
            "threshold": metrics.rounded(best),
            **metrics.at_threshold(pages.reference[test], scores[test], best),
        }
    return found


def _part(pages: Pages, split: int) -> Pages:
    return pages.take(np.flatnonzero(pages.split == split))


def _short(pages: Pages, scores: Scores) -> dict[str, float | None]:
    area = metrics.auc(pages.reference, scores)
    right = metrics.at_threshold(pages.reference, scores, PAPER_THRESHOLD)["accuracy"]
    return {"auc": None if area is None else metrics.rounded(area), "accuracy": right}
