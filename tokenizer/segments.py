"""Stretches of a run with one mixture: sequence number <-> (source, rank within the source).

A source's *rank* counts its sequences from the beginning of the run, over all mixtures; it decides
epoch and window. Inside a segment the k-th draw of a source is in block `k div count`, at a place
that a keyed permutation chooses. Where a mixture ends inside a block, the ranks of that block that
were not reached come first in the next segment, so no rank is lost or repeated and what came before
the change stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenizer.permutation import keys_of, permute, unpermute

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cursor:
    """Where a source stands when a segment begins: its k-th draw has rank `left[k]`, and after
    those `base`, `base + 1`, ..."""

    left: I64
    base: int

    def ranks(self, draws: I64) -> I64:
        """The ranks of the segment's draws of this source; int64 of the shape of `draws`."""
        fresh = self.base + draws - len(self.left)
        if not len(self.left):
            return fresh
        return np.where(
            draws < len(self.left), self.left[np.minimum(draws, len(self.left) - 1)], fresh
        )

    def draw(self, rank: int) -> int | None:
        """The draw that has this rank; None if it came before the segment."""
        if rank >= self.base:
            return rank - self.base + len(self.left)
        at = int(np.searchsorted(self.left, rank))
        return at if at < len(self.left) and self.left[at] == rank else None

    def after(self, drawn: int, missing: I64) -> Cursor:
        """The cursor behind `drawn` draws of which `missing` (ascending) were not made."""
        still = self.ranks(np.arange(drawn, max(drawn, len(self.left)), dtype=np.int64))
        left = np.sort(np.concatenate([self.ranks(missing), still]))
        return Cursor(left, self.base + max(0, drawn - len(self.left)))


START = Cursor(np.empty(0, dtype=np.int64), 0)


@dataclass(frozen=True)
class Segment:
    """Sequences from `first` on in blocks with `counts` of each source.

    Attributes:
        counts: int64 of shape (sources,), sequences of each source in a block.
        key: of the permutations inside blocks.
        cursors: where each source stands at `first`.
    """

    first: int
    counts: I64
    key: int
    cursors: tuple[Cursor, ...]

    @property
    def size(self) -> int:
        """Sequences in a block."""
        return int(self.counts.sum())

    def places(self, numbers: I64) -> tuple[I64, I64]:
        """Source and draw of sequence numbers from `first` on, each int64 of shape (m,)."""
        blocks, inside = np.divmod(numbers - self.first, self.size)
        places = permute(inside, self.size, keys_of(self.key, blocks))
        ends = np.cumsum(self.counts)
        sources = np.searchsorted(ends, places, side="right")
        draws = blocks * self.counts[sources] + places - (ends - self.counts)[sources]
        return sources, draws

    def number(self, source: int, rank: int) -> int | None:
        """The sequence number at which a source's rank comes, if this segment went on for ever.

        None if the rank came before it, or the segment does not draw from the source.
        """
        count = int(self.counts[source])
        draw = self.cursors[source].draw(rank)
        if draw is None or not count:
            return None
        block, place = divmod(draw, count)
        place += int(self.counts[:source].sum())
        key = keys_of(self.key, np.array([block]))
        inside = int(unpermute(np.array([place]), self.size, key)[0])
        return self.first + block * self.size + inside

    def cursors_at(self, end: int) -> tuple[Cursor, ...]:
        """Where each source stands when the segment ends before sequence number `end`."""
        blocks, cut = divmod(end - self.first, self.size)
        drawn = blocks * self.counts + (self.counts if cut else 0)
        start = self.first + blocks * self.size
        unseen, draws = self.places(
            np.arange(start + cut, start + self.size if cut else start, dtype=np.int64)
        )
        return tuple(
            cursor.after(int(drawn[s]), np.sort(draws[unseen == s]))
            for s, cursor in enumerate(self.cursors)
        )
