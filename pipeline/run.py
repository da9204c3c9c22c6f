"""`corpus run`: carries out a plan, step by step, and leaves a folder that explains itself."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import plan, purge_journal, recipe
from stages.engine import files, manifest, yaml_core
from stages.engine.console import StepProgress
from stages.engine.execute import Engine, Executor, check_places
from stages.engine.manifest import Manifest
from stages.engine.run import run_step
from stages.engine.step import Step

RECIPE_FILE = "recipe.yaml"
RAW = "raw"


class BusyError(Exception):
    """Another run is at work in the same folder."""


def run(
    loaded: recipe.Recipe,
    values: dict[str, Any],
    work: str,
    engine: Engine,
    until: str | None = None,
) -> list[tuple[Manifest, bool]]:
    """Runs all steps (or up to `until`); returns each manifest and whether it was skipped.

    Raises InputError, StageError, BusyError.
    """
    steps = plan.steps(loaded, work)
    if until is not None:
        steps = _up_to(steps, until)
    check_places(engine, steps)
    engine = replace(engine, worker_memory_mb=loaded.worker_memory_mb)
    files.make_dirs(work)
    with alone(work), Executor(engine) as executor:
        if purge_journal.recover(work) is not None:
            purge_journal.forget(work)
        _write_recipe(values, work)
        if loaded.generate == "sample":
            make_sample(work)
        done: list[tuple[Manifest, bool]] = []
        with StepProgress() as progress:
            for i, step in enumerate(steps, 1):
                result = run_step(step, executor, progress.tick(step))
                done.append((result.manifest, result.skipped))
                progress.say(f"[{i}/{len(steps)}] {_told(step, result.manifest, result.skipped)}")
        return done


def make_sample(work: str) -> None:
    """The embedded sample's raw dumps, made once under `<work>/raw`."""
    from pipeline import sample

    if files.is_remote(work):
        raise recipe.RecipeError("the embedded sample is built in a local work folder")
    target = Path(work).resolve() / RAW
    if not (target / "KEY.json").exists():
        info = sample.build(target)
        print(
            f"sample: {info.total_text_bytes() / 1e6:.1f} MB of text in {len(info.text_bytes)}"
            f" languages, {sum(info.traps.values())} planted traps, raw dumps under {work}/{RAW}",
            flush=True,
        )


def _told(step: Step, done: Manifest, skipped: bool) -> str:
    c = done.counts
    if skipped:
        return f"{step.name}: done before"
    left = f", {c.rejected:,} rejected" if c.rejected else ""
    left += f", {c.bad:,} bad" if c.bad else ""
    return (
        f"{step.name}: {c.documents_in:,} documents in, {c.documents_out:,} out{left}"
        f" ({done.run['wall_s']:.1f} s)"
    )


def _up_to(steps: Sequence[Step], until: str) -> list[Step]:
    names = [s.name for s in steps]
    if until not in names:
        raise recipe.RecipeError(f"no step is called {until}; there are {', '.join(names)}")
    return list(steps[: names.index(until) + 1])


def _write_recipe(values: dict[str, Any], work: str) -> None:
    files.write_bytes(files.join(work, RECIPE_FILE), yaml_core.dump(values).encode())


@contextmanager
def alone(work: str) -> Iterator[None]:
    """Holds the work folder; the lock goes with the process, however it ends."""
    if files.is_remote(work):
        yield
        return
    handle = os.open(os.path.join(work, ".lock"), os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(f"another run is at work in {work}") from error
        yield
    finally:
        os.close(handle)


def finished(loaded: recipe.Recipe, work: str) -> list[tuple[Step, Manifest | None]]:
    """All steps of a plan with the manifests that are there."""
    return [(s, manifest.load(s.output)) for s in plan.steps(loaded, work)]
