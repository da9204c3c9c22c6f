"""The joins of a BPE model whose file holds pieces with scores: which two pieces make which third.

Every cut of every piece is a candidate, some 160,000 for 32,000 pieces, of which a third are joins.
So cuts are looked up by hashes of their halves, in arrays; that is what an encoder's start takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

_Hashes = npt.NDArray[np.uint64]

# Odd, so that no power of it is 0 modulo 2**64.
_BASE = 0x9E3779B97F4A7C15
_BITS = 20
_REST = np.uint64(64 - _BITS)


def merges(
    pieces: Sequence[str], ids: Mapping[str, int], scores: Sequence[float]
) -> list[list[str]]:
    """All pairs of pieces that make another one when joined, best first.

    By the score of the joined piece, highest first, then its id, then the id of the left half.

    Args:
        pieces: those that text can be made of, each once.
        ids: the id of each piece.
        scores: by id.
    """
    found = _by_hash(pieces, ids, scores)
    return by_slices(pieces, ids, scores) if found is None else found


def by_slices(
    pieces: Sequence[str], ids: Mapping[str, int], scores: Sequence[float]
) -> list[list[str]]:
    """The plain way: every half of every piece is made and looked up."""
    text = set(pieces)
    found = []
    for piece in sorted(text, key=lambda p: (-scores[ids[p]], ids[p])):
        cuts = range(1, len(piece))
        pairs = [
            [left, piece[i:]] for i in cuts if (left := piece[:i]) in text and piece[i:] in text
        ]
        found += sorted(pairs, key=lambda p: ids[p[0]])
    return found


def _by_hash(
    pieces: Sequence[str], ids: Mapping[str, int], scores: Sequence[float]
) -> list[list[str]] | None:
    """The same; None where two pieces have the same hash."""
    if not pieces:
        return []
    length = np.array([len(piece) for piece in pieces])
    heads, tails = _hashes("".join(pieces), length)
    whole = heads[np.cumsum(length) - 1]
    order = np.argsort(whole)
    known = whole[order]
    if (known[1:] == known[:-1]).any():
        return None
    owner = np.repeat(np.arange(len(length)), length)
    # The place of each left half's last character. Most cuts are ruled out by a few bits.
    cut = np.flatnonzero(owner[1:] == owner[:-1])
    seen = np.zeros(1 << _BITS, dtype=np.bool_)
    seen[known >> _REST] = True
    cut = cut[seen[heads[cut] >> _REST] & seen[tails[cut + 1] >> _REST]]
    left, right = (
        order[np.minimum(np.searchsorted(known, half), len(known) - 1)]
        for half in (heads[cut], tails[cut + 1])
    )
    number = np.array([ids[piece] for piece in pieces])
    score = np.array(scores)[number]
    joined = owner[cut]
    best_first = np.lexsort((number[left], number[joined], -score[joined]))
    columns = ([pieces[i] for i in c[best_first].tolist()] for c in (joined, left, right))
    return [[a, b] for piece, a, b in zip(*columns, strict=True) if a + b == piece]


def _hashes(text: str, length: npt.NDArray[np.int64]) -> tuple[_Hashes, _Hashes]:
    """Polynomial hashes of what each piece has up to and with each of its characters, and of what
    it has from there on; equal strings have equal ones.

    `text`: the pieces one after the other. Both have shape (characters of all,).
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    codes += np.uint64(1)  # A character 0 must count.
    longest_first = np.argsort(-length, kind="stable")
    sizes = length[longest_first]
    last = np.cumsum(length)[longest_first] - 1
    first = last - sizes + 1
    head, tail = np.zeros((2, len(length)), dtype=np.uint64)
    heads, tails = np.empty((2, len(codes)), dtype=np.uint64)
    for i in range(int(sizes[0])):
        n = int(np.searchsorted(-sizes, -i))  # Pieces longer than i.
        at = first[:n] + i
        head[:n] = heads[at] = head[:n] * np.uint64(_BASE) + codes[at]
        at = last[:n] - i
        tail[:n] = tails[at] = tail[:n] + codes[at] * np.uint64(pow(_BASE, i, 1 << 64))
    return heads, tails
