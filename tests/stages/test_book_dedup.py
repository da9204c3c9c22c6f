"""Book dedup: its pure parts, and the stage on pairs of known overlap."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.books.dedup import BookDedup, BookDedupSettings
from stages.books.evaluate import evaluate, made_pairs, report
from stages.dedup import sketch
from stages.dedup.groups import connected, keep_dominating, keep_one_per_group
from stages.dedup.minhash import Bands, first_shared, jaccard_of, recall
from stages.dedup.set_overlap import SetOverlap, set_overlap
from stages.dedup.shingles import mix, shingle_hashes, words
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from stages.outcomes import Document
from tests.stages.helpers import read_rows, write_documents


def tokens(seed: object, count: int = 3000) -> list[str]:
    rng = Random(str(seed))
    return [f"w{rng.randrange(5000)}" for _ in range(count)]


def changed(base: list[str], share: float, seed: object = "new") -> list[str]:
    """`base` with a stretch of this share at its end replaced."""
    kept = round(len(base) * (1 - share))
    return base[:kept] + [f"{seed}{i}" for i in range(len(base) - kept)]


def shingles(words_: list[str]) -> Any:
    return shingle_hashes(words_, 5)


# -- shingles -------------------------------------------------------------------------------------


def test_editions_in_all_encodings_have_the_same_words() -> None:
    utf = "“Don’t!” cried Zoë—the _café_ was… CLOSED.\nÉtude, ﬁn."
    ascii_ = '"Don\'t!"  cried Zoe--the cafe\r\nwas... closed.  Etude, fin.'
    assert words(utf) == words(ascii_)
    assert words("don't") == ["don", "t"]
    assert words("今日は abc") == ["今", "日", "は", "abc"]
    assert words("İstanbul STRASSE Straße")[1:] == ["strasse", "strasse"]


def test_shingles_are_a_sorted_set_of_ordered_ngrams() -> None:
    found = shingles(list("abcdeabcde"))
    assert len(found) == 5 and (np.diff(found.astype(object)) > 0).all()
    assert len(np.intersect1d(found, shingles(list("edcba")))) == 0
    assert len(shingles(list("abcd"))) == 0
    assert len(shingle_hashes(["a"], 1)) == 1


def test_mix_is_a_bijection_with_the_published_values() -> None:
    # splitmix64 with seed 0 begins so (the sequence adds the same constant each time).
    assert int(mix(np.array([0], np.uint64))[0]) == 0xE220A8397B1DCDAF
    values = np.arange(10_000, dtype=np.uint64)
    assert len(np.unique(mix(values))) == len(values)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_overlap_is_that_of_sets(a: set[int], b: set[int]) -> None:
    first = np.array(sorted(a), np.uint64)
    second = np.array(sorted(b), np.uint64)
    found = set_overlap(first, second)
    assert found == SetOverlap(len(a), len(b), len(a & b))
    assert found.jaccard == (len(a & b) / len(a | b) if a | b else 0)
    smaller = min(len(a), len(b))
    assert found.containment == (len(a & b) / smaller if smaller else 0)


# -- candidates -----------------------------------------------------------------------------------


def test_the_default_bands_miss_less_than_one_pair_in_a_thousand() -> None:
    """At 90 % Jaccard, and at 90 % containment of books of one length (Jaccard 0.818)."""
    s = BookDedupSettings()
    assert 1 - recall(0.9, s.bands, s.rows) < 1e-9
    assert jaccard_of(0.9) == pytest.approx(0.818, abs=0.001)
    assert 1 - recall(jaccard_of(0.9), s.bands, s.rows) < 1e-4
    assert recall(jaccard_of(0.9, ratio=0.1), s.bands, s.rows) < 0.01  # why there are probes
    assert sketch.miss(0.9, s.probes) < 1e-5
    assert 1 - sketch.miss(0.05, s.probes) < 1e-6


def test_minhash_estimates_jaccard_and_bands_agree_as_computed() -> None:
    bands, rng = Bands(25, 5), Random(3)
    shared = agreed = 0
    universe = np.array(sorted(rng.getrandbits(64) for _ in range(4000)), np.uint64)
    for trial in range(30):
        picks = np.random.default_rng(trial).random(4000)
        a, b = universe[picks < 0.8], universe[picks > 0.2]  # J = 0.6
        first, second = bands.signature(a), bands.signature(b)
        shared += int((first == second).sum())
        agreed += first_shared(bands.keys(first), bands.keys(second)) >= 0
    assert shared / (30 * 125) == pytest.approx(0.6, abs=0.05)
    assert agreed / 30 == pytest.approx(recall(0.6, 25, 5), abs=0.15)


def test_signatures_depend_on_the_set_and_the_seed_alone() -> None:
    found = shingles(tokens("s", 9000))  # more than one chunk
    assert (Bands().signature(found) == Bands().signature(found[::-1])).all()
    assert (Bands().signature(found) != Bands(seed=2).signature(found)).any()
    keys = Bands().keys(Bands().signature(found))
    assert len(set(keys.tolist())) == 25
    assert first_shared(keys, keys) == 0 and first_shared(keys, keys + np.uint64(1)) == -1


def test_samples_of_a_contained_set_are_in_the_others_sample() -> None:
    story = shingles(tokens("story", 4000))
    book = shingles(tokens("book", 20_000) + tokens("story", 4000))
    probes = sketch.sample(story, 32)[:16]
    hits = sketch.shared_probes(probes, sketch.sample(book, 32))
    assert len(hits) == 16
    other = sketch.sample(shingles(tokens("other", 24_000)), 32)
    assert len(sketch.shared_probes(probes, other)) < sketch.needed(16)
    assert len(sketch.sample(story, 1)) == len(story)
    assert len(sketch.shared_probes(probes, story[:0])) == 0


# -- groups ---------------------------------------------------------------------------------------

PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda p: p[0] != p[1]))


@settings(max_examples=100, deadline=None)
@given(PAIRS, st.randoms())
def test_decisions_do_not_depend_on_the_order_of_pairs(
    pairs: list[tuple[int, int]], rng: Random
) -> None:
    shuffled = [p if rng.random() < 0.5 else p[::-1] for p in pairs]
    rng.shuffle(shuffled)
    for choose in (keep_dominating, keep_one_per_group):
        assert choose(pairs, lambda n: -n) == choose(shuffled, lambda n: -n)
    direct = keep_dominating(pairs, lambda n: n)
    edges = {frozenset(p) for p in pairs}
    assert all(frozenset(p) in edges for p in direct.items())
    assert all(kept not in direct for kept in direct.values())
    stay = {n for p in pairs for n in p} - set(direct)
    assert not any(frozenset(p) in edges for p in itertools.combinations(stay, 2))
    group = connected(pairs)
    leave = keep_one_per_group(pairs, lambda n: n)
    assert {n: min(m for m in group if group[m] == group[n]) for n in group} == {
        n: leave.get(n, n) for n in group
    }


def test_a_story_in_two_collections_costs_no_collection() -> None:
    pairs = [("story", "one"), ("story", "two")]
    size = {"one": -9, "two": -8, "story": -1}.__getitem__
    assert keep_dominating(pairs, size) == {"story": "one"}
    assert keep_one_per_group(pairs, size) == {"story": "one", "two": "one"}


# -- the stage ------------------------------------------------------------------------------------


def dedup(tmp: Path, books: dict[str, str], parts: int = 3, **more: Any) -> dict[str, str]:
    """Runs the stage over parts; what leaves -> the detail."""
    folder = tmp / "in"
    items = list(books.items())
    for p in range(parts):
        mine = [
            Document(
                i, text, "books", f"x#{i}", created=None, meta={"old": True} if "old" in i else {}
            )
            for i, text in items[p::parts]
        ]
        write_documents(folder, f"part-{p:05d}-of-{parts:05d}.parquet", mine)
    out = tmp / "out"
    inputs = {"input": [f"{folder}/*.parquet"]}
    counts = run_step(Step("book_dedup", "book_dedup", str(out), inputs, more)).manifest.counts
    left = {row["id"]: row["detail"] for row in read_rows(out, "rejected")}
    assert counts.documents_in == len(books) == counts.documents_out + len(left)
    return left


def test_over_ninety_percent_leaves_and_under_stays(tmp_path: Path) -> None:
    base = tokens("base")
    books = {"base": base, "p96": changed(base, 0.04), "p91": changed(base, 0.085, "x"),
             "p89": changed(base, 0.11, "y"), "other": tokens("other")}  # fmt: skip
    truth = {i: set_overlap(shingles(base), shingles(t)).containment for i, t in books.items()}
    left = dedup(tmp_path, {i: " ".join(t) for i, t in books.items()}, tie=0.05)
    assert set(left) == {"p96", "p91"} == {i for i, o in truth.items() if 0.9 < o < 1}
    assert left["p91"].startswith(f"kept: base; containment {truth['p91']:.4f} (")


def test_a_story_leaves_for_the_collection_that_has_it(tmp_path: Path) -> None:
    story = tokens("story", 1500)
    one, two = tokens("one", 20_000) + story, story + tokens("two", 20_000)
    books = {"story": " ".join(story), "one": " ".join(one), "two": " ".join(two)}
    left = dedup(tmp_path, books)
    assert set(left) == {"story"} and "containment 1.0000" in left["story"]
    assert dedup(tmp_path / "j", books, measure="jaccard") == {}


def test_simhash_takes_other_books_for_copies_and_misses_copies(tmp_path: Path) -> None:
    """RedPajama compares 64-bit SimHashes of character 6-grams, within 5 bits: no overlap at all.

    A refrain that fills two different songs makes their hashes equal; a copy with a long preface
    has another hash. Exact overlap of shingles decides both rightly.
    """
    refrain = ["la", "lalala", "tralala", "hey"] * 3000
    songs = [" ".join(refrain + tokens(i, 400)) for i in ("one", "two")]
    assert _hamming(*songs) <= 5
    base = tokens("novel", 400)
    copy = ["preface"] * 40 + base
    assert _hamming(" ".join(base), " ".join(copy)) > 5
    books = {"song1": songs[0], "song2": songs[1], "novel": " ".join(base), "copy": " ".join(copy)}
    overlap = set_overlap(*(shingles(words(s)) for s in songs)).containment
    assert overlap < 0.1
    assert set(dedup(tmp_path, books)) == {"novel"}


def _hamming(a: str, b: str) -> int:
    """Bits in which the SimHashes of two texts differ, by RedPajama's features."""

    def simhash(text: str) -> int:
        packed = "".join(words(text))
        counts = Counter(packed[i : i + 6] for i in range(len(packed) - 5))
        bits = np.zeros(64)
        for gram, n in counts.items():
            value = xxhash.xxh3_64_intdigest(gram.encode())
            bits += n * np.array([1 if value >> k & 1 else -1 for k in range(64)])
        return sum(1 << k for k in range(64) if bits[k] > 0)

    return (simhash(a) ^ simhash(b)).bit_count()


