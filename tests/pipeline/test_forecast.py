"""The cost model: what two samples say of a corpus that nobody has run yet."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline import cli, forecast_show, forecast_sizes, recipe
from pipeline import forecast as forecasting
from pipeline import forecast_measure as measuring
from pipeline import forecast_model as model
from pipeline import forecast_sample as samples
from pipeline import forecast_shapes as shapes
from pipeline.forecast_kinds import KINDS
from pipeline.forecast_model import Bound, Figure, Measured, Shape, forecast
from pipeline.forecast_references import Meeting, traffic
from stages import registry
from stages.engine import files
from stages.engine.execute import Engine
from stages.engine.step import Step
from tests.pipeline import small_run

SHAPE = Shape(split_bytes=64 << 20)
FLOOR = float(150 << 20)
positive = st.floats(1e-3, 1e9)


def measured(size: int, **more: Any) -> Measured:
    given = {
        "main": size,
        "text_out": size // 2,
        "documents_out": size // 1000,
        "cpu_s": {"process": 0.5 + size * 1e-6},
        "disk": size // 4,
        "shuffle": 0,
        "peak_rss": 300 << 20,
    }
    return Measured(size=size, **{**given, **more})


SMALL, LARGE = measured(1_000_000), measured(4_000_000)


def at(size: float, stage: str = "language", bound: Bound | None = None, **more: Any) -> Any:
    """A step at full size, from two samples, both changed by `more`."""
    both = [measured(m.size, **{k: f(m.size) for k, f in more.items()}) for m in (SMALL, LARGE)]
    full = Figure.at(size)
    return forecast("step", stage, both, full, full, bound or Bound(), SHAPE, FLOOR)


# -- lines and ratios -----------------------------------------------------------------------------


@given(st.floats(0, 100), st.floats(1e-9, 1e-3), st.integers(1, 10**6), st.integers(2, 50))
@settings(max_examples=50, deadline=None)
def test_two_sizes_tell_the_fixed_part_from_the_rest(
    fixed: float, per_byte: float, size: int, times: int
) -> None:
    points = [(x, fixed + per_byte * x) for x in (float(size), float(size * times))]
    found = model.line(points)
    assert found.fixed.point == pytest.approx(fixed, rel=1e-6, abs=1e-6 * (1 + points[1][1]))
    assert found.per_byte.point == pytest.approx(per_byte, rel=1e-3, abs=1e-12)


def test_a_line_that_begins_below_nothing_has_no_fixed_part() -> None:
    found = model.line([(1.0, 1.0), (2.0, 4.0)])
    assert found.fixed == model.ZERO
    assert (found.per_byte.low, found.per_byte.high) == (1.0, 2.0)
    assert found.per_byte.point == pytest.approx(5 / 3)


@pytest.mark.parametrize("points", [[], [(0.0, 3.0)], [(0.0, 0.0), (0.0, 1.0)]])
def test_without_input_nothing_is_forecast(points: list[tuple[float, float]]) -> None:
    assert model.line(points).at(1e12).point == 0
    assert model.ratio(points) == model.ZERO


def test_samples_of_one_size_are_not_taken_for_two() -> None:
    found = model.line([(100.0, 10.0), (101.0, 20.0)])
    assert found.fixed == model.ZERO
    assert found.per_byte.high == pytest.approx(20 / 101)


def test_an_interval_has_the_small_sample_alone_both_and_the_large_one_alone() -> None:
    found = model.line([(2.3e6, 0.4), (13.7e6, 1.2)])
    assert found.per_byte.small == pytest.approx(0.4 / 2.3e6)
    assert found.per_byte.point == pytest.approx(0.8 / 11.4e6)
    assert found.per_byte.large == pytest.approx(1.2 / 13.7e6)
    shown = found.at(1e12)
    assert (shown.low, shown.high) == pytest.approx((0.8 / 11.4e6 * 1e12, 0.4 / 2.3e6 * 1e12), 1e-4)
    # What the samples cost themselves comes out again, fixed part included.
    assert found.at(2.3e6).point == pytest.approx(0.4)
    assert found.at(13.7e6).point == pytest.approx(1.2)


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=2), positive)
@settings(max_examples=50, deadline=None)
def test_the_figure_lies_between_its_bounds(points: list[tuple[float, float]], size: float) -> None:
    for found in (model.ratio(points) * size, model.line(points).at(size)):
        assert found.low <= found.point * (1 + 1e-9)
        assert found.point <= found.high * (1 + 1e-9)


def test_the_bounds_of_a_chain_are_those_of_a_corpus_like_one_sample() -> None:
    # The small sample halves and then keeps all, the large one keeps all and then halves.
    first, then = Figure(0.5, 0.75, 1.0), Figure(1.0, 0.75, 0.5)
    assert ((first * then).low, (first * then).high) == (0.5, 0.5625)


# -- steps ----------------------------------------------------------------------------------------


def test_every_stage_is_in_the_model() -> None:
    assert set(KINDS) == set(registry.STAGES)


def test_a_linear_step_grows_with_its_input() -> None:
    found = at(1e12)
    assert found.cpu_s.point == pytest.approx(1e6)
    assert found.fixed_s.point == pytest.approx(0.5)
    # A fixed part that one sample alone cannot tell makes its forecast higher.
    assert found.cpu_s.low == found.cpu_s.point
    assert found.cpu_s.small == pytest.approx(1.5e6)
    assert found.cpu_s.large == pytest.approx(4.5e6 / 4)
    assert (found.text_out.point, found.disk.point) == (0.5e12, 0.25e12)
    assert found.memory.high == 300 << 20
    assert found.kind == "linear"


def test_what_does_not_follow_the_corpus_is_taken_as_it_is() -> None:
    found = at(1e15, "decontamination_index")
    assert found.cpu_s.point == pytest.approx(4.5)
    assert found.disk.point == 1_000_000


def test_training_stops_growing_at_its_bound() -> None:
    def forecast_at(size: float) -> Any:
        return at(
            size,
            "tokenizer",
            Bound(trained=2e9, largest=2e9),
            cpu_s=lambda n: {"emit": n * 1e-8, "reduce": n * 1e-5},
            trained=lambda n: n,
            largest=lambda n: n,
            peak_rss=lambda n: (150 << 20) + 30 * n,
        )

    first, second = forecast_at(1e12), forecast_at(2e12)
    assert first.cpu_s.point == pytest.approx(1e4 + 2e4)
    assert second.cpu_s.point == pytest.approx(2e4 + 2e4)
    assert first.serial_s.point == pytest.approx(2e4)
    assert second.memory.high == pytest.approx((150 << 20) + 30 * 2e9)
    assert second.memory.low == pytest.approx((150 << 20) + 30 * 4e6 + 10 * (2e9 - 4e6))
    assert second.disk == first.disk


def trainer(samples: list[tuple[int, int]], size: float, **bound: float) -> Figure:
    """Memory of a model's step; samples are (bytes trained on, peak)."""
    both = [measured(n, trained=n, largest=n, peak_rss=peak) for n, peak in samples]
    limits = Bound(trained=2e9, largest=2e9, **bound)
    full = Figure.at(size)
    stage = "language_model" if bound else "tokenizer"
    return forecast("t", stage, both, full, full, limits, SHAPE, FLOOR).memory


