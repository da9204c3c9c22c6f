"""Settings of perplexity and its buckets."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ModelFiles(BaseModel):
    """The two files of one language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sentencepiece: str = Field(description="Local path of the SentencePiece model.")
    kenlm: str = Field(description="Local path of the KenLM model, binary or ARPA.")


class PerplexitySettings(BaseModel):
    """What is scored, with which models, and where the buckets are cut."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: str | None = Field(
        None,
        description="Folder with `{language}.sp.model` and `{language}.arpa.bin`, CCNet's names. "
        "Both the models trained in a run and CCNet's published ones fit. None: only `files`.",
    )
    files: dict[str, ModelFiles] = Field(
        {}, description="Model files of single languages; they go before those of `models`."
    )
    languages: tuple[str, ...] | None = Field(
        None, description="Score only these languages. None scores all that have a model."
    )
    unit: Literal["document", "paragraph"] = Field(
        "document",
        description="`document`: the whole document as one line, as cc_net computes it and as its "
        "published cutoffs mean it. `paragraph`: CCNet's paper scores each paragraph; the "
        "document gets the plain mean over its paragraphs, which the paper leaves open.",
    )
    newline: Literal["glue", "space"] = Field(
        "glue",
        description="What becomes of newlines when a document is made one line. cc_net removes "
        "them and so glues the words on both sides; the published cutoffs were measured so. "
        "`space` keeps the words apart: better English, other numbers.",
    )
    max_chars: int = Field(
        5_000_000,
        ge=1,
        description="Longer documents are scored by their first so many characters. It bounds "
        "memory; no crawled page reaches it, and a mean over millions of tokens has settled.",
    )
    cutoffs: Literal["published", "recalibrated"] = Field(
        "recalibrated",
        description="`published`: CCNet's table, which holds for CCNet's models and has no sl, sr, "
        "sv. `recalibrated`: percentiles of the documents scored in this run, right for any model.",
    )
    percentiles: tuple[float, float] = Field(
        (30.0, 60.0),
        description="Where recalibrated buckets are cut. 30 and 60 are cc_net's; the paper speaks "
        "of three even parts. Ignored with `published`.",
    )

    @model_validator(mode="after")
    def _percentiles_rise(self) -> PerplexitySettings:
        low, high = self.percentiles
        if not 0 <= low <= high <= 100:
            raise ValueError("percentiles must rise and lie between 0 and 100")
        return self