def test_rpv1_two_books_of_one_id_get_one_decision(tmp_path: Path) -> None:
    """Where ids collide, RedPajama's table of decisions has one entry for two books."""
    base = tokens("base")
    folder = tmp_path / "in"
    for part, texts in enumerate(([base, changed(base, 0.02)], [tokens("quite another")])):
        mine = [
            Document("5" if k or part else "0", " ".join(t), "books", f"{part}#{k}")
            for k, t in enumerate(texts)
        ]
        write_documents(folder, f"part-{part:05d}-of-00002.parquet", mine)
    step = Step("d", "book_dedup", str(tmp_path / "out"), {"input": [f"{folder}/*.parquet"]})
    run_step(step)
    assert [r["origin"] for r in read_rows(tmp_path / "out", "rejected")] == ["0#1"]
    assert [r["origin"] for r in read_rows(tmp_path / "out")] == ["0#0", "1#0"]


def test_the_first_in_order_need_not_stay(tmp_path: Path) -> None:
    """RedPajama drops what resembles an earlier book, so that the order of files decides."""
    base = tokens("base")
    books = {f"b{i}": " ".join(changed(base, i / 100) + tokens(i, i * 20)) for i in range(6)}
    kept = []
    for k, order in enumerate((sorted(books), sorted(books)[::-1])):
        left = dedup(tmp_path / str(k), {i: books[i] for i in order}, parts=1 + k)
        kept.append(set(books) - set(left))
    assert kept[0] == kept[1] and len(kept[0]) == 1