def test_memory_of_a_few_bytes_is_not_taken_for_that_of_many() -> None:
    # 50 MB beside next to no text, which is the trainer itself: no 500 bytes a byte.
    found = trainer([(20_000, 228 << 20), (100_000, 230 << 20)], 21e6)
    more = 21e6 - 100_000
    assert found.to_json() == pytest.approx([(230 << 20) + k * more for k in (10, 18, 30)])


def test_memory_grows_along_the_line_through_both_samples() -> None:
    found = trainer([(1_000_000, 228 * 10**6), (4_000_000, 283 * 10**6)], 16e6)
    assert found.point == pytest.approx(283e6 + 55 / 3 * 12e6)
    assert found.low == pytest.approx(283e6 + 10 * 12e6)
    assert found.high == pytest.approx(283e6 + (283e6 - FLOOR) / 4e6 * 12e6)


def test_memory_is_never_below_what_was_seen() -> None:
    # The larger sample took less: there is no line, and none that falls.
    assert trainer([(1_000_000, 300 << 20), (9_000_000, 290 << 20)], 9e6).low >= 300 << 20
    assert trainer([(1_000_000, 228 << 20), (9_000_000, 290 << 20)], 2e6).low == 290 << 20


def test_lmplz_sorts_in_the_memory_of_the_recipe() -> None:
    samples = [(1_000_000, 200 << 20), (2_000_000, 205 << 20)]
    small = trainer(samples, 16e6, sorting=2 << 30, one=1e9)
    assert small.point == pytest.approx(0.18 * (2 << 30) + 3.8 * 16e6)
    assert small.high == pytest.approx(0.18 * (2 << 30) + 30 * 16e6)
    assert trainer(samples, 1e12, sorting=2 << 30, one=1e9).high >= 2 << 30
    full = trainer(samples, 1e12, sorting=128 << 30, one=1e9)
    assert full.point == pytest.approx(0.18 * (128 << 30) + 3.8e9)


