"""From pairs of duplicates to who stays: connected groups, or direct domination.

Both depend on the set of pairs and the order of preference only, not on the order of the pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

N = TypeVar("N", bound=Hashable)


def connected(pairs: Iterable[tuple[N, N]]) -> dict[N, N]:
    """Every node of the pairs -> a node that stands for its connected group (union-find)."""
    parent: dict[N, N] = {}

    def root(node: N) -> N:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in pairs:
        ra, rb = root(a), root(b)
        if ra != rb:
            parent[ra] = rb
    return {node: root(node) for node in parent}


def keep_one_per_group(pairs: Iterable[tuple[N, N]], rank: Callable[[N], Any]) -> dict[N, N]:
    """Every node that leaves -> the node of its connected group that stays: the lowest in rank.

    A chain of duplicates is one group, so what leaves need not resemble what stays.
    """
    group = connected(pairs)
    best: dict[N, N] = {}
    for node, stands in group.items():
        if stands not in best or rank(node) < rank(best[stands]):
            best[stands] = node
    return {node: best[stands] for node, stands in group.items() if best[stands] != node}


def keep_dominating(pairs: Iterable[tuple[N, N]], rank: Callable[[N], Any]) -> dict[N, N]:
    """Every node that leaves -> the lowest in rank of its neighbours that stay.

    Nodes are judged from the lowest rank up; one leaves if a neighbour stays already. So whatever
    leaves has a duplicate that stays, and no two that stay are a pair.
    """
    neighbours: dict[N, set[N]] = {}
    for a, b in pairs:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    leaves: dict[N, N] = {}
    judged: set[N] = set()
    for node in sorted(neighbours, key=rank):
        staying = [n for n in neighbours[node] if n in judged and n not in leaves]
        if staying:
            leaves[node] = min(staying, key=rank)
        judged.add(node)
    return leaves
