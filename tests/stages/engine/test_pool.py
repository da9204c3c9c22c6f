"""The worker pool in trouble: slow, greedy, failing and dying units, and runs that are stopped."""

from __future__ import annotations

import inspect
import itertools
import logging
import os
import resource
import signal
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from apache_beam.coders import StrUtf8Coder, TupleCoder
from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.runners.portability.fn_api_runner import execution, fn_runner, worker_handlers
from apache_beam.runners.worker import statesampler
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.window import GlobalWindows
from pydantic import Field

from stages import registry
from stages.dedup.lines import keep_none
from stages.dedup.runs import Run, decide_partition, emit_run, partitions_for
from stages.engine import dealing, memory
from stages.engine.deaths import MOTHER, NO_UNIT, RUNNER, WORKER, Deaths
from stages.engine.execute import Engine, Executor, StageError
from stages.engine.memory import MemoryWatch, bounded, bounds, private
from stages.engine.pool import fork, run_program
from stages.engine.progress import Progress, Reporter
from stages.engine.run import run_step
from stages.engine.step import Record, Step
from stages.engine.units import Piece, WorkUnit
from tests.stages.helpers import (
    HANG_GUARD_S,
    Toy,
    ToySettings,
    alive,
    check_folder,
    digests,
    ended,
    gone,
    toy_input,
    toy_step,
)

pytestmark = pytest.mark.usefixtures("toys", "troubles")
slow = pytest.mark.slow

SIGKILLED, SEGFAULT = int(signal.SIGKILL), int(signal.SIGSEGV)


class TroubleSettings(ToySettings):
    trouble: str = Field("", description="name of the method that is called before each unit")


class Trouble(Toy):
    """A toy whose units do what a test names; marks of theirs are files in the folder `marks`."""

    name = "trouble"
    Settings = TroubleSettings

    def process(self, unit: WorkUnit, reporter: Reporter) -> Record:
        self.marks = Path(self.step.output).parent / "marks"
        self.marks.mkdir(exist_ok=True)
        getattr(self, self.settings.trouble)(unit)
        record = super().process(unit, reporter)
        (self.marks / f"done-{unit.index}").touch()
        return record

    def wait(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + HANG_GUARD_S / 2
        while not ready():
            if time.monotonic() > end:
                raise TimeoutError("what the unit waits for does not come")
            time.sleep(0.02)

    def begun(self, unit: WorkUnit) -> int:
        """How many times the unit was begun before."""
        before = len(list(self.marks.glob(f"begun-{unit.index}-*")))
        (self.marks / f"begun-{unit.index}-{before}").touch()
        return before

    # -- troubles -------------------------------------------------------------------------------

    def first_waits_for_all(self, unit: WorkUnit) -> None:
        if dealt(unit) == 0:
            self.wait(lambda: len(list(self.marks.glob("done-*"))) == unit.of - 1)

    def first_fails_beside_second(self, unit: WorkUnit) -> None:
        self.begun(unit)
        if dealt(unit) == 0:
            self.wait(lambda: (self.marks / f"begun-{unit.index - 1}-0").exists())
            raise ValueError("the first unit failed")
        if dealt(unit) == 1:
            self.wait(lambda: (self.marks / f"begun-{unit.index + 1}-0").exists())
            time.sleep(0.5)

    def first_fails_beside_endless(self, unit: WorkUnit) -> None:
        self.first_fails_beside_second(unit)
        time.sleep(10 * HANG_GUARD_S)

    def is_killed_beside_another(self, unit: WorkUnit) -> None:
        """As where memory is enough for one at a time."""
        mine = self.marks / f"pid-{os.getpid()}"
        mine.touch()
        time.sleep(0.1)
        others = [int(p.name[4:]) for p in self.marks.glob("pid-*")]
        if unit.index == 0 and any(alive(pid) for pid in others if pid != os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)

    def takes_much(self, unit: WorkUnit) -> None:
        if unit.index == 0:
            # What it has from this process counts in parts: the rest alone is over the limit.
            self.held = np.ones((private(os.getpid()) + (400 << 20)) // 8)
            time.sleep(HANG_GUARD_S)

    def takes_much_once(self, unit: WorkUnit) -> None:
        if self.begun(unit) == 0:
            self.takes_much(unit)

    def runs_out_of_memory(self, unit: WorkUnit) -> None:
        if unit.index == 2:
            size = psutil.Process().memory_info().vms
            resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), resource.RLIM_INFINITY))
            np.ones(1 << 30)

    def is_slow(self, unit: WorkUnit) -> None:
        self.begun(unit)
        time.sleep(0.15)

    def runs_a_program(self, unit: WorkUnit) -> None:
        self.begun(unit)
        run_program(["sleep", str(10 * HANG_GUARD_S)])

    def keeps_python_busy(self, unit: WorkUnit) -> None:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            sum(range(100_000))