def test_models_of_many_languages_are_made_side_by_side() -> None:
    found = at(
        1e12,
        "language_model",
        Bound(trained=20e9, largest=1e8),
        cpu_s=lambda n: {"reduce": n * 1e-6},
        trained=lambda n: n,
        largest=lambda n: n // 10,
    )
    assert found.cpu_s.point == pytest.approx(20_000)
    assert found.serial_s.point == pytest.approx(20_000 * 1e8 / 20e9)


def test_pieces_are_trained_on_a_part_of_a_long_text_and_pruned_at_the_upper_end() -> None:
    def cpu(largest: float, size: float = 1e12) -> Figure:
        bound = Bound(trained=2e9, largest=largest, one=1e9)
        costs = {"cpu_s": lambda n: {"reduce": n * 2e-6}, "trained": lambda n: n}
        found: Figure = at(size, "language_model", bound, **costs).cpu_s
        return found

    # All of two languages' text, a tenth of it; and no more text than the sample had.
    assert cpu(1e9).point == pytest.approx(4000)
    assert cpu(1e8).point == pytest.approx(4000 * (0.46 + 0.54 / 10))
    assert cpu(1e8).high == pytest.approx(4000 * (0.46 + 0.54 / 10 * 2.8))
    assert cpu(1e8).low == cpu(1e8).point
    assert cpu(1e8, 4e6).to_json() == pytest.approx([8, 8, 8])


def test_sampled_pages_are_at_most_as_many_as_asked_for() -> None:
    found = at(1e12, "reference_pages", Bound(documents=2e6))
    assert found.documents_out.point == pytest.approx(2e6)
    assert found.text_out.point == pytest.approx(2e6 * 500)


