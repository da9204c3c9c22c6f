"""`corpus trace`: which documents a step of a training run holds, and when a document is seen.

Both follow from the data order, which is a function with an inverse; only the shards concerned are
opened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.find_document import in_threads
from tokenizer.encode import Encoder
from tokenizer.ledger import EMPTY, Ledger
from tokenizer.mixture import block_counts
from tokenizer.order import DataOrder, Slot
from tokenizer.share import rank_of, share

_SPACE = "▁"  # how SentencePiece spells a space


@dataclass(frozen=True)
class Data:
    """The data of a run: their order and how steps and processes share them.

    Attributes:
        batch: sequences of a step; None where only sequence numbers are known.
        world: processes; None where it is not known.
        sequences: of the whole run; None where its end is not known.
    """

    order: DataOrder
    ledger: Ledger = EMPTY
    batch: int | None = None
    world: int | None = None
    sequences: int | None = None

    def numbers(self, step: int, rank: int | None = None, row: int | None = None) -> list[int]:
        """The sequences of a step (from 1), of one process's share of it, or the one in a row.

        Raises ValueError for a step beyond the run's end and for a rank or row that is not there.
        """
        batch = self.batch
        if batch is None:
            raise ValueError("a step's sequences are not known without how many it has (--batch)")
        if step < 1:
            raise ValueError(f"step {step}: steps are counted from 1")
        if self.sequences is not None and step * batch > self.sequences:
            raise ValueError(f"step {step}: the run ends with step {self.sequences // batch}")
        rows = range(batch)
        if rank is not None:
            if self.world is None:
                raise ValueError(
                    "a rank's share is not known without the number of processes (--world)"
                )
            rows = share(batch, rank, self.world)
        if row is not None:
            if row not in rows:
                of = f"rank {rank} of {self.world}" if rank is not None else "the step"
                last = f"{rows.start} to {rows.stop - 1}" if rows else "none"
                raise ValueError(f"row {row} is not of {of}, which has rows {last}")
            rows = range(row, row + 1)
        return [(step - 1) * batch + r for r in rows]

    def check(self, sequence: int) -> None:
        """Raises ValueError for a sequence that the run does not have."""
        if sequence < 0:
            raise ValueError(f"sequence {sequence}: sequences are counted from 0")
        if self.sequences is not None and sequence >= self.sequences:
            raise ValueError(f"sequence {sequence}: the run ends with {self.sequences - 1}")

    def in_processes(self, world: int | None) -> Data:
        """The same in so many processes, if their number is not known yet."""
        return self if self.world is not None else replace(self, world=world)

    def slots(self, numbers: Sequence[int]) -> list[tuple[int, Slot]]:
        """Sequence numbers with what they stand for."""
        sources, epochs, windows = self.order.slots(numbers)
        rows = zip(sources.tolist(), epochs.tolist(), windows.tolist(), strict=True)
        return [
            (g, Slot(self.order.names[s], epoch, window))
            for g, (s, epoch, window) in zip(numbers, rows, strict=True)
        ]

    def where(self, sequence: int) -> tuple[int | None, int | None, int | None]:
        """Step (from 1), row in it, and the process that takes it; None what is not known."""
        if self.batch is None:
            return None, None, None
        step, row = divmod(sequence, self.batch)
        rank = None if self.world is None else rank_of(row, self.batch, self.world)
        return step + 1, row, rank

    def digest(self, step: int) -> str:
        """The digest that a run logs for the step, from what is in the shards now."""
        numbers = self.numbers(step)
        out = self.ledger.quarantined(numbers)
        kept = [g for g, left_out in zip(numbers, out, strict=True) if not left_out]
        return f"{sum(in_threads(self.order.digest, kept)) % (1 << 64):016x}"


@dataclass(frozen=True)
class Part:
    """The part of a document that a sequence holds.

    `tokens` tokens from token `at` of the sequence, which are the document's from its token
    `position` on; the whole document has `whole`, its separator included, from `first_token` of
    the shard. `text` is None where it was not asked for.
    """

    id: str
    at: int
    tokens: int
    position: int
    whole: int
    shard: str
    first_token: int
    origin: str | None
    url: str | None
    text: str | None = None


@dataclass(frozen=True)
class Traced:
    """A sequence: where it comes in the run, which window it is, and what that holds."""

    sequence: int
    step: int | None
    row: int | None
    rank: int | None
    source: str
    epoch: int
    window: int
    quarantined: bool
    documents: tuple[Part, ...]


def sequences(
    data: Data, slots: Sequence[tuple[int, Slot]], encoder: Encoder | None = None
) -> list[Traced]:
    """What sequences (with the slots that they stand for) hold; with text if there is an encoder.

    Raises ValueError if a shard or sidecar is missing or damaged.
    """
    out = data.ledger.quarantined([g for g, _ in slots])
    places = [(g, slot, bool(left_out)) for (g, slot), left_out in zip(slots, out, strict=True)]

    def traced(place: tuple[int, Slot, bool]) -> Traced:
        g, slot, quarantined = place
        return Traced(g, *data.where(g), *slot, quarantined, _parts(data.order, g, encoder))

    return in_threads(traced, places)


def _parts(order: DataOrder, g: int, encoder: Encoder | None) -> tuple[Part, ...]:
    tokens = None if encoder is None else order.tokens(g)
    parts, at = [], 0
    for shard, span in order.documents(g):
        text = None
        if encoder is not None and tokens is not None:
            ids = tokens[at : at + span.length].tolist()
            text = decoded(encoder, ids, begins=span.start == span.first_token)
        parts.append(
            Part(
                id=span.id,
                at=at,
                tokens=span.length,
                position=span.start - span.first_token,
                whole=span.whole,
                shard=order.manifest.shards[shard].path,
                first_token=span.first_token,
                origin=span.origin,
                url=span.url,
                text=text,
            )
        )
        at += span.length
    return tuple(parts)


def decoded(encoder: Encoder, ids: Sequence[int], begins: bool) -> str:
    """The text of a stretch of a document's ids; separators have none.

    SentencePiece drops the space that it puts before every text; where the stretch does not begin
    the document, a space at its front is the document's own.
    """
    kept = [i for i in ids if i != encoder.eos_id]
    own = kept and not begins and encoder.pieces(kept[:1])[0].startswith(_SPACE)
    return (" " if own else "") + encoder.decode(kept)


@dataclass(frozen=True)
class Place:
    """Where a document lies in the shards: `tokens` (separator included) from `first_token`."""

    id: str
    source: str
    split: str
    shard_index: int
    shard: str
    first_token: int
    tokens: int
    origin: str | None
    url: str | None


@dataclass(frozen=True)
class Seen:
    """A sequence that holds some of a document's tokens; numbers as in `Traced` and `Part`."""

    sequence: int
    step: int | None
    row: int | None
    rank: int | None
    epoch: int
    window: int
    at: int
    tokens: int
    position: int
    quarantined: bool


