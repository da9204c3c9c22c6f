"""Fuzzy dedup: n-grams, signatures and bands, and what of them is datasketch's."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH, lsh
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup import fuzzy_signature
from stages.dedup.fuzzy_shingles import Shingler
from stages.dedup.fuzzy_signature import EMPTY, Permutations, agreement, band_keys, best_bands
from stages.dedup.minhash import recall
from stages.dedup.set_overlap import set_overlap
from stages.dedup.shingles import words

HASHES = st.lists(st.integers(0, 2**32 - 1), max_size=40)


def some_set(seed: int, size: int) -> np.ndarray:
    return np.unique(np.random.default_rng(seed).integers(0, 1 << 32, size, dtype=np.uint32))


def datasketch_of(hashes: np.ndarray, positions: int = 128, seed: int = 1) -> MinHash:
    sketch = MinHash(positions, seed=seed, hashfunc=int)
    sketch.update_batch(hashes.tolist())
    return sketch


# -- n-grams --------------------------------------------------------------------------------------


def test_shingles_are_the_set_of_ngrams_of_words() -> None:
    text = "The cat sat. The cat sat; on THE mat, the cat sat!"
    tokens = words(text)
    for n in (1, 2, 3, 5):
        wanted = {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}
        found = Shingler("words", n)(text)
        assert found.dtype == np.uint32 and len(found) == len(wanted)
        assert (np.diff(found.astype(np.int64)) > 0).all()


def test_jaccard_of_shingles_is_that_of_ngrams() -> None:
    rng = Random(1)
    a = [f"w{rng.randrange(60)}" for _ in range(400)]
    b = [*a[:250], *(f"w{rng.randrange(60)}" for _ in range(150))]
    first, second = ({tuple(t[i : i + 3]) for i in range(len(t) - 2)} for t in (a, b))
    found = set_overlap(*(Shingler("words", 3)(" ".join(t)) for t in (a, b)))
    assert found.jaccard == len(first & second) / len(first | second)


def test_ngrams_of_characters() -> None:
    text = "Abra, cadabra abra"
    normal = "abra cadabra abra"
    found = Shingler("characters", 4)(text)
    assert len(found) == len({normal[i : i + 4] for i in range(len(normal) - 3)})
    assert (found == Shingler("characters", 4)("ABRA CADABRA\nABRA!")).all()
    assert len(Shingler("characters", 4)("")) == 0


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_bigcode_short_documents_are_not_all_alike(unit: str) -> None:
    """Where a short text has no n-grams, all short texts have the one signature of the empty set,
    so every one is taken for a copy of the first."""
    shingler = Shingler(unit, 20)  # type: ignore[arg-type]
    one, other, again = (shingler(t) for t in ("one two", "two one", "One, two."))
    assert len(one) == len(other) == 1
    assert one[0] == again[0] != other[0]
    assert len(shingler("")) == len(shingler(" ... !")) == 0
    longer = shingler("one two " * 20)
    assert not np.isin(one, longer).any()


# -- signatures -----------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(HASHES, max_size=6), st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_signatures_are_datasketchs(sets: list[list[int]], seed: int, positions: int) -> None:
    arrays = [np.unique(np.array(s, dtype=np.uint32)) for s in sets]
    found = Permutations(positions, seed).signatures(arrays)
    assert found.shape == (len(sets), positions) and found.dtype == np.uint32
    for row, array in zip(found, arrays, strict=True):
        assert (row == datasketch_of(array, positions, seed).hashvalues).all()


def test_long_sets_and_many_sets_span_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzy_signature, "_CHUNK", 100)
    sets = [some_set(i, n) for i, n in enumerate((30, 1000, 0, 99, 100, 101, 1, 0, 250))]
    found = Permutations(16, 3).signatures(sets)
    for row, hashes in zip(found, sets, strict=True):
        assert (row == datasketch_of(hashes, 16, 3).hashvalues).all()
    assert (found[2] == EMPTY).all() and (found[1] != EMPTY).all()
    assert Permutations(16, 3).signatures([]).shape == (0, 16)


def test_estimates_agree_with_datasketch_and_with_jaccard() -> None:
    universe = some_set(0, 4000)
    picks = np.random.default_rng(1).random(len(universe))
    a, b = universe[picks < 0.8], universe[picks > 0.2]
    one, other = Permutations(1024, 1).signatures([a, b])
    estimate, first = agreement(one[None], other[None], 256, 4)
    assert estimate[0] == datasketch_of(a, 1024).jaccard(datasketch_of(b, 1024))
    assert estimate[0] == pytest.approx(set_overlap(a, b).jaccard, abs=0.06)
    assert (one[4 * first[0] : 4 * first[0] + 4] == other[4 * first[0] : 4 * first[0] + 4]).all()
    assert agreement(one[None], one[None] + np.uint32(1), 256, 4)[1][0] == -1


# -- bands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.1, 0.9), (0.8, 0.2)])
@pytest.mark.parametrize(("threshold", "positions"), [(0.8, 128), (0.5, 64), (0.9, 100)])
def test_bands_are_those_of_datasketchs_formula(
    threshold: float, positions: int, weights: tuple[float, float]
) -> None:
    found = best_bands(threshold, positions, weights)
    assert found == lsh._optimal_param(threshold, positions, *weights)


def test_the_published_example_of_bands() -> None:
    """datasketch's documentation: 5 bands of 25 for a threshold of 0.9."""
    assert best_bands(0.9, 128, (0.5, 0.5)) == (5, 25)
    assert best_bands(0.8, 128, (0.5, 0.5)) == (9, 13)
    assert best_bands(0.8, 128, (0.1, 0.9)) == (14, 9)


