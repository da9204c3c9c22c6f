"""How the cost and the output of each stage follow its input."""

from __future__ import annotations

from typing import Literal

Kind = Literal["linear", "grows", "bounded", "once"]

KINDS: dict[str, tuple[Kind, str]] = {
    "commoncrawl": ("linear", ""),
    "wikipedia": ("linear", ""),
    "arxiv": ("linear", ""),
    "books": ("linear", ""),
    "stackexchange": ("linear", ""),
    "c4": ("linear", ""),
    "c4_clean": ("linear", ""),
    "c4_filter": ("linear", ""),
    "language": ("linear", ""),
    "perplexity": ("linear", ""),
    "reference": ("linear", ""),
    "select": ("linear", ""),
    "decontaminate": ("linear", ""),
    "tokens": ("linear", ""),
    "github": ("grows", "copies of a file meet"),
    "url_dedup": ("grows", "captures of a URL meet"),
    "document_dedup": ("grows", "copies of a document meet"),
    "line_dedup": ("grows", "lines meet"),
    "fuzzy_dedup": ("grows", "near-duplicates meet"),
    "book_dedup": ("grows", "editions meet"),
    "c4_url_dedup": ("grows", "captures of a URL meet"),
    "c4_line_dedup": ("grows", "spans of lines meet"),
    "overlap": ("grows", "two sources meet"),
    "reference_pages": ("bounded", "max_references and max_random pages come out"),
    "language_model": ("bounded", "max_bytes a language are trained on"),
    "reference_model": ("linear", ""),
    "tokenizer": ("bounded", "budget_bytes are trained on"),
    "decontamination_index": ("once", "as large as the evaluation sets"),
}
"""Per stage how its cost and its output follow its input, and why.

linear: in proportion. grows: the work is in proportion, but more of a larger corpus is duplicates,
so what comes out is at most what is forecast. bounded: reads in proportion, but what it makes is
bounded by a setting. once: does not depend on the corpus.

In addition, whatever the kind, in a step in which units meet each unit has something for each
partition. Both grow with the input, so these pairs grow with its square (`forecast_references`).
"""
