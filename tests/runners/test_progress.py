"""What a person sees of a step whose output, or whose workers, are elsewhere."""

from __future__ import annotations

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from stages.engine import remote
from stages.engine.console import StepProgress
from stages.engine.execute import Engine, Executor, StageError
from stages.engine.progress import Progress
from stages.engine.run import run_step
from stages.engine.step import Step
from tests.stages import helpers


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from stages import registry

    helpers.register(lambda name, where: monkeypatch.setitem(registry.STAGES, name, where))


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process and its children put temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def toy(folder: Path, **more: Any) -> Step:
    helpers.toy_input(folder)
    return helpers.toy_step(folder, progress=None, **more)


def test_local_workers_tell_their_progress_where_the_output_has_no_place_for_it(
    toys: None, tmp_path: Path, scratch: Path
) -> None:
    seen: list[int] = []
    with Executor(Engine(workers=2)) as executor:
        run_step(toy(tmp_path), executor, lambda p, units: seen.append(p.done.get("process", 0)))
    assert seen[-1] == 6
    assert list(scratch.iterdir()) == []  # Nothing is left of it.


def test_a_failed_step_names_the_log_that_it_left(
    toys: None, tmp_path: Path, scratch: Path
) -> None:
    step = toy(tmp_path, settings={"how": "raise", "on": "u0d0"})
    with Executor(Engine(workers=1)) as executor, pytest.raises(StageError) as told:
        run_step(step, executor)
    (folder,) = scratch.iterdir()
    assert f"(more in {folder}/" in str(told.value)


class FakeJob:
    """A job of three states whose counters grow, as Beam tells of them."""

    def __init__(self) -> None:
        self._job_id = "job-1"
        self.units = 0

    @property
    def state(self) -> str:
        self.units += 1
        if self.units == 3:
            raise ConnectionError("for once")
        return "RUNNING"

    def metrics(self) -> Any:
        def counter(name: str, n: int) -> Any:
            key = SimpleNamespace(metric=SimpleNamespace(name=name), step="s")
            return SimpleNamespace(key=key, result=n)

        found = [counter("process.units", self.units), counter("documents_in", 7)]
        found += [counter("process.documents", 10 * self.units), counter("process.bytes", 5)]
        return SimpleNamespace(query=lambda _: {"counters": found})


def test_a_jobs_state_and_counters_reach_the_launching_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_LOOK_EVERY", 0.01)
    path = tmp_path / "x.progress"
    step = Step("s", "select", "gs://b/out", {}, progress=str(path))
    job = FakeJob()
    with remote._telling(step, Engine(runner="Flink", options=("--job_endpoint=x",)), job, {}):
        deadline = time.monotonic() + 30
        while job.units < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
    progress = Progress()
    progress.read(str(path))
    assert (progress.state, progress.job) == ("RUNNING", "job-1")
    assert progress.done["process"] >= 6
    assert progress.live("process") == (10 * progress.done["process"], 5)
    # A look that failed is told, and is not the end.
    assert "RUNNING, without counters (ConnectionError)" in path.read_text()


def test_a_line_is_said_when_a_jobs_state_changes() -> None:
    said = io.StringIO()
    show = StepProgress(Console(file=said, width=200)).tick(Step("s", "select", "gs://b", {}))
    progress = Progress()
    for state in ("PENDING", "PENDING", "RUNNING"):
        progress.state, progress.job = state, "https://console.example/job-1"
        show(progress, 10)
    assert said.getvalue().splitlines() == [
        "  s: pending, job https://console.example/job-1",
        "  s: running, job https://console.example/job-1",
    ]
