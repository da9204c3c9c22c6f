"""`c4_filter`: which pages are English, by langdetect as in the authors' program, or by lid.176."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import langdetect
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import registry
from stages.c4 import language as language_module
from stages.c4.language import THRESHOLDS, Detector, LangDetect, judge, model_digests
from stages.c4.stage import FilterRule, FilterSettings
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from stages.outcomes import Reject
from tests.stages.helpers import check_folder, digests, read_rows, write_parts

ENGLISH = (
    "The old bridge was closed for the winter, and nobody in the village knew when it would open"
    " again. They took the long way round by the mill instead."
)
GERMAN = (
    "Die alte Brücke war den Winter über gesperrt, und niemand im Dorf wusste, wann man sie wieder"
    " öffnen würde. Sie nahmen den langen Weg um die Mühle."
)
DANISH = "Den gamle bro var lukket om vinteren, og ingen vidste, hvornår den ville åbne igen."
NUMBERS = "12 345 67.8 90 %"
TEXTS = [ENGLISH, GERMAN, DANISH, NUMBERS, "", " \n", "One two three.", ENGLISH + GERMAN, "Ja."]
MIXED = "She reads by the lamp. Das Haus und der Garten."


def step(tmp: Path, out: str = "out", **more: Any) -> Step:
    return Step("c4_filter", "c4_filter", str(tmp / out), {"input": [str(tmp / "in")]}, more)


def authors(text: str) -> tuple[str, float]:
    """What the authors' program asks, with the seed that it sets."""
    before = langdetect.DetectorFactory.seed
    langdetect.DetectorFactory.seed = 0
    try:
        best = langdetect.detect_langs(text)
    except langdetect.lang_detect_exception.LangDetectException:
        best = []
    finally:
        langdetect.DetectorFactory.seed = before
    return (best[0].lang, best[0].prob) if best else ("und", 0.0)


def verdict(text: str, detector: Detector = "langdetect", **more: Any) -> str:
    """`en` or the reason why not."""
    given = {"languages": ("en",), "threshold": None, "model": None, **more}
    found = judge(detector, **given)(text)
    return found.reason if isinstance(found, Reject) else found[0]


@pytest.mark.parametrize("detector", ["lid", "langdetect"])
def test_english_stays_and_other_languages_leave(detector: Detector) -> None:
    assert verdict(ENGLISH, detector) == "en"
    assert verdict(GERMAN, detector) == "language_not_wanted"
    assert verdict(GERMAN, detector, languages=("en", "de")) == "de"
    assert verdict(NUMBERS, detector) == "language_below_threshold"


@pytest.fixture(scope="module")
def detect() -> LangDetect:
    return LangDetect()


def test_langdetect_says_what_the_authors_program_hears(detect: LangDetect) -> None:
    for text in TEXTS:
        language, probability = detect(text)
        expected, of = authors(text)
        assert (language, probability) == (expected, pytest.approx(of, abs=1e-9))


def test_langdetect_a_page_of_less_than_99_percent_leaves(detect: LangDetect) -> None:
    language, score = detect(MIXED)
    assert language == "en"
    assert 0.5 < score < THRESHOLDS["langdetect"] == 0.99
    assert verdict(MIXED) == "language_below_threshold"
    assert verdict(MIXED, threshold=score) == "en"


def test_langdetect_is_unsure_of_itself_without_a_seed(detect: LangDetect) -> None:
    """What the seed is for: the same text has several answers."""
    assert langdetect.DetectorFactory.seed is None
    assert len({langdetect.detect_langs(MIXED)[0].prob for _ in range(12)}) > 1
    assert len({detect(MIXED) for _ in range(12)}) == 1


def test_langdetect_verdicts_do_not_depend_on_the_pages_before(detect: LangDetect) -> None:
    alone = {text: detect(text) for text in TEXTS}
    another = LangDetect()
    assert {text: another(text) for text in reversed(TEXTS)} == alone
    langdetect.detect(ENGLISH)  # another user of the package
    assert {text: another(text) for text in TEXTS} == alone
    assert langdetect.DetectorFactory.seed is None  # ours is not the package's


