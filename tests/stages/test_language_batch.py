"""Scores in batches are fastText's own: words, n-grams, order and rounding."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.language import rule
from stages.language.batch_model import (
    ASCII_BLANKS,
    EOS,
    LABEL,
    BatchModel,
    UnsupportedModelError,
    _Vocabulary,
)
from stages.language.model import load_model, model_path
from stages.language.rule import LanguageRule
from stages.language.settings import LanguageSettings
from stages.outcomes import Reject
from tests.data_paths import SHARED_DATA, needs_shared_data

TEXTS = [
    "The river was high that spring, and nobody in the village could remember such a flood.",
    "Im Frühling stand das Wasser hoch, und niemand im Dorf erinnerte sich an solche Fluten.",
    "Весной река вышла из берегов, и никто в деревне не помнил такого наводнения.",
    "春天河水很高，村里没有人记得这样的洪水。",
    "de in and la sa en is der",  # words of the model's own list
    "a",
    "",
    "   ",
    "x" * 5000,
    "é" * 300,
    "😀 👍🏽 <b> </s><s> _ __label",
    "tabs\tand\x0bfeeds\x0c and\x00nothing",
    "no\u00a0break\u3000ideographic\u2028line\u0085next",
    "1 22 333 4444 55555 " * 60,
    "Ein Wort, deux mots, tres palabras, четыре слова, 五个字 " * 40,
]
any_text = st.text(
    alphabet=st.one_of(
        st.sampled_from("aeinst АБвгд的是了éüß \t\n\u00a0<>/_.😀"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=60,
).filter(lambda text: EOS not in text and LABEL not in text)


@pytest.fixture(scope="module")
def fasttext() -> Any:
    return load_model(model_path())


@pytest.fixture(scope="module")
def batch() -> BatchModel:
    return BatchModel(model_path())


def expected(model: Any, text: str, k: int) -> list[tuple[str, float]]:
    labels, scores = model.predict(text.replace("\n", " "), k=k)
    return [(label.removeprefix("__label__"), s) for label, s in zip(labels, scores, strict=True)]


def check(found: list[tuple[str, float]], wanted: list[tuple[str, float]]) -> None:
    # All but the labels that hardly have a chance come in the same order.
    assert [label for label, _ in found] == [label for label, _ in wanted]
    assert [s for _, s in found] == pytest.approx([s for _, s in wanted], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("k", [1, 5])
def test_scores_of_the_shipped_model(fasttext: Any, batch: BatchModel, k: int) -> None:
    for text, found in zip(TEXTS, batch.scores(TEXTS, k), strict=True):
        check(found, expected(fasttext, text, k))


@settings(max_examples=60, deadline=None)
@given(st.lists(any_text, min_size=1, max_size=4))
def test_scores_of_any_texts_together(fasttext: Any, batch: BatchModel, texts: list[str]) -> None:
    for text, found in zip(texts, batch.scores(texts, 1), strict=True):
        check(found, expected(fasttext, text, 1))


def test_neighbours_do_not_matter(batch: BatchModel) -> None:
    alone = [batch.scores([text], 5)[0] for text in TEXTS]
    assert batch.scores(TEXTS, 5) == alone
    assert batch.scores(TEXTS[::-1] * 3, 5) == alone[::-1] * 3


def test_batches_that_are_cut(batch: BatchModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = batch.scores(TEXTS, 5)
    monkeypatch.setattr("stages.language.batch_model._BATCH_CHARS", 50)
    assert batch.scores(TEXTS, 5) == whole
    assert batch.scores([], 5) == []


def test_further_blanks_part_words(fasttext: Any) -> None:
    wide = BatchModel(model_path(), ASCII_BLANKS + "\u00a0\u3000")
    text = "one\u00a0two \u3000three"
    check(wide.scores([text], 5)[0], expected(fasttext, "one two three", 5))


def test_words_with_the_same_beginning_of_their_keys() -> None:
    words = {"".join(w): i for i, w in enumerate(itertools.product("abcdefgh", repeat=4))}
    vocabulary = _Vocabulary.of(words)
    assert vocabulary.find(vocabulary.keys[:-1], 9999).tolist() == vocabulary.ids.tolist()
    other = _Vocabulary.of({"other": 0, "words": 1}).keys[:-1]
    assert vocabulary.find(other, 9999).tolist() == [9999, 9999]


# -- models of other kinds ------------------------------------------------------------------------


def trained(path: Path, **more: Any) -> Path:
    """A small model that is not quantised, on invented languages."""
    import fasttext as library

    choose = random.Random(3)
    lines = [
        f"__label__{name} " + " ".join("".join(choose.choices(letters, k=5)) for _ in range(8))
        for name, letters in (("one", "abcd"), ("two", "cdef"), ("three", "éёß的"))
        for _ in range(20)
    ]
    (path.parent / "train.txt").write_text("\n".join(lines) + "\n")
    options = {"dim": 8, "bucket": 500, "minn": 2, "maxn": 4, "loss": "hs", "epoch": 3, **more}
    model = library.train_supervised(
        str(path.parent / "train.txt"), thread=1, verbose=0, minCount=1, **options
    )
    model.save_model(str(path))
    return path


@pytest.mark.parametrize("grams", [(2, 4), (3, 5), (3, 3)])
def test_models_that_are_not_pruned(tmp_path: Path, grams: tuple[int, int]) -> None:
    path = trained(tmp_path / "m.bin", minn=grams[0], maxn=grams[1])
    model, batch = load_model(path), BatchModel(path)
    texts = ["abcd dcba", "efef cdcd ёß", "的的 é", "a", "", "quite something else"]
    for text, found in zip(texts, batch.scores(texts, 3), strict=True):
        check(found, expected(model, text, 3))


@pytest.mark.parametrize(
    "other", [{"loss": "softmax"}, {"wordNgrams": 2}, {"minn": 1, "maxn": 2}], ids=str
)
def test_other_kinds_of_models_are_left_to_fasttext(tmp_path: Path, other: dict[str, Any]) -> None:
    path = trained(tmp_path / "m.bin", **other)
    with pytest.raises(UnsupportedModelError):
        BatchModel(path)
    judge = LanguageRule(LanguageSettings(model=str(path), threshold=0))
    assert judge.judge(["abcd dcba"]) == [judge("abcd dcba")]


@pytest.mark.parametrize("size", [0, 3, 40, 5000, 200_000])
def test_broken_files_are_no_models(tmp_path: Path, size: int) -> None:
    whole = model_path().read_bytes()
    for data in (whole[:size], whole + b"more", b"\0" * size):
        (tmp_path / "m.ftz").write_bytes(data)
        with pytest.raises(UnsupportedModelError):
            BatchModel(tmp_path / "m.ftz")


# -- the rule -------------------------------------------------------------------------------------

ODD = [
    *TEXTS,
    "before </s> after, which fastText does not read",
    "__label__en is no label of mine",
    "\ud800 lone \udfff surrogates",
    "line one\nline two\n\nline three " * 90,
    "English first. " * 200 + "Danach sehr viel deutscher Text. " * 400,
]


@pytest.mark.parametrize(
    "given_",
    [
        {},
        {"newline": "glue"},
        {"probe_chars": 0},
        {"probe_chars": 30, "probe_confidence": 0.99},
        {"threshold": 0.0, "k": 2},
        {"languages": ("de", "ru")},
    ],
    ids=str,
)
def test_texts_judged_together_are_judged_as_alone(given_: dict[str, Any]) -> None:
    judge = LanguageRule(LanguageSettings(**given_))
    assert judge.judge(ODD) == [judge(text) for text in ODD]
    bound = judge.for_batch(ODD)
    assert (bound.reads, bound.writes) == (judge.reads, judge.writes)
    assert [bound(text) for text in ODD] == judge.judge(ODD)


def test_a_model_that_scores_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def predict(self, text: str, k: int) -> tuple[tuple[str, ...], list[float]]:
            return ("__label__xx",), [0.9]

    monkeypatch.setattr(rule, "load_model", lambda path: Other())
    judge = LanguageRule()
    assert judge.judge(["some text", ""]) == [
        ("xx", 0.9, '{"xx":0.9}'),
        Reject("language_empty_text"),
    ]


def test_the_shipped_model_is_judged_in_batches() -> None:
    assert LanguageRule()._batch_model is not None
    assert LanguageRule(LanguageSettings(newline="glue"))._batch_model is not None


def test_very_long_texts_go_to_fasttext(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = LanguageRule(LanguageSettings(probe_chars=0))
    alone = judge(TEXTS[0])
    monkeypatch.setattr(rule, "MAX_CHARS", 20)
    asked: list[str] = []
    predict = judge._predict
    monkeypatch.setattr(judge, "_predict", lambda text: asked.append(text) or predict(text))
    assert judge._batch_model is not None
    asked.clear()
    assert judge.judge([TEXTS[0], "short"])[0] == alone
    assert asked == [TEXTS[0]]


@needs_shared_data
def test_labels_of_real_sentences() -> None:
    lines = [
        line
        for path in sorted((SHARED_DATA / "lid").rglob("*"))
        if path.is_file() and path.suffix in (".txt", "")
        for line in path.read_text("utf-8", "replace").splitlines()[:3]
    ]
    judge = LanguageRule()
    assert judge.judge(lines) == [judge(line) for line in lines]
