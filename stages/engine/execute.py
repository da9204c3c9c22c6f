"""Runs the pipeline of one step: locally on all cores in a supervised child, or on any runner.

Processes: the launching process shows progress and never touches grpc; a *mother* forked from it
imports Beam once; each step runs in a child of the mother (*runner*), and its workers are forked by
a mother of theirs (`stages.engine.pool`). Whoever dies takes what is below it along, and the
launching process learns of it: a dead worker would make the local runner wait for ever.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import ForkingPickler
from typing import Any

from stages import registry
from stages.engine import models, remote
from stages.engine.deaths import MOTHER, NO_UNIT, RUNNER, WORKER, Deaths, place
from stages.engine.memory import MIB, MemoryWatch
from stages.engine.options import LOCAL, Engine, check_options, check_places
from stages.engine.pool import (
    WorkerMother,
    die_with_parent,
    ended_well,
    fork,
    import_ahead,
    keep_to_loopback,
    serve_pool,
)
from stages.engine.progress import Progress, Reporter
from stages.engine.stalls import StallWatch
from stages.engine.step import ShuffleStage, Step
from stages.engine.units import WorkUnit

_LOOK_EVERY_SECONDS = 0.1
# What a process that was killed has to be gone.
_GONE_SECONDS = 30.0
# A worker without a unit only costs its start; a step of few units may have some more reducers.
_LEAST_WORKERS = 8
# How a unit's failure reads when Beam passes it on.
_UNIT_ERROR = re.compile(r"UnitError: (.*?)(?: \[while running '.*'\])?$")

_PASSING = "finished units are kept, the same command goes on from there"
# Work is the same at every attempt, and so is a failure that comes from it.
_MEND = "finished units are kept; once the cause is mended, the same command goes on from there"

__all__ = [
    "LOCAL",
    "Engine",
    "Executor",
    "StageError",
    "check_options",
    "check_places",
    "log_path",
    "run_inline",
]


class StageError(Exception):
    """A step did not finish; the message says what, where, and how to go on."""


class Executor:
    """Runs steps one after another. A context manager; make it before any thread is started."""

    start_up_s = 0.0
    """Of the last step: seconds from the asking to the beginning of its first unit."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sender: threading.Thread | None = None
        self._pipe, child_end = Pipe()
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()  # Processes below would hold this one's garbage for good.
        self._pid = fork()
        if self._pid == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                die_with_parent(parent)
                self._pipe.close()
                _mother(child_end)
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(0)
        child_end.close()

    def __enter__(self) -> Executor:
        # Asked to end (by a batch system, or at shutdown), the command ends as with Ctrl-C.
        self._before = _on_terminate(_interrupt)
        return self

    def __exit__(self, *_: Any) -> None:
        _on_terminate(self._before)
        try:
            self._kill()
        finally:
            if self._sender:
                self._sender.join(_GONE_SECONDS)  # It would trip over a pipe that is closed.
            self._pipe.close()

    def _kill(self) -> None:
        try:
            os.kill(self._pid, signal.SIGKILL)
            end = time.monotonic() + _GONE_SECONDS
            # One that hangs in the kernel does not even end when it is killed.
            while not os.waitpid(self._pid, os.WNOHANG)[0] and time.monotonic() < end:
                time.sleep(0.001)
        except (ProcessLookupError, ChildProcessError):
            return

    def run(
        self,
        step: Step,
        units: Callable[[], Sequence[WorkUnit]],
        tick: Callable[[Progress], None] | None = None,
    ) -> None:
        """Runs the units that `units()` says are due, again after the death of a worker.

        Raises StageError when a unit fails, or kills its worker again.
        """
        with _told_here(step) as step:
            self._run(step, units, tick)

    def _run(
        self,
        step: Step,
        units: Callable[[], Sequence[WorkUnit]],
        tick: Callable[[Progress], None] | None,
    ) -> None:
        deaths = Deaths(self.engine.workers)
        # A shuffle needs all units at every attempt.
        shuffles = issubclass(registry.stage_class(step.stage), ShuffleStage)
        asked, first = time.monotonic(), None
        while due := units():
            chosen = list(due) if shuffles else deaths.chosen(due)
            progress = Progress()
            if step.progress and os.path.exists(step.progress):
                os.unlink(step.progress)
            workers = min(deaths.workers, max(_LEAST_WORKERS, len(chosen)))
            engine = replace(self.engine, workers=workers, warm=not deaths.any)
            watch = _Watch(step, engine, self._pid)
            answer = self._ask(step, chosen, engine, progress, watch, tick)
            first = first or progress.first
            if answer["ok"]:
                self.start_up_s = (first or asked) - asked
                if len(chosen) == len(due):
                    return
                deaths.over()
                continue
            if "pid" not in answer:
                raise StageError(f"{step.name}: {answer['error']}; {_MEND}{_more(step)}")
            if watch.stalls and watch.stalls.failed:
                raise StageError(f"{step.name}: {watch.stalls.failed}; {_PASSING}{_more(step)}")
            self._died(step, answer, deaths, progress, watch, chosen, shuffles)

    def _died(
        self,
        step: Step,
        answer: dict[str, Any],
        deaths: Deaths,
        progress: Progress,
        watch: _Watch,
        chosen: Sequence[WorkUnit],
        shuffles: bool,
    ) -> None:
        pid, had, who = answer["pid"], watch.workers, answer["who"]
        victim = next(progress.units_of(pid), NO_UNIT)
        cause = deaths.add(
            victim,
            answer["status"],
            taken=watch.memory.taken(pid),
            stalled=watch.stalls.ended.get(pid, "") if watch.stalls else "",
            short=watch.memory.short(),
            alone=had == 1 or (len(chosen) == 1 and not shuffles),
            workers=had,
        )
        if deaths.final:
            told = deaths.told(victim, cause, who)
            raise StageError(f"{step.name}: {told}; {_MEND}{_more(step)}")
        fewer = f" with {deaths.workers} at a time" if deaths.workers < had else ""
        logging.getLogger(__name__).warning(
            "%s: %s died (%s)%s; trying again%s", step.name, who, cause, place(victim, who), fewer
        )

    def _ask(
        self,
        step: Step,
        due: Sequence[WorkUnit],
        engine: Engine,
        progress: Progress,
        watch: _Watch,
        tick: Callable[[Progress], None] | None,
    ) -> dict[str, Any]:
        asked = ForkingPickler.dumps((step, list(due), engine))
        # Beside the looking: a mother that hangs takes no more than a pipe holds.
        self._sender = threading.Thread(target=self._send, args=(asked,), daemon=True, name="ask")
        self._sender.start()
        try:
            while not self._pipe.poll(_LOOK_EVERY_SECONDS):
                if step.progress:
                    progress.read(step.progress)
                    watch.look(progress)
                    if tick:
                        tick(progress)
                if watch.stalls and watch.stalls.given_up:
                    raise EOFError
            answer: dict[str, Any] = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            failed = watch.stalls.failed if watch.stalls else ""
            failed = failed or "the process that runs stages was killed"
            raise StageError(f"{step.name}: {failed}; {_PASSING}") from error
        self._sender.join()
        if step.progress:
            progress.read(step.progress)
            if tick:
                tick(progress)
        return answer

    def _send(self, asked: bytes) -> None:
        # Who waits for the answer learns of a mother that is gone.
        with suppress(OSError):
            self._pipe.send_bytes(asked)