def test_current_editions_stay_for_old_ones_of_their_size(tmp_path: Path) -> None:
    base = tokens("base", 8000)
    old = [*base, "one", "word", "more"]
    books = {"98-old": " ".join(old), "98.new": " ".join(base)}
    assert set(dedup(tmp_path, books)) == {"98-old"}
    assert set(dedup(tmp_path / "b", books, tie=0.0)) == {"98.new"}


def test_chains_by_connected_groups(tmp_path: Path) -> None:
    base = tokens("base", 4660)
    chain = {f"c{i}": " ".join(base[i * 220 : i * 220 + 4000]) for i in range(4)}
    some = {"measure": "jaccard", "threshold": 0.85, "keep": "first"}
    assert set(dedup(tmp_path / "d", chain, **some)) == {"c1", "c3"}
    left = dedup(tmp_path / "c", chain, groups="connected", **some)
    assert set(left) == {"c1", "c2", "c3"} and left["c3"].endswith(", by a chain")


def test_short_and_empty_books_stay(tmp_path: Path) -> None:
    books = {"a": "one two", "b": "one two", "c": "", "d": "one two three four five"}
    assert dedup(tmp_path, books) == {}


def test_many_copies_are_not_compared_all_with_all(tmp_path: Path) -> None:
    text = " ".join(tokens("t", 800))
    left = dedup(tmp_path, {f"c{i:03}": f"{text} end{i}" for i in range(90)})
    assert len(left) == 89 and set(left.values()) and "c000" not in left


