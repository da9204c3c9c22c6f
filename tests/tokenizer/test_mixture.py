from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.mixture import MAX_BLOCK, WEIGHT_TOLERANCE, block_counts
from tokenizer.paper import PROPORTIONS


def test_the_papers_weights_are_exact_in_200() -> None:
    assert block_counts(PROPORTIONS) == {
        "commoncrawl": 134,
        "c4": 30,
        "github": 9,
        "wikipedia": 9,
        "books": 9,
        "arxiv": 5,
        "stackexchange": 4,
    }


def test_order_is_by_name_not_by_arrival() -> None:
    backwards = dict(reversed(PROPORTIONS.items()))
    assert list(block_counts(backwards).items()) == list(block_counts(PROPORTIONS).items())


def test_smallest_exact_block() -> None:
    assert block_counts({"a": 0.5, "b": 0.25, "c": 0.25}) == {"a": 2, "b": 1, "c": 1}
    assert block_counts({"a": 3, "b": 6}) == {"a": 1, "b": 2}
    assert block_counts({"a": 0.2}) == {"a": 1}


def test_a_weight_of_zero_leaves_a_source_out() -> None:
    assert block_counts({"a": 1.0, "b": 0.0}) == {"a": 1}


def test_levanter_truncation_does_not_distort_weights() -> None:
    # Truncating 1/3 to a block of 2048 gives the remainder to one source.
    third = 1 / 3
    counts = block_counts({"a": third, "b": third, "c": third})
    assert counts == {"a": 1, "b": 1, "c": 1}


def test_thirds_written_as_decimals() -> None:
    counts = block_counts({"a": 0.3333333, "b": 0.6666667})
    assert counts["a"] / sum(counts.values()) == pytest.approx(1 / 3, abs=WEIGHT_TOLERANCE)
    assert sum(counts.values()) <= 3


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_weights_that_are_none(weight: float) -> None:
    with pytest.raises(ValueError, match="weight of 'b'"):
        block_counts({"a": 1.0, "b": weight})


def test_no_weight_at_all() -> None:
    for weights in ({}, {"a": 0.0}):
        with pytest.raises(ValueError, match="no source has a weight"):
            block_counts(weights)


def test_a_weight_too_small_for_a_block() -> None:
    with pytest.raises(ValueError, match="'b' has only 1e-07"):
        block_counts({"a": 0.3, "b": 1e-7, "c": 0.7, "d": 1e-7, "e": 1e-7})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
def test_realised_weights_are_close(weights: list[float]) -> None:
    wanted = {str(number): weight for number, weight in enumerate(weights)}
    counts = block_counts(wanted)
    size = sum(counts.values())
    assert size <= MAX_BLOCK and counts.keys() == wanted.keys()
    for name, weight in wanted.items():
        share = weight / sum(weights)
        assert counts[name] > 0 and abs(counts[name] / size - share) < WEIGHT_TOLERANCE
