"""A shuffle of made-up documents has the units and partitions that are asked for."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import __main__ as program
from benchmarks import references
from benchmarks.measure import MeasureError
from benchmarks.processes import ROLES, Used
from benchmarks.references import SHAPES, Shape, make, measure, sheet, with_section
from benchmarks.sheet import Sheet
from benchmarks.stages import WatchedRun
from stages import registry
from stages.ccnet_text import line_hash
from stages.engine import relay
from stages.engine.step import Step


@pytest.mark.parametrize(("units", "partitions"), [(3, 4), (4, 9), (40, 7)])
def test_documents_make_so_many_units_and_partitions(
    tmp_path: Path, units: int, partitions: int
) -> None:
    make(str(tmp_path), units, partitions)
    settings = {"partition_memory_mb": 1}
    step = Step("s", "line_dedup", str(tmp_path / "out"), {"input": [str(tmp_path)]}, settings)
    found = registry.create(step).units()
    assert len(found) == units
    assert {unit.extra["partitions"] for unit in found} == {partitions}
    lines = [
        line
        for path in sorted(tmp_path.glob("part-*.parquet"))
        for text in pq.read_table(path, columns=["text"])["text"].to_pylist()
        for line in text.split("\n")
    ]
    assert len({line_hash(line) for line in lines}) == len(lines)


def test_each_unit_has_lines_for_nearly_each_partition() -> None:
    """A unit without a line for a partition sends no reference."""
    for units, partitions in SHAPES:
        lines = partitions * references._PARTITION_BYTES / references._LINE / units
        assert (1 - 1 / partitions) ** lines < 0.02


def run(peak: int) -> WatchedRun:
    used = {role: Used(peak + i, 1.0 + i) for i, role in enumerate(ROLES)}
    return WatchedRun(5.0, 1, used, {"emit": 2, "reduce": 3, "process": 2}, 7)


def test_other_numbers_than_asked_for_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "run_watched", lambda step: run(1))
    monkeypatch.setattr(references, "make", lambda folder, *_: Path(folder).mkdir())
    monkeypatch.setattr(references.shutil, "rmtree", lambda _: None)
    (found,) = measure(str(tmp_path), [(2, 3)], lambda _: None)
    assert (found.units, found.partitions) == (2, 3)
    with pytest.raises(MeasureError, match="2 units and 4 partitions were to be"):
        measure(str(tmp_path), [(2, 4)], lambda _: None)


def test_a_step_is_measured_each_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "DIRECT", 12)
    monkeypatch.setattr(relay, "_LARGEST_SIDE", 4)
    found = measure(str(tmp_path), [(3, 4), (12, 4)], lambda _: None)
    assert [(shape.units, shape.straight) for shape in found] == [
        (3, True),
        (12, True),
        (12, False),
    ]
    straight, relayed = found[1:]
    assert straight.run.references > 48 and straight.run.references != relayed.run.references
    assert "gather" in relayed.run.done and "gather" not in straight.run.done
    assert all(shape.run.used[role].peak_rss > 20_000_000 for shape in found for role in ROLES)
    assert not list(tmp_path.iterdir())
    assert relay.DIRECT == 12


def test_the_table_has_each_process_in_its_column() -> None:
    (row,) = sheet([Shape(1000, 200, False, run(30_000_000))]).rows
    assert row == ("1,000 x 200", "relays", "7", "30", "30", "30", "5.0", "10.0", "3.0", "1.0")
    (row,) = sheet(
        [Shape(2, 3, True, WatchedRun(5.0, 1, {**run(0).used, "runner": Used(9_000_000)}, {}))]
    ).rows
    assert row[1:6] == ("straight", "0", "9", "0", "0")


def test_a_section_is_put_before_the_plots_and_later_replaced() -> None:
    page = "# P\n\nabout\n\n## A\n\na\n\n## Plots\n\np\n"
    once = with_section(page, "R", "## R\n\nfirst\n")
    assert once == "# P\n\nabout\n\n## A\n\na\n\n## R\n\nfirst\n\n## Plots\n\np\n"
    twice = with_section(once, "R", "## R\n\nsecond\n")
    assert twice == once.replace("first", "second")
    assert with_section("# P\n", "R", "## R\n") == "# P\n\n## R\n"
    assert with_section("# P\n\n## R\n\nold\n", "R", "## R\n") == "# P\n\n## R\n"


def test_the_page_keeps_the_section(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    section = tmp_path / "references.md"
    section.write_text("## R\n\nof old\n")
    monkeypatch.setattr(references, "SECTION", section)
    page = program.page([Sheet("A", ("a",), (("x",),))], "about", ["picture"])
    assert with_section(page, "R", "## R\n\nof now\n") == page.replace("of old", "of now")
    assert page.index("## A\n") < page.index("## R\n") < page.index("## Plots\n")
