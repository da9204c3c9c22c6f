"""Where documents have n-grams of the index: vectorised over batches of texts.

Texts are put in normal form, joined to blocks of some hundred kilobytes, and all n-grams of a block
are looked up at once. A text with markup is searched a second time without it. Characters of the
text behind a match are worked out for matches alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stages.decontaminate.grams import GramHasher
from stages.decontaminate.index import Index
from stages.decontaminate.markup import Unmarked, unmarked
from stages.decontaminate.words import NormalForm, Words, words

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_BLOCK_BYTES = 1 << 18
STRETCH_CHARS = 1 << 20
"""Longer texts are looked through in stretches that overlap by an n-gram, so memory is flat."""


@dataclass(frozen=True, slots=True)
class Matches:
    """One entry an n-gram found: `document` is its place among the texts, `gram` its number in the
    index, `start` and `end` are the characters of the text from its first word to its last one."""

    document: I64
    gram: I64
    start: I64
    end: I64

    def __len__(self) -> int:
        return len(self.gram)

    def where(self, chosen: Bools) -> Matches:
        return Matches(*(column[chosen] for column in self.columns()))

    def columns(self) -> tuple[I64, I64, I64, I64]:
        return self.document, self.gram, self.start, self.end


def joined(parts: Sequence[Matches]) -> Matches:
    if not parts:
        return Matches(*(np.empty(0, np.int64) for _ in range(4)))
    return Matches(*(np.concatenate(c) for c in zip(*(p.columns() for p in parts), strict=True)))


def _forms(texts: Sequence[str]) -> Iterator[tuple[int, str | Unmarked]]:
    """Each text with its number, and once more without its markup if it has any."""
    for number, text in enumerate(texts):
        yield number, text
        if (other := unmarked(text)) is not None:
            yield number, other


def _distinct(found: Matches) -> Matches:
    """By document, then by place; what both forms of a text have is there once."""
    order = np.lexsort((found.gram, found.end, found.start, found.document))
    ordered = Matches(*(column[order] for column in found.columns()))
    another = np.ones(len(ordered), np.bool_)
    another[1:] = np.any([c[1:] != c[:-1] for c in ordered.columns()], axis=0)
    return ordered.where(another)


@dataclass(slots=True)
class _Block:
    """Texts in normal form that are looked through together."""

    documents: list[int]
    texts: list[str]
    normal: list[bytes]
    unmarked: list[Unmarked | None]
    size: int = 0


class Matcher:
    """Finds the n-grams of one index; keeps tables, no state of any text."""

    def __init__(self, index: Index, stretch_chars: int = STRETCH_CHARS) -> None:
        self.index = index
        self._stretch = stretch_chars
        self._form = NormalForm(index.punctuation)
        self._hasher = GramHasher()

    def matches(self, texts: Sequence[str]) -> Matches:
        """All matches in all texts, with and without their markup, by document, then by place."""
        parts: list[Matches] = []
        block = _Block([], [], [], [])
        for number, form in _forms(texts):
            text = form if isinstance(form, str) else form.text
            other = None if isinstance(form, str) else form
            if len(text) > self._stretch:
                found = joined(list(self._long(number, text)))
                ends = found.end if other is None else other.outwards(found.end)
                parts.append(replace(found, end=ends))
                continue
            normal = self._form(text)
            block.documents.append(number)
            block.texts.append(text)
            block.normal.append(normal)
            block.unmarked.append(other)
            block.size += len(normal)
            if block.size >= _BLOCK_BYTES:
                parts.append(self._block(block))
                block = _Block([], [], [], [])
        if block.normal:
            parts.append(self._block(block))
        return _distinct(joined(parts))

    def _block(self, block: _Block) -> Matches:
        return self._look_up(words(b"\n".join(block.normal)), block)

    def _long(self, number: int, text: str) -> Iterator[Matches]:
        longest = max((*self.index.lengths, *self.index.whole_lengths))
        start = 0
        while start < len(text):
            stretch = text[start : start + self._stretch]
            normal = self._form(stretch)
            found = words(normal)
            following = start + len(stretch)
            if following < len(text) and len(found.hashes) > 1:
                # The last word may go on: it is left to the next stretch, with the n - 1 words
                # before it, or as many as there are after a first one of enormous length.
                again = max(1, len(found.hashes) - longest)
                following = start + int(self._form.origins(stretch, found.starts[[again]])[0])
                found = Words(found.hashes[:-1], found.starts[:-1], found.ends[:-1])
            block = _Block([number], [stretch], [normal], [None])
            matches = self._look_up(found, block)
            yield Matches(
                matches.document, matches.gram, matches.start + start, matches.end + start
            )
            start = following

    def _look_up(self, found: Words, block: _Block) -> Matches:
        sums = self._hasher.sums(found.hashes)
        firsts: list[I64] = []
        lasts: list[I64] = []
        numbers: list[I64] = []
        for n in self.index.lengths:
            places, grams = self.index.grams.find(self._hasher.grams(sums, n))
            firsts.append(places)
            lasts.append(places + n - 1)
            numbers.append(grams)
        if self.index.whole_lengths:
            heads, _ = self.index.heads.find(self._hasher.grams(sums, self.index.head_words))
            for n in self.index.whole_lengths:
                within = heads[heads + n < len(sums)]
                found_here, grams = self.index.grams.find(self._hasher.grams_at(sums, n, within))
                firsts.append(within[found_here])
                lasts.append(within[found_here] + n - 1)
                numbers.append(grams)
        gram = np.concatenate(numbers)
        if not len(gram):
            return joined([])
        starts = found.starts[np.concatenate(firsts)]
        ends = found.ends[np.concatenate(lasts)]
        sizes = np.array([len(n) + 1 for n in block.normal], np.int64)
        begins = np.cumsum(sizes) - sizes
        which = np.searchsorted(begins, starts, side="right") - 1
        # An n-gram must not reach from one document into the next.
        whole = which == np.searchsorted(begins, ends - 1, side="right") - 1
        which, gram, starts, ends = which[whole], gram[whole], starts[whole], ends[whole]
        start, end = np.empty_like(starts), np.empty_like(ends)
        for i in np.unique(which).tolist():
            mine = np.flatnonzero(which == i)
            places = np.concatenate([starts[mine], ends[mine] - 1]) - begins[i]
            characters = self._form.origins(block.texts[i], places)
            start[mine], end[mine] = characters[: len(mine)], characters[len(mine) :] + 1
            if (other := block.unmarked[i]) is not None:
                end[mine] = other.outwards(end[mine])
        return Matches(np.array(block.documents, np.int64)[which], gram, start, end)
