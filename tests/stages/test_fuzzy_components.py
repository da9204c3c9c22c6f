"""From pairs to who stays, in arrays: the same as the plain algorithms, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup.components import lowest_connected, lowest_staying, node_type
from stages.dedup.groups import keep_dominating, keep_one_per_group

NODES = 14
PAIRS = st.lists(
    st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)).filter(lambda p: p[0] != p[1]),
    max_size=30,
)


def chunks(pairs: list[tuple[int, int]], size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for i in range(0, len(pairs), size):
        part = np.array(pairs[i : i + size], dtype=np.int32)
        yield part[:, 0], part[:, 1]


def leaving(found: np.ndarray) -> dict[int, int]:
    return {i: int(s) for i, s in enumerate(found) if i != s}


@settings(max_examples=150, deadline=None)
@given(PAIRS, st.integers(1, 8), st.randoms())
def test_both_ways_agree_with_the_plain_ones(
    pairs: list[tuple[int, int]], size: int, rng: Random
) -> None:
    shuffled = [p if rng.random() < 0.5 else p[::-1] for p in pairs]
    rng.shuffle(shuffled)
    connected = lowest_connected(NODES, chunks(shuffled, size))
    assert leaving(connected) == keep_one_per_group(pairs, lambda n: n)
    direct = lowest_staying(NODES, chunks(shuffled, size))
    assert leaving(direct) == keep_dominating(pairs, lambda n: n)


def test_a_pair_of_a_node_with_itself_means_nothing() -> None:
    for choose in (lowest_connected, lowest_staying):
        assert leaving(choose(3, chunks([(1, 1), (1, 2)], 9))) == {2: 1}


def test_long_chains_in_any_order() -> None:
    """Following parents one by one, a chain would take as many rounds as it has links."""
    n = 30_000
    straight = np.arange(n, dtype=np.int32)
    mixed = np.random.default_rng(0).permutation(n).astype(np.int32)
    for nodes in (straight, straight[::-1], mixed):
        pairs = list(zip(nodes[:-1].tolist(), nodes[1:].tolist(), strict=True))
        for size in (n, 1000):
            assert (lowest_connected(n, chunks(pairs, size)) == 0).all()


def test_memory_is_that_of_the_nodes_however_many_pairs() -> None:
    nodes, size = 100_000, 10_000

    def made(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(3)
        for _ in range(count):
            a = rng.integers(0, nodes - 50, size).astype(np.int32)
            yield a, a + rng.integers(1, 50, size).astype(np.int32)

    def peak(count: int) -> int:
        tracemalloc.start()
        lowest_connected(nodes, made(count))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(4), peak(64)
    assert many < 1.3 * few  # sixteen times the pairs
    assert many < 16 * nodes + 160 * size


def test_nodes_are_numbered_in_four_bytes_while_that_is_enough() -> None:
    assert node_type(1 << 31) == np.int64 and node_type((1 << 31) - 1) == np.int32
    assert lowest_connected(0, []).dtype == np.int32
    assert len(lowest_staying(0, [])) == 0
