"""The local runner says how much each phase has to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.engine.execute import Executor
from stages.engine.progress import Progress
from stages.engine.run import run_step
from stages.engine.totals import phase_of
from tests.stages.helpers import toy_step, write_parts


def test_phases_by_the_names_of_their_transforms() -> None:
    assert phase_of(["Deal/Read", "c4.line_dedup.emit", "Meet/Write"], "c4.line_dedup") == "emit"
    assert phase_of(["Meet/Read", "x.reduce/ParDo(_Reduce)", "Flatten"], "x") == "reduce"
    assert phase_of(["Return/Read", "x"], "x") == "process"
    assert phase_of(["Due/Impulse", "Units", "Deal/Write"], "x") == ""
    # A step may be called as another's phase is.
    assert phase_of(["Deal/Read", "x.reduce"], "x.reduce") == "process"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_each_phase_is_told_before_its_first_piece_of_work(
    tmp_path: Path, workers: int, request: pytest.FixtureRequest
) -> None:
    executor: Executor = request.getfixturevalue(["", "one_worker", "two_workers"][workers])
    texts = [f"a line of {u}\nanother {u}\nand the same" for u in range(5)]
    write_parts(tmp_path / "in", [[{"id": f"d{u}", "text": t}] for u, t in enumerate(texts)])
    looks: list[tuple[dict[str, int], dict[str, int]]] = []

    def look(progress: Progress, units: int) -> None:
        assert set(progress.done) | {phase for phase, _ in progress.running} <= set(progress.due)
        looks.append((dict(progress.due), dict(progress.done)))

    run_step(toy_step(tmp_path, "line_dedup", settings={"keep": "first"}), executor, look)
    due, done = looks[-1]
    assert due == done
    assert (due["emit"], due["process"]) == (5, 5)
    assert due["reduce"] >= 1
