"""Which pages a model is trained and tested on: pure functions over arrays, one entry a page.

Three things give a page's class away without a word of it being read: its domain, its length, and
how it was fetched (and in a corpus of several languages, the language). So domains are dealt to the
splits whole, and within each split there are as many random pages as references of each kind and
length.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from stages.dedup.runs import I64, U64, Bools

SPLITS = ("train", "valid", "test")
_BINS_PER_DOUBLING = 4
_RANGE = 1 << 64


@dataclass(frozen=True)
class Pages:
    """Arrays of one length. `key` orders pages (a keyed hash of the id, so any prefix is a random
    sample); `url` and `content` are hashes, equal for copies; `chars` is the length of what the
    classifier reads; `domain`, `host`, `tool` and `language` are small numbers; `split` is an index
    of SPLITS."""

    key: U64
    reference: Bools
    url: U64
    content: U64
    chars: I64
    domain: I64
    host: I64
    tool: I64
    language: I64
    split: I64

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: npt.NDArray[np.int64]) -> Pages:
        return Pages(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Choice:
    """Rows that are used, in the order of their keys; and why the others were left out."""

    rows: I64
    left_out: dict[str, int]


def split_of(domain: str, shares: tuple[float, float], seed: int) -> int:
    """Index in SPLITS of a registered domain; `shares` are those of valid and test."""
    place = xxhash.xxh3_64_intdigest(domain.encode("utf-8", "replace"), seed) / _RANGE
    valid, test = shares
    return 2 if place < test else 1 if place < test + valid else 0


def length_bin(chars: I64) -> I64:
    """Four bins to each doubling of the length."""
    return np.floor(np.log2(np.maximum(chars, 1)) * _BINS_PER_DOUBLING).astype(np.int64)


def distinct(pages: Pages) -> tuple[I64, dict[str, int]]:
    """Rows of which no URL and no text is there twice; a reference goes before a random page,
    so that no text is taught as both."""
    order = np.lexsort((pages.key, ~pages.reference))
    left: Counter[str] = Counter()
    for name, values in (("same_url", pages.url), ("same_text", pages.content)):
        first = np.sort(np.unique(values[order], return_index=True)[1])
        left[name] += len(order) - len(first)
        order = order[first]
    return order.astype(np.int64), dict(left)


def capped(pages: Pages, rows: I64, most: int) -> tuple[I64, int]:
    """Without references of a domain beyond the first `most` by key."""
    mine = rows[pages.reference[rows]]
    order = mine[np.lexsort((pages.key[mine], pages.domain[mine]))]
    place = _place_in_group(pages.domain[order])
    over = order[place >= most]
    return rows[~np.isin(rows, over)], len(over)


def matched(pages: Pages, rows: I64, random_per_reference: int) -> tuple[I64, dict[str, int]]:
    """Rows such that each class has the same shares of split, tool, language and length.

    Of a group with r references and n random pages, min(r, n // ratio) references stay, with
    `ratio` times as many random pages.
    """
    if not len(rows):
        return rows, {"unmatched_references": 0, "unmatched_random": 0}
    groups = np.stack(
        [
            pages.split[rows],
            pages.tool[rows],
            pages.language[rows],
            length_bin(pages.chars[rows]),
        ],
        axis=1,
    )
    _, group = np.unique(groups, axis=0, return_inverse=True)
    group = group.reshape(-1)
    size = int(group.max()) + 1
    is_reference = pages.reference[rows]
    references = np.bincount(group[is_reference], minlength=size)
    others = np.bincount(group[~is_reference], minlength=size)
    keep = np.minimum(references, others // random_per_reference)
    wanted = {True: keep, False: keep * random_per_reference}
    chosen: list[I64] = []
    left: dict[str, int] = {}
    for label, name in ((True, "unmatched_references"), (False, "unmatched_random")):
        mine = np.flatnonzero(is_reference == label)
        mine = mine[np.lexsort((pages.key[rows[mine]], group[mine]))]
        stays = _place_in_group(group[mine]) < wanted[label][group[mine]]
        chosen.append(rows[mine[stays]])
        left[name] = int((~stays).sum())
    found = np.concatenate(chosen)
    return found[np.argsort(pages.key[found], kind="stable")], left


def choose(pages: Pages, min_chars: int, max_per_domain: int, random_per_reference: int) -> Choice:
    """What is trained and tested on."""
    long_enough = np.flatnonzero(pages.chars >= min_chars).astype(np.int64)
    left: dict[str, int] = {"too_short": len(pages) - len(long_enough)}
    rows, copies = distinct(pages.take(long_enough))
    left |= copies
    rows, over = capped(pages, long_enough[rows], max_per_domain)
    left["over_the_domain_cap"] = over
    rows, unmatched = matched(pages, rows, random_per_reference)
    return Choice(rows, left | unmatched)


def length_scores(train: Pages, test: Pages) -> npt.NDArray[np.float64]:
    """What a classifier that knows the length alone says of `test`: the share of references among
    training pages of about that length. Up to twenty lengths with equally many pages, fifty at
    least, one page added of each class."""
    lengths = max(2, min(20, len(train) // 50))
    edges = np.unique(np.quantile(train.chars, np.linspace(0, 1, lengths + 1)[1:-1]))
    return _shares(
        np.searchsorted(edges, train.chars), train.reference, np.searchsorted(edges, test.chars)
    )


def domain_scores(train: Pages, test: Pages) -> npt.NDArray[np.float64]:
    """The same for a classifier that knows the domain alone; unseen ones get one half."""
    return _shares(train.domain, train.reference, test.domain)


def domain_scores_within(pages: Pages) -> npt.NDArray[np.float64]:
    """What the domain alone would say of each page if pages, not domains, were dealt to the splits:
    the share of references among the domain's other pages."""
    size = int(pages.domain.max()) + 1 if len(pages) else 0
    hits = np.bincount(pages.domain, weights=pages.reference, minlength=size)[pages.domain]
    all_ = np.bincount(pages.domain, minlength=size)[pages.domain]
    return np.asarray((hits - pages.reference + 1) / (all_ - 1 + 2), dtype=np.float64)


def _shares(seen: I64, labels: Bools, asked: I64) -> npt.NDArray[np.float64]:
    size = int(max(seen.max(initial=0), asked.max(initial=0))) + 1
    hits = np.bincount(seen, weights=labels, minlength=size)
    all_ = np.bincount(seen, minlength=size)
    return np.asarray(((hits + 1) / (all_ + 2))[asked], dtype=np.float64)


def _place_in_group(groups: I64) -> I64:
    """Per entry of a sorted array, how many equal ones stand before it."""
    if not len(groups):
        return np.empty(0, np.int64)
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    lengths = np.diff(np.append(starts, len(groups)))
    return np.arange(len(groups)) - np.repeat(starts, lengths)
