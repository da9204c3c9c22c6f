"""Late-bound thresholds: the stages before write scores, this one alone decides what stays."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from stages.engine.rules import RuleStage
from stages.engine.step import Settings
from stages.outcomes import Reject


class SelectSettings(Settings):
    languages: tuple[str, ...] | None = Field(
        None, description="languages that stay; null: all that passed language identification"
    )
    min_language_score: float = Field(
        0.0, ge=0, le=1, description="CCNet's 0.5 is applied by `language` already"
    )
    buckets: tuple[str, ...] | None = Field(
        ("head", "middle"),
        description="perplexity buckets that stay; the paper does not say, RedPajama keeps head and"
        " middle; null: all",
    )
    keep_without_bucket: bool = Field(
        False,
        description="what becomes of documents in languages without a language model: the paper's"
        " CommonCrawl is English only, so nothing is known of them",
    )
    max_perplexity: float | None = Field(None, gt=0, description="a further cut, off by default")
    min_reference_score: float | None = Field(
        None,
        ge=0,
        le=1,
        description="cut on the Wikipedia-reference score; null: not applied. The paper discards"
        " pages not classified as references, which is 0.5 for two classes",
    )
    min_chars: int = Field(0, ge=0, description="characters a document needs in the end")


class SelectRule:
    """Compares the stored scores of one document with the thresholds; the first that fails
    names the reason."""

    reads = ("text", "language", "language_score", "perplexity", "bucket", "reference_score")
    writes = ()

    def __init__(self, settings: SelectSettings) -> None:
        self._s = settings
        # Scores are stored as float32; a threshold of 0.65 must let a stored 0.65 pass.
        self._language_score = _stored(settings.min_language_score)
        self._perplexity = _stored(settings.max_perplexity)
        self._reference_score = _stored(settings.min_reference_score)
        self._languages = frozenset(settings.languages or ())
        self._buckets = frozenset(settings.buckets or ())

    def __call__(
        self,
        text: str,
        language: str | None,
        language_score: float | None,
        perplexity: float | None,
        bucket: str | None,
        reference_score: float | None,
    ) -> tuple[()] | Reject:
        s = self._s
        if s.languages is not None and language not in self._languages:
            return Reject("language", language or "none")
        if self._language_score and (language_score or 0.0) < self._language_score:
            return Reject("language_score", f"{language_score}")
        if s.buckets is not None:
            if bucket is None:
                if not s.keep_without_bucket:
                    return Reject("no_bucket", language or "none")
            elif bucket not in self._buckets:
                return Reject(f"bucket_{bucket}", f"perplexity {perplexity or 0.0:.1f}")
        if self._perplexity is not None and (perplexity or 0.0) > self._perplexity:
            return Reject("perplexity", f"{perplexity}")
        if self._reference_score is not None and (reference_score or 0.0) < self._reference_score:
            return Reject("reference_score", f"{reference_score}")
        if len(text) < s.min_chars:
            return Reject("too_short", f"{len(text)} characters")
        return ()


def _stored(threshold: float | None) -> float | None:
    return None if threshold is None else float(np.float32(threshold))


class Select(RuleStage[SelectSettings]):
    name = "select"
    summary = "apply the thresholds on stored scores (late-bound)"
    Settings = SelectSettings
    reasons = {
        "language": "not one of the languages asked for",
        "language_score": "language identified with too low a score",
        "no_bucket": "its language has no language model, so no perplexity bucket",
        "bucket_head": "in a perplexity bucket not asked for",
        "bucket_middle": "in a perplexity bucket not asked for",
        "bucket_tail": "in a perplexity bucket not asked for",
        "perplexity": "perplexity over max_perplexity",
        "reference_score": "reference score under min_reference_score",
        "too_short": "fewer than min_chars characters",
    }

    def rule(self) -> SelectRule:
        return SelectRule(self.settings)
