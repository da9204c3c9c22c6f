"""The data order is a function, so that no window comes twice in an epoch is a property of it.

What is looked at is the function that training uses, on the shards that are there. Sources of up to
a million windows are gone through one by one; of larger ones a sample is mapped there and back, and
that is what the report says. The sources' mixing into blocks is gone through for the beginning of a
run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.seal import Problem
from tokenizer.ledger import MixtureChange
from tokenizer.manifest import TokensManifest
from tokenizer.order import ORDER_VERSION, DataOrder, Slot
from tokenizer.permutation import key_of, keys_of, permute, unpermute

SEQ_LEN = 2048
"""Of the paper; sources too short for one such sequence are looked at with a shorter one."""

EXHAUSTIVE = 1 << 20
_SAMPLE = 1 << 16
_SEQUENCES = 1 << 18
_EPOCHS = 2
_WINDOWS = 16  # of the shortest source, where it is too short for one of the length asked for


@dataclass(frozen=True)
class Looked:
    """What was looked at, one line for people, and what was wrong."""

    note: str
    problems: tuple[Problem, ...]


def look(
    manifest: TokensManifest,
    root: str,
    seq_len: int = SEQ_LEN,
    seed: int = 0,
    changes: Sequence[MixtureChange] = (),
) -> Looked | None:
    """Checks the order of the train split; None if no source has two tokens.

    Raises ValueError for weights or changes that the order refuses.
    """
    weights = {
        name: source.proportion
        for name, source in manifest.sources.items()
        if source.proportion and source.tokens > 1
    }
    if not weights:
        return None
    shortest = min(manifest.sources[name].tokens for name in weights)
    if shortest <= seq_len:
        seq_len = max(1, shortest // _WINDOWS)
    order = DataOrder(manifest, root, seq_len=seq_len, seed=seed, weights=weights, changes=changes)
    problems: list[str] = []
    told = []
    for name in order.names:
        n = order.windows[name]
        problems += _permutation(name, n, seed)
        how = "all" if n <= EXHAUSTIVE else f"a sample of {_SAMPLE:,}"
        told.append(f"{name} {n:,} ({how})")
        problems += _tiles(order, manifest, name)
    upto, found = _sequences(order, whole_epochs=not changes)
    problems += found
    note = (
        f"order: windows of {seq_len:,} tokens, seed {seed}, {_EPOCHS} epochs of each source"
        f" looked at: {', '.join(told)}; and the first {upto:,} sequences of a run"
    )
    return Looked(note, tuple(Problem(root, p) for p in problems))


def _permutation(name: str, n: int, seed: int) -> Iterator[str]:
    """Each epoch holds every window once: one to one and onto 0 to n - 1."""
    base = key_of(ORDER_VERSION, seed, "source", name)
    for epoch in range(_EPOCHS):
        key = keys_of(base, np.array([epoch]))
        if n <= EXHAUSTIVE:
            images = permute(np.arange(n), n, key)
            if len(np.unique(images)) != n or images.min() < 0 or images.max() >= n:
                yield f"{name}: a window comes twice in epoch {epoch}"
        else:
            asked = np.random.default_rng(epoch).integers(0, n, _SAMPLE)
            images = permute(asked, n, key)
            if not np.array_equal(unpermute(images, n, key), asked):
                yield f"{name}: windows of epoch {epoch} cannot be told apart"


def _tiles(order: DataOrder, manifest: TokensManifest, name: str) -> Iterator[str]:
    """Windows cover the stream: what they and the dropped end hold is what there is."""
    n, tokens = order.windows[name], manifest.sources[name].tokens
    if n * order.seq_len + 1 + order.dropped_tokens[name] != tokens:
        yield f"{name}: {n} windows and the end do not add up to {tokens} tokens"


def _sequences(order: DataOrder, whole_epochs: bool) -> tuple[int, list[str]]:
    """Goes through the first blocks of a run: no slot twice, epochs that ended are whole, and the
    inverse leads back."""
    upto = min(_SEQUENCES, _EPOCHS * sum(order.windows.values()))
    upto = max(1, upto // order.block_size) * order.block_size
    sources, epochs, windows = order.slots(range(upto))
    problems = []
    slots = np.stack([sources, epochs, windows])
    if np.unique(slots, axis=1).shape[1] != upto:
        problems.append("two sequences of the run hold the same window in the same epoch")
    for s, name in enumerate(order.names if whole_epochs else ()):
        mine = epochs[sources == s]
        for epoch in range(int(mine.max())) if mine.size else ():
            if np.count_nonzero(mine == epoch) != order.windows[name]:
                problems.append(f"{name}: epoch {epoch} lacks windows")
    for g in np.random.default_rng(0).integers(0, upto, min(upto, 200)).tolist():
        slot = Slot(order.names[sources[g]], int(epochs[g]), int(windows[g]))
        if order.inverse(slot) != g:
            problems.append(f"sequence {g} does not come back from its window")
    return upto, problems
