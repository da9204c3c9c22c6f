"""Hits: items of benchmarks in documents, from the matched n-grams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stages.decontaminate.index import Index
from stages.decontaminate.matching import Matches

I64 = npt.NDArray[np.int64]

SPAN_GAP = 400
"""Characters between matched n-grams that still count as one place: twice GPT-3's window."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One item in one document, in the form (`probe`) of which most was found.

    `found` of its `ngrams` distinct n-grams are in the document; `start` and `end` are the
    characters of the place with most of them. `matches` are the rows of all matches of the item.
    """

    benchmark: str
    item: str
    probe: str
    found: int
    ngrams: int
    start: int
    end: int
    matches: I64

    @property
    def coverage(self) -> float:
        return self.found / self.ngrams

    def passes(self, min_ngrams: int, min_coverage: float) -> bool:
        """An item of fewer n-grams than `min_ngrams` needs all of them."""
        return self.found >= min(min_ngrams, self.ngrams) and self.coverage >= min_coverage


def hits(matches: Matches, index: Index) -> Iterator[tuple[int, list[Hit]]]:
    """(document, its hits) for each document that has any, in order; hits by item."""
    if not len(matches):
        return
    row, probe = index.probes_of(matches.gram)
    item, document = index.item_of[probe], matches.document[row]
    order = np.lexsort((row, probe, item, document))
    row, probe, item, document = row[order], probe[order], item[order], document[order]
    new_item = _changes(document) | _changes(item)
    bounds = [*np.flatnonzero(new_item).tolist(), len(row)]
    current, mine = -1, list[Hit]()
    for first, last in pairwise(bounds):
        if document[first] != current:
            if mine:
                yield current, mine
            current, mine = int(document[first]), []
        mine.append(_hit(row[first:last], probe[first:last], int(item[first]), matches, index))
    yield current, mine


def _hit(rows: I64, probes: I64, item: int, matches: Matches, index: Index) -> Hit:
    best: tuple[float, int, int] | None = None
    edges = [*np.flatnonzero(_changes(probes)).tolist(), len(probes)]
    chosen = rows
    for first, last in pairwise(edges):
        found = len(np.unique(matches.gram[rows[first:last]]))
        probe = int(probes[first])
        # The earlier of two equal probes, so that the choice does not depend on anything else.
        rank = (found / int(index.ngrams_of[probe]), found, -probe)
        if best is None or rank > best:
            best, chosen = rank, rows[first:last]
    assert best is not None
    _, found, minus_probe = best
    start, end = _place(matches, chosen)
    benchmark, name = index.item(item)
    return Hit(
        benchmark=benchmark,
        item=name,
        probe=index.kind(-minus_probe),
        found=found,
        ngrams=int(index.ngrams_of[-minus_probe]),
        start=start,
        end=end,
        matches=np.unique(rows),
    )


def _place(matches: Matches, rows: I64) -> tuple[int, int]:
    """First and last character of the stretch with most of the distinct n-grams; the first one of
    several."""
    start, end, gram = matches.start[rows], matches.end[rows], matches.gram[rows]
    order = np.argsort(start, kind="stable")
    start, end, gram = start[order], end[order], gram[order]
    apart = np.ones(len(start), np.bool_)
    apart[1:] = start[1:] > np.maximum.accumulate(end)[:-1] + SPAN_GAP
    edges = [*np.flatnonzero(apart).tolist(), len(start)]
    sizes = [len(np.unique(gram[a:b])) for a, b in pairwise(edges)]
    best = int(np.argmax(sizes))
    first, last = edges[best], edges[best + 1]
    return int(start[first]), int(end[first:last].max())


def _changes(values: I64) -> npt.NDArray[np.bool_]:
    """True where a value differs from the one before it."""
    found = np.ones(len(values), np.bool_)
    found[1:] = values[1:] != values[:-1]
    return found
