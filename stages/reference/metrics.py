"""Figures of a two-class classifier from labels and scores, in plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

_DIGITS = 4


def rounded(value: float) -> float:
    return round(float(value), _DIGITS)


def auc(labels: Labels, scores: Scores) -> float | None:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half.

    None where a class is empty.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    # Rank of a tied value: the mean of the ranks that its group takes up.
    ends = np.cumsum(sizes)
    ranks = (ends - (sizes - 1) / 2)[group]
    above = float(ranks[labels].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def auc_standard_error(area: float, positives: int, negatives: int) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982, equation 1)."""
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    variance = (
        area * (1 - area)
        + (positives - 1) * (q1 - area * area)
        + (negatives - 1) * (q2 - area * area)
    ) / (positives * negatives)
    return float(np.sqrt(max(variance, 0.0)))


def at_threshold(labels: Labels, scores: Scores, threshold: float) -> dict[str, float | None]:
    """Precision, recall, F1 and accuracy where scores of at least `threshold` count as positive,
    and the share of the negatives that would stay. None where a figure has no denominator."""
    said = scores >= threshold
    hits = int((said & labels).sum())
    positives, negatives, chosen = int(labels.sum()), int((~labels).sum()), int(said.sum())
    precision = hits / chosen if chosen else None
    recall = hits / positives if positives else None
    f1 = 2 * hits / (chosen + positives) if chosen + positives else None
    right = int((said == labels).sum())
    figures = {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "accuracy": right / len(labels) if len(labels) else None,
        "random_kept": (chosen - hits) / negatives if negatives else None,
    }
    return {name: None if v is None else rounded(v) for name, v in figures.items()}


def calibration(labels: Labels, scores: Scores, bins: int = 10) -> dict[str, Any]:
    """Expected calibration error over `bins` equal stretches of [0, 1], with the bins: how many
    scores lie there, their mean, and the share of positives among them."""
    index = np.minimum((scores * bins).astype(np.int64), bins - 1)
    table: list[dict[str, float | int]] = []
    error = 0.0
    for i in range(bins):
        mine = index == i
        count = int(mine.sum())
        if not count:
            continue
        mean, share = float(scores[mine].mean()), float(labels[mine].mean())
        error += count / len(labels) * abs(mean - share)
        table.append(
            {
                "from": rounded(i / bins),
                "to": rounded((i + 1) / bins),
                "pages": count,
                "mean_score": rounded(mean),
                "share_of_references": rounded(share),
            }
        )
    return {"ece": rounded(error) if len(labels) else None, "bins": table}


def best_f1_threshold(labels: Labels, scores: Scores) -> float | None:
    """The threshold with the highest F1, the lowest of equals; None without positives."""
    positives = int(labels.sum())
    if not positives:
        return None
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    hits = np.cumsum(labels[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + positives)
    last = np.append(ordered[1:] != ordered[:-1], True)  # only ends of ties are thresholds
    candidates = np.flatnonzero(last)
    best = candidates[::-1][np.argmax(f1[candidates][::-1])]
    return float(ordered[best])


def summary(labels: Labels, scores: Scores, thresholds: tuple[float, ...]) -> dict[str, Any]:
    """All figures of one split; thresholds by their text."""
    area = auc(labels, scores)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    return {
        "references": positives,
        "random": negatives,
        "auc": None if area is None else rounded(area),
        "auc_standard_error": None
        if area is None
        else rounded(auc_standard_error(area, positives, negatives)),
        "thresholds": {f"{t:g}": at_threshold(labels, scores, t) for t in thresholds},
        "calibration": calibration(labels, scores),
    }
