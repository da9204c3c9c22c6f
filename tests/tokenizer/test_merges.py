"""The joins by hashes are those that the plain way finds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer import merges as module
from tokenizer.merges import by_slices, merges

_PIECES = st.lists(st.text("ab\0\ud800\U0010ffff\u2581", min_size=1), unique=True)


def test_best_first_then_by_id_then_by_left_half() -> None:
    pieces = ["a", "b", "aa", "aaa", "ab", "ba"]
    ids = {piece: i for i, piece in enumerate(pieces)}
    scores = [0.0, 0.0, -2.0, -1.0, -2.0, -3.0]
    expected = [["a", "aa"], ["aa", "a"], ["a", "a"], ["a", "b"], ["b", "a"]]
    assert merges(pieces, ids, scores) == expected


@settings(max_examples=60, deadline=None)
@given(pieces=_PIECES, scores=st.lists(st.sampled_from([0.0, -1.0, -1.5]), min_size=200))
def test_as_the_plain_way(pieces: list[str], scores: list[float]) -> None:
    # Ids of other pieces lie between them, and their order is another one.
    ids = {piece: 2 * i + 1 for i, piece in enumerate(reversed(pieces))}
    padded = scores * (2 * len(pieces) // len(scores) + 1)
    assert merges(pieces, ids, padded) == by_slices(pieces, ids, padded)


def test_pieces_with_the_same_hash_are_found_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # With 1 as the base a hash is a sum, and "ab" has that of "ba".
    monkeypatch.setattr(module, "_BASE", 1)
    pieces = ["a", "b", "ab", "ba", "aba"]
    ids = {piece: i for i, piece in enumerate(pieces)}
    found = merges(pieces, ids, [0.0] * 5)
    assert found == [["a", "b"], ["b", "a"], ["a", "ba"], ["ab", "a"]]


def test_halves_that_only_look_like_pieces_are_no_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    # Here no two pieces have the same hash, but halves of some have that of others.
    monkeypatch.setattr(module, "_BASE", 1)
    pieces = ["a", "b", "ab", "baab"]
    ids = {piece: i for i, piece in enumerate(pieces)}
    assert merges(pieces, ids, [0.0] * 4) == [["a", "b"]]


def test_no_pieces_no_joins() -> None:
    assert merges([], {}, []) == []
    assert merges(["a"], {"a": 0}, [0.0]) == []