def dealt(unit: WorkUnit) -> int:
    """The place of a unit in the order of dealing: those of toys grow with their index."""
    return unit.of - 1 - unit.index


@pytest.fixture
def troubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.STAGES, "trouble", f"{__name__}:Trouble")


def trouble(tmp: Path, how: str, units: int = 6, out: str = "out", **more: Any) -> Step:
    if not (tmp / "in").exists():
        toy_input(tmp, units=units)
    return toy_step(tmp, "trouble", out=out, settings={"trouble": how, **more})


def run(step: Step, workers: int = 2, look: Any = None, **more: Any) -> None:
    with Executor(Engine(workers=workers, **more)) as executor:
        run_step(step, executor, look)


def records(step: Step) -> set[str]:
    return {p.name[:5] for p in Path(step.output, ".units").glob("*.json")}


# -- dealing --------------------------------------------------------------------------------------


@slow
def test_a_slow_unit_holds_up_no_other(tmp_path: Path) -> None:
    # With the runner's own static split, half of the units would lie behind the first.
    step = trouble(tmp_path, "first_waits_for_all", units=9)
    run(step)
    check_folder(step.output)


@slow
def test_units_in_work_beside_a_failing_one_are_finished(tmp_path: Path) -> None:
    step = trouble(tmp_path, "first_fails_beside_second", units=6)
    with pytest.raises(StageError, match="the first unit failed"):
        run(step)
    assert records(step) == {"00004"}  # And no other was begun after the failure.
    assert len(list((tmp_path / "marks").glob("begun-*"))) == 2


@slow
def test_a_failure_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealing, "_GRACE", 0.2)
    step = trouble(tmp_path, "first_fails_beside_endless", units=3)
    mine: set[psutil.Process] = set()
    with pytest.raises(StageError, match="the first unit failed"):
        run(step, look=lambda *_: mine.update(psutil.Process().children(recursive=True)))
    assert gone([p.pid for p in mine])


def test_what_is_changed_of_beam_is_there() -> None:
    # Another version of Beam may have moved it, and nothing else would tell but slowness.
    sampler = inspect.signature(statesampler.StateSampler.__init__)
    assert [p.name for p in sampler.parameters.values() if p.default is not p.empty] == [
        "sampling_period_ms"
    ]
    pairs = TupleCoder((StrUtf8Coder(), StrUtf8Coder()))
    assert len(execution.GroupingBuffer(pairs, pairs, Windowing(GlobalWindows()))._table) == 0
    assert hasattr(worker_handlers.ExternalWorkerHandler, "host_from_worker")
    assert hasattr(fn_runner.FnApiRunner, "_get_bundle_manager")
    options = dealing.LocalOptions(["--direct_num_workers=3"])
    view = options.view_as(DirectOptions)
    assert view is options.view_as(DirectOptions)
    assert view.direct_num_workers == 3
    view.direct_num_workers = 5
    assert options.view_as(DirectOptions).direct_num_workers == 5
    assert options.get_all_options()["direct_num_workers"] == 5


# -- memory ---------------------------------------------------------------------------------------


@slow
def test_where_memory_ends_fewer_work_at_a_time_until_the_unit_is_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel counts whom it kills; here it seems to kill one each time that it is asked.
    monkeypatch.setattr(memory, "oom_kills", itertools.count().__next__)
    attempts: list[tuple[list[int], int]] = []
    ask = Executor._ask

    def asked(self: Executor, step: Step, due: Any, engine: Engine, *more: Any) -> Any:
        attempts.append(([unit.index for unit in due], engine.workers))
        return ask(self, step, due, engine, *more)

    monkeypatch.setattr(Executor, "_ask", asked)
    step = trouble(tmp_path, "is_killed_beside_another")
    with caplog.at_level(logging.WARNING):
        run(step)
    assert "SIGKILL, for want of memory) on " in caplog.text
    assert "trying again with 1 at a time" in caplog.text
    assert attempts[:2] == [([0, 1, 2, 3, 4, 5], 2), ([0], 1)]
    # What was finished beside the death is not due again; the rest has all workers.
    assert all((0 not in due, workers) == (True, 2) for due, workers in attempts[2:])
    check_folder(step.output)
    run_step(toy_step(tmp_path, out="undisturbed"))
    assert digests(step.output) == digests(tmp_path / "undisturbed")


@slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_takes_more_than_its_memory_is_stopped(tmp_path: Path, workers: int) -> None:
    step = trouble(tmp_path, "takes_much", units=3)
    with pytest.raises(StageError) as caught:
        run(step, workers, worker_memory_mb=private(os.getpid()) // (1 << 20) + 200)
    assert "MiB of memory, worker_memory_mb allows" in str(caught.value)
    assert "2 times on " in str(caught.value)
    assert "part-00000-of-00003.parquet; allow more" in str(caught.value)


@slow
def test_a_unit_that_took_too_much_once_is_done_again(tmp_path: Path) -> None:
    step = trouble(tmp_path, "takes_much_once", units=3)
    run(step, worker_memory_mb=private(os.getpid()) // (1 << 20) + 200)
    check_folder(step.output)


@slow
def test_a_unit_without_address_space_is_told_in_one_line(tmp_path: Path) -> None:
    step = trouble(tmp_path, "runs_out_of_memory", units=3)
    with pytest.raises(StageError) as caught:
        run(step)
    assert "part-00002-of-00003.parquet: " in str(caught.value)
    assert "Unable to allocate 8.00 GiB" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_memory_never_bounds_less() -> None:
    sizes = [1, 512, 600, 1000, 4000, 64_000]
    found = [bounds(size) for size in sizes]
    for key in ("partition_mb", "unit_mb", "sort_mb"):
        values = [b[key] for b in found]
        assert values == sorted(values)
        assert values[0] > 0
    assert found[-1]["unit_mb"] == 64  # As without a bound.


def test_a_reducer_stays_within_the_memory_that_cuts_its_partitions(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    memory, entries, units = 8 << 20, 600_000, 3
    partitions = partitions_for(entries, memory)
    references = []
    for unit in range(units):
        hashes = np.unique(generator.integers(0, 1 << 64, entries // units, np.uint64))
        found = Run(hashes, np.ones(len(hashes), np.int64))
        path = str(tmp_path / f"run-{unit}")
        references += [v for key, v in emit_run(found, path, unit, 0, partitions) if "00000" in key]
    mine = [r for r in references if r[1] == 0]
    tracemalloc.start()
    decide_partition(mine, keep_none, str(tmp_path / "bits"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert partitions == 5
    assert len(mine) == units
    assert memory / 2 < peak < 1.25 * memory


def test_one_number_bounds_what_a_recipe_leaves_open() -> None:
    fields = ["partition_memory_mb", "memory", "keep"]
    mine, layout = bounded(fields, {"keep": "first"}, {}, 1000)
    assert mine == {"keep": "first", "partition_memory_mb": 637, "memory": "850M"}
    assert layout == {"split_bytes": 64 << 20}
    given = {"partition_memory_mb": 5, "memory": "1G"}
    assert bounded(fields, given, {"split_bytes": 7}, 1000) == (given, {"split_bytes": 7})
    assert bounded(["keep"], {}, {}, 1000)[0] == {}
    assert bounded(fields, given, {}, None) == (given, {})


# -- deaths ---------------------------------------------------------------------------------------


def test_a_crash_is_tried_twice_and_then_told() -> None:
    deaths = Deaths(8)
    assert deaths.add("a", SEGFAULT) == "signal SIGSEGV"
    assert (deaths.final, deaths.workers) == (False, 8)
    deaths.add("b", SEGFAULT)
    assert not deaths.final
    cause = deaths.add("a", SEGFAULT)
    assert deaths.final
    assert deaths.told("a", cause) == "a worker died (signal SIGSEGV) 2 times on a"


def test_a_death_without_a_unit_says_who_died() -> None:
    deaths = Deaths(2)
    for who, told in (
        (WORKER, "a worker died (signal SIGSEGV) 2 times before it began a unit"),
        (RUNNER, "the runner died (signal SIGSEGV) 4 times"),
    ):
        deaths.add(NO_UNIT, SEGFAULT)
        assert deaths.told(NO_UNIT, deaths.add(NO_UNIT, SEGFAULT), who) == told


def test_a_kill_by_hand_leaves_the_others_their_places() -> None:
    deaths = Deaths(8)
    assert deaths.add("a", SIGKILLED, short=False) == "signal SIGKILL"
    assert (deaths.final, deaths.workers, deaths.again) == (False, 8, set())
    deaths.add("b", SIGKILLED, short=False)
    assert (deaths.final, deaths.workers) == (False, 8)
    deaths.add("a", SIGKILLED, short=False)
    assert deaths.final


@pytest.mark.parametrize("short", [True, None])
def test_a_kill_for_memory_halves_the_workers_until_one_is_alone(short: bool | None) -> None:
    deaths = Deaths(8)
    seen = []
    while not deaths.final:
        cause = deaths.add("a", SIGKILLED, short=short, alone=deaths.workers == 1)
        seen.append(deaths.workers)
    assert seen == [4, 2, 1, 1]
    assert cause == f"signal SIGKILL, {'' if short else 'often '}for want of memory"


def test_a_program_that_forestalls_the_kernel_begins_with_another_signal() -> None:
    deaths = Deaths(8)
    assert deaths.add("a", int(signal.SIGTERM), short=None) == "signal SIGTERM"
    assert deaths.workers == 8
    told = deaths.add("b", int(signal.SIGTERM), short=True)
    assert (told, deaths.workers) == ("signal SIGTERM, for want of memory", 4)


def test_all_workers_are_back_when_the_unit_that_died_is_done() -> None:
    sizes = [10, 30, 5, 20, 40, 9]
    due = [WorkUnit(i, 6, (Piece(f"{i}", size=size),), key=f"{i}") for i, size in enumerate(sizes)]
    deaths = Deaths(4)
    assert deaths.chosen(due) == due
    deaths.add("1", SIGKILLED, short=True)
    assert deaths.workers == 2
    # One other worker does of the others about as much as the unit that died has.
    assert [u.index for u in deaths.chosen(due)] == [0, 1, 2, 5]
    deaths.over()
    assert (deaths.workers, deaths.chosen(due)) == (4, due)
    # So many are too many for other units, too.
    deaths.add("4", SIGKILLED, short=True)
    deaths.over()
    assert deaths.workers == 2


def test_half_of_the_workers_that_there_were() -> None:
    # Of 64 that were asked for, a step of six units has eight.
    deaths = Deaths(64)
    deaths.add("a", SIGKILLED, short=True, workers=8)
    assert deaths.workers == 4


def test_one_that_died_alone_has_had_its_chances() -> None:
    deaths = Deaths(8)
    deaths.add("a", SIGKILLED, short=True)
    deaths.add("a", SIGKILLED, short=True, alone=True)
    assert deaths.final


def test_a_worker_killed_for_its_memory_leaves_the_others_their_places() -> None:
    deaths = Deaths(8)
    deaths.add("a", SIGKILLED, taken=(600 << 20, 500 << 20))
    assert (deaths.final, deaths.workers) == (False, 8)
    cause = deaths.add("a", SIGKILLED, taken=(600 << 20, 500 << 20))
    assert cause == "600 MiB of memory, worker_memory_mb allows 500"
    assert deaths.final


def test_whether_memory_was_short(monkeypatch: pytest.MonkeyPatch) -> None:
    kills: list[int | None] = [7]
    monkeypatch.setattr(memory, "oom_kills", lambda: kills[-1])
    monkeypatch.setattr(memory, "share_available", lambda: 0.5)
    watch = MemoryWatch(0)
    watch.look([])
    assert watch.short() is False
    kills.append(8)
    assert watch.short() is True
    kills.append(None)
    assert watch.short() is None
    kills.append(8)
    later = MemoryWatch(0)
    assert later.short() is False
    monkeypatch.setattr(memory, "share_available", lambda: 0.05)
    later.look([])
    assert later.short() is True


def test_the_kernel_tells_of_memory() -> None:
    if not os.path.exists("/proc/meminfo"):
        pytest.skip("no /proc/meminfo on this system")
    share = memory.share_available()
    assert share is not None
    assert 0 < share <= 1


@slow
@pytest.mark.parametrize(("depth", "who"), [(2, RUNNER), (3, MOTHER)])
def test_processes_between_may_be_killed(
    tmp_path: Path, depth: int, who: str, caplog: pytest.LogCaptureFixture
) -> None:
    step = trouble(tmp_path, "is_slow")
    others = set(psutil.Process().children(recursive=True))
    killed: list[int] = []

    def look(progress: Progress, units: int) -> None:
        if killed or not progress.running:
            return
        for process in set(psutil.Process().children(recursive=True)) - others:
            try:
                distance = [p.pid for p in process.parents()].index(os.getpid()) + 1
                is_leaf = not process.children()
            except (psutil.NoSuchProcess, ValueError):
                continue
            if distance == depth and not is_leaf:
                process.kill()
                killed.append(process.pid)

    with caplog.at_level(logging.WARNING):
        run(step, look=look)
    assert len(killed) == 1
    assert f": {who} died (signal SIGKILL" in caplog.text
    assert "); trying again" in caplog.text
    check_folder(step.output)


# -- a run that is asked to end -------------------------------------------------------------------


def stopped_by(number: int, step: Step, when: Callable[[], bool]) -> list[int]:
    """Runs a step in a process of its own, sends it a signal, and returns all its processes."""
    pid = fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                run(step)
            except KeyboardInterrupt:
                code = 77
        finally:
            os._exit(code)
    end = time.monotonic() + HANG_GUARD_S
    while not when():
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.01)
    family = [pid, *(p.pid for p in psutil.Process(pid).children(recursive=True))]
    os.kill(pid, number)
    assert os.waitstatus_to_exitcode(ended(pid)) == 77
    return family


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_end_keeps_what_is_done(tmp_path: Path, number: int) -> None:
    step = trouble(tmp_path, "is_slow", units=12)
    family = stopped_by(number, step, lambda: len(records(step)) >= 3)
    assert len(family) >= 6  # with the mother, the runner, the workers' mother, two workers
    assert gone(family)
    finished = records(step)
    assert 3 <= len(finished) < 12
    run(step)
    check_folder(step.output)
    again = {p.name.split("-")[1] for p in (tmp_path / "marks").glob("begun-*-1")}
    assert not again & {str(int(name)) for name in finished}


@slow
def test_programs_of_units_end_with_the_run(tmp_path: Path) -> None:
    step = trouble(tmp_path, "runs_a_program", units=2)

    def both_sleep() -> bool:
        return sum(is_asleep(p) for p in psutil.Process().children(recursive=True)) == 2

    def is_asleep(process: psutil.Process) -> bool:
        try:
            return process.cmdline()[:1] == ["sleep"]
        except psutil.Error:
            return False

    family = stopped_by(signal.SIGTERM, step, both_sleep)
    assert len(family) >= 8  # the usual six, and two programs
    assert gone(family)


@slow
def test_the_signal_means_what_it_did_before_a_run(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run(trouble(tmp_path, "is_slow", units=2))
    assert signal.getsignal(signal.SIGTERM) is before


# -- progress -------------------------------------------------------------------------------------


@slow
def test_progress_is_told_while_units_leave_python_no_time(tmp_path: Path) -> None:
    looks: list[float] = []
    named: set[str] = set()

    def look(progress: Progress, units: int) -> None:
        looks.append(time.monotonic())
        if (longest := progress.longest(looks[-1])) is not None:
            named.add(Path(longest[0]).name)

    run(trouble(tmp_path, "keeps_python_busy", units=2), look=look)
    assert len(looks) >= 5
    assert (
        named == {"part-00000-of-00002.parquet", "part-00001-of-00002.parquet"} or len(named) == 1
    )


def test_the_unit_longest_in_work_is_named() -> None:
    progress = Progress()
    for t, unit in ((5.0, "a"), (7.0, "b")):
        progress._take({"e": "started", "phase": "emit", "unit": unit, "pid": 1, "t": t})
    assert progress.longest(10.0) == ("a", 5.0)
    assert progress.first == 5.0
    progress._take({"e": "finished", "phase": "emit", "unit": "a", "documents": 1, "bytes": 1})
    assert progress.longest(10.0) == ("b", 3.0)
    progress._take({"e": "finished", "phase": "emit", "unit": "b", "documents": 1, "bytes": 1})
    assert progress.longest(10.0) is None