def line_dedup(size: float, group: int | None = None, entry: int = 2, **shape: Any) -> Any:
    both = [
        measured(n, shuffle=n // 5, entries=n // entry, grouped=500, documents_in=n // 1000)
        for n in (10**6, 4 * 10**6)
    ]
    each = 2 / (256 << 20)
    given = {"planned": lambda here: max(4, here * each), "partitions_per_byte": each, **shape}
    full, cut = Figure.at(size), Shape(64 << 20, 256 << 20, group, **given)
    return forecast("s", "line_dedup", both, full, full, Bound(), cut, FLOOR)


def test_pairs_grow_with_the_square_unless_groups_are_compared() -> None:
    def pairs(size: float, group: int | None = None) -> float:
        return float(line_dedup(size, group).pairs.point)

    assert pairs(100e12) == pytest.approx(100e12**2 * 2 / (256 << 20) / (64 << 20))
    assert pairs(100e12) == pytest.approx(100 * pairs(10e12), rel=0.01)
    assert pairs(100e12, group=50) == pytest.approx(10 * pairs(10e12, group=50), rel=0.01)
    assert pairs(100e12, group=50) < pairs(100e12) / 1000
    assert pairs(4_000_000) == pytest.approx(4)


def test_there_are_no_more_pairs_than_hashes() -> None:
    few = line_dedup(1e15, entry=5000).pairs.point
    assert 0.9 * 1e15 / 5000 < few < 1e15 / 5000
    # Half as many hashes as partitions, spread evenly, meet in 1 - exp(-1/2) of them.
    partitions = 1e15 * 2 / (256 << 20)
    half = round(2 * (64 << 20) / partitions)
    met = (1 - math.exp(-(64 << 20) / half / partitions)) * partitions
    assert line_dedup(1e15, entry=half).pairs.point == pytest.approx(met * 1e15 / (64 << 20), 0.01)


def test_each_kind_of_hash_has_pairs_of_its_own() -> None:
    lines, all_kinds = (line_dedup(1e12, kinds=n).pairs.point for n in (1, 3))
    # URLs and texts: one a document, of which a unit has nine for each partition.
    assert all_kinds == pytest.approx(3 * lines, rel=0.001)
    lines, all_kinds = (line_dedup(1e16, kinds=n).pairs.point for n in (1, 3))
    assert all_kinds - lines == pytest.approx(2 * 1e16 / 1000, rel=0.001)


def test_what_units_exchange_costs_cpu_memory_and_bytes() -> None:
    found, alone = line_dedup(100e12), line_dedup(100e12, planned=None)
    met = 100e12 / 5
    units, keys = 100e12 / (64 << 20), 100e12 * 2 / (256 << 20)
    sent = traffic([Meeting(units, ((keys, 0.5 * (64 << 20)),))])
    assert found.relayed and not alone.relayed
    assert (found.pairs.point, alone.pairs.point) == (pytest.approx(sent.pairs), 0)
    assert found.references.point == pytest.approx(sent.references)
    assert found.references.point < found.pairs.point / 50
    # What values name is copied once there and once back, and so are the sheets.
    assert found.exchange_cpu_s.point == pytest.approx(sent.cpu_s(met))
    assert found.cpu_s.point - alone.cpu_s.point == pytest.approx(sent.cpu_s(met))
    assert found.serial_s.point - alone.serial_s.point == pytest.approx(sent.serial_s)
    exchanged = 2 * met + sent.sheet_bytes + sent.grouped_bytes
    assert found.shuffle.point == pytest.approx(exchanged)
    # Where units do not meet, what went through GroupByKey is in proportion.
    assert alone.shuffle.point == pytest.approx(100e12 / 5 + 1000 / 5e6 * 100e12)
    assert found.runner.point == pytest.approx(sent.runner_bytes + 86e6)
    assert found.launcher.point == pytest.approx(sent.launcher_bytes + 47e6)
    assert alone.runner.point == pytest.approx(units * 5000 + 86e6)


def test_a_unit_is_of_one_file() -> None:
    # Fewer bytes in as many files are as many units.
    many, few = (line_dedup(1e12, sources=((1.0, n),)) for n in (50_000.0, 10_000.0))
    assert (many.parts.point, few.parts.point) == (50_000, pytest.approx(1e12 / (64 << 20)))
    assert many.pairs.point == pytest.approx(few.pairs.point * 50_000 / few.parts.point, rel=0.01)
    assert few.pairs.point == line_dedup(1e12).pairs.point
    assert many.launcher.point > few.launcher.point
    # What ends with its reduce leaves a part for each partition.
    assert line_dedup(1e12, ways=1).parts.point == pytest.approx(1e12 * 2 / (256 << 20))


def test_few_pairs_are_not_copied() -> None:
    found = line_dedup(1e9)
    assert not found.relayed and 0 < found.pairs.point < 1000
    assert found.shuffle.point == pytest.approx(1e9 / 5 + 2 * found.pairs.point * 112)
    assert found.exchange_cpu_s.point == pytest.approx(found.pairs.point * 90e-6)


def test_units_of_another_source_have_nothing_for_a_shard() -> None:
    planned = shapes._shards(registry.stage_class("tokens").Settings())
    alone, apart = (
        line_dedup(1e12, entry=4, planned=planned, sources=sources, ways=1)
        for sources in (((1.0, 0.0),), ((0.5, 0.0), (0.5, 0.0)))
    )
    units, shards = 1e12 / (64 << 20), round(1e12 / 3.5 / (1 << 28) * 0.995) + 5
    assert alone.pairs.point == pytest.approx(units * shards, rel=0.01)
    assert apart.pairs.point == pytest.approx(alone.pairs.point / 2, rel=0.01)
    assert alone.references.point > apart.references.point
    assert alone.shuffle.point < line_dedup(1e12, entry=4, planned=planned).shuffle.point


def test_partitions_are_planned_as_the_stages_do() -> None:
    planned = {
        "url_dedup": "stages.dedup.documents:_BYTES_PER_DOCUMENT",
        "document_dedup": "stages.dedup.documents:_BYTES_PER_DOCUMENT",
        "c4_url_dedup": "stages.dedup.documents:_BYTES_PER_DOCUMENT",
        "line_dedup": "stages.dedup.lines:_BYTES_PER_LINE",
        "c4_line_dedup": "stages.c4.line_dedup:_BYTES_PER_LINE",
        "overlap": "stages.dedup.overlap:_BYTES_PER_LINE",
        "book_dedup": "stages.books.dedup:_BYTES_PER_WORD",
    }

    def value(place: str) -> Any:
        module, _, name = place.partition(":")
        return getattr(import_module(module), name)

    assert {stage: value(place) for stage, place in planned.items()} == shapes.PLANNED
    assert value("stages.reference.pages:_BYTES_PER_PAGE") == shapes.PLANNED_PAGE
    assert value("stages.reference.pages:_BYTES_PER_CITATION") == shapes.PLANNED_CITATION
    assert value("stages.tokens:_BYTES_PER_TOKEN") == shapes.PLANNED_TOKEN
    for module in {place.partition(":")[0] for place in planned.values()}:
        assert value(f"{module}:_MIN_PARTITIONS") == model.LEAST_PARTITIONS


# -- sizes ----------------------------------------------------------------------------------------


def test_sizes_are_read() -> None:
    found = forecast_sizes.parse("commoncrawl=42T, c4=305GB,books=1.5GiB,arxiv=12,wikipedia=public")
    assert found == {
        "commoncrawl": 42e12,
        "c4": 305e9,
        "books": 1.5 * (1 << 30),
        "arxiv": 12,
        "wikipedia": None,
    }
    assert forecast_sizes.parse("public") == {"": None}
    assert forecast_sizes.parse("") == {}


@pytest.mark.parametrize(
    "text", ["42T", "c4", "c4=", "c4=many", "=3G", "c4=-1G", "c4=1e3", "c4=0", "c4=0.0T", "c4=0.3"]
)
def test_a_size_that_is_none_is_told(text: str) -> None:
    with pytest.raises(recipe.RecipeError, match="--raw-bytes"):
        forecast_sizes.parse(text)


def test_archives_of_pages_are_not_taken_for_extracted_text() -> None:
    wet = forecast_sizes.published("commoncrawl", ["a.warc.wet.gz"])
    warc = forecast_sizes.published("commoncrawl", ["a.warc.gz"])
    assert wet is not None and warc is not None
    assert 7 < warc.bytes / wet.bytes < 9
    assert "WARC" in warc.origin and "WET" in wet.origin
    assert wet.files == warc.files == 5 * 64_000
    assert forecast_sizes.published("github", []) is None


def test_no_size_is_refused_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["plan", "local", "--calibrate", "--raw-bytes", "commoncrawl=0"]
    monkeypatch.setattr(sys, "argv", ["corpus", *given])
    assert cli.main() == 2
    said = capsys.readouterr()
    assert "--raw-bytes commoncrawl=0: a size is a byte or more" in said.out + said.err
    assert said.err.count("\n") == 1


# -- samples --------------------------------------------------------------------------------------


def write(folder: Path, sizes: dict[str, int]) -> list[str]:
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * (size // len(name) + 1))
        path.write_bytes(path.read_bytes()[:size])
    return files.glob(str(folder))


def drawn(tmp: Path, sizes: dict[str, int], budget: int, reader: str = "commoncrawl") -> Any:
    paths = write(tmp / "given", sizes)
    root = samples.root_of([str(tmp / "given")], paths)
    return samples.draw(paths, root, budget, str(tmp / "drawn"), reader)


def names(found: samples.Drawn) -> dict[str, int]:
    root = Path(found.folder)
    return {str(p.relative_to(root)): p.stat().st_size for p in root.rglob("*") if p.is_file()}


def test_samples_share_no_file_and_keep_to_their_budget(tmp_path: Path) -> None:
    found = drawn(tmp_path, {f"{i}/{i}.zip": 100 for i in range(40)}, 1000, "books")
    small, large = names(found["small"]), names(found["large"])
    assert (found["small"].bytes, found["large"].bytes) == (200, 800)
    assert (sum(small.values()), sum(large.values())) == (200, 800)
    assert not small.keys() & large.keys()
    assert not found["small"].shared
    again = drawn(tmp_path / "again", {f"{i}/{i}.zip": 100 for i in range(40)}, 1000, "books")
    assert names(again["large"]) == large


def test_the_last_file_is_cut_where_its_format_allows(tmp_path: Path) -> None:
    found = drawn(tmp_path, {"a.warc.wet.gz": 10_000, "b.warc.wet.gz": 10_000}, 1000)
    assert (found["small"].bytes, found["large"].bytes) == (200, 800)
    ((cut, size),) = names(found["large"]).items()
    whole = (tmp_path / "given" / cut).read_bytes()
    assert Path(found["large"].folder, cut).read_bytes() == whole[:800]
    assert size == 800
    assert not found["small"].shared


def test_a_single_file_gives_a_shorter_beginning(tmp_path: Path) -> None:
    found = drawn(tmp_path, {"a.warc.wet.gz": 10_000}, 1000)
    assert (found["small"].bytes, found["large"].bytes) == (200, 800)
    assert found["small"].shared


def test_an_archive_that_cannot_be_cut_is_taken_whole(tmp_path: Path) -> None:
    found = drawn(tmp_path, {"a.7z": 10_000, "b.7z": 5_000}, 1000, "stackexchange")
    assert names(found["large"]) == {"b.7z": 5000}
    assert names(found["small"]) == {"a.7z": 10_000}
    alone = drawn(tmp_path / "alone", {"a.7z": 10_000}, 1000, "stackexchange")
    assert list(alone) == ["large"]


def test_an_export_keeps_the_tables_that_its_contents_need(tmp_path: Path) -> None:
    tables = {"files-0.json.gz": 50, "licenses-0.json.gz": 5}
    contents = {f"contents-{i}.json.gz": 100 for i in range(20)}
    found = drawn(tmp_path, {**tables, **contents}, 1000, "github")
    for sample in found.values():
        assert tables.keys() <= names(sample).keys()
    assert len(names(found["large"])) == 2 + 8
    assert len(names(found["small"])) == 2 + 2


def test_repositories_are_taken_whole(tmp_path: Path) -> None:
    given = {f"me/r{r}/f{f}.py": 10 for r in range(20) for f in range(5)}
    found = drawn(tmp_path, given, 500, "github")
    kept = names(found["large"])
    for repository in {"/".join(name.split("/")[:2]) for name in kept}:
        assert sum(name.startswith(f"{repository}/") for name in kept) == 5
    assert len(kept) == 40
    assert len(names(found["small"])) == 10


def manifest(extra: dict[str, Any], models: dict[str, str]) -> Any:
    return SimpleNamespace(extra=extra, models=models)


@pytest.mark.parametrize(
    ("stage", "done", "told"),
    [
        ("reference", manifest({}, {}), "no page was scored there"),
        ("reference", manifest({}, {"reference": "digest"}), None),
        ("reference_model", manifest({"reference_model": {}}, {}), "no classifier was trained"),
        ("reference_model", manifest({"reference_model": {"model": {}}}, {}), None),
    ],
)
def test_what_a_sample_cannot_run_is_told(tmp_path: Path, stage: str, done: Any, told: Any) -> None:
    loaded = measuring.load("llama", str(tmp_path), [])
    made = measuring.Calibration(loaded, [], {}, {}, {}, {}, {}, {})
    measuring._told(made, Step("it", stage, str(tmp_path), {}), done, "small")
    assert made.too_low == ({"it"} if told else set())
    assert [told in note and "CPU" in note for note in made.notes] == [True] * bool(told)


def test_perplexity_of_small_models_is_told(tmp_path: Path) -> None:
    loaded = measuring.load("llama", str(tmp_path), [])
    notes: list[str] = []
    made = measuring.Calibration(measuring.adapted(loaded, notes), [], {}, {}, {}, {}, {}, {})
    measuring._told(made, Step("it", "perplexity", str(tmp_path), {}), manifest({}, {}), "small")
    assert made.too_low == {"it"}
    assert "CPU and memory of perplexity" in notes[0] and "too low" in notes[0]


# -- recipes --------------------------------------------------------------------------------------


def test_a_recipe_without_its_inputs_can_be_calibrated(tmp_path: Path) -> None:
    loaded = measuring.load("llama", str(tmp_path), ["parameters.c4=/there"])
    assert loaded.sources["c4"].input == ("/there",)
    assert loaded.sources["commoncrawl"].input == (measuring.UNSET,)


def test_a_model_that_is_not_set_is_asked_for(tmp_path: Path) -> None:
    path = small_run.make(tmp_path)
    text = Path(path).read_text()
    Path(path).write_text(text.replace(f"models: {tmp_path / 'models'}", 'models: ""'))
    with pytest.raises(recipe.RecipeError, match=r"language_model\.path: its parameter is not set"):
        measuring.load(path, str(tmp_path), [])


def test_settings_that_a_sample_cannot_meet_are_changed_and_told(tmp_path: Path) -> None:
    loaded = measuring.load("llama", str(tmp_path), [])
    notes: list[str] = []
    small = measuring.adapted(loaded, notes)
    assert small.language_model is not None and loaded.language_model is not None
    # Pruning to fewer pieces than the recipe wants would cost more than the recipe does.
    assert "vocabulary" not in small.language_model.settings
    assert small.language_model.settings["min_bytes"] == 10_000
    assert loaded.language_model.settings == {}
    uses = {u.stage: u.settings for s in small.sources.values() for u in s.stages}
    assert uses["perplexity"] == {"cutoffs": "recalibrated"}
    assert "sites" not in uses["stackexchange"]
    assert uses["select"] == {"profile": "paper"}
    assert len(notes) == 2


# -- the whole ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_small_recipe_is_forecast_from_its_own_input(tmp_path: Path) -> None:
    path = small_run.make(tmp_path, pages=300)
    raw = sum(p.stat().st_size for p in (tmp_path / "raw").iterdir())
    loaded = measuring.load(path, str(tmp_path), [])
    calibration = measuring.calibrate(
        loaded, str(tmp_path / "scratch"), 20_000_000, Engine(workers=1), lambda _: False
    )
    found = forecasting.of(calibration, loaded, {"commoncrawl": 1e12}, 100)
    source = found.sources[0]
    assert source.own
    assert source.raw.origin == "given with --raw-bytes"
    assert 0.9 * raw < sum(source.sample_bytes) <= raw
    # As many documents come out per byte as went in: nothing in this recipe removes any but
    # perplexity's tail.
    assert 0.5 < source.documents.point / (300 / raw * 1e12) < 1.01
    assert source.tokens.low <= source.tokens.point <= source.tokens.high
    assert source.epochs.point == pytest.approx(1000 / source.tokens.point)
    assert [s.name for s in found.steps] == [
        "commoncrawl",
        "commoncrawl.language",
        "commoncrawl.perplexity",
        "commoncrawl.select",
        "tokenizer",
        "tokens",
    ]
    assert all(s.samples == 2 for s in found.steps)
    assert found.crawl["steps"][-1] == "commoncrawl.perplexity"
    assert found.crawl["cpu_hours_per_tb"].point > 0
    assert found.wall_s.point > 0

    value = orjson.loads(forecast_show.to_json(found))
    assert value["sources"][0]["tokens"] == source.tokens.to_json()
    assert value["crawl"]["ccnet_cpu_hours_per_tb"] == 1875
    console = Console(width=200, record=True, file=(tmp_path / "shown").open("w"))
    forecast_show.show(found, console)
    shown = console.export_text()
    for expected in ("commoncrawl.perplexity", "1.0 TB", "CCNet: 1,875", "given with --raw-bytes"):
        assert expected in shown

    twice = forecasting.of(calibration, loaded, {"commoncrawl": 2e12}, 100)
    assert twice.sources[0].text.point == pytest.approx(2 * source.text.point)
    # Files in which units meet, and more than twice the references to them.
    assert twice.shuffle.point == pytest.approx(2 * found.shuffle.point, rel=0.01)
    assert twice.shuffle.point > 2 * found.shuffle.point
    # Shards of a petabyte are many: that is told, and what helps.
    told = "\n".join(found.assumptions)
    huge = "\n".join(forecasting.of(calibration, loaded, {"commoncrawl": 1e15}, 100).assumptions)
    assert "by relays" not in told and "GroupByKey" not in told
    assert re.search(r"tokens: [\d.e+]+ pairs of a unit and a partition", huge)
    assert "by relays they leave" in huge and "larger shards (shard_tokens)" in huge
    assert "more disk while a step runs, at most" in shown
    assert found.scratch.point == max(s.shuffle.point for s in found.steps) > 0
    # The models were given, and no documents met: nothing is a bound of what will be.
    assert "(too low)" not in shown
    assert not source.at_most and "≤" not in shown
    assert "disk that steps leave" in shown and "without raw dumps" in shown
    loose = replace(calibration, loose={"commoncrawl.select"}, too_low={"commoncrawl.perplexity"})
    bounded = forecasting.of(loose, loaded, {"commoncrawl": 1e12}, 100)
    assert bounded.sources[0].at_most
    assert not {s.name: s for s in bounded.steps}["commoncrawl.language"].at_most
    forecast_show.show(bounded, console)
    marked = console.export_text()
    assert f"≤ {source.documents.point / 1e9:,.1f}B" in marked
    assert "too low by what the sample left out of commoncrawl.perplexity" in marked
    assert bounded.sources[0].cpu_too_low and "(too low)" in marked
    there = forecasting.of(calibration, loaded, {}, 100).sources[0].raw
    assert (there.bytes, "all of the input" in there.origin) == (raw, True)
    public = forecasting.of(calibration, loaded, {"": None}, 100).sources[0].raw
    assert public.bytes == 5 * 7.62 * (1 << 40)


def test_nothing_is_left_of_a_forecast_that_fails(tmp_path: Path) -> None:
    path = small_run.make(tmp_path)
    (tmp_path / "scratch").mkdir()
    with pytest.raises(recipe.RecipeError, match="c4: the recipe has no such source"):
        forecasting.run(path, [], 1, "c4=1T", 1, Engine(workers=1), str(tmp_path / "scratch"))
    assert list((tmp_path / "scratch").iterdir()) == []
