"""A run that is killed with SIGKILL leaves no process and nothing wrong, and goes on."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from stages import registry
from stages.dedup.lines import LineDedup
from stages.engine.execute import Engine, Executor
from stages.engine.pool import fork
from stages.engine.progress import Reporter
from stages.engine.run import is_current, run_step
from stages.engine.step import InputError, Record, Step
from stages.engine.units import WorkUnit
from tests.stages.helpers import (
    HANG_GUARD_S,
    check_folder,
    digests,
    ended,
    gone,
    read_rows,
    toy_input,
    toy_step,
    write_parts,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("toys")]


class SlowLines(LineDedup):
    """Line dedup with time to be killed in each phase."""

    name = "slow_lines"

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        self._begin(f"emit-{unit.name}")
        return super().emit(unit, reporter)

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        self._begin(f"reduce-{key}")
        return super().reduce(key, values, reporter)

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        self._begin(f"process-{unit.name}")
        return super().process_with(unit, values, reporter)

    def _begin(self, what: str) -> None:
        with open(f"{self.step.output}.log", "a") as log:
            log.write(f"{what}\n")
        time.sleep(0.4)


def start(step: Step) -> int:
    """Runs a step with two workers in a process group of its own; returns its pid."""
    pid = fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            with Executor(Engine(workers=2)) as executor:
                run_step(step, executor)
            code = 0
        finally:
            os._exit(code)
    return pid


def kill_when(pid: int, ready: Callable[[], bool], group: bool) -> None:
    """Kills the launching process (or its group), and checks that nothing of it survives.

    An earlier attempt may have left it ready, so all six processes are waited for, too: with the
    mother, the runner, the workers' mother and two workers.
    """
    end = time.monotonic() + HANG_GUARD_S
    family = [pid]
    while len(family) < 6 or not ready():
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE, "it ended too early"
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.01)
        family = [pid, *(p.pid for p in psutil.Process(pid).children(recursive=True))]
    if group:
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGKILL)
    assert os.WIFSIGNALED(ended(pid))
    assert gone(family)


def records(folder: Path, prefix: str = "") -> set[str]:
    return {p.stem for p in folder.glob(f"{prefix}*.json")}


@pytest.mark.parametrize("group", [False, True], ids=["the launching process", "the whole group"])
def test_a_killed_run_leaves_no_process_and_goes_on(tmp_path: Path, group: bool) -> None:
    toy_input(tmp_path, units=8)
    log = tmp_path / "log"
    step = toy_step(tmp_path, settings={"log": str(log), "pause_s": 0.4})
    out = tmp_path / "out"
    kill_when(start(step), lambda: len(records(out / ".units")) >= 3, group)
    finished = records(out / ".units")
    assert 3 <= len(finished) < 8
    assert not (out / "_MANIFEST.json").exists()
    assert is_current(step) is None
    with pytest.raises(InputError, match="half done"):
        run_step(toy_step(tmp_path, out="next", inputs={"input": [str(out)]}))
    pid = start(step)
    assert ended(pid) == 0
    begun = Counter(line.split()[0] for line in log.read_text().splitlines())
    assert {begun[name] for name in finished} == {1}
    check_folder(out)
    run_step(toy_step(tmp_path, out="undisturbed"))
    assert digests(out) == digests(tmp_path / "undisturbed")


def test_a_shuffle_killed_in_each_of_its_phases_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.STAGES, "slow_lines", f"{__name__}:SlowLines")
    texts = [[f"shared {i % 3}\nown {u} {i}\nshared {u}" for i in range(4)] for u in range(5)]
    write_parts(
        tmp_path / "in",
        [[{"id": f"u{u}d{i}", "text": t} for i, t in enumerate(ts)] for u, ts in enumerate(texts)],
    )
    step = toy_step(tmp_path, "slow_lines", settings={"keep": "first"})
    out = tmp_path / "out"
    shuffle = out / ".shuffle"
    kept: dict[str, int] = {}

    def begun() -> Counter[str]:
        return Counter(Path(f"{out}.log").read_text().splitlines())

    for ready in (
        lambda: len(records(shuffle, "emit-")) >= 2,
        lambda: len(records(shuffle, "reduce-")) >= 1,
        lambda: len(records(out / ".units")) >= 2,
    ):
        kill_when(start(step), ready, group=False)
        assert not (out / "_MANIFEST.json").exists()
        finished = records(shuffle) | {f"process-{name}" for name in records(out / ".units")}
        kept |= {name: begun()[name] for name in finished - kept.keys()}
    pid = start(step)
    assert ended(pid) == 0
    assert {name.split("-")[0] for name in kept} == {"emit", "reduce", "process"}
    assert {name: begun()[name] for name in kept} == kept
    check_folder(out)
    run_step(toy_step(tmp_path, "line_dedup", out="undisturbed", settings={"keep": "first"}))
    assert [r["text"] for r in read_rows(out)] == [
        r["text"] for r in read_rows(tmp_path / "undisturbed")
    ]
    parts = {n: d for n, d in digests(out).items() if n.startswith("part-")}
    undisturbed = digests(tmp_path / "undisturbed")
    assert parts == {n: d for n, d in undisturbed.items() if n.startswith("part-")}
