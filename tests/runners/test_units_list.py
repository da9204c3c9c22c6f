"""A pipeline finds its units in a file: five dumps have 300,000, and a job may carry 10 MB."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import fn_runner

from stages.engine import files, transforms
from stages.engine.run import run_step
from stages.engine.step import DUE
from stages.engine.units import Piece, WorkUnit, dealt, number
from tests.runners.test_progress import toys
from tests.stages import helpers

__all__ = ["toys"]


def units(n: int) -> list[WorkUnit]:
    return number([[Piece(f"gs://bucket/crawl/{i:06d}.warc.wet.gz", size=i % 7)] for i in range(n)])


def size(folder: Path, n: int) -> int:
    pipeline = beam.Pipeline(runner=fn_runner.FnApiRunner())
    transforms.build(pipeline, helpers.toy_step(folder), units(n))
    return len(pipeline.to_runner_api().SerializeToString())


def test_a_pipeline_is_of_one_size_for_any_number_of_units(toys: None, tmp_path: Path) -> None:
    one = size(tmp_path, 1)
    # Pickled functions are compressed, and not to the same byte each time.
    assert abs(size(tmp_path, 5000) - one) < 500 and one < 40_000
    assert (tmp_path / "out" / DUE).stat().st_size > 500_000


def test_units_come_in_the_order_in_which_they_are_dealt(toys: None, tmp_path: Path) -> None:
    step = helpers.toy_step(tmp_path)
    path = transforms._write_due(step, units(50))
    found = [index for index, _ in transforms._read_due(path)]
    assert found == [u.index for u in dealt(units(50))] != list(range(50))


def test_a_finished_step_keeps_no_list(toys: None, tmp_path: Path) -> None:
    helpers.toy_input(tmp_path)
    run_step(helpers.toy_step(tmp_path))
    assert not files.exists(str(tmp_path / "out" / DUE))
    helpers.check_folder(tmp_path / "out")
