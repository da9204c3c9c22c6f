"""From pairs of numbered nodes to who stays, in arrays: for as many nodes as memory has room for.

Nodes are numbered by preference: of two duplicates the one of the lower number stays. Both ways
depend on the set of pairs only, not on their order. For few nodes of any kind there is
`stages.dedup.groups`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
Nodes = npt.NDArray[np.signedinteger]

_LOOP = 1 << 16
_BLOCK = 1 << 18


def node_type(nodes: int) -> type[np.signedinteger]:
    """The smallest type that numbers so many nodes: 4 bytes, from 2^31 nodes on 8."""
    return np.int32 if nodes < 1 << 31 else np.int64


def lowest_connected(nodes: int, pairs: Iterable[tuple[Nodes, Nodes]]) -> Nodes:
    """For each node the lowest of its connected component, itself where it is in no pair.

    `pairs` come in chunks and are read once. Memory: 4 bytes a node (`node_type`), and a few times
    one chunk. This is union-find with whole arrays: the roots of a chunk's pairs are found by
    following parents, each higher root is hung below the lowest root that it is paired with, until
    no pair of the chunk has two roots (as the algorithms of Liu and Tarjan 2019 do). A parent is
    always lower than its child, so there are no cycles, and a root is the lowest of its tree.
    """
    parent: Nodes = np.arange(nodes, dtype=node_type(nodes))
    for a, b in pairs:
        one, other = _roots(parent, a), _roots(parent, b)
        parent[a], parent[b] = one, other
        while len(one):
            apart = one != other
            one, other = one[apart], other[apart]
            high = np.maximum(one, other)
            np.minimum.at(parent, high, np.minimum(one, other))
            _shorten(parent, high)
            one, other = parent[one], parent[other]
    for start in range(0, nodes, _BLOCK):
        _shorten(parent, slice(start, start + _BLOCK))  # whose parents before it are roots by now
    return parent


def _roots(parent: Nodes, nodes: Nodes) -> Nodes:
    found = parent[nodes]
    while True:
        above = parent[found]
        if np.array_equal(above, found):
            return found
        found = above


def _shorten(parent: Nodes, nodes: Nodes | slice) -> None:
    """Hangs nodes directly below their roots. Where all nodes on the ways up are given, each round
    halves the ways."""
    while True:
        above = parent[parent[nodes]]
        if np.array_equal(above, parent[nodes]):
            return
        parent[nodes] = above


def lowest_staying(nodes: int, pairs: Iterable[tuple[Nodes, Nodes]]) -> Nodes:
    """For each node that leaves the lowest of its neighbours that stay; itself where it stays.

    Nodes are judged from the lowest up; one leaves if a neighbour stays already. So whatever leaves
    has a duplicate that stays, and no two that stay are a pair. Memory: 24 bytes a pair and
    8 a node.
    """
    chunks = [
        np.maximum(a, b).astype(np.int64) * nodes + np.minimum(a, b).astype(np.int64)
        for a, b in pairs
    ]
    # In the order of the higher node, so that its lower neighbours are all judged before it.
    keys = np.concatenate(chunks) if chunks else np.empty(0, np.int64)
    keys.sort()
    stays_for: Nodes = np.arange(nodes, dtype=node_type(nodes))
    leaves = bytearray(nodes)
    for start in range(0, len(keys), _LOOP):
        part = keys[start : start + _LOOP]
        for high, low in zip((part // nodes).tolist(), (part % nodes).tolist(), strict=True):
            if low != high and not leaves[low] and not leaves[high]:
                leaves[high] = 1
                stays_for[high] = low
    return stays_for
