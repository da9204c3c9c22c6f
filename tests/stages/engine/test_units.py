"""How input is cut: by its sizes and the settings, and by nothing else."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.documents import PartFacts, part_facts, read_batches
from stages.engine.units import (
    Piece,
    WorkUnit,
    byte_stretches,
    dealt,
    document_units,
    number,
    raw_units,
)
from tests.stages.helpers import write_documents, write_part


def raw(folder: Path, sizes: list[int]) -> list[str]:
    paths = []
    for i, size in enumerate(sizes):
        path = folder / f"f{i:03d}"
        path.write_bytes(b"x" * size)
        paths.append(str(path))
    return paths


def shape(units: list[WorkUnit]) -> list[list[tuple[str, int, int | None]]]:
    return [[(Path(p.path).name, p.start, p.end) for p in u.pieces] for u in units]


def test_neighbours_are_bundled_while_they_fit(tmp_path: Path) -> None:
    paths = raw(tmp_path, [4, 4, 4, 0, 11, 1])
    units = raw_units(paths, split_bytes=100, bundle_bytes=10)
    assert shape(units) == [
        [("f000", 0, None), ("f001", 0, None)],
        [("f002", 0, None), ("f003", 0, None)],
        [("f004", 0, None)],
        [("f005", 0, None)],
    ]
    assert [u.name for u in units] == [f"{i:05d}-of-00004" for i in range(4)]
    assert units[1].part == "part-00001-of-00004.parquet"
    assert [u.size for u in units] == [8, 4, 11, 1]
    assert "f000 and 1 more" in units[0].key


def test_nothing_is_bundled_with_a_bundle_of_no_bytes(tmp_path: Path) -> None:
    paths = raw(tmp_path, [1, 1, 1])
    assert len(raw_units(paths, split_bytes=100, bundle_bytes=0)) == 3


def test_large_files_are_cut_and_never_bundled_with_neighbours(tmp_path: Path) -> None:
    paths = raw(tmp_path, [1, 25, 1])
    units = raw_units(paths, split_bytes=10, bundle_bytes=100, split=byte_stretches)
    assert shape(units) == [
        [("f000", 0, None)],
        [("f001", 0, 12)],
        [("f001", 12, None)],
        [("f002", 0, None)],
    ]
    assert [u.size for u in units] == [1, 12, 13, 1]


def test_groups_stay_apart(tmp_path: Path) -> None:
    paths = raw(tmp_path, [1] * 5)
    group = dict(zip(paths, "aabba", strict=True))
    units = raw_units(paths, split_bytes=100, bundle_bytes=100, together=group.__getitem__)
    assert [len(u.pieces) for u in units] == [2, 2, 1]


@given(st.integers(0, 10_000), st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_stretches_cover_a_file_once(size: int, target: int) -> None:
    stretches = byte_stretches("f", size, target)
    assert stretches[0][0] == 0
    assert stretches[-1][1] is None
    for (_, end), (start, _) in pairwise(stretches):
        assert end == start
    lengths = [(size if end is None else end) - start for start, end in stretches]
    assert sum(lengths) == size
    assert len(stretches) == 1 or max(lengths) <= 2 * target


@given(st.lists(st.lists(st.integers(0, 50), max_size=6), max_size=5), st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_row_groups_of_parts_are_each_in_one_unit(parts: list[list[int]], split: int) -> None:
    facts = [
        PartFacts(f"p{i}", None, tuple((1, size, size) for size in sizes))
        for i, sizes in enumerate(parts)
    ]
    units = document_units(facts, split_bytes=split)
    assert all(len(u.pieces) == 1 for u in units)
    for i, sizes in enumerate(parts):
        mine = [u.pieces[0] for u in units if u.pieces[0].path == f"p{i}"]
        assert mine[0].start == 0
        assert mine[-1].end == len(sizes)
        assert [p.end for p in mine[:-1]] == [p.start for p in mine[1:]]
        for piece in mine:
            inside = sizes[piece.start : piece.end]
            assert piece.size == sum(inside)
            assert sum(inside) <= split or len([s for s in inside if s]) <= 1


def test_units_of_a_split_part_read_all_its_rows_in_order(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "text": "x" * i} for i in range(20)]
    path = write_part(tmp_path / "p.parquet", rows, rows_per_group=3)
    units = document_units([part_facts(path)], split_bytes=1)
    assert len(units) == 7
    read = [
        row["id"]
        for unit in units
        for piece in unit.pieces
        for batch in read_batches(path, ["id"], range(piece.start, piece.end or 0))
        for row in batch.to_pylist()
    ]
    assert read == [r["id"] for r in rows]


def test_an_empty_part_is_a_unit(tmp_path: Path) -> None:
    write_documents(tmp_path, "p", [])
    units = document_units([part_facts(str(tmp_path / "p"))], split_bytes=10)
    assert [(u.part, u.size) for u in units] == [("part-00000-of-00001.parquet", 0)]


def test_units_survive_json() -> None:
    unit = WorkUnit(1, 3, (Piece("a", 2, None, 5), Piece("b", 0, 7, 7)), "key", {"partitions": 4})
    assert WorkUnit.from_json(unit.to_json()) == unit


@given(st.lists(st.integers(0, 5), max_size=20))
@settings(max_examples=30, deadline=None)
def test_big_units_are_dealt_first(sizes: list[int]) -> None:
    units = number([[Piece(f"f{i}", size=s)] for i, s in enumerate(sizes)])
    order = dealt(units)
    assert [u.size for u in order] == sorted(sizes, reverse=True)
    assert sorted(u.index for u in order) == list(range(len(sizes)))
    assert order == dealt(list(reversed(units)))


@pytest.mark.parametrize("of", [1, 100_000])
def test_part_names_have_five_digits(of: int) -> None:
    assert WorkUnit(0, of, ()).part == f"part-00000-of-{of:05d}.parquet"
