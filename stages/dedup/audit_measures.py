"""What a finished dedup step calls duplicates, as a similarity of sets that can be checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from stages import urls as web
from stages.books.dedup import BookDedup, BookDedupSettings
from stages.dedup.documents import DocumentDedup, UrlDedup
from stages.dedup.fuzzy import FuzzyDedup, FuzzyDedupSettings
from stages.dedup.fuzzy_shingles import Shingler
from stages.dedup.set_overlap import Measure as Overlap
from stages.dedup.shingles import shingle_hashes, words

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Measure:
    """Duplicates are pairs whose similarity reaches the threshold, or exceeds it if `strict`.

    `features` makes a document's set from the values of the columns `reads`: ascending, distinct.
    """

    name: str
    overlap: Overlap
    threshold: float
    strict: bool
    reads: tuple[str, ...]
    features: Callable[..., Hashes]

    def similarity(self, shared: I64, one: int, others: I64) -> F64:
        """Of one set with others, by how much they share and their sizes (none of them 0)."""
        sizes = one + others - shared if self.overlap == "jaccard" else np.minimum(one, others)
        return np.asarray(shared / np.maximum(sizes, 1), dtype=np.float64)

    def alike(self, similarity: float) -> bool:
        return similarity > self.threshold if self.strict else similarity >= self.threshold

    def wanted(self) -> str:
        """The measure and its threshold, for people."""
        if self.threshold == 1:
            return self.name
        return f"{self.name} {'over' if self.strict else 'from'} {self.threshold:g}"


def of_step(stage: str, settings: Mapping[str, Any]) -> Measure | None:
    """The measure of a stage with these settings; None for a stage that compares no documents."""
    made = {
        FuzzyDedup.name: _fuzzy,
        BookDedup.name: _books,
        DocumentDedup.name: _texts,
        UrlDedup.name: _urls,
    }
    return made[stage](settings) if stage in made else None


AUDITED: Sequence[str] = (FuzzyDedup.name, BookDedup.name, DocumentDedup.name, UrlDedup.name)


def _fuzzy(settings: Mapping[str, Any]) -> Measure:
    s = FuzzyDedupSettings.model_validate(settings)
    shingler = Shingler(s.unit, s.ngram)
    name = f"Jaccard of {s.ngram}-grams of {s.unit}"
    return Measure(name, "jaccard", s.threshold, False, ("text",), shingler)


def _books(settings: Mapping[str, Any]) -> Measure:
    s = BookDedupSettings.model_validate(settings)

    def features(text: str) -> Hashes:
        return shingle_hashes(words(text), s.words)

    name = f"{s.measure} of {s.words}-grams of words"
    return Measure(name, s.measure, s.threshold, True, ("text",), features)


def _texts(settings: Mapping[str, Any]) -> Measure:
    def features(text: str) -> Hashes:
        return np.array([xxhash.xxh3_64_intdigest(text.encode())], dtype=np.uint64)

    return Measure("the same text", "jaccard", 1.0, False, ("text",), features)


def _urls(settings: Mapping[str, Any]) -> Measure:
    def features(url: str | None) -> Hashes:
        if not url:
            return np.empty(0, np.uint64)
        key = (web.normalise(url) or url).encode()
        return np.array([xxhash.xxh3_64_intdigest(key)], dtype=np.uint64)

    return Measure("the same URL", "jaccard", 1.0, False, ("url",), features)
