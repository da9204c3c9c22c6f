"""Targets are met or missed by what was measured, and the sheet says by how much."""

from __future__ import annotations

import pytest

from benchmarks import ceiling, targets
from benchmarks.ccnet_path import CcnetPath
from benchmarks.growth import Growth
from benchmarks.hotspots import Hotspot
from benchmarks.kernels import Kernel
from benchmarks.measure import Cost
from benchmarks.processes import Used
from benchmarks.sheets import DOCUMENT_STEPS
from benchmarks.stages import FloorRun, Measured, PathRun, StageRun, WatchedRun


def measured(stage: float, **floors: float) -> Measured:
    def floor(cpu: float) -> FloorRun:
        return FloorRun(Cost(cpu, cpu, 1), 10, 1_000_000)

    return Measured(
        "some",
        [StageRun(Cost(stage, stage, 1), 10, 10, {}, 1)],
        {name: [floor(cpu)] for name, cpu in floors.items()},
        dict.fromkeys(("", *floors), 0.0),
    )


def path(workers: int, seconds: float) -> PathRun:
    return PathRun(workers, dict.fromkeys(DOCUMENT_STEPS, seconds), {})


def grown(worker: int, runner: int) -> dict[str, WatchedRun]:
    used = {"worker": Used(worker), "runner": Used(runner), "launcher": Used()}
    return {"some": WatchedRun(1.0, 1, used, {})}


def test_a_slow_stage_is_named_with_its_ratio() -> None:
    (row,) = targets.floors([measured(1.0, quick=0.9), measured(3.0, slow=2.0)])
    assert row.row() == (
        "whole stage against its floor, fixed parts aside",
        "≤ 1.25x CPU",
        "1 of 2; over it: slow 1.50",
        "no",
    )
    assert targets.floors([measured(1.0, quick=0.9)])[0].met


def test_speed_without_the_same_answers_meets_nothing() -> None:
    seconds = {"loop": [6.0], "batches": [1.0]}
    for differ, met in ((0, True), (1, False)):
        kernel = Kernel("line hashes", 1, 1000, seconds, {"loop": 0, "batches": differ})
        (row,) = targets.kernels([kernel])
        assert (row.met, row.found) == (met, f"6.00x, {differ} of 1,000 answers differ")
    for differ, met in ((1, True), (2, False)):
        kernel = Kernel("languages", 1, 1000, seconds, {"loop": 0, "batches": differ})
        assert targets.kernels([kernel])[0].met == met
    found = CcnetPath(10, 1, [10.0], [{}], [{"a": 2.0}], 0.0, {"text": 0, "bucket": 2}, 1000)
    assert (targets.ccnet(found)[0].met, found.ratios) == (False, [5.0])
    found.differ["bucket"] = 1
    assert targets.ccnet(found)[0].met


def test_a_hotspot_is_judged_by_its_function_and_not_by_the_whole() -> None:
    spots = [
        Hotspot("books", "hash", 1, [3.0], [1.0], 10, 0),
        Hotspot("books", "all: keys", 1, [9.0], [1.0], 10, 0),
        Hotspot("latex", "copy", 1, [3.0], [1.0], 10, 1),
    ]
    books, latex = targets.hotspots(spots)
    assert books.row() == (
        "books: top hotspot",
        "≥ 2x",
        "3.00x (hash), 0 of 10 answers differ",
        "yes",
    )
    assert not latex.met


def test_tokens_workers_and_memory() -> None:
    (row,) = targets.tokens([measured(1.0, **{"tokens (SentencePiece)": 3.9})])
    assert (row.found, row.met) == ("3.90x", False)
    runs = {
        4: {1: [path(1, 3.0)], 2: [path(2, 2.0)]},
        16: {1: [path(1, 3.6)], 2: [path(2, 2.0)]},
    }
    bounds = {4: [1.2], 16: [1.8, 1.9, 2.0]}
    gain, start = targets.workers(runs, {1: {"first_s": 1.6}, 2: {"first_s": 1.0}}, bounds)
    assert (gain.found, gain.met) == (
        "1.80x on 16 times the data, 1.50x on 4 times; 2 processes of a plain loop: 1.90x",
        True,
    )
    assert (start.found, start.met) == ("1.6 s", False)
    (row,) = targets.memory(Growth({1: grown(10, 10), 16: grown(20, 11)}, 1))
    assert (row.what, row.found, row.met) == (
        "peak memory with 16 times the data",
        "at most: worker 2.00x (some), runner 1.10x (some), launcher 0.00x (not known)",
        False,
    )
    assert targets.sheet([row]).markdown().count("\n| ") == 3


@pytest.mark.parametrize(("worker", "runner", "met"), [(12, 12, True), (12, 13, False)])
def test_memory_of_the_runner_counts_as_that_of_workers(
    worker: int, runner: int, met: bool
) -> None:
    (row,) = targets.memory(Growth({16: grown(worker, runner), 1: grown(10, 10)}, 1))
    assert row.met == met


def test_two_processes_of_a_loop_do_something() -> None:
    assert ceiling.measure(2, repeats=1) > 0
