"""The dedup audit: exact figures for what a step did, right and wrong."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup import audit_measures, audit_scan
from stages.dedup.audit import AuditError, audit, main, report
from stages.dedup.audit_scan import Lowest, Partners, Sample
from stages.dedup.audit_statistics import Cluster, simple, weighted, wilson
from stages.engine.run import run_step
from stages.engine.step import Step
from tests.stages.helpers import write_part
from tests.stages.test_fuzzy_dedup import SURE, alike, families, folder_of, jaccard, tokens


def finished(
    tmp: Path, texts: Mapping[str, str], stage: str = "fuzzy_dedup", parts: int = 2, **more: Any
) -> str:
    """A finished step over the texts, which come in parts of a folder without a manifest."""
    source = folder_of(tmp / "in", texts, parts)
    run_step(Step("audited", stage, str(tmp / "out"), {"input": [source]}, more))
    return str(tmp / "out")


# -- statistics -----------------------------------------------------------------------------------


def test_wilsons_interval_as_published() -> None:
    """Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for right, of, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = wilson(right / of, of)
        assert found == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert wilson(0.0, 0) == (0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.floats(0, 1))
def test_intervals_hold_the_share_and_narrow(of: int, share: float) -> None:
    low, high = wilson(share, of)
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1
    wide = wilson(share, of / 2)
    assert wide[1] - wide[0] >= high - low


def test_pairs_of_one_document_are_not_independent() -> None:
    many = weighted([Cluster(1000, 1000, 1.0), *(Cluster(i % 2, 1, 1.0) for i in range(20))])
    assert many.of == 1020 and many.value == pytest.approx(1010 / 1020)
    assert many.effective == pytest.approx(1020**2 / (1000**2 + 20))
    assert many.low < 0.3  # as one document says nearly all of it
    even = weighted([Cluster(1, 1, 2.0)] * 50)
    assert (even.low, even.high) == (simple(50, 50).low, simple(50, 50).high)


def test_documents_count_for_those_they_stand_for() -> None:
    """Every kept document stands for ten, every removed one for itself."""
    found = weighted([Cluster(0, 1, 10.0), Cluster(1, 1, 1.0), Cluster(0, 0, 10.0)])
    assert found.value == pytest.approx(1 / 11) and found.of == 2
    assert weighted([Cluster(0, 0, 1.0)]).value is None
    assert (weighted([]).low, weighted([]).high) == (0.0, 1.0)


# -- sampling and search --------------------------------------------------------------------------


def test_samples_depend_on_ids_and_seed_alone() -> None:
    ids = [f"d{i}" for i in range(500)]
    samples = []
    for seed, order in ((0, 1), (0, 2), (1, 1)):
        lowest = Lowest(40, seed)
        for id_ in Random(order).sample(ids, len(ids)):
            lowest.add(id_, f"detail of {id_}")
        assert lowest.passed == 500
        samples.append(lowest.chosen())
    assert samples[0] == samples[1] != samples[2]
    assert len(set(samples[0])) == 40 and samples[0][0][1] == f"detail of {samples[0][0][0]}"
    everything = Lowest(1000, 0)
    everything.add("only")
    assert everything.chosen() == [("only", "")]


SETS = st.lists(st.sets(st.integers(0, 25), max_size=12), min_size=1, max_size=8)


@settings(max_examples=80, deadline=None)
@given(SETS, st.sets(st.integers(0, 25), max_size=12))
def test_the_index_counts_what_is_shared(sets: list[set[int]], other: set[int]) -> None:
    arrays = {f"{i}": np.array(sorted(s), np.uint32) for i, s in enumerate(sets)}
    sample = Sample(arrays)
    shared = sample.shared(np.array(sorted(other), np.uint32))
    assert shared.tolist() == [len(sets[int(i)] & other) for i in sample.ids]


def test_partners_are_those_of_comparing_all(tmp_path: Path) -> None:
    texts = families(6)
    folder = folder_of(tmp_path / "in", texts, 2)
    paths = [str(p) for p in sorted(Path(folder).glob("*.parquet"))]
    measure = audit_measures.of_step("fuzzy_dedup", {"ngram": 2})
    assert measure is not None
    chosen = sorted(texts)[::3]
    sets = audit_scan.sets_of(paths, {*chosen, "absent"}, measure)
    assert set(sets) == set(chosen)
    found = Sample(sets).partners(paths, measure, 0.5, 0)
    for one in chosen:
        wanted = {o: jaccard(texts[one], t, 2) for o, t in texts.items() if o != one}
        wanted = {o: j for o, j in wanted.items() if j >= 0.5}
        assert found[one].found == wanted and found[one].total == len(wanted)
    assert any(p.total for p in found.values())