def test_langdetect_verdicts_do_not_depend_on_hash_seeds(detect: LangDetect) -> None:
    program = f"from stages.c4.language import LangDetect; print(LangDetect()({MIXED!r}))"
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1",)
    }
    assert told == {f"{detect(MIXED)}\n".encode()}


@pytest.mark.parametrize(
    "piece", ["a", "a@", "a@b ", "http://", "ạ\u0301", "京", ". ", "\x00", "\ud800", "Ω a "]
)
def test_langdetect_a_hostile_page_comes_to_an_end(detect: LangDetect, piece: str) -> None:
    assert detect((piece * 1_000_000)[:1_000_000])[1] <= 1.0


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80))
def test_any_text_has_a_verdict(detect: LangDetect, text: str) -> None:
    language, score = detect(text)
    assert language
    assert 0.0 <= score <= 1.0


def test_lid_agrees_with_the_stage_language() -> None:
    from stages.language.rule import LanguageRule
    from stages.language.settings import LanguageSettings

    rule = LanguageRule(LanguageSettings(languages=("en",), decimals=None))
    for text in TEXTS:
        expected = rule(text)
        found = judge("lid", ("en",), None, None)(text)
        assert found == (expected if isinstance(expected, Reject) else expected[:2])


def test_bad_words_are_those_of_the_language_found(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("mill\nMühle\n", encoding="utf-8")
    lists = {code: str(tmp_path / "words") for code in ("en", "de")}
    rule = FilterRule(FilterSettings(bad_words=lists, languages=("en", "de")))
    for text, word in ((ENGLISH, "mill"), (GERMAN, "mühle")):
        assert rule(text, None, None, None, None) == Reject("bad_word", word)
    # The language comes first, as with the authors.
    only = FilterRule(FilterSettings(bad_words=lists))
    found = only(GERMAN, None, None, None, None)
    assert isinstance(found, Reject)
    assert found.reason == "language_not_wanted"


@pytest.mark.parametrize("detector", ["lid", "langdetect"])
def test_the_stage_writes_language_and_score_and_names_its_model(
    tmp_path: Path, detector: Detector
) -> None:
    rows = [{"id": str(i), "text": text} for i, text in enumerate(TEXTS) if text]
    write_parts(tmp_path / "in", [rows[:4], rows[4:]])
    done = run_step(step(tmp_path, detector=detector)).manifest
    check_folder(tmp_path / "out")
    found = read_rows(tmp_path / "out")
    assert found[0]["text"] == ENGLISH
    assert {row["language"] for row in found} == {"en"}
    assert all(row["language_score"] >= THRESHOLDS[detector] for row in found)
    assert set(done.counts.reasons) <= set(language_module.REASONS)
    assert list(done.models) == [detector]
    run_step(step(tmp_path, "again", detector=detector))
    assert digests(tmp_path / "again") == digests(tmp_path / "out")


def test_without_a_detector_pages_keep_their_language(tmp_path: Path) -> None:
    row = {"id": "a", "text": GERMAN, "language": "de", "language_score": 0.75}
    write_parts(tmp_path / "in", [[row, {"id": "b", "text": "x"}]])
    done = run_step(step(tmp_path, detector=None)).manifest
    found = [(r["language"], r["language_score"]) for r in read_rows(tmp_path / "out")]
    assert (found, done.models) == ([("de", 0.75), (None, None)], {})


def test_what_is_missing_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parts(tmp_path / "in", [[{"id": "a", "text": "x"}]])
    with pytest.raises(InputError, match=r"language model .*absent\.bin not found"):
        registry.create(step(tmp_path, model=str(tmp_path / "absent.bin")))
    monkeypatch.setattr(language_module, "_PACKAGE", "absent_package")
    with pytest.raises(InputError, match="install it, or set detector: lid"):
        registry.create(step(tmp_path, detector="langdetect"))


def test_the_digest_is_of_profiles_and_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "profiles").mkdir()
    for name, text in (("profiles/en", "1"), ("detector.py", "2"), ("README", "3")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(language_module, "_package_folder", lambda: tmp_path)
    seen = [model_digests("langdetect", None)]
    for name in ("README", "profiles/en", "detector.py"):
        (tmp_path / name).write_text("changed")
        seen.append(model_digests("langdetect", None))
    assert seen[0] == seen[1]
    assert len({tuple(s.items()) for s in seen}) == 3
