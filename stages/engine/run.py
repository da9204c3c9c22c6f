"""Runs one step from its inputs to its manifest, skipping what is already done.

A step whose manifest matches its settings, inputs and versions is skipped; a half-written one goes
on with the units that have no record yet; one whose settings or inputs changed is redone.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from stages import registry
from stages.documents import Counts, ranked
from stages.engine import files, manifest, records
from stages.engine.execute import Executor, StageError, log_path, run_inline
from stages.engine.manifest import Manifest
from stages.engine.progress import Progress
from stages.engine.resume import prepare
from stages.engine.step import (
    DUE,
    SHUFFLE,
    STATE,
    InputError,
    Record,
    ShuffleStage,
    Stage,
    Step,
    plain,
)
from stages.engine.units import WorkUnit


@dataclass(frozen=True)
class StepResult:
    manifest: Manifest
    skipped: bool


def is_current(step: Step) -> Manifest | None:
    """The manifest of a step that need not run again, else None."""
    stage = registry.create(step)
    return _current(stage, _inputs(stage))


def run_step(
    step: Step,
    executor: Executor | None = None,
    tick: Callable[[Progress, int], None] | None = None,
) -> StepResult:
    """Runs a step (in this process without an executor).

    Raises InputError (bad settings or inputs), StageError (the work failed).
    """
    stage = registry.create(step)
    inputs = _inputs(stage)
    _keep_apart(stage, inputs)
    done = _current(stage, inputs)
    if done is not None:
        _tidy(step)  # The run that finished it may have been killed before it did so itself.
        _check_bad(step, done.counts)
        return StepResult(done, True)
    started = time.perf_counter()
    try:
        units = stage.units()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{step.name}: {error}") from error
    if not units:
        raise InputError(f"{step.name}: its input is empty")
    files.make_dirs(step.output)
    with _alone(step):
        prepare(stage, inputs, _fingerprint(stage, inputs), units)
        return StepResult(_work(stage, inputs, units, executor, tick, started), False)


def _work(
    stage: Stage[Any],
    inputs: Sequence[dict[str, Any]],
    units: Sequence[WorkUnit],
    executor: Executor | None,
    tick: Callable[[Progress, int], None] | None,
    started: float,
) -> Manifest:
    """Runs what is due of a prepared step and writes its manifest."""
    step = stage.step

    def due() -> list[WorkUnit]:
        return [] if records.finished(stage, units) else records.due(stage, units)

    if executor is None:
        if todo := due():
            run_inline(step, todo)
    else:
        executor.run(step, due, (lambda p: tick(p, len(units))) if tick else None)
    if not records.finished(stage, units):
        raise StageError(f"{step.name}: some units left no record; run the same command again")
    processed = [] if records.ends_with_reduce(stage) else records.of_units(step, units)
    phases, shuffled = records.of_shuffle(step) if isinstance(stage, ShuffleStage) else ([], {})
    written = phases if records.ends_with_reduce(stage) else processed
    counts = Counts()
    for record in written:
        counts.add(record.counts)
    _check_counts(stage, counts)
    _check_bad(step, counts)
    try:
        listed, extra = stage.finish(written)
    except (RuntimeError, ValueError, OSError) as error:
        raise StageError(f"{step.name}: {error}") from error
    done = Manifest(
        step=step.name,
        stage=stage.name,
        version=stage.version,
        settings=plain(stage.settings),
        inputs=_with_digests(inputs, [*processed, *phases]),
        models=stage.models(),
        counts=counts,
        files=sorted(listed, key=lambda f: f["path"]),
        extra=extra,
        run={
            **_run_figures(processed, phases, time.perf_counter() - started, executor),
            **shuffled,
        },
        fingerprint=_fingerprint(stage, inputs),
        code=manifest.code_version(),
    )
    done.digest = done.outputs_digest()
    if absent := manifest.missing_files(done.files, step.output):
        raise StageError(
            f"{step.name}: {files.join(step.output, absent[0])} was removed or changed while the"
            " step ran; run the same command again"
        )
    done.save(step.output)
    _tidy(step)
    return done


@contextmanager
def _alone(step: Step) -> Iterator[None]:
    """Holds a local output folder; the hold goes with the process, however it ends."""
    if files.is_remote(step.output):
        yield
        return
    handle = os.open(files.filesystem(step.output)[1], os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StageError(f"{step.name}: another run is at work in {step.output}") from error
        yield
    finally:
        os.close(handle)


def _tidy(step: Step) -> None:
    """Removes what only an unfinished step needs."""
    for leftover in (records.UNITS, SHUFFLE, DUE, STATE):
        files.remove(files.join(step.output, leftover))
    files.remove_temporaries(step.output)
    for path in (step.progress, log_path(step)):
        if path and os.path.exists(path):
            os.unlink(path)


def _inputs(stage: Stage[Any]) -> list[dict[str, Any]]:
    """What the step reads: finished steps by their digest, other files by size and stamp."""
    rows: list[dict[str, Any]] = []
    for port, spec in stage.ports.items():
        for where in stage.step.inputs.get(port, []):
            if spec.kind != "raw" and files.is_dir(where) and (known := manifest.load(where)):
                absent = manifest.missing_files(known.files, where)
                if absent:
                    raise InputError(
                        f"{stage.step.name}: {where} lacks {absent[0]}"
                        + (f" and {len(absent) - 1} more" if len(absent) > 1 else "")
                        + "; remove the folder to make it again"
                    )
                rows.append({"port": port, "path": where, "digest": known.digest})
            elif spec.kind != "raw" and files.exists(files.join(where, STATE)):
                raise InputError(f"{stage.step.name}: {where} is half done; finish that step first")
            else:
                try:
                    found = stage.raw_files(where)
                except FileNotFoundError as error:
                    raise InputError(f"{stage.step.name}: {error}") from error
                for path in found:
                    size, stamp = files.stamp(path)
                    rows.append({"port": port, "path": path, "size": size, "stamp": stamp})
    return rows


def _keep_apart(stage: Stage[Any], inputs: Sequence[dict[str, Any]]) -> None:
    """Refuses an output folder that holds inputs (it may be cleared) or lies in an input folder
    (the next run would read it). Raises InputError."""
    output = files.canonical(stage.step.output)
    for row in inputs:
        path = files.canonical(row["path"])
        if f"{path}/".startswith(f"{output}/"):
            raise InputError(
                f"{stage.step.name}: its input {row['path']} lies in its output"
                f" {stage.step.output}; give another --output"
            )
    for where in (w for paths in stage.step.inputs.values() for w in paths):
        if f"{output}/".startswith(f"{files.canonical(where)}/"):
            raise InputError(
                f"{stage.step.name}: its output {stage.step.output} lies in its input {where};"
                " give another --output"
            )


def fingerprint(step: Step, inputs: Sequence[dict[str, Any]]) -> str:
    """The fingerprint that a step's manifest would have with these rows of inputs."""
    return _fingerprint(registry.create(step), inputs)


