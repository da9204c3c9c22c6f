"""The data order as a function: sequence number -> which tokens, in O(1), nothing stored.

A *window* is `seq_len + 1` tokens of a source's concatenated stream, at stride `seq_len`: windows
overlap by one, so each token but the first is a label exactly once. What is left at the end of a
stream is too short for a window and is dropped, and counted.

Sequences come in *blocks* that hold the proportions exactly. Inside a block a keyed permutation
mixes the sources. The k-th sequence of a source is window `k mod windows` of epoch `k div windows`,
through a permutation keyed by (seed, source, epoch). Nothing else enters: not the number of
processes or steps, nor how often the run was restarted. The state of a run is one integer.

A mixture may change at any sequence number (`tokenizer.segments`): what came before stays as it
was, and every source goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenizer.files import join
from tokenizer.ledger import MixtureChange
from tokenizer.manifest import Split, TokensManifest
from tokenizer.mixture import block_counts
from tokenizer.permutation import key_of, keys_of, permute, unpermute
from tokenizer.segments import START, Segment
from tokenizer.shards import DTYPE, DocumentSpan, ShardReader

# Part of the function: raised whenever the same seed would give another order.
ORDER_VERSION = 1
OPEN_SHARDS = 64
# Slots are worked out so many at a time, which costs little more than one.
_STRETCH = 256
_CACHED_STRETCHES = 16


class Slot(NamedTuple):
    """What a sequence number stands for: a window of a source, in one of its epochs."""

    source: str
    epoch: int
    window: int


class Span(NamedTuple):
    """`n` tokens from `token_offset` of the manifest's shard number `shard_index`."""

    shard_index: int
    token_offset: int
    n: int


