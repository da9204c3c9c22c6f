"""Measures the stages: each beside its floors, with more workers, and process by process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.cases import DOCUMENT_STEPS, Case
from benchmarks.measure import Cost, in_fork, in_new_process
from benchmarks.processes import Tree, Used
from stages import registry
from stages.engine.execute import Engine, Executor
from stages.engine.manifest import Manifest
from stages.engine.progress import Progress
from stages.engine.run import run_step
from stages.engine.step import Step

Say = Callable[[str], None]

# Seconds up to which a run is repeated so many times as often; what is fixed is measured as often.
_QUICK_S, _MORE = 5.0, 3


@dataclass(frozen=True)
class StageRun:
    """One run of a step in one process. `by_phase`: CPU seconds inside work units."""

    cost: Cost
    documents_in: int
    documents_out: int
    by_phase: dict[str, float]
    unit_peak_rss: int


@dataclass(frozen=True)
class FloorRun:
    cost: Cost
    documents: int
    text_bytes: int


@dataclass
class Measured:
    """The repeated runs of a step and of its floors; run i of the one went beside run i of the
    others. `fixed`: CPU seconds with next to no data, of the step ("") and of its floors."""

    name: str
    stage: list[StageRun] = field(default_factory=list)
    floors: dict[str, list[FloorRun]] = field(default_factory=dict)
    fixed: dict[str, float] = field(default_factory=dict)

    @property
    def text_bytes(self) -> int:
        """Text that the step's work is on, as the first floor counted it."""
        return next(iter(self.floors.values()))[0].text_bytes

    @property
    def disagreement(self) -> str:
        """Empty where stage and floors met the same number of documents."""
        met = {name: runs[0].documents for name, runs in self.floors.items()}
        if set(met.values()) == {self.stage[0].documents_in}:
            return ""
        others = ", ".join(f"{n:,} in {name}" for name, n in met.items())
        return f"{self.name}: {self.stage[0].documents_in:,} documents in the stage, {others}"


@dataclass(frozen=True)
class PathRun:
    """Steps run one after another by one executor: wall seconds of each."""

    workers: int
    wall_s: dict[str, float]
    text_bytes_in: dict[str, int]

    @property
    def documents_wall_s(self) -> float:
        return sum(self.wall_s[name] for name in DOCUMENT_STEPS)


def import_everything() -> None:
    """Imports what stages import, so that the forks that are measured do not."""
    import apache_beam  # noqa: F401
    import fasttext  # noqa: F401
    import gigatoken  # noqa: F401
    import kenlm  # noqa: F401
    import sentencepiece  # noqa: F401
    from apache_beam.runners.portability.fn_api_runner import fn_runner  # noqa: F401

    from stages.engine import transforms  # noqa: F401

    for name in registry.STAGES:
        registry.stage_class(name)


def baseline() -> Cost:
    """A process with everything imported that does nothing."""
    return in_fork(lambda: None)[1]


def beside_floors(
    found: Sequence[Case], least: Sequence[Case], repeats: int, say: Say
) -> list[Measured]:
    """Each case `repeats` times, in turns with its floors; `least` are the same cases with next to
    no data. Those that take little time are repeated more often, as a moment in which the machine
    is slow is more of them. Raises MeasureError."""
    done = []
    for case, little in zip(found, least, strict=True):
        measured = Measured(case.name, floors={name: [] for name in case.floors})
        due = repeats
        while len(measured.stage) < due:
            say(f"{case.name}: {len(measured.stage) + 1} of {due}")
            measured.stage.append(run_stage(case.step))
            for name, runs in measured.floors.items():
                runs.append(run_floor(case, name))
            if measured.stage[0].cost.wall_s < _QUICK_S:
                due = repeats * _MORE
        # The smallest of some: so little CPU is mostly disturbed upwards.
        measured.fixed[""] = min(run_stage(little.step).cost.cpu_s for _ in range(_MORE))
        for name in measured.floors:
            measured.fixed[name] = min(run_floor(little, name).cost.cpu_s for _ in range(_MORE))
        done.append(measured)
    return done


def run_stage(step: Step) -> StageRun:
    """Runs a step anew, alone in a process, without worker processes."""
    shutil.rmtree(step.output, ignore_errors=True)
    manifest, cost = in_fork(lambda: run_step(step).manifest)
    return StageRun(
        cost,
        manifest.counts.documents_in,
        manifest.counts.documents_out,
        manifest.run["cpu_s_by_phase"],
        manifest.run["peak_rss"],
    )


def run_floor(case: Case, floor: str) -> FloorRun:
    """Runs a floor in a new process with no more than its own imports."""
    import orjson

    out = f"{case.step.output}.floor"
    arguments = orjson.dumps(case.floor_arguments(floor, out)).decode()
    answer = in_new_process("benchmarks.floors", floor, arguments)
    shutil.rmtree(out)
    return FloorRun(Cost(**answer["cost"]), answer["documents"], answer["text_bytes"])


def run_path(found: Sequence[Case], workers: int) -> PathRun:
    """Runs steps one after another with an executor, as the `corpus` command does."""

    def run() -> dict[str, Manifest]:
        done = {}
        with Executor(Engine(workers=workers)) as executor:
            for case in found:
                shutil.rmtree(case.step.output, ignore_errors=True)
                done[case.name] = run_step(case.step, executor).manifest
        return done

    manifests, _ = in_fork(run)
    wall = {step: m.run["wall_s"] for step, m in manifests.items()}
    sizes = {step: m.counts.text_bytes_in for step, m in manifests.items()}
    return PathRun(workers, wall, sizes)


@dataclass(frozen=True)
class WatchedRun:
    """One run of a step by an executor. `cpu_s`: inside work units; `used`: what the processes of
    each role (`benchmarks.processes.ROLES`) used in all; `done`: pieces of work by phase;
    `references`: pairs through GroupByKey, of a shuffle."""

    cpu_s: float
    text_bytes_in: int
    used: dict[str, Used]
    done: dict[str, int]
    references: int = 0

    @property
    def cpu_outside_units_s(self) -> float:
        return sum(used.cpu_s for used in self.used.values()) - self.cpu_s


def run_watched(step: Step) -> WatchedRun:
    """Runs a step anew with an executor of its own and two workers: one alone would be the runner
    as well."""
    shutil.rmtree(step.output, ignore_errors=True)

    def run() -> tuple[Manifest, dict[str, int]]:
        last = Progress()

        def tick(progress: Progress, _: int) -> None:
            last.done = progress.done

        with Executor(Engine(workers=2)) as executor:
            return run_step(step, executor, tick).manifest, last.done

    tree = Tree()
    (manifest, done), _ = in_fork(run, tree.look)
    used = tree.used()
    # Units tell the peaks of their process and of programs that they start exactly.
    most = max(used["worker"].peak_rss, manifest.run["peak_rss"])
    used["worker"] = Used(most, used["worker"].cpu_s)
    return WatchedRun(
        manifest.run["cpu_s"],
        manifest.counts.text_bytes_in,
        used,
        done,
        manifest.run.get("references", 0),
    )


def to_stderr(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
