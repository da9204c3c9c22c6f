"""Cutting places out of a text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.decontaminate.cut import cut
from stages.outcomes import Reject

TEXT = " ".join(f"w{i:03}" for i in range(200))  # every word at a multiple of five


def pieces(
    *spans: tuple[int, int], window: int = 0, shortest: int = 1, most: int = 10
) -> list[str]:
    found = cut(TEXT, spans, window, shortest, most)
    assert not isinstance(found, Reject)
    return [TEXT[a:b] for a, b in found]


def test_a_place_goes_with_its_window_and_no_word_is_torn() -> None:
    first, last = pieces((500, 514), window=12)
    assert first.endswith("w096") and last.startswith("w106")


def test_without_a_window_only_the_place_goes() -> None:
    first, last = pieces((500, 514))
    assert first.endswith("w099") and last.startswith("w103")


def test_windows_that_meet_are_one_cut() -> None:
    assert len(pieces((100, 104), (140, 144), window=10)) == 3
    assert len(pieces((100, 104), (140, 144), window=30)) == 2


def test_a_word_too_long_to_be_left_whole_is_torn() -> None:
    assert cut("x" * 1000, [(400, 500)], 10, 1, 10) == [(0, 390), (510, 1000)]


def test_short_pieces_go() -> None:
    assert len(pieces((100, 104), (140, 144), window=10, shortest=20)) == 2


def test_pieces_are_counted_before_the_short_ones_go() -> None:
    """GPT-3 takes a document in more than ten pieces for contaminated, however long they are."""
    spans = [(i, i + 4) for i in range(50, 950, 50)]
    found = cut(TEXT, spans, 5, 900, 10)
    assert isinstance(found, Reject) and found.reason == "contaminated_pieces"
    assert len(pieces(*spans, window=5, most=19)) == 19


@pytest.mark.parametrize("spans", [[(0, 999)], [(400, 600)]])
def test_nothing_left_is_a_reason(spans: list[tuple[int, int]]) -> None:
    found = cut(TEXT, spans, 200, 300, 10)
    assert isinstance(found, Reject) and found.reason == "contaminated_remnant"


@settings(max_examples=100, deadline=None)
@given(
    st.text(alphabet="ab \n\u00e9", max_size=120),
    st.lists(st.tuples(st.integers(0, 119), st.integers(1, 20)), max_size=4),
    st.integers(0, 15),
)
def test_nothing_of_a_place_or_its_window_stays(
    text: str, places: list[tuple[int, int]], window: int
) -> None:
    spans = [(a, min(a + n, len(text))) for a, n in places if a < len(text)]
    found = cut(text, spans, window, 1, 1000)
    if isinstance(found, Reject):
        return
    assert found == sorted(found)
    for start, end in found:
        assert text[start:end] == text[start:end].strip() != ""
        for a, b in spans:
            assert end <= max(0, a - window) or start >= min(len(text), b + window)
