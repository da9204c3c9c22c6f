from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.outcomes import Rule
from stages.perplexity import score as score_module
from stages.perplexity.cutoffs import (
    CEILING,
    BucketRule,
    Histogram,
    bucket,
    published_cutoffs,
    recalibrated,
)
from stages.perplexity.score import ModelFileError, PerplexityScorer
from stages.perplexity.settings import ModelFiles, PerplexitySettings
from stages.perplexity.stage import _FAILED, _scores

# Base-10 logarithms; a bigram model of two words.
ARPA = """\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-1.0\t<unk>
0\t<s>\t-0.3
-0.5\t</s>
-0.7\t▁a\t-0.2
-0.9\t▁b\t-0.1

\\2-grams:
-0.4\t<s> ▁a
-0.25\t▁a ▁b

\\end\\
"""


def proto(number: int, value: bytes | float | int) -> bytes:
    """One field in protobuf's wire format (short values only)."""
    if isinstance(value, bytes):
        return bytes([number << 3 | 2, len(value)]) + value
    if isinstance(value, float):
        return bytes([number << 3 | 5]) + struct.pack("<f", value)
    return bytes([number << 3, value])


def write_models(folder: Path, language: str) -> None:
    """A SentencePiece model with the pieces `▁a` and `▁b`, and the bigram model above."""
    normal, unknown, control = 1, 2, 3
    pieces = [
        ("<unk>", 0.0, unknown),
        ("<s>", 0.0, control),
        ("</s>", 0.0, control),
        ("▁a", -1.0, normal),
        ("▁b", -1.0, normal),
        ("▁", -9.0, normal),
    ]
    model = b"".join(
        proto(1, proto(1, text.encode()) + proto(2, score) + proto(3, kind))
        for text, score, kind in pieces
    )
    unigram = proto(2, proto(3, 1) + proto(4, len(pieces)))
    identity = proto(3, proto(1, b"identity"))
    (folder / f"{language}.sp.model").write_bytes(model + unigram + identity)
    (folder / f"{language}.arpa.bin").write_text(ARPA, encoding="utf-8")


@pytest.fixture
def scorer(tmp_path: Path) -> Callable[..., PerplexityScorer]:
    write_models(tmp_path, "xx")
    return lambda **kw: PerplexityScorer(PerplexitySettings(models=str(tmp_path), **kw))


@pytest.mark.parametrize(
    ("text", "perplexity"),
    [
        # p(a|<s>) + p(b|a) + backoff(b) + p(</s>) = -0.4 -0.25 -0.1 -0.5; 10 ** (1.25 / 3)
        ("a b", 2.6),
        ("  A   B ", 2.6),
        # -0.4 -0.2 -0.5; 10 ** (1.1 / 2)
        ("a", 3.5),
        # backoff(<s>) + p(b) + backoff(b) + p(</s>) = -0.3 -0.9 -0.1 -0.5; 10 ** (1.8 / 2)
        ("b", 7.9),
        # `b` glued to `a` is unknown: -0.4, -0.2 -1.0, -0.5; 10 ** (2.1 / 3)
        ("a\nb", 5.0),
        ("á \x00b", 2.6),
    ],
)
def test_document_perplexity_as_cc_net_computes_it(
    scorer: Callable[..., PerplexityScorer], text: str, perplexity: float
) -> None:
    assert scorer().score(text, "xx") == perplexity


def test_newlines_may_keep_words_apart(scorer: Callable[..., PerplexityScorer]) -> None:
    assert scorer(newline="space").score("a\nb", "xx") == 2.6


def test_paragraph_perplexity_is_the_mean_over_paragraphs(
    scorer: Callable[..., PerplexityScorer],
) -> None:
    by_paragraph = scorer(unit="paragraph")
    assert by_paragraph.score("a\nb", "xx") == 5.7  # (3.548 + 7.943) / 2
    assert by_paragraph.score("a\n\n \t\nb\n", "xx") == 5.7
    assert by_paragraph.score("a b", "xx") == 2.6


def test_no_score_without_model_language_or_text(
    scorer: Callable[..., PerplexityScorer],
) -> None:
    some = scorer()
    assert some.languages == ("xx",)
    assert some.score("a b", "sl") is None
    assert some.score("a b", None) is None
    for text in ("", "\n\n", "\x00\x1f", " "):
        assert some.score(text, "xx") is None
        assert scorer(unit="paragraph").score(text, "xx") is None
    assert scorer(languages=["de"]).languages == ()
    assert PerplexityScorer().score("a b", "xx") is None


@pytest.mark.parametrize("unit", ["document", "paragraph"])
def test_many_texts_at_once_score_as_one_by_one(
    scorer: Callable[..., PerplexityScorer], unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_module, "_SLICE_CHARS", 7)
    some = scorer(unit=unit)
    texts = ["a b", "", "b\na\n\nb", "a", "\n", "b b b b b b b", "a\nb", "a"]
    languages = ["xx", "xx", "xx", "sl", "xx", "xx", None, "xx"]
    found = some.scores(texts, languages)
    assert found == [some.score(t, code) for t, code in zip(texts, languages, strict=True)]
    assert [value is None for value in found] == [
        False,
        True,
        False,
        True,
        True,
        False,
        True,
        False,
    ]
    assert some.scores([], []) == []


