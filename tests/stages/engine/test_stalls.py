"""Processes that do nothing any more are named, and killed at last; others are left alone."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import Field

from stages import registry
from stages.engine import execute, stalls
from stages.engine.execute import Engine, Executor, StageError
from stages.engine.pool import run_program
from stages.engine.progress import Progress, Reporter
from stages.engine.run import run_step
from stages.engine.stalls import StallWatch, _Process
from stages.engine.step import Record, Step
from stages.engine.units import Piece, WorkUnit
from tests.stages.helpers import (
    HANG_GUARD_S,
    Toy,
    ToySettings,
    alive,
    check_folder,
    digests,
    gone,
    toy_input,
    toy_step,
)

slow = pytest.mark.slow

ROOT, RUNNER, MOTHER, ONE, TWO, PROGRAM = 10, 20, 30, 41, 42, 50
RUNS, SLEEPS, STOPS = psutil.STATUS_RUNNING, psutil.STATUS_SLEEPING, psutil.STATUS_STOPPED


# -- what is decided ------------------------------------------------------------------------------


class World:
    """A step with two workers, seen every `look` seconds by a watch with a limit of 100 s."""

    look = 5.0

    def __init__(self, limit: float = 100.0) -> None:
        self.said: list[str] = []
        self.watch = StallWatch(limit, ROOT, True, self.said.append)
        self.progress = Progress()
        self.family = {
            ROOT: _Process(1, 0, "python", SLEEPS, 0.0, 0),
            RUNNER: _Process(ROOT, 1, "python", SLEEPS, 0.0, 0),
            MOTHER: _Process(RUNNER, 2, "python", SLEEPS, 0.0, 0),
            ONE: _Process(MOTHER, 3, "python", SLEEPS, 0.0, 0),
            TWO: _Process(MOTHER, 3, "python", SLEEPS, 0.0, 0),
        }
        self.tell(ONE, "started", "a.wet")

    def tell(self, pid: int, event: str, unit: str) -> None:
        more = {"documents": 1, "bytes": 1}
        self.progress._take({"e": event, "phase": "emit", "unit": unit, "pid": pid, "t": 0, **more})

    def set(self, pid: int, **changes: Any) -> None:
        self.family[pid] = replace(self.family[pid], **changes)

    def after(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        for _ in range(round(seconds / self.look)):
            each()
            self.watch.see(self.family, self.progress, self.look)


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    pids: list[int] = []
    monkeypatch.setattr(stalls, "_end", pids.append)
    monkeypatch.setattr(stalls, "_LOCKS", os.devnull)
    return pids


def test_a_stopped_worker_is_named_then_killed(killed: list[int]) -> None:
    world = World()
    world.set(ONE, status=STOPS)
    world.after(25)
    assert world.said == []
    world.after(70)
    assert world.said == [
        "worker 41 is stopped (T) since 25 s on a.wet; `kill -CONT 41` has it go on, after 100 s"
        " it is killed"
    ]
    assert killed == []
    world.after(10)
    assert killed == [ONE]
    assert world.watch.ended == {ONE: "killed after 100 s without a sign of life, state T"}
    assert world.watch.failed == ""


def test_a_worker_that_was_let_go_on_is_not_killed(killed: list[int]) -> None:
    world = World()
    world.set(ONE, status=STOPS)
    world.after(90)
    world.set(ONE, status=RUNS)

    def works() -> None:
        world.set(ONE, cpu=world.family[ONE].cpu + World.look)

    world.after(90, works)
    assert killed == []
    world.set(ONE, status=STOPS)
    world.after(30)
    assert len(world.said) == 2  # And is named again when it is stopped again.


def test_a_worker_that_hangs_is_named_at_half_and_killed(killed: list[int]) -> None:
    world = World()

    def samples() -> None:  # What Beam takes in a worker that only waits.
        for pid in (ONE, TWO):
            world.set(pid, cpu=world.family[pid].cpu + 0.01 * World.look)

    world.after(95, samples)
    assert world.said == [
        "worker 41 (S) has done nothing for 50 s on a.wet; after 100 s it is killed"
    ]
    world.after(10, samples)
    assert killed == [ONE]  # The other has no unit in work, and so waits for one.


@pytest.mark.parametrize("pid", [ONE, PROGRAM], ids=["itself", "a program of its unit's"])
@pytest.mark.parametrize("what", ["cpu", "moved"])
def test_who_computes_or_reads_is_left_alone(killed: list[int], pid: int, what: str) -> None:
    # lmplz, or a large reduce, tells nothing for hours. A tenth of a core is enough.
    world = World()
    world.family[PROGRAM] = _Process(ONE, 4, "lmplz", SLEEPS, 0.0, 0)

    def works() -> None:
        more = {"cpu": 0.1 * World.look, "moved": 64 << 10}[what]
        world.set(pid, **{what: getattr(world.family[pid], what) + more})

    world.after(500, works)
    assert (killed, world.said) == ([], [])


def test_who_tells_of_its_unit_is_left_alone(killed: list[int]) -> None:
    world = World()
    world.after(500, lambda: world.tell(ONE, "advanced", "a.wet"))
    assert (killed, world.said) == ([], [])


def test_who_begins_again_at_the_last_moment_is_left_alone(killed: list[int]) -> None:
    # An answer came at last: a few seconds of work then count for more than all the waiting.
    world = World()
    world.after(95)
    world.set(ONE, cpu=0.3 * World.look)
    world.after(95)
    assert killed == []


def test_who_waits_for_a_lock_is_named_but_not_killed(
    killed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another process copies a model for it, perhaps one of another run.
    path = tmp_path / "lock"
    held = path.open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    pid = os.fork()
    if pid == 0:
        held.close()  # Or it would hold the lock itself.
        with path.open("w") as mine:
            fcntl.flock(mine, fcntl.LOCK_EX)
        os._exit(0)
    try:
        monkeypatch.setattr(stalls, "_LOCKS", "/proc/locks")
        end = time.monotonic() + HANG_GUARD_S
        while not stalls._waits_for_lock(pid):
            assert time.monotonic() < end, "nobody tells that it waits"
            time.sleep(0.01)
        assert not stalls._waits_for_lock(os.getpid())
        world = World()
        world.family[pid] = world.family.pop(TWO)
        world.tell(pid, "started", "b.wet")
        world.tell(ONE, "finished", "a.wet")
        world.after(300)
        named = list(world.said)
        world.tell(pid, "finished", "b.wet")  # Or it waits before it begins a unit.
        world.after(300)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        held.close()
    assert killed == []
    assert world.watch.failed == ""
    assert named == [
        f"worker {pid} (S) has done nothing for 50 s on b.wet; it waits for a lock of another"
        " process"
    ]


def test_who_is_looked_at_with_a_debugger_is_left_alone(killed: list[int]) -> None:
    world = World()
    world.set(ONE, status=psutil.STATUS_TRACING_STOP)
    world.after(500)
    assert (killed, world.said) == ([], [])


@pytest.mark.parametrize("pid", [ROOT, RUNNER, MOTHER])
def test_a_stopped_process_between_ends_the_step(killed: list[int], pid: int) -> None:
    world = World()
    world.set(pid, status=STOPS)

    def works() -> None:
        world.set(ONE, cpu=world.family[ONE].cpu + World.look)

    world.after(300, works)
    assert killed == []  # While a unit is in work below it, nothing is lost.
    assert len(world.said) == 1
    assert f"process {pid}, which hands out work, is stopped (T) since 25 s;" in world.said[0]
    world.tell(ONE, "finished", "a.wet")
    world.after(110)
    assert killed[0] == pid
    assert world.watch.failed == (
        f"process {pid}, which hands out work, was stopped (T) and did nothing for 100 s, so it"
        " was killed"
    )


def test_where_nobody_does_anything_the_step_ends(killed: list[int]) -> None:
    world = World()
    world.tell(ONE, "finished", "a.wet")
    world.after(110)
    assert killed[0] == RUNNER
    assert world.watch.failed.startswith("nothing was done for 100 s, with no unit in work;")


def test_a_mother_that_never_gets_to_a_runner_is_killed(killed: list[int]) -> None:
    world = World()
    world.tell(ONE, "finished", "a.wet")
    world.family = {ROOT: world.family[ROOT]}
    world.after(110)
    assert killed == [ROOT]
    assert world.watch.failed == (
        "nothing was done for 100 s, with no unit in work; process 10, which hands out work, was"
        " killed"
    )


def test_a_runner_has_its_own_time(killed: list[int]) -> None:
    world = World()
    world.tell(ONE, "finished", "a.wet")
    whole = world.family
    world.family = {ROOT: whole[ROOT]}
    world.after(60)
    world.family = {pid: whole[pid] for pid in (ROOT, RUNNER)}
    world.after(90)
    assert killed == []
    world.after(20)
    assert killed == [RUNNER]


def test_a_stopped_program_is_named_and_its_worker_killed(killed: list[int]) -> None:
    world = World()
    world.family[PROGRAM] = _Process(ONE, 4, "lmplz", STOPS, 0.0, 0)
    world.after(35)
    assert len(world.said) == 1
    assert world.said[0].startswith(
        "lmplz, process 50 of a worker, is stopped (T) since 25 s on a.wet; `kill -CONT 50` "
    )
    world.after(70)
    assert killed == [ONE]


def test_those_above_follow_who_cannot_be_killed(
    killed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a read from a file system whose server is gone: SIGKILL waits, too.
    monkeypatch.setattr(stalls, "_states_of_threads", lambda pid: iter("SD"))
    world = World()
    world.after(105)
    assert killed == [ONE]
    assert world.watch.failed == ""
    world.after(30)
    assert killed == [ONE, RUNNER]
    assert world.watch.failed == "worker 41 does not end even when it is killed (state D)"
    world.after(30)
    assert killed == [ONE, RUNNER, ROOT]
    assert not world.watch.given_up
    world.after(300)
    assert len(killed) == 3
    assert world.watch.given_up


def test_a_death_that_nobody_notices_ends_the_step(killed: list[int]) -> None:
    world = World()
    world.after(105)
    del world.family[ONE]
    world.after(30)
    assert killed == [ONE, RUNNER]
    assert world.watch.failed.startswith("nobody took notice of the end of worker 41 (it was kil")


def test_no_worker_is_killed_where_nobody_would_learn_of_it(killed: list[int]) -> None:
    world = World()
    world.set(RUNNER, status=STOPS)
    world.tell(TWO, "started", "b.wet")
    world.after(300, lambda: world.tell(TWO, "advanced", "b.wet"))
    assert killed == []


def test_without_a_limit_there_are_only_words(killed: list[int]) -> None:
    world = World(limit=0)
    world.set(TWO, status=STOPS)
    world.after(10_000)
    assert killed == []
    assert world.said == [
        "worker 42 is stopped (T) since 30 s; `kill -CONT 42` has it go on",
        "worker 41 (S) has done nothing for 300 s on a.wet",
    ]


def test_time_in_which_nobody_looked_does_not_count(
    killed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The launching process was stopped along with the others, or the machine slept.
    world = World()
    now = 0.0
    monkeypatch.setattr(stalls, "_family", lambda root: world.family)
    monkeypatch.setattr(stalls.time, "monotonic", lambda: now)
    for _ in range(5):
        world.watch.look(world.progress)
        now += 10_000.0
    assert (killed, world.said) == ([], [])
    for _ in range(100):
        world.watch.look(world.progress)
        now += 5.0
    assert killed[0] == ONE


def test_processes_are_seen_as_they_are() -> None:
    child = os.fork()
    if child == 0:
        time.sleep(10 * HANG_GUARD_S)
        os._exit(0)
    try:
        me = os.getpid()
        family = stalls._family(me)
        assert family[me].depth == 0
        assert (family[child].parent, family[child].depth) == (me, 1)
        before = family[me]
        data = bytes(1 << 20)
        with open(os.devnull, "wb", buffering=0) as sink:
            sink.write(data)
        end = time.process_time() + 0.1
        while time.process_time() < end:
            sum(range(1000))
        after = stalls._family(me)[me]
        assert after.cpu - before.cpu >= 0.05
        assert after.moved - before.moved >= 1 << 20
        os.kill(child, signal.SIGSTOP)
        os.waitpid(child, os.WUNTRACED)
        assert stalls._state(child, stalls._family(me)[child]) == "T"
        os.kill(child, signal.SIGKILL)
        assert os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT) is not None
        assert child not in stalls._family(me)  # It is a zombie now.
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert stalls._family(child) == {}


# -- steps ----------------------------------------------------------------------------------------


class StuckSettings(ToySettings):
    stuck: str = Field("", description="name of the method that is called before the first unit")


class Stuck(Toy):
    name = "stuck"
    Settings = StuckSettings

    def process(self, unit: WorkUnit, reporter: Reporter) -> Record:
        if unit.index == 0:
            getattr(self, self.settings.stuck)()
        return super().process(unit, reporter)

    def first_time(self) -> bool:
        mark = Path(self.step.output).parent / "mark"
        before = mark.exists()
        mark.touch()
        return not before

    def stops_once(self) -> None:
        if self.first_time():
            os.kill(os.getpid(), signal.SIGSTOP)

    def hangs(self) -> None:
        self.first_time()
        time.sleep(10 * HANG_GUARD_S)

    def hangs_once(self) -> None:
        if self.first_time():
            self.hangs()

    def program_stops_once(self) -> None:
        if self.first_time():
            run_program([sys.executable, "-Sc", "import os; os.kill(os.getpid(), 19)"])

    def computes(self) -> None:
        end = time.process_time() + 2.5
        while time.process_time() < end:
            sum(range(100_000))

    def has_a_program_compute(self) -> None:
        code = "import time\nwhile time.process_time() < 2.5: sum(range(100_000))"
        assert run_program([sys.executable, "-Sc", code]).returncode == 0


def stuck(tmp: Path, how: str) -> Step:
    if not (tmp / "in").exists():
        toy_input(tmp, units=4)
    return toy_step(tmp, "stuck", settings={"stuck": how})


def run(step: Step, workers: int = 2, look: Any = None, stall_s: float = 1.0) -> None:
    with Executor(Engine(workers=workers, stall_s=stall_s)) as executor:
        run_step(step, executor, look)


@pytest.fixture
def stucks(toys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.STAGES, "stuck", f"{__name__}:Stuck")


@slow
@pytest.mark.usefixtures("stucks")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("how", "state"), [("stops_once", "T"), ("hangs_once", "S"), ("program_stops_once", "S")]
)
def test_a_unit_that_got_stuck_once_is_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str, state: str, workers: int
) -> None:
    step = stuck(tmp_path, how)
    with caplog.at_level(logging.WARNING):
        run(step, workers)
    check_folder(step.output)
    run_step(toy_step(tmp_path, out="undisturbed"))
    assert digests(step.output) == digests(tmp_path / "undisturbed")
    assert f"without a sign of life, state {state}) on {tmp_path}/in/part-00000" in caplog.text
    assert "part-00000-of-00004.parquet; trying again\n" in caplog.text
    assert ("is stopped (T) since" in caplog.text) == ("stops" in how)


@slow
@pytest.mark.usefixtures("stucks")
def test_a_unit_that_gets_stuck_each_time_ends_the_step(tmp_path: Path) -> None:
    with pytest.raises(StageError) as caught:
        run(stuck(tmp_path, "hangs"))
    message = str(caught.value)
    assert "a worker died (killed after " in message
    assert "state S) 2 times on " in message
    assert "part-00000-of-00004.parquet; finished units are kept; once the cause" in message


@slow
@pytest.mark.parametrize("units", [1, 5000])
def test_a_mother_that_hangs_at_her_start_is_noticed(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, units: int
) -> None:
    """Whatever she is asked: a pipe does not hold what thousands of units take."""
    monkeypatch.setattr(execute, "import_ahead", lambda: time.sleep(10 * HANG_GUARD_S))
    due = [WorkUnit(i, units, (Piece(f"{toy_folder}/{i}"),), f"{i}") for i in range(units)]
    with (
        pytest.raises(StageError, match="nothing was done for "),
        Executor(Engine(workers=2, stall_s=1.0)) as executor,
    ):
        executor.run(toy_step(toy_folder), lambda: due)


@slow
@pytest.mark.usefixtures("stucks")
@pytest.mark.parametrize("how", ["computes", "has_a_program_compute"])
def test_a_long_silent_unit_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    with caplog.at_level(logging.WARNING):
        run(stuck(tmp_path, how), stall_s=0.5)
    assert caplog.text == ""
    check_folder(tmp_path / "out")


@slow
@pytest.mark.usefixtures("stucks")
@pytest.mark.parametrize("depth", [1, 2, 3], ids=["mother", "runner", "workers' mother"])
def test_a_stopped_process_between_is_told_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, depth: int
) -> None:
    others = set(psutil.Process().children(recursive=True))
    stopped: list[int] = []
    family: set[int] = set()

    def look(progress: Progress, units: int) -> None:
        mine = set(psutil.Process().children(recursive=True)) - others
        family.update(p.pid for p in mine)
        if stopped or not (tmp_path / "mark").exists():
            return
        for process in mine:
            above = [p.pid for p in process.parents()]
            if os.getpid() in above and above.index(os.getpid()) + 1 == depth:
                process.suspend()
                stopped.append(process.pid)

    step = stuck(tmp_path, "hangs")
    with caplog.at_level(logging.WARNING), pytest.raises(StageError) as caught:
        run(step, look=look)
    assert len(stopped) == 1
    assert str(caught.value).startswith(
        f"stuck: process {stopped[0]}, which hands out work, was stopped (T) and did nothing for "
    )
    assert "finished units are kept, the same command goes on from there" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert f"process {stopped[0]}, which hands out work, is stopped (T) since" in caplog.text
    assert len(family) >= 5
    assert gone(list(family))
    assert not any(alive(pid) for pid in family)
