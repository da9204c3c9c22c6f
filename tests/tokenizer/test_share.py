from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenizer.share import rank_of, share


@given(st.integers(1, 300), st.integers(1, 300))
def test_every_row_has_one_process(batch: int, world: int) -> None:
    shares = [share(batch, rank, world) for rank in range(world)]
    assert [row for rows in shares for row in rows] == list(range(batch))
    sizes = {len(rows) for rows in shares}
    assert max(sizes) - min(sizes) <= 1
    assert all(row in shares[rank_of(row, batch, world)] for row in range(batch))


def test_there_is_no_such_process_or_row() -> None:
    for rank in (-1, 3):
        with pytest.raises(ValueError, match=f"rank {rank} is not below 3"):
            share(8, rank, 3)
    for row in (-1, 8):
        with pytest.raises(ValueError, match=f"row {row} is not below 8"):
            rank_of(row, 8, 3)
