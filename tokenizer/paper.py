"""Table 1 of the LLaMA paper (arXiv 2302.13971): what the corpus is made of."""

from __future__ import annotations

from dataclasses import dataclass

# Section 2.1: "our entire training dataset contains roughly 1.4T tokens after tokenization".
TOTAL_TOKENS = 1_400_000_000_000


@dataclass(frozen=True, slots=True)
class Table1Row:
    """One source in Table 1.

    `proportion` is the share of training tokens, `epochs` are those of a run over 1.4T tokens,
    `disk_bytes` the size on disk (decimal units, as printed).
    """

    proportion: float
    epochs: float
    disk_bytes: int

    @property
    def unique_tokens(self) -> float:
        """Tokens that the row implies: share of 1.4T over epochs."""
        return self.proportion * TOTAL_TOKENS / self.epochs

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text a token that the row implies; a target for one's own corpus."""
        return self.disk_bytes / self.unique_tokens


TABLE_1: dict[str, Table1Row] = {
    "commoncrawl": Table1Row(0.670, 1.10, 3_300 * 10**9),
    "c4": Table1Row(0.150, 1.06, 783 * 10**9),
    "github": Table1Row(0.045, 0.64, 328 * 10**9),
    "wikipedia": Table1Row(0.045, 2.45, 83 * 10**9),
    "books": Table1Row(0.045, 2.23, 85 * 10**9),
    "arxiv": Table1Row(0.025, 1.06, 92 * 10**9),
    "stackexchange": Table1Row(0.020, 1.03, 78 * 10**9),
}

PROPORTIONS: dict[str, float] = {source: row.proportion for source, row in TABLE_1.items()}
