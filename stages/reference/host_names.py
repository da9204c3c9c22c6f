"""What the name of a page's host alone tells of its class: a linear model over letters.

A classifier whose test domains are unseen can still profit from names (`.edu`, `shop`, `archive`)
where they are written in the text; this baseline says how much a name is worth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from stages.dedup.runs import I64

F64 = npt.NDArray[np.float64]

_BUCKETS = 1 << 16
_LENGTHS = (2, 3, 4)
_MOST_HOSTS = 20_000
_PASSES = 200
_STEP, _MOMENTUM, _DECAY = 4.0, 0.9, 1e-4


def features(host: str) -> I64:
    """Distinct buckets of the n-grams of 2 to 4 characters, of each label and of the top-level
    domain, of a host name."""
    name = host.removeprefix("www.")
    labels = name.split(".")
    shown = f"<{name}>"
    grams = {shown[i : i + n] for n in _LENGTHS for i in range(len(shown) - n + 1)}
    grams |= {f"label:{label}" for label in labels} | {f"tld:{labels[-1]}"}
    hashes = sorted(xxhash.xxh3_64_intdigest(g.encode("utf-8", "replace")) for g in grams)
    return np.unique(np.asarray([h % _BUCKETS for h in hashes], dtype=np.int64))


def name_scores(names: Sequence[str], train: I64, references: I64, pages: I64, asked: I64) -> F64:
    """P(reference) by the name alone.

    Args:
        names: of hosts.
        train: numbers (in `names`) of the hosts to learn from, each once; the first 20,000 count.
        references: how many of the pages of each of `train` are references.
        pages: how many pages each of `train` has.
        asked: numbers of the hosts to judge.

    Returns:
        float64, one for each of `asked`.
    """
    if not len(train) or not len(asked):
        return np.full(len(asked), 0.5)
    train, references, pages = (a[:_MOST_HOSTS] for a in (train, references, pages))
    weights, bias = _fit([names[i] for i in train], references / pages, np.sqrt(pages))
    which, back = np.unique(asked, return_inverse=True)
    found = [bias + weights[f].sum() / np.sqrt(len(f)) for f in (features(names[i]) for i in which)]
    return _sigmoid(np.asarray(found, dtype=np.float64))[back.reshape(-1)]


def _fit(hosts: Sequence[str], shares: F64, importance: F64) -> tuple[F64, float]:
    """Logistic regression by gradient descent with momentum; rows of features have length 1."""
    rows = [features(host) for host in hosts]
    lengths = np.asarray([len(row) for row in rows])
    flat = np.concatenate(rows)
    starts = np.cumsum(lengths) - lengths
    scale = 1 / np.sqrt(lengths)
    importance = importance / importance.sum()
    weights, speed = np.zeros(_BUCKETS), np.zeros(_BUCKETS)
    bias = bias_speed = 0.0
    for _ in range(_PASSES):
        said = _sigmoid(np.add.reduceat(weights[flat], starts) * scale + bias)
        error = (said - shares) * importance
        slope = np.bincount(flat, np.repeat(error * scale, lengths), _BUCKETS)
        speed = _MOMENTUM * speed - _STEP * (slope + _DECAY * weights)
        bias_speed = _MOMENTUM * bias_speed - _STEP * float(error.sum())
        weights += speed
        bias += bias_speed
    return weights, bias


def _sigmoid(x: F64) -> F64:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -50, 50))), dtype=np.float64)
