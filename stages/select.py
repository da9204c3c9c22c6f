"""Late-bound thresholds: the stages before write scores, this one alone decides what stays.

`SelectRule` is the one place where thresholds meet scores; `corpus curve` asks the same rule what
another threshold would keep. Profiles are named bundles of thresholds (docs/select.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field, field_validator, model_validator

from stages.documents import CHARACTERS
from stages.engine import files
from stages.engine.rules import RuleStage
from stages.engine.step import InputError, Settings
from stages.engine.units import WorkUnit
from stages.language import labels
from stages.outcomes import Reject


class Sourced(NamedTuple):
    """A threshold with where it comes from."""

    value: Any
    source: str


_ENGLISH_SCORE = Sourced(
    0.495,
    "CCNet keeps a best score of 0.5, which its code compares after rounding to two decimals; the"
    " `language` stage does the same, so this changes nothing unless its threshold was lowered",
)
_NO_BUCKET = Sourced(False, "only English goes on, and a run has a model for it")
_NO_PERPLEXITY = Sourced(None, "CCNet cuts by its buckets alone")
_NO_REFERENCE = Sourced(False, "every page was classified")
_NO_MIN_CHARS = Sourced(0, "no length is asked for after selection; CCNet's 300 is asked before")

PROFILES: Mapping[str, Mapping[str, Sourced]] = {
    "paper": {
        "languages": Sourced(("en",), 'section 2.1: "to remove non-English pages"'),
        "min_language_score": _ENGLISH_SCORE,
        "buckets": Sourced(
            ("head", "middle"),
            'section 2.1 filters "low quality content with an n-gram language model" and leaves'
            " open how much; RedPajama's choice is taken",
        ),
        "keep_without_bucket": _NO_BUCKET,
        "max_perplexity": _NO_PERPLEXITY,
        "min_reference_score": Sourced(
            0.5,
            'section 2.1: "discarded pages not classified as references"; no number is given, and'
            " of two classes the likelier one has 0.5 or more",
        ),
        "keep_without_reference_score": _NO_REFERENCE,
        "min_chars": _NO_MIN_CHARS,
    },
    "redpajama": {
        "languages": Sourced(
            ("en",), "RedPajama-Data rp_v1, data_prep/cc: cc_net ran with `-l en`"
        ),
        "min_language_score": _ENGLISH_SCORE,
        "buckets": Sourced(
            ("head", "middle"), 'rp_v1, data_prep/cc: only the "middle" and "head" partition'
        ),
        "keep_without_bucket": _NO_BUCKET,
        "max_perplexity": _NO_PERPLEXITY,
        "min_reference_score": Sourced(
            0.25,
            "rp_v1, data_prep/cc/filter: wiki_prob >= 0.25; its paper (arXiv 2411.12372) says that"
            " it was chosen to come near LLaMA's number of tokens",
        ),
        "keep_without_reference_score": _NO_REFERENCE,
        "min_chars": _NO_MIN_CHARS,
    },
}
"""Thresholds by profile. `custom` is not here: it is the defaults of the settings themselves."""


class SelectSettings(Settings):
    """A profile, and single thresholds that go before those of the profile."""

    profile: Literal["paper", "redpajama", "custom"] = Field(
        "custom",
        description="thresholds that are not given come from here: `paper` (English, head and"
        " middle, classified as reference), `redpajama` (the same with 0.25 in place of 0.5);"
        " `custom`: the defaults shown here, which need no reference score and no one language",
    )
    languages: tuple[str, ...] | None = Field(
        None,
        description="languages that stay, as labels of lid.176; null: all that passed language"
        " identification",
    )
    min_language_score: float = Field(
        0.0, ge=0, le=1, description="CCNet's 0.5 is applied by `language` already"
    )
    buckets: tuple[Literal["head", "middle", "tail"], ...] | None = Field(
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
        " pages not classified as references, which is 0.5 for two classes; RedPajama took 0.25",
    )
    keep_without_reference_score: bool = Field(
        False,
        description="what becomes of documents that have no reference score (a language that the"
        " classifier does not know) while min_reference_score is set",
    )
    min_chars: int = Field(0, ge=0, description="characters a document needs in the end")

    @model_validator(mode="before")
    @classmethod
    def _filled_from_profile(cls, given: Any) -> Any:
        """The manifest shows the thresholds that a profile stands for, not its name alone."""
        if isinstance(given, dict) and isinstance(given.get("profile"), str):
            profile = PROFILES.get(given["profile"], {})
            return {**{name: v.value for name, v in profile.items()}, **given}
        return given

    @field_validator("languages")
    @classmethod
    def _known(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return labels.checked(given)


OFF: Mapping[str, Any] = {
    "languages": None,
    "min_language_score": 0.0,
    "buckets": None,
    "max_perplexity": None,
    "min_reference_score": None,
    "min_chars": 0,
}
"""Each threshold with the value at which it lets everything pass."""


def lifted(settings: SelectSettings, names: Iterable[str]) -> SelectSettings:
    """`settings` with some thresholds off. Raises KeyError for a name that is no threshold."""
    return settings.model_copy(update={name: OFF[name] for name in names})


@dataclass(frozen=True)
class ScoreThreshold:
    """The setting that cuts on a score, and the side that it keeps (the threshold included)."""

    setting: str
    keeps_above: bool


SCORES: Mapping[str, ScoreThreshold] = {
    "language_score": ScoreThreshold("min_language_score", keeps_above=True),
    "perplexity": ScoreThreshold("max_perplexity", keeps_above=False),
    "reference_score": ScoreThreshold("min_reference_score", keeps_above=True),
}


class SelectRule:
    """Compares the stored scores of one document with the thresholds; the first that fails
    names the reason."""

    reads = (CHARACTERS, "language", "language_score", "perplexity", "bucket", "reference_score")
    writes = ()

    def __init__(self, settings: SelectSettings) -> None:
        self._s = settings
        self._language_score = stored(settings.min_language_score)
        self._perplexity = stored(settings.max_perplexity)
        self._reference_score = stored(settings.min_reference_score)
        self._languages = frozenset(settings.languages or ())
        self._buckets = frozenset(settings.buckets or ())

    def __call__(self, chars: int, *scores: Any) -> tuple[()] | Reject:
        """`scores`: as `verdict` takes them."""
        return self.verdict(chars, *scores) or ()

    def verdict(
        self,
        chars: int,
        language: str | None,
        language_score: float | None,
        perplexity: float | None,
        bucket: str | None,
        reference_score: float | None,
    ) -> Reject | None:
        """Why a document of `chars` characters with these scores leaves; None if it stays."""
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
        if self._reference_score is not None:
            if reference_score is None:
                if not s.keep_without_reference_score:
                    return Reject("no_reference_score", language or "none")
            elif reference_score < self._reference_score:
                return Reject("reference_score", f"{reference_score}")
        if chars < s.min_chars:
            return Reject("too_short", f"{chars} characters")
        return None


def stored(threshold: float | None) -> float | None:
    """A threshold as scores are stored, in float32: one of 0.65 must let a stored 0.65 pass."""
    return None if threshold is None else float(np.float32(threshold))


class Select(RuleStage[SelectSettings]):
    name = "select"
    version = 2
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
        "no_reference_score": "not scored by the reference classifier",
        "too_short": "fewer than min_chars characters",
    }

    def rule(self) -> SelectRule:
        return SelectRule(self.settings)

    def units(self) -> list[WorkUnit]:
        """Raises InputError where reference scores are cut on that no document has: the whole
        source would go, one by one."""
        units = super().units()
        s = self.settings
        if s.min_reference_score is not None and not s.keep_without_reference_score:
            paths = sorted({piece.path for unit in units for piece in unit.pieces})
            found = {_may_hold(path, "reference_score") for path in paths}
            if False in found and True not in found:
                raise InputError(
                    f"{self.step.name}: min_reference_score is {s.min_reference_score:g}"
                    f" (profile {s.profile}), but no document has a reference score: is there a"
                    " `reference` stage before, and did it find a model? Without scores, set"
                    " min_reference_score to null"
                )
        return units


def _may_hold(path: str, column: str) -> bool | None:
    """Whether a part has a value in a column, by its footer; None for a part without documents."""
    with files.open_read(path) as handle:
        parquet = pq.ParquetFile(handle)
        meta, index = parquet.metadata, parquet.schema_arrow.get_field_index(column)
        if not meta.num_rows:
            return None
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)] if index >= 0 else []
        known = [(group.num_rows, group.column(index).statistics) for group in groups]
        return any(
            facts is None or not facts.has_null_count or facts.null_count < rows
            for rows, facts in known
        )
