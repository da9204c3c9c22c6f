"""A sample of documents by hash: a pure function of seed and id, so it needs no memory.

Which documents are in it depends neither on their order nor on how the work is divided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import xxhash
from pydantic import BaseModel, ConfigDict, Field

_RANGE = 1 << 64


class SampleSettings(BaseModel):
    """How much text the tokenizer is trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget_bytes: int = Field(
        default=1_000_000_000,
        gt=0,
        description="UTF-8 bytes of text in the sample. The paper does not say; LLaMA's model file "
        "names 200 million lines. SentencePiece holds the sample in memory: about 10 bytes for "
        "each byte of text (measured on 11 and 42 MB), so this means some 10 GB.",
    )
    seed: int = Field(default=0, description="Another seed draws another sample.")


def hash64(seed: int, document_id: str, purpose: str) -> int:
    """A 64-bit hash of a document id; xxHash3 of the UTF-8 bytes.

    `purpose` keeps draws apart: without it, documents held out for validation and those in the
    tokenizer's sample would be the same ones.
    """
    content = f"{purpose}\0{document_id}".encode("utf-8", "surrogatepass")
    return xxhash.xxh3_64_intdigest(content, seed=seed % _RANGE)


@dataclass(frozen=True, slots=True)
class SampleRule:
    """Keeps each document with probability `rate` (0 to 1), decided by its id alone.

    A rule with a higher rate keeps all that one with a lower rate keeps, at the same seed and
    purpose.
    """

    rate: float
    seed: int
    purpose: str = "tokenizer"

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"sample rate {self.rate} must be from 0 to 1")

    def keep(self, document_id: str) -> bool:
        """Whether the document is in the sample."""
        # In whole numbers: a float cannot hold 2**64 - 1, and rate 1 must keep every document.
        return hash64(self.seed, document_id, self.purpose) < int(self.rate * _RANGE)


@dataclass(frozen=True, slots=True)
class PlannedRate:
    """The rate of one source, and what it is expected to give.

    `wanted_bytes` is its share of the budget. `capped`: the source has less than that, all of it is
    taken, and the sample holds less of it than the proportions say.
    """

    rate: float
    source_bytes: int
    wanted_bytes: float
    capped: bool

    @property
    def expected_bytes(self) -> float:
        """Bytes of text that the rate gives on average."""
        return self.rate * self.source_bytes


def plan_rates(
    source_bytes: Mapping[str, int], proportions: Mapping[str, float], budget_bytes: int
) -> dict[str, PlannedRate]:
    """The sampling rate of each source for a sample in the recipe's proportions.

    The proportions are shares of tokens; here they are taken as shares of bytes, since there is no
    tokenizer yet (Table 1's bytes per token differ by source by a factor of 1.4 at most).

    Args:
        source_bytes: UTF-8 bytes of text that there are of each source.
        proportions: share of each source; need not add up to 1.
        budget_bytes: bytes wanted in all.

    Raises:
        ValueError: a source without proportion or without byte count, a negative number, a budget
            that is not positive, or proportions that are all 0.
    """
    if budget_bytes <= 0:
        raise ValueError(f"budget_bytes {budget_bytes} must be above 0")
    for name in sorted({*source_bytes, *proportions}):
        if name not in source_bytes or name not in proportions:
            raise ValueError(f"source {name!r} needs both a proportion and its bytes of text")
        if source_bytes[name] < 0 or proportions[name] < 0:
            raise ValueError(f"source {name!r} has a negative proportion or size")
    total = sum(proportions.values())
    if total <= 0:
        raise ValueError("the proportions are all 0")
    plan = {}
    for name, proportion in proportions.items():
        wanted, there = budget_bytes * proportion / total, source_bytes[name]
        capped = wanted > there
        rate = 1.0 if capped else (wanted / there if there else 0.0)
        plan[name] = PlannedRate(rate, there, wanted, capped)
    return plan
