"""Runs the pipeline of one step: locally on all cores in a supervised child, or on any runner.

Processes: the launching process shows progress and never touches grpc; a *mother* forked from it
imports Beam once; each step runs in a child of the mother (*runner*), and its workers are forked by
a mother of theirs (`stages.engine.pool`). Whoever dies takes what is below it along, and the
launching process learns of it: a dead worker would make the local runner wait for ever.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import Any

from stages import registry
from stages.engine import models
from stages.engine.pool import (
    WorkerMother,
    die_with_parent,
    ended_well,
    keep_to_loopback,
    serve_pool,
)
from stages.engine.progress import Progress
from stages.engine.step import InputError, Step
from stages.engine.units import WorkUnit

LOCAL = "local"
# Names by which people ask for Beam's own local runners. `DirectRunner` would try to download
# another runner first, so they all mean our local engine.
_LOCAL_NAMES = {LOCAL, "directrunner", "fnapirunner", "switchingdirectrunner"}
_DEATHS_PER_UNIT = 2
# How a unit's failure reads when Beam passes it on.
_UNIT_ERROR = re.compile(r"UnitError: (.*?)(?: \[while running '.*'\])?$")


class StageError(Exception):
    """A step did not finish; the message says what, where, and how to go on."""


@dataclass(frozen=True)
class Engine:
    """How steps are run. `workers` counts local processes; `options` are Beam's own flags."""

    workers: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    runner: str = LOCAL
    options: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        return self.runner.lower() in _LOCAL_NAMES


def check_options(options: Sequence[str]) -> None:
    """Raises InputError for an option that Beam does not know: it would be passed over there."""
    if not options:
        return
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for group in PipelineOptions.__subclasses__():
        # Beam's own way of collecting them; two groups may not share a name there either.
        add = getattr(group, "_add_argparse_args", None)
        if add is not None:
            add(parser)
    _, unknown = parser.parse_known_args(list(options))
    if unknown:
        raise InputError(f"{unknown[0]} is neither a setting here nor an option of Beam")


class Executor:
    """Runs steps one after another. A context manager; make it before any thread is started."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._pipe, child_end = Pipe()
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                die_with_parent(parent)
                self._pipe.close()
                _mother(child_end, engine)
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(0)
        child_end.close()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: Any) -> None:
        self._pipe.close()
        try:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return

    def run(
        self,
        step: Step,
        units: Callable[[], Sequence[WorkUnit]],
        tick: Callable[[Progress], None] | None = None,
    ) -> None:
        """Runs the units that `units()` says are due, again after the death of a worker.

        Raises StageError when a unit fails, or has killed its worker twice.
        """
        deaths: Counter[str] = Counter()
        while due := units():
            progress = Progress()
            if step.progress and os.path.exists(step.progress):
                os.unlink(step.progress)
            answer = self._ask(step, due, progress, tick)
            if answer["ok"]:
                return
            if "pid" not in answer:
                raise StageError(
                    f"{step.name}: {answer['error']}; finished units are kept, the same command"
                    f" goes on from there{_more(step)}"
                )
            victims = list(progress.units_of(answer["pid"])) or ["(no unit was begun)"]
            deaths.update(victims)
            worst = max(deaths.values())
            how = _cause(answer["status"])
            if worst >= _DEATHS_PER_UNIT:
                raise StageError(
                    f"{step.name}: a worker died ({how}) {worst} times on {victims[0]};"
                    f" finished units are kept, the same command goes on from there{_more(step)}"
                )
            logging.getLogger(__name__).warning(
                "%s: a worker died (%s) on %s; trying again", step.name, how, victims[0]
            )

    def _ask(
        self,
        step: Step,
        due: Sequence[WorkUnit],
        progress: Progress,
        tick: Callable[[Progress], None] | None,
    ) -> dict[str, Any]:
        try:
            self._pipe.send((step, list(due)))
            while not self._pipe.poll(0.1):
                if step.progress and tick:
                    progress.read(step.progress)
                    tick(progress)
            answer: dict[str, Any] = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise StageError(
                f"{step.name}: the process that runs stages was killed; finished units are kept,"
                " the same command goes on from there"
            ) from error
        if step.progress:
            progress.read(step.progress)
            if tick:
                tick(progress)
        return answer


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


def _cause(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hint = ", often for want of memory" if number == signal.SIGKILL else ""
        return f"signal {signal.Signals(number).name}{hint}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"


def _mother(pipe: Connection, engine: Engine) -> None:
    _quiet()
    import apache_beam  # noqa: F401  (imported once, before the forks)

    from stages.engine import transforms  # noqa: F401

    while True:
        try:
            step, units = pipe.recv()
        except EOFError:
            return
        registry.stage_class(step.stage)
        parent = os.getpid()
        ear, mouth = Pipe(duplex=False)
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent(parent)
                _write_log(step)
                mouth.send(_answer(step, units, engine, mouth))
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        # A runner that said nothing was killed, or it is a one-process run that a unit ended.
        # Only its first word counts: workers may seem to die when it has finished already.
        silence = {"ok": False, "pid": pid, "status": status}
        pipe.send(ear.recv() if ear.poll() else silence)
        ear.close()
        mouth.close()


def _answer(
    step: Step, units: Sequence[WorkUnit], engine: Engine, mouth: Connection
) -> dict[str, Any]:
    try:
        mother = WorkerMother() if engine.local and engine.workers > 1 else None
        _run_pipeline(step, units, engine, mother, mouth)
        return {"ok": True}
    except BaseException as error:  # noqa: BLE001 - it travels to the launching process
        if os.environ.get("LLAMA_CORPUS_DEBUG"):
            traceback.print_exc()
        return {"ok": False, "error": _short(error)}


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
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import fn_runner

    from stages.engine import transforms

    options = PipelineOptions(list(engine.options))
    runner: Any
    if not engine.local:
        runner = engine.runner
    elif mother is None:
        runner = fn_runner.FnApiRunner()
    else:
        from apache_beam.transforms.environments import ExternalEnvironment

        keep_to_loopback()
        address, _server = serve_pool(mother)
        options.view_as(DirectOptions).direct_num_workers = engine.workers
        runner = fn_runner.FnApiRunner(default_environment=ExternalEnvironment(address))

        def died(pid: int, status: int) -> None:
            if mouth is not None and not ended_well(status):
                mouth.send({"ok": False, "pid": pid, "status": status})
                os._exit(0)

        mother.watch(died)
    pipeline = beam.Pipeline(runner=runner, options=options)
    transforms.build(pipeline, step, units)
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
