"""The floors: what the bare libraries need for the work of a step, reading and writing included.

Each floor is the plainest loop over the libraries, without Beam, work units, rejects, counts,
digests, or care for damaged input. It is prepared (imports) and then run, in a process of its own
(`benchmarks.floors.__main__`), so libraries are imported where a floor is prepared.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.floors.crawl import (
    commoncrawl,
    document_dedup,
    language,
    line_dedup,
    perplexity,
    select,
    url_dedup,
)
from benchmarks.floors.models import language_model, tokenizer
from benchmarks.floors.tables import Floor, Work
from benchmarks.floors.tokens import tokens_gigatoken, tokens_sentencepiece
from benchmarks.floors.wikitext import wikipedia

__all__ = ["FLOORS", "Floor", "Work"]

FLOORS: dict[str, tuple[Callable[..., Floor], str]] = {
    "commoncrawl": (commoncrawl, "warcio, regular expressions and hashlib a line, pyarrow"),
    "url_dedup": (url_dedup, "pyarrow, numpy.unique over URLs"),
    "document_dedup": (document_dedup, "pyarrow, xxhash, numpy.unique"),
    "line_dedup": (line_dedup, "pyarrow, numpy.unique over all hashes, split, join"),
    "language": (language, "fastText on full texts, pyarrow"),
    "perplexity": (perplexity, "normalised with unicodedata and re, SentencePiece, KenLM, pyarrow"),
    "select": (select, "pyarrow filter"),
    "language_model": (language_model, "SentencePiece's trainer, lmplz, build_binary"),
    "tokenizer": (tokenizer, "SentencePiece's trainer"),
    "tokens (SentencePiece)": (tokens_sentencepiece, "SentencePiece, ndarray.tofile"),
    "tokens (gigatoken)": (tokens_gigatoken, "gigatoken, ndarray.tofile"),
    "wikipedia": (wikipedia, "bz2, ElementTree, mwparserfromhell.strip_code, pyarrow"),
}
"""By name: the floor, and what it is made of."""
