"""Figures of a classifier against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.reference import metrics

PAIRS = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])))


def arrays(pairs: list[tuple[bool, float]]) -> tuple[metrics.Labels, metrics.Scores]:
    labels, scores = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(labels, np.bool_), np.array(scores, np.float64)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_auc_is_the_chance_that_a_reference_scores_higher(pairs: list[tuple[bool, float]]) -> None:
    labels, scores = arrays(pairs)
    wins = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[labels].tolist()
        for n in scores[~labels].tolist()
    ]
    expected = sum(wins) / len(wins) if wins else None
    found = metrics.auc(labels, scores)
    assert found == (None if expected is None else pytest.approx(expected))


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_no_threshold_has_a_better_f1_than_the_best(pairs: list[tuple[bool, float]]) -> None:
    labels, scores = arrays(pairs)
    best = metrics.best_f1_threshold(labels, scores)
    if best is None:
        assert not labels.any()
        return
    reached = metrics.at_threshold(labels, scores, best)["f1"]
    others = [metrics.at_threshold(labels, scores, t)["f1"] or 0.0 for t in set(scores.tolist())]
    assert reached == max(others)


def test_figures_at_a_threshold_count_it_as_passed() -> None:
    labels = np.array([True, True, False, False])
    scores = np.array([0.5, 0.4, 0.5, 0.1])
    assert metrics.at_threshold(labels, scores, 0.5) == {
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "accuracy": 0.5,
        "random_kept": 0.5,
    }
    nothing = metrics.at_threshold(labels, scores, 0.9)
    assert (nothing["precision"], nothing["recall"], nothing["random_kept"]) == (None, 0.0, 0.0)


def test_calibration_is_the_distance_of_scores_from_what_happened() -> None:
    labels = np.array([True, True, False, False])
    assert metrics.calibration(labels, np.array([1.0, 1.0, 0.0, 0.0]))["ece"] == 0.0
    found = metrics.calibration(labels, np.array([0.75, 0.75, 0.75, 0.05]))
    assert found["ece"] == pytest.approx((3 * abs(0.75 - 2 / 3) + 0.05) / 4, abs=1e-4)
    assert [b["pages"] for b in found["bins"]] == [1, 3]


def test_the_standard_error_is_hanley_and_mcneils() -> None:
    # Their table: an area of 0.8 with 50 of each class has a standard error of about 0.044.
    assert metrics.auc_standard_error(0.8, 50, 50) == pytest.approx(0.0444, abs=0.0005)
    assert metrics.auc_standard_error(1.0, 50, 50) == 0.0
