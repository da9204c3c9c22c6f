from __future__ import annotations

import pytest

from tokenizer.paper import PROPORTIONS, TABLE_1, TOTAL_TOKENS


def test_the_proportions_are_a_whole() -> None:
    assert sum(PROPORTIONS.values()) == pytest.approx(1)


def test_implied_tokens_and_bytes_per_token() -> None:
    # By hand: 0.67 * 1.4e12 / 1.10 = 852.7e9; 3.3e12 / 852.7e9 = 3.870
    assert TABLE_1["commoncrawl"].unique_tokens == pytest.approx(852.7e9, rel=1e-4)
    assert TABLE_1["commoncrawl"].bytes_per_token == pytest.approx(3.870, abs=5e-4)
    assert TABLE_1["github"].bytes_per_token == pytest.approx(3.332, abs=5e-4)
    assert TABLE_1["arxiv"].bytes_per_token == pytest.approx(2.786, abs=5e-4)


def test_unique_tokens_are_fewer_than_the_run() -> None:
    unique = sum(row.unique_tokens for row in TABLE_1.values())
    assert unique == pytest.approx(1.26e12, rel=0.01) and unique < TOTAL_TOKENS
