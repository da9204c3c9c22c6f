"""Hash runs: partitions hold every hash once, and decisions come back to their entries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup.runs import (
    BYTES_PER_ENTRY,
    Run,
    collect_bits,
    decide_partition,
    emit_run,
    first_of_group,
    partition_edges,
    partitions_for,
    read_runs,
)

hashes = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63, 2**64 - 1, 2**62])


def run_of(values: list[int]) -> Run:
    unique = np.unique(np.array(values, dtype=np.uint64))
    return Run(unique, np.arange(len(unique), dtype=np.int64) - 2)


@given(st.lists(hashes, max_size=30), st.sampled_from([1, 2, 3, 7, 64]))
@settings(max_examples=40, deadline=None)
def test_partitions_hold_every_entry_once_by_leading_bits(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], partitions: int
) -> None:
    run = run_of(values)
    path = str(tmp_path_factory.mktemp("run") / "run.bin")
    references = run.references(path, partitions)
    for p, (first, n, where) in references:
        inside, values_, lengths = read_runs([where])
        assert n == len(inside) == lengths.sum() > 0
        assert inside.tolist() == run.hashes[first : first + n].tolist()
        assert values_.tolist() == run.values[first : first + n].tolist()
        assert all(int(h) * partitions >> 64 == p or _on_edge(int(h), partitions) for h in inside)
    together, _, lengths = read_runs([where for _, (_, _, where) in references])
    assert together.tolist() == run.hashes.tolist()
    assert lengths.tolist() == [n for _, (_, n, _) in references]


def _on_edge(value: int, partitions: int) -> bool:
    # Edges are rounded down, so a hash next to one may lie a partition further.
    return any(abs(value - int(edge)) <= 1 for edge in partition_edges(partitions))


def test_a_run_file_has_each_partition_whole_hashes_then_values_little_endian(
    tmp_path: Path,
) -> None:
    Run(np.array([1, 2, 2**63], np.uint64), np.array([-1, 3, 5], np.int64)).write(
        f"{tmp_path}/r", 2
    )
    low = b"\x01" + bytes(7) + b"\x02" + bytes(7) + b"\xff" * 8 + b"\x03" + bytes(7)
    high = bytes(7) + b"\x80" + b"\x05" + bytes(7)
    assert (tmp_path / "r").read_bytes() == low + high


def test_a_cut_run_file_is_named(tmp_path: Path) -> None:
    ((_, (_, _, where)),) = run_of([1, 2, 3]).references(f"{tmp_path}/r", 1)
    (tmp_path / "r").write_bytes((tmp_path / "r").read_bytes()[:-1])
    with pytest.raises(OSError, match="r: 47 bytes where 48 were expected"):
        read_runs([where])


@given(st.lists(st.lists(st.integers(0, 40), max_size=15), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_decisions_come_back_to_their_entries(
    tmp_path_factory: pytest.TempPathFactory, units: list[list[int]]
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    # Spread over all partitions: the decision (even hash keeps) is known beforehand.
    runs = [run_of([v << 58 | v for v in values]) for values in units]
    keyed: dict[str, list[list[object]]] = {}
    for i, run in enumerate(runs):
        for key, value in emit_run(run, f"{folder}/run-{i}", i, 0, 5):
            keyed.setdefault(key, []).append(value)
    back: dict[int, list[object]] = {i: [] for i in range(len(units))}
    dropped = 0
    for key, references in keyed.items():
        emitted, n = decide_partition(
            references, lambda h, u, v: h % np.uint64(2) == 0, f"{folder}/{key}"
        )
        dropped += n
        for unit, value in emitted:
            back[unit].append(value)
    for i, run in enumerate(runs):
        keep = collect_bits(back[i], len(run.hashes))
        assert keep.tolist() == [h % 2 == 0 for h in run.hashes.tolist()]
    assert dropped == sum(h % 2 for run in runs for h in run.hashes.tolist())


def test_decisions_that_do_not_come_back_fail(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="3 hashes were sent to the shuffle, 0 came back"):
        collect_bits([], 3)


def test_firsts_of_groups() -> None:
    assert first_of_group(np.array([5, 5, 7, 9, 9], np.uint64)).tolist() == [
        True,
        False,
        True,
        True,
        False,
    ]
    assert first_of_group(np.array([], np.uint64)).tolist() == []


@pytest.mark.parametrize("entries", [0, 1, 10**6, 10**10])
def test_partitions_keep_a_reducer_within_its_memory(entries: int) -> None:
    memory = 1 << 20
    n = partitions_for(entries, memory)
    assert n >= 1
    assert entries * BYTES_PER_ENTRY / n <= memory
