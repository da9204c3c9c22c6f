"""The rule that gives a document its language, or rejects it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import orjson

from stages.ccnet_text import encodable
from stages.language.batch_model import (
    ASCII_BLANKS,
    EOS,
    LABEL,
    MAX_CHARS,
    BatchModel,
    Scores,
    UnsupportedModelError,
)
from stages.language.model import load_model, model_digest, model_path
from stages.language.settings import LanguageSettings
from stages.outcomes import Reject, Rule

REASONS = {
    "language_empty_text": "nothing but white space: there is no language to find",
    "language_below_threshold": "the best language scores below the threshold",
    "language_not_wanted": "the best language is not among the languages asked for",
}

_ROUNDING = 1e-5
_SPACES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
# Of several scripts, lengths and kinds of blanks; both ways to score must agree on all of them.
_SAMPLES = (
    "The river was high that spring, and nobody could remember such a flood.",
    "Im Fr\u00fchling stand das Wasser hoch; niemand erinnerte sich an solche Fluten.",
    "\u0412\u0435\u0441\u043d\u043e\u0439 \u0440\u0435\u043a\u0430 \u0432\u044b\u0448\u043b\u0430",
    "\u6625\u5929\u6cb3\u6c34\u5f88\u9ad8\u3002 2021\u5e74",
    "a\u00a0b\u3000c \U0001f600 <br> x=1; <>",
    "",
    "1 2 3 " * 400,
)


class LanguageRule:
    """fastText's judgement of a whole document.

    Writes the best label (`en`), its score (0 to 1), and the best `k` labels with their scores as
    a compact JSON object, best first, scores to 4 decimals: `{"de":0.3112,"nl":0.2501}`.

    Raises:
        stages.language.model.ModelMissingError: at construction, where no model is found.
    """

    reads: tuple[str, ...] = ("text",)
    writes: tuple[str, ...] = ("language", "language_score", "language_scores")

    def __init__(self, settings: LanguageSettings | None = None) -> None:
        self.settings = settings or LanguageSettings()
        self.path = model_path(self.settings.model)
        self._model = load_model(self.path)
        self._wanted = None if self.settings.languages is None else set(self.settings.languages)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the model file, in hexadecimal."""
        return model_digest(self.path)

    def __call__(self, *values: Any) -> tuple[str, float, str] | Reject:
        (text,) = values
        return self._verdict(text, self.scores(text) if _has_words(text) else [])

    def for_batch(self, texts: Sequence[str]) -> Rule:
        """This rule for documents with these texts, asked in this order: judged all at once."""
        return _Judged(self, texts)

    def judge(self, texts: Sequence[str]) -> list[tuple[str, float, str] | Reject]:
        """The verdicts on many texts: those of asking for each, in less than half the time."""
        found: list[Scores] = [[] for _ in texts]
        heads: dict[int, str] = {}
        probe = self.settings.probe_chars
        for i, text in enumerate(texts):
            if _has_words(text):
                heads[i] = text[:probe] if probe else text
        self._fill(found, heads)
        doubtful = {
            i: texts[i]
            for i, head in heads.items()
            if len(head) < len(texts[i]) and not self._sure(found[i])
        }
        self._fill(found, doubtful)
        return [self._verdict(*pair) for pair in zip(texts, found, strict=True)]

    def scores(self, text: str) -> Scores:
        """The best `k` languages of a text with their scores, best first; never empty."""
        probe = self.settings.probe_chars
        if 0 < probe < len(text):
            scores = self._predict(text[:probe])
            if self._sure(scores):
                return scores
        return self._predict(text)

    def _sure(self, scores: Scores) -> bool:
        return scores[0][1] >= self.settings.probe_confidence

    def _verdict(self, text: str, scores: Scores) -> tuple[str, float, str] | Reject:
        if not scores:
            return Reject("language_empty_text")
        language, score = scores[0]
        decided = score if self.settings.decimals is None else round(score, self.settings.decimals)
        if decided < self.settings.threshold:
            return Reject("language_below_threshold", f"{language} {score:.4f}")
        if self._wanted is not None and language not in self._wanted:
            return Reject("language_not_wanted", f"{language} {score:.4f}")
        table = orjson.dumps({label: round(value, 4) for label, value in scores})
        return language, score, table.decode()

    # -- one text, by fastText --------------------------------------------------------------------

    def _predict(self, text: str) -> Scores:
        if self.settings.newline == "glue":
            line = encodable(text).replace("\n", "")
        else:
            # fastText parts words at ASCII blanks only: a page whose blanks are all no-break
            # spaces would be one word that no language has.
            line = " ".join(encodable(text).split())
        labels, scores = self._model.predict(line, k=self.settings.k)
        named = zip((label.removeprefix(LABEL) for label in labels), scores, strict=True)
        return _at_most_one(named)

    # -- many texts -------------------------------------------------------------------------------

    @cached_property
    def _batch_model(self) -> BatchModel | None:
        """None where the model is of another kind, or does not score as fastText does."""
        blanks = ASCII_BLANKS if self.settings.newline == "glue" else _SPACES + "\0"
        try:
            model = BatchModel(self.path, blanks)
        except UnsupportedModelError:
            return None
        given = [self._given(sample) for sample in _SAMPLES]
        pairs = zip(model.scores(given, self.settings.k), map(self._predict, _SAMPLES), strict=True)
        return model if all(_alike(*pair) for pair in pairs) else None

    def _given(self, text: str) -> str:
        text = encodable(text)
        return text.replace("\n", "") if self.settings.newline == "glue" else text

    def _fill(self, found: list[Scores], texts: Mapping[int, str]) -> None:
        """Puts the scores of `texts` in their places in `found`."""
        model = self._batch_model
        if model is None:
            together = []
        else:
            together = [
                i
                for i, text in texts.items()
                if len(text) <= MAX_CHARS and EOS not in text and LABEL not in text
            ]
            given = [self._given(texts[i]) for i in together]
            for i, scores in zip(together, model.scores(given, self.settings.k), strict=True):
                found[i] = _at_most_one(scores)
        for i in texts.keys() - set(together):
            found[i] = self._predict(texts[i])


class _Judged:
    """A `LanguageRule` for the documents of one batch, in order."""

    reads: tuple[str, ...] = LanguageRule.reads
    writes: tuple[str, ...] = LanguageRule.writes

    def __init__(self, rule: LanguageRule, texts: Sequence[str]) -> None:
        self._verdicts = iter(rule.judge(texts))

    def __call__(self, *values: Any) -> tuple[str, float, str] | Reject:
        return next(self._verdicts)


def _alike(some: Scores, others: Scores) -> bool:
    """Whether two ways to score agree but for rounding."""
    return [label for label, _ in some] == [label for label, _ in others] and all(
        abs(a - b) < _ROUNDING for (_, a), (_, b) in zip(some, others, strict=True)
    )


def _has_words(text: str | None) -> bool:
    return text is not None and not text.isspace() and text != ""


def _at_most_one(scores: Iterable[tuple[str, float]]) -> Scores:
    """fastText's sums of rounded terms may end a little above 1."""
    return [(label, min(float(score), 1.0)) for label, score in scores] or [("und", 0.0)]
