"""Steps of sleeping units are run in each way, and nothing of it stays behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import dealing as program
from benchmarks.dealing import SHAPES, SHORT, WAYS, Run, Shape, costs, gaps, measure, walls
from benchmarks.processes import ROLES, Used
from stages import registry
from stages.engine import dealing
from stages.engine.step import Step
from stages.engine.units import dealt


def event(kind: str, pid: int, t: float) -> dict[str, Any]:
    return {"e": kind, "pid": pid, "t": t}


def test_gaps_are_between_units_of_one_process() -> None:
    events: list[dict[str, Any]] = [
        {"e": "due", "pid": 9, "t": 0.5, "phase": "process", "n": 4},
        event("started", 1, 1.0),
        event("started", 2, 1.5),
        event("advanced", 1, 1.75),
        event("finished", 1, 2.0),
        event("started", 1, 2.25),
        event("finished", 1, 3.0),
        event("finished", 2, 3.5),
        event("started", 1, 4.0),
        {"e": "runner", "state": "DONE", "job": "", "counters": {}},
    ]
    assert gaps(events) == ((0.25, 1.0), ())
    assert gaps([]) == ()


def test_shapes_are_what_their_names_say() -> None:
    one, uneven, even = (shape.seconds for shape in SHAPES)
    assert sorted(one) == [0.1] * 20 + [1.0]
    assert (len(uneven), min(uneven), max(uneven)) == (24, 0.05, 0.5)
    assert list(uneven) != sorted(uneven)
    assert even == (0.1,) * 40
    assert SHORT.seconds == (0.01,) * 40


def test_sizes_tell_how_long_a_unit_takes_only_where_they_should() -> None:
    def order(told: bool) -> list[int]:
        settings = {"seconds": (0.1, 0.3, 0.2), "told": told}
        step = Step("s", "sleeping", "out", {}, settings)
        return [unit.index for unit in dealt(program.Sleeping(step).units())]

    assert order(True) == [1, 2, 0]
    assert order(False) == [0, 1, 2]


def test_a_step_is_measured_in_each_way(tmp_path: Path) -> None:
    # By Beam's own bundles the slow unit and each second one of the others are in one process;
    # dealt, the other process would do nearly all of those.
    shape = Shape("one slow", (0.3, *[0.0] * 7), True)
    ((one, static, alone, usual),) = measure(str(tmp_path), [shape], WAYS, 1, lambda _: None)
    assert [[len(r.gaps) for r in runs] for runs in (one, static)] == [[1], [2]]
    assert [len(g) for g in one[0].gaps] == [7]
    assert [len(g) for g in static[0].gaps] == [3, 3]
    for (run,) in (one, static, alone, usual):
        assert sum(len(g) + 1 for g in run.gaps) == 8
        assert 0 < run.start_up_s < run.wall_s
        assert run.used["runner"].peak_rss > 20_000_000
    assert one[0].used["worker"] == Used()
    assert not list(tmp_path.iterdir())


def test_each_way_changes_what_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    short, own = dealing._SHORT, dealing.DealingRunner._get_bundle_manager
    monkeypatch.setattr(dealing, "_SHORT", short)
    monkeypatch.setattr(dealing.DealingRunner, "_get_bundle_manager", own)

    def state() -> tuple[bool, bool]:
        return dealing.DealingRunner._get_bundle_manager is own, dealing._SHORT > 0

    assert [way.workers for way in WAYS] == [1, 2, 2, 2]
    assert short > max(SHORT.seconds)
    found = []
    for way in WAYS:
        way.change()
        found.append(state())
        monkeypatch.setattr(dealing, "_SHORT", short)
        monkeypatch.setattr(dealing.DealingRunner, "_get_bundle_manager", own)
    assert found == [(True, True), (False, True), (True, False), (True, True)]
    assert "sleeping" not in registry.STAGES


def run(wall: float, *between: tuple[float, ...]) -> Run:
    used = {role: Used(0, i / 10) for i, role in enumerate(ROLES)}
    return Run(wall, wall / 10, used, between)


def test_tables_have_medians_by_way() -> None:
    runs = [run(3.0, (0.01, 0.02), (0.03,)), run(5.0, (0.01, 0.03), ()), run(4.0, (0.04,), ())]
    (row,) = walls([[runs, runs[:1], runs[1:2], runs[2:]]], SHAPES[:1]).rows
    assert row == (SHAPES[0].name, "4.0 s", "3.0 s", "5.0 s", "4.0 s")
    rows = costs([[run(3.0, (0.01, 0.02))], runs, runs[:1], runs[1:2]]).rows
    assert rows[0] == ("1 worker", "0.30", "0.00", "0.20", "", "30", "20")
    assert rows[1] == ("2, static", "0.40", "0.00", "0.20", "0.20", "30", "25")
    assert rows[2][0] == "2, dealt, none waits"


def test_the_program_prints_both_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "import_ahead", lambda: None)
    monkeypatch.setattr(program, "run", lambda work, shape, way: run(2.0, (0.001,)))
    monkeypatch.setattr("sys.argv", ["benchmarks.dealing", "--repeats", "1"])
    assert program.main() == 0
    said = capsys.readouterr()
    assert "40 of 0.1 s: 1 of 1" in said.err
    for told in ("Units that sleep", "What a step costs by itself: 40 of 10 ms", "2.0 s"):
        assert told in said.out
