"""Settings of language model training."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LanguageModelSettings(BaseModel):
    """How a language's SentencePiece model and 5-gram model are made from its Wikipedia.

    CCNet (Wenzek et al. 2019) publishes its models and the commands that made them; LLaMA says
    only that it used "an n-gram language model".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_documents: int = Field(
        1_000_000,
        ge=1,
        description="Documents sampled for the n-gram model. CCNet took the first million.",
    )
    max_bytes: int = Field(
        1_000_000_000,
        ge=1,
        description="Normalised text sampled for the n-gram model, in bytes. It bounds disk and "
        "time where documents are whole articles; CCNet's million openings are about half of it.",
    )
    head_chars: int | None = Field(
        None,
        ge=1,
        description="Read only so many first characters of each document. CCNet trained on the "
        "opening texts of articles; None reads whole articles, which small Wikipedias need.",
    )
    min_bytes: int = Field(
        1_000_000,
        ge=0,
        description="With less normalised text than this no model is made and the language gets "
        "no perplexity: a 5-gram model of some thousand sentences only knows those sentences.",
    )
    vocabulary: int = Field(
        65_536,
        ge=8,
        description="SentencePiece pieces, CCNet's number. Where the text does not hold so many, "
        "the most that it does; `ModelInfo.vocabulary` tells.",
    )
    character_coverage: float = Field(
        0.9995, gt=0.9, le=1.0, description="CCNet's, which is also SentencePiece's default."
    )
    sentencepiece_documents: int = Field(
        400_000, ge=1, description="Documents for SentencePiece. CCNet declares 400,000."
    )
    sentencepiece_bytes: int = Field(
        100_000_000,
        ge=1,
        description="Text for SentencePiece, in bytes. Its trainer holds about 20 times this in "
        "memory, and a vocabulary is settled by far less.",
    )
    threads: int = Field(
        4,
        ge=1,
        description="Threads of SentencePiece's trainer. A setting, not the number of cores: "
        "sums are formed thread by thread, so the model's last digits depend on it.",
    )
    order: int = Field(5, ge=2, le=6, description="Length of the n-grams. CCNet: 5.")
    memory: str = Field(
        "2G",
        pattern=r"^\d+[bKMG]$",
        description="lmplz's sorting memory; what is more goes to disk, the model is the same. "
        "CCNet: 8G.",
    )
    structure: Literal["probing", "trie"] = Field(
        "probing",
        description="KenLM's binary format. CCNet's files are `probing`, the fastest. `trie` "
        "gives the same scores from about half the memory.",
    )
    quantise_bits: int | None = Field(
        None,
        ge=2,
        le=24,
        description="Store probabilities and backoffs of a trie in so many bits. None keeps them "
        "exact: cutoffs then compare with those of other models.",
    )
    seed: int = Field(0, ge=0, description="Seed of the hash by which documents are sampled.")
