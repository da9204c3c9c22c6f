"""How good a model is on domains that it has not seen, and what the leaks alone would reach."""

from __future__ import annotations

from collections.abc import Sequence
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
from stages.reference.host_names import name_scores
from stages.reference.metrics import Scores

PAPER_THRESHOLD = 0.5
"""LLaMA discards "pages not classified as references": of two classes, the likelier one."""
REDPAJAMA_THRESHOLD = 0.25
"""RedPajama v1, chosen so that as many tokens were left as LLaMA reports."""
THRESHOLDS = (PAPER_THRESHOLD, REDPAJAMA_THRESHOLD)
LEAST_SPREAD = 0.05
"""Between the 5th and the 95th percentile of the scores of a model that has learnt something.
fastText begins at one half for every page; a few hundred pages, five times read, end at 0.4999."""

_NORMAL_95 = 1.96
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


def leaks(pages: Pages, hosts: Sequence[str]) -> dict[str, Any]:
    """The baselines that read no word, tested as the model is; `hosts` are the names that
    `pages.host` numbers.

    `domain_name_only` judges by the letters of the host's name. `domain_only` knows domains as
    wholes, and those of the test are none that it has met: it is one half by construction, a check
    of the split. `domain_only_by_page` is what it would tell if pages rather than domains were
    dealt to the splits: the distance to one half is what such a split would add to the model's
    figures.
    """
    train, test = (_part(pages, i) for i in (_TRAIN, _TEST))
    found: dict[str, Any] = dict.fromkeys(("length_only", "domain_name_only", "domain_only"))
    if len(train) and len(test):
        found["length_only"] = _short(test, length_scores(train, test))
        found["domain_name_only"] = _by_name(train, test, hosts)
        found["domain_only"] = _short(test, domain_scores(train, test))
    found["domain_only_by_page"] = _short(pages, domain_scores_within(pages))
    return found


def _by_name(train: Pages, test: Pages, hosts: Sequence[str]) -> dict[str, float | None]:
    # In the order of the pages' keys, so that the first hosts are a random sample.
    met, first, back = np.unique(train.host, return_index=True, return_inverse=True)
    back = back.reshape(-1)
    references = np.bincount(back, train.reference).astype(np.int64)
    order = np.argsort(first)
    counts = references[order], np.bincount(back)[order]
    return _short(test, name_scores(hosts, met[order], *counts, test.host), by_host=True)


def length_leak_before(pages: Pages) -> dict[str, Any] | None:
    """The length-only baseline on pages that are not matched: what matching takes away."""
    train, test = (_part(pages, i) for i in (_TRAIN, _TEST))
    return _short(test, length_scores(train, test)) if len(train) and len(test) else None


def untrained(test: dict[str, Any], scores: Scores) -> str | None:
    """Why a model is as good as none; None for one that has learnt something.

    Args:
        test: the figures of `report`.
        scores: of the pages of all splits.
    """
    spread = float(np.quantile(scores, 0.95) - np.quantile(scores, 0.05)) if len(scores) else 0.0
    if spread < LEAST_SPREAD:
        return (
            f"nine tenths of the scores lie within {spread:.4f}, less than {LEAST_SPREAD:g}: so few"
            " pages need more epochs"
        )
    area, error = test["auc"], test["auc_standard_error"]
    if area is not None and area - _NORMAL_95 * error <= 0.5:
        return f"test AUC {area:.3f} with standard error {error:.3f}: no better than chance"
    return None


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


def _short(pages: Pages, scores: Scores, by_host: bool = False) -> dict[str, float | None]:
    """`by_host`: pages of one host have one score, so the error is that of as many hosts."""
    area = metrics.auc(pages.reference, scores)
    right = metrics.at_threshold(pages.reference, scores, PAPER_THRESHOLD)["accuracy"]
    error = None
    if area is not None:
        mine = [pages.host[pages.reference], pages.host[~pages.reference]]
        counts = [len(np.unique(hosts)) if by_host else len(hosts) for hosts in mine]
        error = metrics.rounded(metrics.auc_standard_error(area, *counts))
        area = metrics.rounded(area)
    return {"auc": area, "auc_standard_error": error, "accuracy": right}