def _fingerprint(stage: Stage[Any], inputs: Sequence[dict[str, Any]]) -> str:
    """What decides the output; stamps are compared apart, so that a copied file need not count."""
    known = [
        {k: v for k, v in row.items() if k not in ("stamp", "sha256")}
        if "digest" not in row
        else {"port": row["port"], "digest": row["digest"]}
        for row in inputs
    ]
    return files.digest_of(
        {
            "stage": stage.name,
            "version": stage.version,
            "settings": plain(stage.settings),
            "layout": plain(stage.layout),
            "models": stage.models(),
            "code": manifest.code_version(),
            "inputs": known,
            **_purge_list(stage),
        }
    )


def _purge_list(stage: Stage[Any]) -> dict[str, str]:
    """The list that a step's documents obey is one of its inputs."""
    path = stage.step.purged
    if stage.produces != "documents" or path is None or not files.exists(path):
        return {}
    return {"purged": files.sha256_of(path)}


def _current(stage: Stage[Any], inputs: Sequence[dict[str, Any]]) -> Manifest | None:
    done = manifest.load(stage.step.output)
    if done is None or done.fingerprint != _fingerprint(stage, inputs):
        return None
    if manifest.missing_files(done.files, stage.step.output):
        return None
    before = {row["path"]: row for row in done.inputs}
    for row in inputs:
        old = before.get(row["path"], {})
        if row.get("stamp") != old.get("stamp") and (
            "sha256" not in old or files.sha256_of(row["path"]) != old["sha256"]
        ):
            return None
    return done


def _check_counts(stage: Stage[Any], counts: Counts) -> None:
    """In = out + rejected + bad, and in = what the steps before wrote. Raises StageError."""
    problem = counts.imbalance()
    if not problem and "input" in stage.ports and stage.ports["input"].kind == "documents":
        before = [m for m, _ in stage.documents("input")]
        if all(m is not None for m in before):
            expected = sum(m.counts.documents_out for m in before if m is not None)
            if counts.documents_in != expected:
                problem = (
                    f"{expected} documents were written by the steps before,"
                    f" {counts.documents_in} were read"
                )
    if problem:
        raise StageError(f"{stage.step.name}: counts do not balance: {problem}")


def _check_bad(step: Step, counts: Counts) -> None:
    """Raises StageError where more records are bad than the step's `max_bad` lets pass."""
    if counts.bad <= step.max_bad * counts.documents_in:
        return
    errors = ", ".join(f"{error} ({n:,})" for error, n in ranked(counts.errors)[:3])
    raise StageError(
        f"{step.name}: {counts.bad:,} of {counts.documents_in:,} records are bad, more than"
        f" max_bad {step.max_bad:g} lets pass: {errors}; they are listed in"
        f" {files.join(step.output, 'bad')}. What is done is kept: with a higher max_bad the same"
        " command goes on"
    )


def _with_digests(inputs: Sequence[dict[str, Any]], done: Sequence[Record]) -> list[dict[str, Any]]:
    digests = {row["path"]: row["sha256"] for r in done for row in r.inputs if "sha256" in row}
    return [
        {**row, "sha256": digests[row["path"]]} if row["path"] in digests else dict(row)
        for row in inputs
    ]


def _run_figures(
    units: Sequence[Record],
    phases: Sequence[Record],
    wall: float,
    executor: Executor | None,
) -> dict[str, Any]:
    by_phase: dict[str, float] = {}
    named = [("process", r) for r in units] + [(r.name.split("-")[0], r) for r in phases]
    for phase, record in named:
        by_phase[phase] = round(by_phase.get(phase, 0.0) + record.run.get("cpu_s", 0.0), 3)
    every = [*units, *phases]
    return {
        "wall_s": round(wall, 3),
        "cpu_s": round(sum(r.run.get("cpu_s", 0.0) for r in every), 3),
        "cpu_s_by_phase": by_phase,
        "units": len(units) or len(phases),
        "longest_s": round(max((r.run.get("wall_s", 0.0) for r in every), default=0.0), 3),
        "start_up_s": round(executor.start_up_s, 3) if executor else 0.0,
        "peak_rss": int(max((r.run.get("peak_rss", 0.0) for r in every), default=0)),
        "workers": executor.engine.workers if executor else 1,
        "runner": executor.engine.runner if executor else "inline",
        **manifest.machine(),
    }