class _Watch:
    """Who takes too much memory, or does nothing, in one attempt at a step."""

    def __init__(self, step: Step, engine: Engine, mother: int) -> None:
        def say(text: str) -> None:
            logging.getLogger(__name__).warning("%s: %s", step.name, text)

        self.workers = engine.workers
        self.memory = MemoryWatch((engine.worker_memory_mb or 0) * MIB)
        # A runner elsewhere only waits here.
        self.stalls = (
            StallWatch(engine.stall_s, mother, engine.workers > 1, say) if engine.local else None
        )

    def look(self, progress: Progress) -> None:
        self.memory.look(progress.pids())
        if self.stalls:
            self.stalls.look(progress)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _on_terminate(handler: Any) -> Any:
    """Sets what SIGTERM does and returns what it did; only the main thread may, others get None."""
    if handler is None or threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, handler)


@contextmanager
def _told_here(step: Step) -> Iterator[Step]:
    """The step with a local file for its progress, made for it where its output is remote.

    What such a step's processes printed is kept if it fails.
    """
    if step.progress:
        yield step
        return
    folder = tempfile.mkdtemp(prefix="llama-corpus-")
    keep = False
    try:
        yield replace(step, progress=os.path.join(folder, f"{step.name}.progress"))
    except StageError:
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(folder)


def run_inline(step: Step, units: Sequence[WorkUnit]) -> None:
    """Runs a step in this process, on Beam's local runner in memory (for tests and notebooks).

    Raises StageError when a unit fails.
    """
    try:
        _run_pipeline(step, units, Engine(workers=1), None, None)
    except Exception as error:
        raise StageError(f"{step.name}: {_short(error)}") from error
    finally:
        models.forget()  # A later step of this process may find other files under the same names.


def log_path(step: Step) -> str | None:
    """Where the step's processes write what libraries print and whole tracebacks."""
    return f"{step.progress}.log" if step.progress else None


def _write_log(step: Step) -> None:
    """Sends the standard error of this process and its children to the step's log.

    Beam prints a traceback for every failure, and native libraries talk; the user gets one line.
    """
    path = log_path(step)
    if path and not os.environ.get("LLAMA_CORPUS_DEBUG"):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, 2)
        os.close(handle)
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - for good


