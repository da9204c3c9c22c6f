"""The rule that gives a document its language, or rejects it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import orjson

from stages.ccnet_text import encodable
from stages.language.model import load_model, model_digest, model_path
from stages.language.settings import LanguageSettings
from stages.outcomes import Reject

REASONS = {
    "language_empty_text": "nothing but white space: there is no language to find",
    "language_below_threshold": "the best language scores below the threshold",
    "language_not_wanted": "the best language is not among the languages asked for",
}

_LABEL = "__label__"


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
        if not text or text.isspace():
            return Reject("language_empty_text")
        scores = self.scores(text)
        language, score = scores[0]
        decided = score if self.settings.decimals is None else round(score, self.settings.decimals)
        if decided < self.settings.threshold:
            return Reject("language_below_threshold", f"{language} {score:.4f}")
        if self._wanted is not None and language not in self._wanted:
            return Reject("language_not_wanted", f"{language} {score:.4f}")
        table = orjson.dumps({label: round(value, 4) for label, value in scores})
        return language, score, table.decode()

    def scores(self, text: str) -> list[tuple[str, float]]:
        """The best `k` languages of a text with their scores, best first; never empty."""
        probe = self.settings.probe_chars
        if 0 < probe < len(text):
            scores = self._predict(text[:probe])
            if scores and scores[0][1] >= self.settings.probe_confidence:
                return scores
        return self._predict(text) or [("und", 0.0)]

    def _predict(self, text: str) -> list[tuple[str, float]]:
        if self.settings.newline == "glue":
            line = encodable(text).replace("\n", "")
        else:
            # fastText parts words at ASCII blanks only: a page whose blanks are all no-break
            # spaces would be one word that no language has.
            line = " ".join(encodable(text).split())
        labels, scores = self._model.predict(line, k=self.settings.k)
        # fastText's sums of rounded terms may end a little above 1.
        return [
            (label.removeprefix(_LABEL), min(float(score), 1.0))
            for label, score in zip(labels, scores, strict=True)
        ]