@dataclass(frozen=True)
class Sightings:
    """When a document is seen.

    Attributes:
        seen: in the order of the run.
        never: windows, counted once an epoch, that a change of the mixture leaves out for good.
        dropped: tokens of the document in the end of the stream that no window holds.
        weighted: whether the run draws from the document's source at all.
        lookups: how many inverse look-ups it took.
    """

    place: Place
    seen: tuple[Seen, ...]
    never: int
    dropped: int
    weighted: bool
    lookups: int


def sightings(data: Data, place: Place, epochs: int | None = None) -> Sightings:
    """Every sequence that holds any token of a document, in the whole run or in so many epochs of
    its source.

    Raises ValueError if neither the run's end nor a number of epochs is known.
    """
    order = data.order
    if epochs is None and data.sequences is None:
        raise ValueError("the end of the run is not known: say --epochs")
    if place.split != order.split or place.source not in order.names:
        weighted = place.split != order.split
        return Sightings(place, (), 0, 0, weighted, 0)
    windows = order.windows_of(place.shard_index, place.first_token, place.tokens)
    start = place.first_token + sum(
        shard.tokens
        for index, shard in order.manifest.select(place.source, order.split)
        if index < place.shard_index
    )
    end = start + place.tokens
    used = order.windows[place.source] * order.seq_len + 1
    seen: list[Seen] = []
    never = lookups = 0
    for epoch in range(_epochs(data, place.source) if epochs is None else epochs):
        for window in windows:
            lookups += 1
            try:
                g = order.inverse(Slot(place.source, epoch, window))
            except ValueError:
                never += 1
                continue
            if epochs is None and g >= (data.sequences or 0):
                continue
            first = window * order.seq_len
            low, high = max(start, first), min(end, first + order.seq_len + 1)
            out = bool(data.ledger.quarantined([g])[0])
            seen.append(
                Seen(g, *data.where(g), epoch, window, low - first, high - low, low - start, out)
            )
    seen.sort(key=lambda s: s.sequence)
    dropped = max(0, end - max(start, used))
    return Sightings(place, tuple(seen), never if epochs else 0, dropped, True, lookups)


def _epochs(data: Data, source: str) -> int:
    """No less than the epochs of a source that the run begins."""
    order, length = data.order, data.sequences or 0
    windows = order.windows[source]
    # What the proportions say may be off by one block of each mixture.
    blocks = [order.block, *(block_counts(c.weights) for c in data.ledger.mixture)]
    ranks = math.ceil(order.epochs_after(length)[source] * windows)
    ranks += sum(block.get(source, 0) for block in blocks)
    return ranks // windows + 1
