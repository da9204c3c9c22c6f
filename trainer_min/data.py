"""From a corpus folder to the tensors of a step.

The order of the data is `tokenizer.order`'s function of the sequence number; step s trains on
sequences (s - 1) * batch to s * batch - 1. No worker processes: a step reads a few kilobytes, and
one thread has them ready before they are asked for.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tokenizer import manifest as manifests
from tokenizer.files import file_system, join
from tokenizer.ledger import EMPTY, Ledger
from tokenizer.manifest import Shard, Split, TokensManifest
from tokenizer.order import ORDER_VERSION, DataOrder
from tokenizer.shards import DTYPE, ShardReader
from trainer_min.errors import RefusedError

TOKENIZER = "tokenizer.model"
_VERIFY_BYTES = 1_000_000_000

MASK = ".mask"
"""Ending of the file beside a shard that says which tokens are labels: one byte each, 1 or 0."""

IGNORED = -100
"""Label of a position that has no part in the loss."""


@dataclass(frozen=True)
class Corpus:
    """A checked manifest, where it lies, and its identity (sha256 of the manifest)."""

    root: str
    manifest: TokensManifest
    sha256: str

    def order(
        self,
        *,
        seq_len: int,
        seed: int,
        split: Split,
        weights: Mapping[str, float] | None,
        ledger: Ledger = EMPTY,
    ) -> DataOrder:
        """The data order of a split, with the ledger's changes of the mixture.

        Raises:
            RefusedError: the split cannot give sequences of this length with these weights.
        """
        try:
            return DataOrder(
                self.manifest,
                self.root,
                seq_len=seq_len,
                seed=seed,
                split=split,
                weights=weights,
                changes=ledger.mixture,
            )
        except ValueError as error:
            raise RefusedError(f"{self.root}: {error}") from error

    def windows(self, source: str, split: Split, seq_len: int) -> int:
        """Sequences of `seq_len` tokens and the label after them in one epoch of a source."""
        tokens = sum(shard.tokens for _, shard in self.manifest.select(source, split))
        return max(0, tokens - 1) // seq_len

    def facts(self) -> dict[str, object]:
        """What a checkpoint keeps, to refuse another corpus."""
        return {
            "corpus": self.sha256,
            "tokenizer": self.manifest.tokenizer_sha256,
            "order_version": ORDER_VERSION,
        }


def open_corpus(path: str | os.PathLike[str]) -> Corpus:
    """Reads the manifest of a work folder or of its `tokens/` folder.

    Raises:
        RefusedError: there is none, or it does not hold together.
    """
    try:
        manifest = manifests.load(path)
        root = manifests.root_of(path)
    except (ValueError, OSError) as error:
        raise RefusedError(str(error)) from error
    return Corpus(root, manifest, hashlib.sha256(manifest.to_json()).hexdigest())


def differences(
    corpus: Corpus,
    *,
    vocab_size: int,
    padded: bool,
    seq_len: int,
    weights: Mapping[str, float] | None,
    verify: bool | None,
) -> list[str]:
    """Why a run cannot train on this corpus, one line each; empty if it can.

    Args:
        vocab_size: rows of the model's embedding.
        padded: whether more rows than the corpus has ids are fine.
        weights: shares asked for, or None for the manifest's proportions.
        verify: read every shard and compare its sha256, not its size alone; None: if there is not
            more than 1 GB of them.
    """
    manifest, found = corpus.manifest, []
    if verify is None:
        verify = sum(shard.tokens for shard in manifest.shards) * DTYPE.itemsize <= _VERIFY_BYTES
    if problem := _tokenizer_problem(corpus):
        found.append(problem)
    if vocab_size < manifest.vocab_size or (vocab_size > manifest.vocab_size and not padded):
        found.append(f"vocabulary: corpus {manifest.vocab_size}, model {vocab_size}")
    shares = weights or {name: source.proportion for name, source in manifest.sources.items()}
    if not any(shares.values()):
        found.append("no source has a share above 0")
    for name in sorted(name for name, share in shares.items() if share > 0):
        if name not in manifest.sources:
            found.append(f"source {name}: asked for, corpus has {', '.join(manifest.sources)}")
        elif not corpus.windows(name, "train", seq_len):
            found.append(
                f"source {name}: {manifest.sources[name].tokens} training tokens, "
                f"one sequence needs {seq_len + 1}"
            )
    for shard in manifest.shards:
        url = join(corpus.root, shard.path)
        fs, file = file_system(url)
        if not fs.isfile(file):
            found.append(f"shard {shard.path}: listed in the manifest, no such file")
        elif (size := fs.size(file)) != shard.tokens * DTYPE.itemsize:
            found.append(
                f"shard {shard.path}: manifest {shard.tokens * DTYPE.itemsize} bytes, file {size}"
            )
        elif shard.mask_sha256 is not None and (problem := _mask_problem(corpus, shard, verify)):
            found.append(problem)
        elif verify and (actual := ShardReader(url).sha256()) != shard.sha256:
            found.append(f"shard {shard.path}: manifest sha256 {shard.sha256}, file {actual}")
    return found


def _tokenizer_problem(corpus: Corpus) -> str | None:
    """The tokenizer beside the shards, if there is one, must be the one that made them."""
    url = join(corpus.root, TOKENIZER)
    fs, file = file_system(url)
    if not fs.isfile(file):
        return None
    actual = hashlib.sha256(fs.cat_file(file)).hexdigest()
    wanted = corpus.manifest.tokenizer_sha256
    return None if actual == wanted else f"tokenizer: manifest sha256 {wanted}, {url} {actual}"


def _mask_problem(corpus: Corpus, shard: Shard, verify: bool) -> str | None:
    path = shard.path.removesuffix(".bin") + MASK
    fs, file = file_system(join(corpus.root, path))
    if not fs.isfile(file) or fs.size(file) != shard.tokens:
        return f"mask {path}: manifest {shard.tokens} bytes, file " + (
            f"{fs.size(file)}" if fs.isfile(file) else "missing"
        )
    if verify and (actual := hashlib.sha256(fs.cat_file(file)).hexdigest()) != shard.mask_sha256:
        return f"mask {path}: manifest sha256 {shard.mask_sha256}, file {actual}"
    return None


@dataclass(frozen=True)
class Batch:
    """One process's part of a step.

    Attributes:
        numbers: the sequences that are trained on; rows after them are fillers.
        inputs, labels: int64, shape (rows, seq_len); labels that do not count are `IGNORED`.
        digest: of the numbers and tokens trained on.
        problem: why it could not be read (an id outside the vocabulary, a shard cut short); the
            batch then has no labels. It is a value because all processes must stop together.
    """

    numbers: tuple[int, ...]
    inputs: Tensor
    labels: Tensor
    digest: int
    problem: str | None = None


def read(order: DataOrder, sequences: range, rows: int, ledger: Ledger = EMPTY) -> Batch:
    """Reads sequences but the quarantined ones, filled up to `rows` with rows without labels.

    All processes must run the same number of passes, also where their shares differ by one; the
    fillers cost time on some of them and change neither the loss nor the gradient.
    """
    numbers = [
        g for g, out in zip(sequences, ledger.quarantined(sequences), strict=True) if not out
    ]
    problem, tokens, hidden = None, [], []
    try:
        tokens = [order.tokens(g) for g in numbers]
        hidden = [_hidden(order, g) for g in numbers]
    except (ValueError, OSError) as error:
        problem, numbers, tokens, hidden = str(error), [], [], []
    digest = sum(order.digest_of(g, t) for g, t in zip(numbers, tokens, strict=True))
    filler = np.zeros((rows - len(tokens), order.seq_len + 1), dtype=np.int64)
    whole = torch.from_numpy(np.concatenate((*(t[None] for t in tokens), filler)))
    labels = whole[:, 1:].clone()
    labels[len(tokens) :] = IGNORED
    for row, mask in enumerate(hidden):
        if mask is not None:
            labels[row][torch.from_numpy(mask[1:])] = IGNORED
    return Batch(tuple(numbers), whole[:, :-1].contiguous(), labels, digest % (1 << 64), problem)


def _hidden(order: DataOrder, g: int) -> npt.NDArray[np.bool_] | None:
    """Which of a sequence's tokens are no labels; None where its shards have no mask.

    Raises:
        ValueError: a mask is not as long as its shard.
    """
    spans = order.spans(g)
    shards = [order.manifest.shards[span.shard_index] for span in spans]
    if all(shard.mask_sha256 is None for shard in shards):
        return None
    parts = []
    for shard, span in zip(shards, spans, strict=True):
        if shard.mask_sha256 is None:
            parts.append(np.zeros(span.n, dtype=np.bool_))
            continue
        fs, path = file_system(join(order.root, shard.path.removesuffix(".bin") + MASK))
        found = fs.cat_file(path, start=span.token_offset, end=span.token_offset + span.n)
        if len(found) != span.n or fs.size(path) != shard.tokens:
            raise ValueError(f"{path}: not one byte for each of {shard.tokens} tokens")
        parts.append(np.frombuffer(found, dtype=np.uint8) == 0)
    return np.concatenate(parts)


class Steps:
    """The batches of a process's steps, each read by a thread while the step before is trained on.

    Use as a context manager. `waited` are the seconds that the last `take` had to wait.
    """

    def __init__(
        self, order: DataOrder, ledger: Ledger, *, batch: int, share: range, rows: int
    ) -> None:
        self._order, self._ledger = order, ledger
        self._batch, self._share, self._rows = batch, share, rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="data")
        self._ahead: tuple[int, Future[Batch]] | None = None
        self.waited = 0.0

    def numbers(self, step: int) -> range:
        """The sequence numbers of a step, of all processes."""
        return range((step - 1) * self._batch, step * self._batch)

    def take(self, step: int) -> Batch:
        """The batch of step `step` (from 1); begins to read the next one."""
        began = time.perf_counter()
        number, batch = self._ahead or (step, self._begin(step))
        if number != step:
            batch = self._begin(step)
        ready = batch.result()
        self.waited = time.perf_counter() - began
        self._ahead = (step + 1, self._begin(step + 1))
        return ready

    def _begin(self, step: int) -> Future[Batch]:
        numbers = self.numbers(step)[self._share.start : self._share.stop]
        return self._thread.submit(read, self._order, numbers, self._rows, self._ledger)

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