def _more(step: Step) -> str:
    path = log_path(step)
    return f" (more in {path})" if path and os.path.exists(path) else ""


def _mother(pipe: Connection) -> None:
    _quiet()
    import_ahead()
    while True:
        try:
            step, units, engine = pipe.recv()
        except EOFError:
            return
        registry.stage_class(step.stage)
        parent = os.getpid()
        ear, mouth = Pipe(duplex=False)
        pid = fork()
        if pid == 0:
            try:
                (die_with_parent if engine.local else remote.end_with_parent)(parent)
                mouth.send(_answer(step, units, engine, mouth))
            finally:
                if not engine.local:
                    atexit._run_exitfuncs()  # So Beam stops a job server that it started.
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        # A runner that said nothing was killed, or it is a one-process run that a unit ended.
        # Only its first word counts: workers may seem to die when it has finished already.
        who = RUNNER if engine.workers > 1 else WORKER
        silence = {"ok": False, "pid": pid, "status": status, "who": who}
        pipe.send(ear.recv() if ear.poll() else silence)
        ear.close()
        mouth.close()


def _answer(
    step: Step, units: Sequence[WorkUnit], engine: Engine, mouth: Connection
) -> dict[str, Any]:
    try:
        _write_log(step)
        mother = None
        if engine.local and engine.workers > 1:
            mother = WorkerMother((lambda: _warm(step)) if engine.warm else None)
        if engine.local:
            _run_pipeline(step, units, engine, mother, mouth)
        else:
            remote.run(step, units, engine)
        return {"ok": True}
    except BaseException as error:  # noqa: BLE001 - it travels to the launching process
        if os.environ.get("LLAMA_CORPUS_DEBUG"):
            traceback.print_exc()
        return {"ok": False, "error": _short(error)}


def _warm(step: Step) -> None:
    """Loads what the step's workers will need, before they are forked."""
    from stages.engine import transforms

    try:
        transforms.stage_of(step).warm()
    except (Exception, SystemExit):
        # The first unit meets it too, and is named.
        logging.getLogger(__name__).debug("%s: not warmed up", step.name, exc_info=True)


def _short(error: BaseException) -> str:
    """The last line of an error that may carry a worker's whole traceback in its text."""
    for line in reversed(f"{type(error).__name__}: {error}".splitlines()):
        if match := _UNIT_ERROR.search(line):
            return match[1][:1000]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    chosen = [x for x in lines if not x.startswith(("File ", "Traceback", "During", "The above"))]
    text = next((x for x in reversed(chosen) if "Error" in x or "Exception" in x), None)
    text = text or (chosen[-1] if chosen else "")
    name = type(error).__name__
    return text[:1000] if text and "Error" in text else f"{name}: {text[:1000]}"


def _run_pipeline(
    step: Step,
    units: Sequence[WorkUnit],
    engine: Engine,
    mother: WorkerMother | None,
    mouth: Connection | None,
) -> None:
    _quiet()
    import apache_beam as beam
    from apache_beam.options.pipeline_options import DirectOptions
    from apache_beam.runners.portability.fn_api_runner import fn_runner

    from stages.engine import transforms
    from stages.engine.dealing import DealingRunner, LocalOptions
    from stages.engine.totals import tell_totals

    options = LocalOptions(list(engine.options))
    runner: Any
    if mother is None:
        runner = fn_runner.FnApiRunner()
    else:
        from apache_beam.transforms.environments import ExternalEnvironment

        keep_to_loopback()
        address, _server = serve_pool(mother)
        options.view_as(DirectOptions).direct_num_workers = engine.workers
        runner = DealingRunner(default_environment=ExternalEnvironment(address))

        def died(pid: int, status: int) -> None:
            if mouth is not None and not ended_well(status):
                who = MOTHER if pid == mother.pid else WORKER
                mouth.send({"ok": False, "pid": pid, "status": status, "who": who})
                os._exit(0)

        mother.watch(died)
    pipeline = beam.Pipeline(runner=runner, options=options)
    transforms.build(pipeline, step, units)
    with closing(Reporter(step.progress)) as reporter:
        tell_totals(runner, step.name, reporter.due)
        result = pipeline.run()
        state = result.wait_until_finish()
    if str(state or result.state) != "DONE":
        raise RuntimeError(f"the runner ended in state {state or result.state}")


def _quiet() -> None:
    """Beam tells much at start-up that means nothing to the user of a local run."""
    logging.getLogger().setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in ("apache_beam", "root"):
        logging.getLogger(name).setLevel(
            logging.DEBUG if os.environ.get("LLAMA_CORPUS_DEBUG") else logging.CRITICAL
        )
    logging.getLogger().addFilter(lambda record: "apitools" not in record.getMessage())