class _Stream:
    """A source's shards as one stream of tokens, cut into windows."""

    def __init__(self, manifest: TokensManifest, source: str, split: Split, seq_len: int) -> None:
        shards = manifest.select(source, split)
        self.shard_indices = [index for index, _ in shards]
        # Where each shard begins in the stream, and the stream's length.
        self.starts = np.zeros(len(shards) + 1, dtype=np.int64)
        np.cumsum([shard.tokens for _, shard in shards], out=self.starts[1:])
        self.tokens = int(self.starts[-1])
        self.windows = max(0, (self.tokens - 1) // seq_len)
        used = self.windows * seq_len + 1 if self.windows else 0
        self.dropped = self.tokens - used

    def spans(self, start: int, n: int) -> list[Span]:
        """The stretches of shards that hold tokens `start` to `start + n` of the stream."""
        spans = []
        k = int(np.searchsorted(self.starts, start, side="right")) - 1
        while n:
            take = min(n, int(self.starts[k + 1]) - start)
            if take:
                spans.append(Span(self.shard_indices[k], start - int(self.starts[k]), take))
            start, n, k = start + take, n - take, k + 1
        return spans


class DataOrder:
    """Which tokens sequence number g holds, for g = 0, 1, 2, ... without end.

    Attributes:
        seq_len: tokens that a sequence trains on (it holds one more).
        names: the sources, sorted; `slots` counts them in this order.
        block: sequences of each source in a block, before any change of the mixture.
        block_size: sequences in such a block; after each, the weights hold exactly.
        windows: windows of each source, which make one epoch of it.
        dropped_tokens: tokens at the end of each source's stream that are in no window.
    """

    def __init__(
        self,
        manifest: TokensManifest,
        root: str | os.PathLike[str],
        *,
        seq_len: int,
        seed: int,
        split: Split = "train",
        weights: Mapping[str, float] | None = None,
        changes: Sequence[MixtureChange] = (),
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """
        Args:
            manifest: what there is; its order of shards is the order of the streams.
            root: folder or fsspec URL that the shard paths start from.
            seq_len: tokens to predict in a sequence (the paper: 2048).
            seed: any integer; another seed gives another order.
            split: "train" or "valid".
            weights: share of training *sequences* per source; the manifest's proportions if None.
                Weight 0 leaves a source out.
            changes: further weights, each from a sequence number on (a ledger's `mixture`).
            cache_dir: where remote shards are cached.

        Raises:
            ValueError: weights that cannot be held, a source that is not in the manifest, or one
                that has a weight but not a single window.
        """
        if seq_len < 1:
            raise ValueError(f"seq_len {seq_len} must be at least 1")
        if weights is None:
            weights = {name: source.proportion for name, source in manifest.sources.items()}
        self.manifest, self.root, self.seed, self.split = manifest, os.fspath(root), seed, split
        self.seq_len = seq_len
        self._weights, self._changes, self._cache_dir = dict(weights), tuple(changes), cache_dir
        blocks = [block_counts(weights), *(block_counts(c.weights) for c in self._changes)]
        self.block = blocks[0]
        self.block_size = sum(self.block.values())
        self.names = sorted({name for block in blocks for name in block})
        self._streams = [self._stream(name) for name in self.names]
        self.windows = {n: s.windows for n, s in zip(self.names, self._streams, strict=True)}
        self.dropped_tokens = {n: s.dropped for n, s in zip(self.names, self._streams, strict=True)}
        # By name, not number: a source keeps its order when others come or go.
        self._source_keys = [key_of(ORDER_VERSION, seed, "source", name) for name in self.names]
        self._segments = self._cut(blocks)
        self._firsts = np.array([segment.first for segment in self._segments], dtype=np.int64)
        self._stretches = lru_cache(_CACHED_STRETCHES)(self._work_out_stretch)
        self._reader = lru_cache(OPEN_SHARDS)(self._open_shard)

    def _cut(self, blocks: Sequence[Mapping[str, int]]) -> list[Segment]:
        segments: list[Segment] = []
        firsts = [0, *(change.from_sequence for change in self._changes)]
        if any(a >= b for a, b in pairwise(firsts)):
            raise ValueError("mixture changes must come at rising sequence numbers above 0")
        for first, block in zip(firsts, blocks, strict=True):
            # The first segment's key has no number, so that a run without changes has the order
            # that it would have with some to come.
            place = (first,) if first else ()
            segments.append(
                Segment(
                    first,
                    np.array([block.get(name, 0) for name in self.names], dtype=np.int64),
                    key_of(ORDER_VERSION, self.seed, "block", *place),
                    segments[-1].cursors_at(first) if segments else (START,) * len(self.names),
                )
            )
        return segments

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (
            self.manifest,
            self.root,
            self.seq_len,
            self.seed,
            self.split,
            self._weights,
            self._changes,
            self._cache_dir,
        )

    def _stream(self, name: str) -> _Stream:
        if name not in self.manifest.sources:
            known = ", ".join(sorted(self.manifest.sources))
            raise ValueError(f"no source {name!r} in the manifest, which has {known}")
        stream = _Stream(self.manifest, name, self.split, self.seq_len)
        if not stream.windows:
            raise ValueError(
                f"{name!r} has a weight but only {stream.tokens} {self.split} tokens, and one "
                f"sequence needs {self.seq_len + 1}; give it weight 0 or a shorter seq_len"
            )
        return stream

    @property
    def weights(self) -> dict[str, float]:
        """The share of sequences that each source really has, before any change of the mixture."""
        return {name: count / self.block_size for name, count in self.block.items()}

    def slots(
        self, numbers: Sequence[int] | range | npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Source (an index into `names`), epoch and window of many sequence numbers.

        Returns:
            three int64 arrays of the shape (m,) of `numbers`.
        """
        asked: npt.NDArray[np.int64] = np.atleast_1d(np.asarray(numbers, dtype=np.int64))
        if asked.size and asked.min() < 0:
            raise ValueError(f"sequence number {asked.min()} is negative")
        sources, epochs, windows = (np.empty_like(asked) for _ in range(3))
        segment_of = np.searchsorted(self._firsts, asked, side="right") - 1
        for i, segment in enumerate(self._segments):
            here = np.flatnonzero(segment_of == i)
            if not here.size:
                continue
            sources[here], draws = segment.places(asked[here])
            for s, stream in enumerate(self._streams):
                mine = np.flatnonzero(sources[here] == s)
                ranks = segment.cursors[s].ranks(draws[mine])
                of = here[mine]
                epochs[of], inside_epoch = np.divmod(ranks, stream.windows)
                keys = keys_of(self._source_keys[s], epochs[of])
                windows[of] = permute(inside_epoch, stream.windows, keys)
        return sources, epochs, windows

    def _work_out_stretch(self, number: int) -> list[Slot]:
        first = number * _STRETCH
        sources, epochs, windows = self.slots(range(first, first + _STRETCH))
        rows = zip(sources.tolist(), epochs.tolist(), windows.tolist(), strict=True)
        return [Slot(self.names[s], epoch, window) for s, epoch, window in rows]

    def slot(self, g: int) -> Slot:
        """What sequence number `g` (0 or more) stands for."""
        if g < 0:
            raise ValueError(f"sequence number {g} is negative")
        stretch, inside = divmod(int(g), _STRETCH)
        return self._stretches(stretch)[inside]

    def inverse(self, slot: Slot) -> int:
        """The sequence number that stands for `slot`: `inverse(slot(g)) == g`.

        Raises:
            ValueError: no such source, epoch or window, or it is never seen because a change of the
                mixture leaves the source out before.
        """
        source, epoch, window = slot
        if source not in self.names:
            raise ValueError(f"no source {source!r} in this order")
        s = self.names.index(source)
        n = self._streams[s].windows
        if epoch < 0 or not 0 <= window < n:
            raise ValueError(f"{source}: no window {window} of {n} in epoch {epoch}")
        key = keys_of(self._source_keys[s], np.array([epoch]))
        rank = epoch * n + int(unpermute(np.array([window]), n, key)[0])
        ends = [*self._firsts[1:].tolist(), None]
        for segment, end in zip(self._segments, ends, strict=True):
            number = segment.number(s, rank)
            if number is not None and (end is None or number < end):
                return number
        raise ValueError(f"{source}: window {window} of epoch {epoch} never comes in this mixture")

    def spans(self, g: int) -> list[Span]:
        """The stretches of shards that hold the `seq_len + 1` tokens of sequence `g`, in order."""
        slot = self.slot(g)
        stream = self._streams[self.names.index(slot.source)]
        return stream.spans(slot.window * self.seq_len, self.seq_len + 1)

    def tokens(self, g: int) -> npt.NDArray[np.int64]:
        """The ids of sequence `g`: int64 of shape (seq_len + 1,).

        Inputs are all but the last, labels all but the first.

        Raises:
            ValueError: a shard is missing, of another size than the manifest says, or holds an id
                outside the vocabulary.
        """
        parts = [self._reader(shard).tokens(offset, n) for shard, offset, n in self.spans(g)]
        return np.concatenate(parts).astype(np.int64)

    def batch(self, numbers: Sequence[int] | range) -> npt.NDArray[np.int64]:
        """The ids of several sequences: int64 of shape (len(numbers), seq_len + 1)."""
        return np.stack([self.tokens(g) for g in numbers])

    def documents(self, g: int) -> list[tuple[int, DocumentSpan]]:
        """The documents that sequence `g` holds parts of, in order, each with its shard's index."""
        return [
            (shard, document)
            for shard, offset, n in self.spans(g)
            for document in self._reader(shard).documents_in(offset, n)
        ]

    def windows_of(self, shard_index: int, start: int, n: int) -> range:
        """The windows that hold any of tokens `start` to `start + n` of a shard.

        With `inverse` this tells when a document is seen: one sequence per window and epoch. The
        range is empty for tokens in the dropped end of the stream.
        """
        for stream in self._streams:
            if shard_index in stream.shard_indices:
                first = int(stream.starts[stream.shard_indices.index(shard_index)]) + start
                # Window w holds tokens w * seq_len to w * seq_len + seq_len, both included.
                low = max(0, -(-(first - self.seq_len) // self.seq_len))
                high = min(stream.windows, (first + n - 1) // self.seq_len + 1)
                return range(low, max(low, high))
        raise ValueError(f"shard {shard_index} is of no source of this order")

    def digest(self, g: int) -> int:
        """A 64-bit digest of the number `g` and its ids.

        The sum modulo 2**64 over the sequences of a step is the same however they were dealt to
        processes, so equal sums mean equal data.
        """
        return self.digest_of(g, self.tokens(g))

    @staticmethod
    def digest_of(g: int, tokens: npt.NDArray[np.integer]) -> int:
        """`digest` of tokens that were read already."""
        content = int(g).to_bytes(8, "little") + tokens.astype(DTYPE).tobytes()
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")

    def epochs_after(self, sequences: int) -> dict[str, float]:
        """How often each source was seen after so many sequences (exact at the end of a block)."""
        seen = np.zeros(len(self.names))
        ends = [*self._firsts[1:].tolist(), None]
        for segment, end in zip(self._segments, ends, strict=True):
            until = sequences if end is None else min(end, sequences)
            seen += max(0, until - segment.first) * segment.counts / segment.size
        return {n: float(k) / self.windows[n] for n, k in zip(self.names, seen, strict=True)}

    def _open_shard(self, shard_index: int) -> ShardReader:
        shard = self.manifest.shards[shard_index]
        reader = ShardReader(
            join(self.root, shard.path),
            vocab_size=self.manifest.vocab_size,
            cache_dir=self._cache_dir,
        )
        if reader.size != shard.tokens:
            raise ValueError(
                f"{reader.path}: {reader.size} tokens, but the manifest says {shard.tokens}"
            )
        return reader


def _rebuild(
    manifest: TokensManifest,
    root: str,
    seq_len: int,
    seed: int,
    split: Split,
    weights: dict[str, float],
    changes: tuple[MixtureChange, ...],
    cache_dir: str | None,
) -> DataOrder:
    return DataOrder(
        manifest,
        root,
        seq_len=seq_len,
        seed=seed,
        split=split,
        weights=weights,
        changes=changes,
        cache_dir=cache_dir,
    )
