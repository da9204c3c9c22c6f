"""Live progress: what several processes append, one reads."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from stages.engine.console import StepProgress
from stages.engine.progress import Progress, Reporter
from stages.engine.step import Step
from tests.stages.helpers import HANG_GUARD_S


def test_progress_adds_up_finished_and_running_units(tmp_path: Path) -> None:
    path = str(tmp_path / "p")
    a, b = Reporter(path), Reporter(path)
    a.started("emit", "u1")
    b.started("emit", "u2")
    a.finished("emit", "u1", 10, 100)
    b.advanced("emit", "u2", 3, 30)
    progress = Progress()
    progress.read(path)
    assert progress.done == {"emit": 1}
    assert progress.live("emit") == (13, 130)
    assert progress.live("process") == (0, 0)
    assert list(progress.units_of(os.getpid())) == ["u2"]
    b.finished("emit", "u2", 5, 50)
    progress.read(path)
    assert progress.live("emit") == (15, 150)
    assert list(progress.units_of(os.getpid())) == []
    a.close()
    b.close()


def test_a_line_that_is_half_there_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "p"
    line = b'{"pid":1,"e":"finished","phase":"process","unit":"\xc3\xa9","documents":1,"bytes":2}\n'
    progress = Progress()
    for i in range(len(line)):
        path.write_bytes(line[: i + 1])
        progress.read(str(path))
    assert progress.done == {"process": 1}
    assert progress.live("process") == (1, 2)


def test_without_a_file_nothing_is_said_or_read(tmp_path: Path) -> None:
    quiet = Reporter(None)
    quiet.started("process", "u")
    quiet.close()
    progress = Progress()
    progress.read(str(tmp_path / "absent"))
    assert progress == Progress()


def test_a_step_is_never_silent_for_long(tmp_path: Path) -> None:
    shown = io.StringIO()
    step = Step("slow", "toy", str(tmp_path / "out"), {})

    def until(text: str, tick: Callable[[], None]) -> None:
        end = time.monotonic() + HANG_GUARD_S
        while shown.getvalue().count(text) < 2:
            assert time.monotonic() < end, f"nothing says {text!r}"
            tick()
            time.sleep(0.001)

    before = set(threading.enumerate())
    with StepProgress(Console(file=shown, width=200), every=0.05) as progress:
        tick = progress.tick(step)
        # Its input is listed, say: nobody calls `tick`.
        until("  slow: at work for 0 s, no unit in work\n", lambda: None)
        state = Progress()
        state._take({"e": "started", "phase": "emit", "unit": "a.wet", "pid": 1, "t": 0.0})
        until("  slow: emit, 0 of 4 units done; ", lambda: tick(state, 4))
        assert "s on a.wet\n" in shown.getvalue()
    for pulse in set(threading.enumerate()) - before:
        pulse.join(HANG_GUARD_S)
        assert not pulse.is_alive()


def test_keys_are_counted_against_their_total_once_it_is_known(tmp_path: Path) -> None:
    shown = io.StringIO()
    step = Step("pairs", "toy", str(tmp_path / "out"), {})
    path = str(tmp_path / "p")
    runner = Reporter(path)
    state = Progress()
    with StepProgress(Console(file=shown, width=200), every=0.0) as progress:
        tick = progress.tick(step)
        runner.started("reduce", "00000-of-00002")
        state.read(path)
        tick(state, 4)
        runner.due("reduce", 7)
        runner.finished("reduce", "00000-of-00002", 0, 0)
        state.read(path)
        tick(state, 4)
    runner.close()
    assert state.said == {os.getpid(): 3}
    lines = [line for line in shown.getvalue().splitlines() if "keys" in line]
    assert lines == ["  pairs: reduce, 0 keys done", "  pairs: reduce, 1 of 7 keys done"]


def test_bars_have_the_totals_that_are_known(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    state = Progress(done={"emit": 4, "gather": 1, "reduce": 1}, due={"emit": 6, "reduce": 7})
    with StepProgress(console) as progress:
        tick = progress.tick(Step("pairs", "toy", str(tmp_path / "out"), {}))
        tick(state, 5)
        found = {t.description: (t.completed, t.total) for t in progress._bars.tasks}
        assert found == {
            "pairs (emit)": (4, 6),
            "pairs (gather)": (1, None),
            "pairs (reduce)": (1, 7),
        }
        state.due["gather"] = 3
        tick(state, 5)
        assert progress._bars.tasks[1].total == 3