def test_containment_keeps_the_longest_only() -> None:
    step = Step("d", "book_dedup", "/tmp/x", {"input": []}, {"keep": "newest"})
    with pytest.raises(InputError, match="needs measure: jaccard"):
        BookDedup(step).check()


def test_parts_and_partitions_decide_nothing(tmp_path: Path) -> None:
    base = tokens("base")
    books = {f"b{i}": " ".join(changed(base, i / 50, f"s{i}")) for i in range(6)}
    one = dedup(tmp_path / "1", books, parts=1)
    six = dedup(tmp_path / "6", books, parts=6, partition_memory_mb=1)
    assert one == six and one


@pytest.mark.parametrize("measure", ["containment", "jaccard"])
def test_precision_and_recall_on_made_pairs(measure: str) -> None:
    wanted = BookDedupSettings.model_validate({"measure": measure})
    books = [tokens(f"book {i}", 40_000) for i in range(3)]
    texts = {}
    for i, (a, b) in enumerate(made_pairs(books, 24, wanted, Random(1))):
        texts |= {f"{i}a": a, f"{i}b": b}
    judged, leaving = evaluate(texts, wanted)
    true = {(j.first, j.second) for j in judged if j.overlap > 0.9}
    assert true == {(j.first, j.second) for j in judged if j.found}
    assert 5 < len(true) < len(judged) / 10
    assert all(any({i, k} == {*pair} for pair in true) for i, k in leaving.items())
    assert f"recall 1.0000 ({len(true)} of {len(true)})" in report(judged, leaving, 0.9)
