from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup.line_text import ColumnLines, column_bytes

texts = st.lists(st.text(alphabet="ab\né😀", max_size=12), max_size=6)


@settings(max_examples=150, deadline=None)
@given(texts, st.randoms(use_true_random=False), st.integers(0, 2), st.sampled_from(["s", "l"]))
def test_texts_with_some_of_their_lines(
    given_: list[str], choose: object, skip: int, kind: str
) -> None:
    column = pa.array(given_, pa.string() if kind == "s" else pa.large_string())[skip:]
    found = ColumnLines.of(column)
    lines = [text.split("\n") for text in given_[skip:]]
    assert found.counts.tolist() == [len(some) for some in lines]
    keep = [[choose.random() < 0.5 for _ in some] for some in lines]  # type: ignore[attr-defined]
    cut = found.only(np.array([k for some in keep for k in some], dtype=np.bool_))
    cut.validate(full=True)
    assert cut.to_pylist() == [
        "\n".join(line for line, k in zip(some, flags, strict=True) if k)
        for some, flags in zip(lines, keep, strict=True)
    ]


@settings(max_examples=50, deadline=None)
@given(texts, st.integers(0, 2))
def test_bytes_of_a_column_that_was_cut(given_: list[str], skip: int) -> None:
    for kind in (pa.string(), pa.large_string()):
        data, bounds = column_bytes(pa.array(given_, kind)[skip:])
        found = [data[a:b].tobytes().decode() for a, b in pairwise(bounds)]
        assert found == given_[skip:]


def test_missing_values_are_an_error() -> None:
    with pytest.raises(ValueError, match="1 values are missing"):
        column_bytes(pa.array(["a", None]))
