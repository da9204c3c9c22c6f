"""The data order as a function: sequence number -> which tokens, in O(1), nothing stored.

A *window* is `seq_len + 1` tokens of a source's concatenated stream, at stride `seq_len`: windows
overlap by one, so each token but the first is a label exactly once. What is left at the end of a
stream is too short for a window and is dropped, and counted.

Sequences come in *blocks* that hold the proportions exactly. Inside a block a keyed permutation
mixes the sources. The k-th sequence of a source is window `k mod windows` of epoch `k div windows`,
through a permutation keyed by (seed, source, epoch). Nothing else enters: not the number of
processes or steps, nor how often the run was restarted. The state of a run is one integer.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenizer.files import join
from tokenizer.manifest import Split, TokensManifest
from tokenizer.mixture import block_counts
from tokenizer.permutation import key_of, keys_of, permute, unpermute
from tokenizer.shards import DTYPE, DocumentSpan, ShardReader

# Part of the function: raised whenever the same seed would give another order.
ORDER_VERSION = 1
OPEN_SHARDS = 64
_CACHED_BLOCKS = 16


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
        block: sequences of each source in a block, sorted by source.
        block_size: sequences in a block; after each, the weights hold exactly.
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
        self.block = block_counts(weights)
        self.block_size = sum(self.block.values())
        self._weights, self._cache_dir = dict(weights), cache_dir
        self._names = list(self.block)
        self._counts = np.array(list(self.block.values()), dtype=np.int64)
        self._starts = np.cumsum(self._counts) - self._counts
        self._streams = [self._stream(name) for name in self._names]
        self.windows = {n: s.windows for n, s in zip(self._names, self._streams, strict=True)}
        self.dropped_tokens = {
            n: s.dropped for n, s in zip(self._names, self._streams, strict=True)
        }
        self._block_key = key_of(ORDER_VERSION, seed, "block")
        # By name, not number: a source keeps its order when others come or go.
        self._source_keys = [key_of(ORDER_VERSION, seed, "source", name) for name in self._names]
        self._block_slots = lru_cache(_CACHED_BLOCKS)(self._work_out_block)
        self._reader = lru_cache(OPEN_SHARDS)(self._open_shard)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (
            self.manifest,
            self.root,
            self.seq_len,
            self.seed,
            self.split,
            self._weights,
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
        """The share of sequences that each source really has."""
        return {name: count / self.block_size for name, count in self.block.items()}

    def slots(
        self, numbers: Sequence[int] | npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Source (an index into `list(order.block)`), epoch and window of many sequence numbers.

        Returns:
            three int64 arrays of the shape (m,) of `numbers`.
        """
        numbers = np.atleast_1d(np.asarray(numbers, dtype=np.int64))
        if numbers.size and numbers.min() < 0:
            raise ValueError(f"sequence number {numbers.min()} is negative")
        blocks, inside = np.divmod(numbers, self.block_size)
        places = permute(inside, self.block_size, keys_of(self._block_key, blocks))
        sources = np.searchsorted(self._starts, places, side="right") - 1
        epochs, windows = np.empty_like(numbers), np.empty_like(numbers)
        for s, stream in enumerate(self._streams):
            of = np.flatnonzero(sources == s)
            rank = blocks[of] * self._counts[s] + places[of] - self._starts[s]
            epochs[of], inside_epoch = np.divmod(rank, stream.windows)
            keys = keys_of(self._source_keys[s], epochs[of])
            windows[of] = permute(inside_epoch, stream.windows, keys)
        return sources, epochs, windows

    def _work_out_block(self, block: int) -> list[Slot]:
        sources, epochs, windows = self.slots(
            np.arange(block * self.block_size, (block + 1) * self.block_size)
        )
        rows = zip(sources.tolist(), epochs.tolist(), windows.tolist(), strict=True)
        return [Slot(self._names[s], epoch, window) for s, epoch, window in rows]

    def slot(self, g: int) -> Slot:
        """What sequence number `g` (0 or more) stands for."""
        if g < 0:
            raise ValueError(f"sequence number {g} is negative")
        block, inside = divmod(int(g), self.block_size)
        return self._block_slots(block)[inside]

    def inverse(self, slot: Slot) -> int:
        """The sequence number that stands for `slot`: `inverse(slot(g)) == g`.

        Raises:
            ValueError: no such source, epoch or window.
        """
        source, epoch, window = slot
        if source not in self.block:
            raise ValueError(f"no source {source!r} in this order")
        s = self._names.index(source)
        n = self._streams[s].windows
        if epoch < 0 or not 0 <= window < n:
            raise ValueError(f"{source}: no window {window} of {n} in epoch {epoch}")
        key = keys_of(self._source_keys[s], np.array([epoch]))
        rank = epoch * n + int(unpermute(np.array([window]), n, key)[0])
        block, place = divmod(rank, self.block[source])
        key = keys_of(self._block_key, np.array([block]))
        inside = unpermute(np.array([place + self._starts[s]]), self.block_size, key)
        return block * self.block_size + int(inside[0])

    def spans(self, g: int) -> list[Span]:
        """The stretches of shards that hold the `seq_len + 1` tokens of sequence `g`, in order."""
        slot = self.slot(g)
        stream = self._streams[self._names.index(slot.source)]
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
        return {
            name: sequences * count / self.block_size / self.windows[name]
            for name, count in self.block.items()
        }

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
    cache_dir: str | None,
) -> DataOrder:
    return DataOrder(
        manifest,
        root,
        seq_len=seq_len,
        seed=seed,
        split=split,
        weights=weights,
        cache_dir=cache_dir,
    )
