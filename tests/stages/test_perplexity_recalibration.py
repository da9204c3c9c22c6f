"""New cutoffs beside CCNet's: shifts, shares, and how sure a percentile is."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.engine import files
from stages.engine.run import run_step
from stages.engine.step import Step
from stages.perplexity.cutoffs import CEILING, BucketRule, Histogram, published_cutoffs
from stages.perplexity.recalibration import (
    _EXACT_BINOMIAL,
    Interval,
    _binomial_quantile,
    interval,
    report,
    shares,
)
from tests.stages.helpers import check_folder, digests, read_rows, write_parts
from tests.stages.test_perplexity_rule import write_models


def counted(*perplexities: float) -> Histogram:
    histogram = Histogram()
    for value in perplexities:
        histogram.add(value)
    return histogram


def test_the_shift_against_ccnets_table() -> None:
    run = {"en": counted(*(float(i) for i in range(1, 1002))), "sv": counted(5.0)}
    cut = {"en": (301.0, 601.0), "sv": (5.0, 5.0)}
    rows = report(run, {"en", "sr"}, cut, published_cutoffs(), (30.0, 60.0))
    assert list(rows) == ["en", "sr", "sv"]
    english = rows["en"]
    assert (english.documents, english.recalibrated) == (1001, (301.0, 601.0))
    assert english.published == (340.0, 520.0)
    assert english.shift == (-39.0, 81.0)
    assert english.ratio == (0.8853, 1.1558)
    assert english.shares["recalibrated"] == (0.2997, 0.2997, 0.400599)
    assert english.shares["published"] == (0.338661, 0.17982, 0.481518)
    assert english.stable
    # CCNet has neither Swedish nor Serbian; of Serbian there are a model and no documents.
    assert rows["sv"].published is rows["sv"].shift is rows["sv"].ratio is None
    assert list(rows["sv"].shares) == ["recalibrated"] and not rows["sv"].stable
    assert rows["sr"].recalibrated is rows["sr"].intervals is None and rows["sr"].shares == {}
    assert not rows["sr"].stable


tenths = st.lists(st.integers(0, 20_000).map(lambda n: n / 10), min_size=1, max_size=40)


@given(tenths, st.tuples(st.integers(1, 2000), st.integers(1, 2000)))
def test_shares_are_those_of_the_bucket_rule(values: list[float], cut: tuple[int, int]) -> None:
    low, high = sorted(n / 10 for n in cut)
    rule = BucketRule({"en": (low, high)})
    named = [rule(value, "en")[0] for value in values]
    expected = [named.count(name) / len(values) for name in ("head", "middle", "tail")]
    assert shares(counted(*values), (low, high)) == pytest.approx(expected, abs=1e-6)


@given(tenths, st.floats(0, 100))
def test_an_interval_holds_the_documents_around_its_percentile(
    values: list[float], percent: float
) -> None:
    found = interval(counted(*values), percent)
    position = percent / 100 * (len(values) - 1)
    below, above = (sorted(values)[int(f(position))] for f in (math.floor, math.ceil))
    assert found.low is None or found.low <= above
    assert found.high is None or found.high >= below
    assert 0 <= found.share <= 1


@pytest.mark.parametrize(
    ("n", "p", "q", "expected"),
    [
        # By hand: Binomial(3, 1/2) has 1/8, 4/8, 7/8, 1.
        (3, 0.5, 0.125, 0),
        (3, 0.5, 0.126, 1),
        (3, 0.5, 0.875, 2),
        (3, 0.5, 0.88, 3),
        (1, 0.3, 0.69, 0),
        (1, 0.3, 0.71, 1),
        (9, 0.0, 0.5, 0),
        (9, 1.0, 0.5, 9),
    ],
)
def test_binomial_quantiles(n: int, p: float, q: float, expected: int) -> None:
    assert _binomial_quantile(n, p, q) == expected


@pytest.mark.parametrize("p", [0.01, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("q", [0.025, 0.975])
def test_the_approximation_goes_on_where_exact_quantiles_end(p: float, q: float) -> None:
    exact = _binomial_quantile(_EXACT_BINOMIAL, p, q)
    assert abs(_binomial_quantile(_EXACT_BINOMIAL + 1, p, q) - exact) <= 2


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    choose = random.Random(2)
    covered = 0
    for _ in range(400):
        found = interval(counted(*(choose.randrange(10_000) / 10 for _ in range(80))), 30)
        assert found.low is not None and found.high is not None
        covered += found.low <= 300 <= found.high
    assert 370 <= covered <= 398  # 95 % of 400 is 380, and ranks make it a little more


@pytest.mark.parametrize(
    ("documents", "stable"), [(1, False), (100, False), (300, False), (420, True)]
)
def test_few_documents_make_no_stable_cutoff(documents: int, stable: bool) -> None:
    histogram = counted(*(float(i) for i in range(documents)))
    assert [interval(histogram, p).stable for p in (30, 60)] == [stable, stable]


def test_one_document_bounds_nothing() -> None:
    assert interval(counted(7.0), 30) == Interval(None, None, 1.0)
    with pytest.raises(ValueError, match="needs documents"):
        interval(Histogram(), 30)


def test_perplexities_over_the_ceiling_count_as_the_ceiling() -> None:
    histogram = counted(1.0, CEILING, CEILING * 3)
    assert histogram.below(CEILING) == 1 and histogram.value(2) == CEILING
    assert shares(histogram, (CEILING, CEILING)) == (0.333333, 0.0, 0.666667)
    with pytest.raises(IndexError):
        histogram.value(3)


def run_of(tmp_path: Path, name: str, parts: list[list[dict[str, Any]]], **settings: Any) -> Path:
    models = tmp_path / "models"
    if not models.exists():
        models.mkdir()
        write_models(models, "en")
        write_models(models, "sv")
    where = write_parts(tmp_path / f"in-{name}", parts)
    inputs = {"input": [where], "models": [str(models)]}
    result = run_step(Step("p", "perplexity", f"{tmp_path}/{name}", inputs, settings))
    check_folder(tmp_path / name)
    assert not result.skipped
    return tmp_path / name


def test_the_step_writes_the_report_and_names_languages_with_few_documents(
    tmp_path: Path,
) -> None:
    choose = random.Random(4)
    rows = [
        {"id": f"d{i:04}", "text": " ".join(choose.choices("ab", k=30)), "language": "en"}
        for i in range(450)
    ]
    rows += [
        {"id": "s", "text": "a b", "language": "sv"},
        {"id": "f", "text": "a", "language": "fi"},
    ]
    one = run_of(tmp_path, "one", [rows])
    two = run_of(tmp_path, "two", [rows[300:], [], rows[:300]])
    table = files.read_json(str(one / "cutoffs.json"))
    assert digests(one)["cutoffs.json"] == digests(two)["cutoffs.json"]
    assert sorted(table) == ["en", "sv"]
    english = table["en"]
    assert english["documents"] == 450 and english["stable"]
    assert english["cutoffs"] == english["recalibrated"]
    assert english["published"] == [340.0, 520.0]
    assert english["shift"][0] == pytest.approx(english["cutoffs"][0] - 340, abs=1e-4)
    assert english["shares"]["published"] == [1.0, 0.0, 0.0]
    buckets = [r["bucket"] for r in read_rows(one) if r["language"] == "en"]
    assert [buckets.count(b) / 450 for b in ("head", "middle", "tail")] == pytest.approx(
        english["shares"]["recalibrated"], abs=1e-6
    )
    notes = files.read_json(str(one / "_MANIFEST.json"))["extra"]["notes"]
    assert "too few documents for stable cutoffs: sv 1" in notes

    published = run_of(tmp_path, "published", [rows], cutoffs="published")
    table = files.read_json(str(published / "cutoffs.json"))
    assert table["en"]["cutoffs"] == [340.0, 520.0] != table["en"]["recalibrated"]
    assert table["en"]["recalibrated"] == english["recalibrated"]
    assert table["sv"]["cutoffs"] is None
    notes = files.read_json(str(published / "_MANIFEST.json"))["extra"]["notes"]
    assert not [note for note in notes if "too few" in note]