def test_a_text_that_cannot_be_scored_costs_no_other(
    scorer: Callable[..., PerplexityScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def normalise(text: str) -> str:
        if text == "b":
            raise ValueError("not this one")
        return text

    monkeypatch.setattr(score_module, "normalise_for_language_model", normalise)
    batch = pa.RecordBatch.from_pydict({"id": ["1", "2", "3"], "text": ["a", "b", "a b"]})
    failed: dict[str, str] = {}
    assert _scores(scorer(), batch, ["xx"] * 3, failed) == [3.5, _FAILED, 2.6]
    assert failed == {"2": "ValueError: not this one"}


def test_odd_and_huge_texts_score(scorer: Callable[..., PerplexityScorer]) -> None:
    some = scorer()
    for text in ("\ud800 a", "x" * 2_000_000, "a b " * 300_000, "漢" * 1000, "<s> </s>"):
        value = some.score(text, "xx")
        assert value is not None and value > 1
    assert scorer(max_chars=3).score("a b b b b", "xx") == 2.6


def test_models_may_be_named_one_by_one(tmp_path: Path) -> None:
    write_models(tmp_path, "q")
    files = ModelFiles(
        sentencepiece=str(tmp_path / "q.sp.model"), kenlm=str(tmp_path / "q.arpa.bin")
    )
    assert PerplexityScorer(PerplexitySettings(files={"en": files})).score("a b", "en") == 2.6


def test_missing_and_damaged_models_are_named(tmp_path: Path) -> None:
    write_models(tmp_path, "xx")
    with pytest.raises(ModelFileError, match="not a folder"):
        PerplexityScorer(PerplexitySettings(models=str(tmp_path / "none")))
    (tmp_path / "de.sp.model").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match=r"de\.arpa\.bin is missing"):
        PerplexityScorer(PerplexitySettings(models=str(tmp_path)))
    (tmp_path / "de.arpa.bin").write_bytes(b"no model")
    damaged = PerplexityScorer(PerplexitySettings(models=str(tmp_path)))
    assert damaged.score("a b", "xx") == 2.6
    with pytest.raises(ModelFileError, match=r"de\.sp\.model is no SentencePiece model"):
        damaged.load_all()
    (tmp_path / "de.sp.model").write_bytes((tmp_path / "xx.sp.model").read_bytes())
    with pytest.raises(ModelFileError, match=r"de\.arpa\.bin is no KenLM model"):
        damaged.load_all()


def test_the_bucket_follows_from_perplexity_and_language(
    scorer: Callable[..., PerplexityScorer],
) -> None:
    some, cut = scorer(), BucketRule({"xx": (3.0, 4.0)})
    assert isinstance(cut, Rule)
    assert [cut(some.score(text, "xx"), "xx") for text in ("a b", "a", "b")] == [
        ("head",),
        ("middle",),
        ("tail",),
    ]
    assert some.score("a b", "sl") is None
    assert cut(2.6, "sl") == (None,) and cut(None, "xx") == (None,) and cut(1.0, None) == (None,)


def test_buckets_are_closed_below() -> None:
    assert [bucket(p, 340, 520) for p in (339.9, 340.0, 519.9, 520.0)] == [
        "head",
        "middle",
        "middle",
        "tail",
    ]


def test_published_table_lacks_three_of_the_languages() -> None:
    table = published_cutoffs()
    assert table["en"] == (340, 520) and table["cs"] == (820, 1140) and table["hu"] == (80, 140)
    assert len(table) == 17 and not {"sl", "sr", "sv"} & set(table)
    assert all(low < high for low, high in table.values())


def test_percentiles_must_rise() -> None:
    with pytest.raises(ValueError, match="percentiles must rise"):
        PerplexitySettings(percentiles=(60, 30))


tenths = st.integers(0, 20_000)


@settings(max_examples=80, deadline=None)
@given(st.lists(tenths, min_size=1, max_size=40), st.floats(0, 100))
def test_percentiles_are_numpys(values: list[int], percent: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value / 10)
    expected = np.percentile(np.array(values) / 10, percent)
    assert histogram.percentile(percent) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(tenths, max_size=30), st.lists(tenths, max_size=30))
def test_histograms_of_parts_add_up(first: list[int], second: list[int]) -> None:
    parts = [Histogram(), Histogram(), Histogram()]
    for histogram, values in zip(parts, (first, second, first + second), strict=True):
        for value in values:
            histogram.add(value / 10)
    parts[0] += parts[1]
    assert parts[0] == parts[2] == Histogram(parts[2].as_dict())
    assert len(parts[0]) == len(first) + len(second)


def test_histogram_is_bounded_and_takes_numbers_only() -> None:
    histogram = Histogram()
    for value in (CEILING, CEILING * 5, float("inf"), 1e300):
        histogram.add(value)
    assert histogram.as_dict() == {"1000000": 4}
    assert histogram.percentile(50) == CEILING
    for wrong in (float("nan"), -1.0):
        with pytest.raises(ValueError, match="no perplexity"):
            histogram.add(wrong)
    with pytest.raises(ValueError, match="needs documents"):
        Histogram().percentile(50)


def test_recalibrated_cutoffs_give_the_shares() -> None:
    histogram = Histogram()
    for value in range(1, 101):
        histogram.add(float(value))
    cutoffs = recalibrated({"en": histogram, "sv": Histogram()})
    assert cutoffs == {"en": (pytest.approx(30.7), pytest.approx(60.4))}
    rule = BucketRule(cutoffs)
    buckets = [rule(float(value), "en")[0] for value in range(1, 101)]
    assert [buckets.count(name) for name in ("head", "middle", "tail")] == [30, 30, 40]