def test_the_documented_shares_of_pairs_that_are_found() -> None:
    assert [round(recall(j, 14, 9), 3) for j in (0.6, 0.7, 0.8, 0.85, 0.9)] == [
        0.132, 0.438, 0.867, 0.975, 0.999,
    ]  # fmt: skip
    assert [round(recall(j, 9, 13), 3) for j in (0.6, 0.7, 0.8, 0.85, 0.9)] == [
        0.012, 0.084, 0.399, 0.686, 0.929,
    ]  # fmt: skip


def test_keys_agree_where_bands_do() -> None:
    rng = np.random.default_rng(2)
    signatures = rng.integers(0, 3, (200, 14), dtype=np.uint32)  # many bands agree
    keys = band_keys(signatures, 4, 3)  # the last two positions are unused
    assert keys.shape == (200, 4)
    for band in range(4):
        parts = [tuple(s[band * 3 : band * 3 + 3]) for s in signatures.tolist()]
        by_key = {int(k): p for k, p in zip(keys[:, band], parts, strict=True)}
        assert [by_key[int(k)] for k in keys[:, band]] == parts
        assert len(by_key) == len(set(parts))
    same = np.full((1, 12), 7, np.uint32)
    assert len(set(band_keys(same, 4, 3)[0].tolist())) == 4


def test_candidates_are_those_of_datasketchs_index() -> None:
    rng = np.random.default_rng(5)
    sets = []
    for family in range(30):
        base = some_set(family, 300)
        for share in (1.0, 0.95, 0.9, 0.8):
            new = some_set(int(rng.integers(1 << 30)), 300)
            cut = round(len(base) * share)
            sets.append(np.unique(np.concatenate([base[:cut], new[: len(base) - cut]])))
    index = MinHashLSH(threshold=0.8, num_perm=128)
    sketches = [datasketch_of(s) for s in sets]
    for i, sketch in enumerate(sketches):
        index.insert(i, sketch)
    theirs = {(i, j) for i, s in enumerate(sketches) for j in index.query(s) if i < j}
    keys = band_keys(Permutations(128, 1).signatures(sets), *best_bands(0.8, 128, (0.5, 0.5)))
    ours = {
        (i, j)
        for i in range(len(sets))
        for j in range(i + 1, len(sets))
        if (keys[i] == keys[j]).any()
    }
    assert ours == theirs and 30 <= len(ours) < 30 * 6
