"""References of a shuffle at full size: counted as the engine sends them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.references import make
from pipeline import forecast_references as model
from pipeline import forecast_shapes as shapes
from pipeline.forecast_model import Figure, Measured
from pipeline.forecast_references import Meeting, traffic
from stages import registry
from stages.dedup import runs
from stages.engine import memory, records, relay
from stages.engine.run import run_step
from stages.engine.step import Step
from stages.github import join
from stages.stackexchange import spill, volume

DATAFLOW = Path(__file__).parents[2] / "docs" / "dataflow.md"
ALL = math.inf


def met(units: float, keys: float, **more: Any) -> model.Traffic:
    return traffic([Meeting(units, ((keys, ALL),))], **more)


# -- beside the engine ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of 40 units and 5 partitions of a mebibyte."""
    given = str(tmp_path_factory.mktemp("made") / "up")
    make(given, 40, 5)
    return given


@pytest.mark.parametrize(
    "settings",
    [{}, {"scope": "file_group", "group_files": 20}, {"scope": "file_group", "group_files": 15}],
)
def test_references_are_those_of_a_run(
    documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    met_through: dict[int, int] = {}
    for direct in (20_000, 100):
        monkeypatch.setattr(relay, "DIRECT", direct)
        given = {"partition_memory_mb": 1, **settings}
        step = Step("s", "line_dedup", str(tmp_path / str(direct)), {"input": [documents]}, given)
        stage = registry.create(step)
        units = stage.units()
        keys = stage.keys_each(units)  # type: ignore[attr-defined]
        done = run_step(step).manifest.run
        together = settings.get("group_files", len(units))
        found = traffic([Meeting(together, ((keys, ALL),), len(units) / together)])
        assert found.pairs == 40 * keys
        assert found.relayed == ("gather" in done["cpu_s_by_phase"]) == (direct == 100)
        # A last group of files that is smaller begins where it happens to in a group of units.
        assert found.references == pytest.approx(done["references"], rel=0.12 if settings else 1e-9)
        assert found.grouped_bytes == pytest.approx(done["grouped_bytes"], rel=0.3)
        met_through[direct] = done["shuffle_bytes"]
        assert done["references"] == 80 * keys or found.relayed
    # All is copied once; each pair is a line of two sheets each way. Few lines pack less well.
    sheets = met_through[100] - 2 * met_through[20_000]
    assert 0.7 < sheets / found.sheet_bytes < 4


def test_the_same_relay_is_planned_as_in_the_engine() -> None:
    way = relay.planned(10_000, 500)
    assert way is not None
    found = met(10_000, 500)
    assert found.relayed
    one_way = 10_000 * way.key_groups + 500 * way.unit_groups
    assert found.references == pytest.approx(2 * one_way)
    assert (found.keys, found.gathers) == (500, 2 * way.unit_groups * way.key_groups)
    assert met(10_000, 500, ways=1).references == pytest.approx(one_way)


def test_few_pairs_go_straight() -> None:
    most = relay.DIRECT // 4
    found, more = met(most, 4), met(most + 1, 4)
    assert (found.relayed, more.relayed) == (False, True)
    assert found.references == 2 * relay.DIRECT == 2 * found.pairs
    assert more.references < found.references / 3
    assert found.cpu_s(1e12) == found.pairs * model.STRAIGHT_CPU_S


def test_references_grow_more_slowly_than_pairs() -> None:
    small, large = met(10_000, 1_000), met(100_000, 10_000)
    assert large.pairs == 100 * small.pairs
    assert large.references < 35 * small.references
    # From groups of the largest size on both grow alike, 250 times apart.
    huge, larger = met(2e6, 1e6), met(2e7, 1e7)
    assert larger.references == pytest.approx(100 * huge.references, rel=0.01)
    assert huge.references == pytest.approx(4 * huge.pairs / 512, rel=0.01)


def test_kinds_of_hash_share_ranges_of_keys() -> None:
    one = traffic([Meeting(50_000, ((3_000, ALL),))])
    three = traffic([Meeting(50_000, ((1_000, ALL),) * 3)])
    assert three == one
    # URLs and texts, of which a unit has few.
    few = traffic([Meeting(50_000, ((1_000, ALL), (1_000, 5.0), (1_000, 5.0)))])
    assert few.pairs == pytest.approx(50_000 * 1_010, rel=0.001)
    assert one.references / 2 < few.references <= one.references


def test_shards_are_of_one_source() -> None:
    apart = traffic([Meeting(30_000, ((100, ALL),)), Meeting(10_000, ((40, ALL),))], ways=1)
    assert apart.pairs == 30_000 * 100 + 10_000 * 40
    way = relay.planned(40_000, 100)
    assert way is not None
    sheets = 40_000 * way.key_groups
    assert sheets < apart.references < sheets + 140 * (way.unit_groups + 2)


def test_what_references_cost() -> None:
    found = met(320_000, 89_000)
    way = relay.planned(320_000, 89_000)
    assert way is not None
    pieces = 320_000 + 89_000 + 2 * way.unit_groups * way.key_groups
    assert found.cpu_s(1e12) == pytest.approx(found.pairs * 60e-6 + pieces * 5e-3 + 1e12 * 1e-9)
    assert found.serial_s == pytest.approx(found.references * 6e-6)
    assert found.sheet_bytes == found.pairs * 4 * 15
    assert found.runner_bytes == pytest.approx(found.references * 900 + 320_000 * 5_000)
    # The launching process holds the references of 1,024 records, not all of them.
    held = 1024 * way.unit_groups
    assert found.launcher_bytes == pytest.approx(
        held * 750 + 320_000 * 7_000 + (pieces - 320_000) * 1_500
    )
    assert records.AT_ONCE == model.RECORDS_AT_ONCE


# -- steps ----------------------------------------------------------------------------------------


def measured(size: int, **more: Any) -> Measured:
    values = {
        "main": size,
        "text_out": size,
        "documents_out": 10,
        "cpu_s": {},
        "disk": 0,
        "shuffle": 0,
        "peak_rss": 0,
    }
    return Measured(size, **{**values, **more})


def shape(stage: str, names: list[str], settings: dict[str, Any], **more: Any) -> Any:
    step = Step(stage, stage, "out", {"input": ["in"]}, settings)
    samples = [measured(10**6, **more)]
    sources = [(1e12, 100_000.0)]
    return shapes.shape_of(step, {"input": Figure.at(1e12)}, sources, samples, names, 0)


def test_github_and_stackexchange_plan_partitions_as_their_stages_do() -> None:
    github = shape("github", ["contents-0.json.gz", "files-0.json.gz"], {}, entries=20_000)
    mb = registry.create(Step("g", "github", "", {"input": ["in"]})).settings.partition_memory_mb
    assert github.planned(1e12) == join.partitions_for(20 * 10**9, mb << 20) > 4
    assert github.planned(1.0) == 4
    assert (github.split_bytes, github.ways) == (64 << 20, 2)
    # Repositories are bundled, so that units are many.
    assert shape("github", ["a.py"], {}, entries=20_000).split_bytes == 2 << 20

    posts = shape("stackexchange", ["Posts.xml"], {"partition_memory_mb": 512})
    packed = shape("stackexchange", ["x.com.7z"], {"partition_memory_mb": 512})
    assert posts.planned(1e9) == spill.partitions_for(10**9, 512 << 20)
    assert packed.planned(1e9) == spill.partitions_for(8 * 10**9, 512 << 20) > posts.planned(1e9)
    assert (posts.ways, volume._USUAL) == (1, shapes.PLANNED_EXPANSION)


def test_groups_of_files_and_kinds_of_hash_are_those_of_the_settings() -> None:
    grouped = shape("line_dedup", [], {"scope": "file_group", "group_files": 77})
    assert (grouped.group_units, shape("line_dedup", [], {}).group_units) == (77, None)
    assert [shape("overlap", [], {"lines": on}).kinds for on in (True, False)] == [3, 2]
    lines = shape("line_dedup", [], {"partition_memory_mb": 100}).planned(1e12)
    assert lines == runs.partitions_for(10**12 // 32, 100 << 20)


def test_every_shuffle_with_partitions_is_in_the_forecast() -> None:
    for name in registry.STAGES:
        fields = registry.stage_class(name).Settings.model_fields
        found = shape(name, ["contents"], {}) if "partition_memory_mb" in fields else None
        assert found is None or found.planned is not None, name


# -- the page about Dataflow ----------------------------------------------------------------------

TEXT = 100e12
FILES = 5 * 64_000


def computed() -> dict[str, list[str]]:
    """The table of docs/dataflow.md, by its first column."""
    large = memory.bounds(3000)["partition_mb"]
    small_units, large_units = TEXT / (64 << 20), max(FILES, TEXT / (512 << 20))
    rows = {
        "defaults": (small_units, 256, None),
        "`worker_memory_mb` 3000": (small_units, large, None),
        "and `layout.split_bytes` 512 MiB": (large_units, large, None),
        "and `scope: file_group`, `group_files` 2000": (large_units, large, 2000),
    }
    table = {}
    for name, (units, mb, group) in rows.items():
        together = group or units
        keys = runs.partitions_for(
            int(TEXT * together / units / shapes.PLANNED["line_dedup"]), mb << 20
        )
        found = traffic([Meeting(together, ((keys, ALL),), units / together)])
        assert found.relayed
        table[name] = [
            _rounded(units),
            _rounded(keys) + (" a group" if group else ""),
            _power(found.pairs),
            _power(found.references),
            f"{_short(found.grouped_bytes / 1e9)} GB",
            f"{_short(found.sheet_bytes / 1e12)} TB",
            _short(found.cpu_s(0.0) / 3600),
            f"{_short(found.runner_bytes / 1e9)} GB",
        ]
    return table


def _short(number: float) -> str:
    return f"{float(f'{number:.2g}'):,g}"


def _rounded(number: float) -> str:
    return f"{float(f'{number:.3g}'):,.0f}"


def _power(number: float) -> str:
    digits, _, power = f"{number:.1e}".partition("e")
    return digits + "·10" + str(int(power)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def test_the_table_for_100_terabytes_is_what_the_code_gives() -> None:
    section = DATAFLOW.read_text("utf-8").partition("\n## Shuffles of a whole corpus\n")[2]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    found = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows[2:]}
    assert found == computed()
    assert Counter(len(row) for row in rows) == {9: 2 + len(found)}