def test_partners_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_scan, "PARTNERS", 10)
    made = []
    for order in (1, 2):
        partners = Partners()
        for i in Random(order).sample(range(300), 300):
            partners.add(f"d{i}", 1.0, 0)
            assert len(partners.found) <= 20
        partners.trim(0)
        assert partners.total == 300 and len(partners.found) == 10
        made.append(set(partners.found))
    assert made[0] == made[1]


# -- audits of steps ------------------------------------------------------------------------------


def test_a_right_step_has_no_faults(tmp_path: Path) -> None:
    found = audit(finished(tmp_path, families(8), ngram=2, groups="direct", **SURE), 100)
    assert found.removed == found.sampled_removed > 8
    assert found.kept == found.sampled_kept
    for share in (found.precision, found.precision_any, found.precision_staying, found.recall):
        assert share.value == 1.0 and 0 < share.low < share.high == 1.0
    assert found.kept_duplicates.value == 0.0
    assert found.worst_removals == found.worst_misses == []
    assert sum(b.pairs for b in found.histogram) == found.removed
    assert all(b.low >= 0.8 for b in found.histogram)
    assert {b.removed for b in found.detection if b.low >= 0.8} == {1.0}


def planted(
    tmp: Path, monkeypatch: pytest.MonkeyPatch, change: Any, parts: int = 1, **more: Any
) -> str:
    """A step over six documents whose pairs are `change(true pairs)`; places 0 to 5 are a, a2, b,
    b2, c, d, of which a and a2, and b and b2, are duplicates."""
    base = {i: tokens(i, 300) for i in "abcd"}
    texts = {
        "a": " ".join(base["a"]),
        "a2": alike(base["a"], 0.95, "a"),
        "b": " ".join(base["b"]),
        "b2": alike(base["b"], 0.9, "b"),
        "c": " ".join(base["c"]),
        "d": " ".join([*base["c"][:100], *base["d"]]),
    }
    from stages.dedup import fuzzy, fuzzy_pairs

    def changed(*given: Any) -> Any:
        pairs, unpaired = fuzzy_pairs.edges_of(*given)
        wanted = change([tuple(p) for p in pairs.tolist()])
        return np.array(sorted(wanted), dtype=np.int64).reshape(-1, 2), unpaired

    monkeypatch.setattr(fuzzy, "edges_of", changed)
    return finished(tmp, texts, parts=parts, **SURE, **more)


def test_a_wrong_removal_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = planted(tmp_path, monkeypatch, lambda pairs: [*pairs, (4, 5)])
    found = audit(out)
    assert found.precision.value == pytest.approx(2 / 3) == found.precision_any.value
    assert found.recall.value == 1.0
    [worst] = found.worst_removals
    assert (worst.one, worst.other) == ("d", "c")
    assert worst.similarity == pytest.approx(96 / 596, abs=0.01)
    assert "worst removals" in report(found) and "d  c" in report(found)


def test_a_missed_pair_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = planted(tmp_path, monkeypatch, lambda pairs: [p for p in pairs if p != (2, 3)])
    found = audit(out)
    assert found.removed == 1 and found.precision.value == 1.0
    # Each pair is met from both of its documents: one of two is missed.
    assert found.recall.value == 0.5 and found.recall.of == 4
    assert found.kept_duplicates.value == pytest.approx(2 / 5)
    [worst] = found.worst_misses
    assert {worst.one, worst.other} == {"b", "b2"} and worst.similarity > 0.85
    low = {b.low: b.removed for b in found.detection}
    assert low == {0.9: 1.0, 0.85: 0.0} or set(low.values()) == {0.0, 1.0}


def test_chains_are_told_from_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """b2 resembles b, but leaves for a: a wrong name, a right removal."""
    out = planted(tmp_path, monkeypatch, lambda pairs: [*pairs, (0, 2)])
    found = audit(out)
    assert found.removed == 3
    assert found.precision.value == pytest.approx(1 / 3)
    assert found.precision_any.value == 1.0
    assert found.precision_staying.value == pytest.approx(1 / 3)


def test_unverified_bands_have_false_pairs(tmp_path: Path) -> None:
    texts = {}
    for k in range(60):
        base = tokens(f"loose{k}", 100)
        texts |= {f"{k}a": " ".join(base), f"{k}b": alike(base, 0.6, k)}
    loose = {"bands": 16, "rows": 4, "ngram": 1}
    out = finished(tmp_path, texts, verify="none", **loose)
    found = audit(out, 40)
    assert found.removed > 30 and found.sampled_removed == found.sampled_kept == 40
    assert found.precision.value == 0.0 == found.precision_any.value
    assert found.recall.value is None  # there is nothing to find


def test_a_sample_estimates_the_whole(tmp_path: Path) -> None:
    """Detection at 0.85 by few bands: the sample's interval holds the share over all pairs."""
    texts, exact = {}, []
    for k in range(300):
        base = tokens(f"half{k}", 80)
        a, b = " ".join(base), alike(base, 0.85, k)
        exact.append(jaccard(a, b, 1))
        texts |= {f"{k}a": a, f"{k}b": b}
    assert min(exact) > 0.8
    out = finished(tmp_path, texts, ngram=1, bands=4, rows=6)
    whole, some = audit(out, 1000), audit(out, 60)
    assert whole.recall.value == pytest.approx(whole.removed / 300)
    assert 0.5 < whole.recall.value < 0.95
    assert some.recall.low < whole.recall.value < some.recall.high
    assert some.recall.high - some.recall.low < 0.35
    other = audit(out, 60, seed=1)
    assert other != some == audit(out, 60)


@pytest.mark.parametrize("stage", ["document_dedup", "url_dedup"])
def test_steps_that_name_nobody(tmp_path: Path, stage: str) -> None:
    rows = [
        {"id": f"{k}.{i}", "text": f"text {k}", "url": f"http://www.example.com/{k}/"}
        for k, i in itertools.product(range(10), range(3))
    ]
    rows += [{"id": f"x{k}", "text": f"alone {k}"} for k in range(5)]
    write_part(tmp_path / "in" / "part-00000-of-00001.parquet", rows)
    step = Step("s", stage, str(tmp_path / "out"), {"input": [str(tmp_path / "in")]})
    run_step(step)
    found = audit(step.output, 15)
    assert found.removed == 20 and found.kept == 15
    assert found.precision.value is None and found.precision_any.value == 1.0
    assert found.precision_staying.value == found.recall.value == 1.0
    assert found.kept_duplicates.value == 0.0


def test_book_dedup_by_its_own_measure(tmp_path: Path) -> None:
    story = tokens("story", 2000)
    texts = {"long": " ".join([*tokens("l", 9000), *story]), "story": " ".join(story)}
    found = audit(finished(tmp_path, texts, "book_dedup"))
    assert found.measure == "containment of 5-grams of words over 0.9"
    assert found.removed == 1 and found.precision.value == 1.0 == found.recall.value
    assert found.histogram[-1].low == 0.95


def test_partners_in_the_other_source_count(tmp_path: Path) -> None:
    text = " ".join(tokens("both", 100))
    other = folder_of(tmp_path / "other", {"theirs": text}, 1)
    mine = folder_of(tmp_path / "in", {"mine": text, "alone": "quite another text"}, 1)
    inputs = {"input": [mine], "against": [other]}
    run_step(Step("s", "fuzzy_dedup", str(tmp_path / "out"), inputs))
    found = audit(str(tmp_path / "out"))
    assert found.removed == 1 and found.unknown == 0
    assert found.precision.value == 1.0 and found.recall.of == 1


# -- command line ---------------------------------------------------------------------------------


def test_the_command_prints_text_and_json(tmp_path: Path) -> None:
    out = finished(tmp_path, families(4), ngram=2)
    shown = CliRunner().invoke(main, [out, "--sample", "10"])
    assert shown.exit_code == 0 and "precision" in shown.output and "recall" in shown.output
    as_json = CliRunner().invoke(main, [out, "--sample", "10", "--seed", "3", "--json"])
    values = orjson.loads(as_json.output)
    assert values["sampled_kept"] == 10 and values["recall"]["low"] >= 0


def test_what_cannot_be_audited(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="no finished step"):
        audit(str(tmp_path))
    out = finished(tmp_path, {"a": "one", "b": "two"}, "document_dedup")
    after = Step("o", "overlap", str(tmp_path / "o"), {"input": [out], "against": [out]})
    run_step(after)
    with pytest.raises(AuditError, match="made by overlap; audited are fuzzy_dedup"):
        audit(after.output)
    later = Step("f", "fuzzy_dedup", str(tmp_path / "f"), {"input": [out]})
    run_step(later)
    assert audit(later.output).removed == 0
    run_step(Step("audited", "document_dedup", out, {"input": [str(tmp_path / "in")]}))
    folder_of(tmp_path / "in", {"a": "one", "c": "three"}, 2)
    run_step(Step("audited", "document_dedup", out, {"input": [str(tmp_path / "in")]}))
    with pytest.raises(AuditError, match="gone or was made again"):
        audit(later.output)
    shown = CliRunner().invoke(main, [later.output])
    assert shown.exit_code == 2 and "Traceback" not in shown.output
