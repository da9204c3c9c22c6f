"""`python -m benchmarks.dealing`: what the local engine adds to the units of a step.

The units sleep, so that only the engine is measured: on one worker, and on two by Beam's static
bundles, one unit dealt at a time, and dealt with the next short one waiting, as it is.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import orjson
from pydantic import Field

from benchmarks import command
from benchmarks.machine import Conditions, machine
from benchmarks.measure import in_fork
from benchmarks.processes import Tree, Used
from benchmarks.sheet import Sheet, show
from benchmarks.stages import Say, to_stderr
from stages import registry
from stages.engine.execute import Engine, Executor
from stages.engine.manifest import Manifest
from stages.engine.pool import import_ahead
from stages.engine.progress import Reporter
from stages.engine.run import run_step
from stages.engine.step import Port, Record, Settings, Stage, Step
from stages.engine.units import Piece, WorkUnit


@dataclass(frozen=True)
class Shape:
    """The units of a step, in seconds of sleep; their sizes tell these, or are all the same."""

    name: str
    seconds: tuple[float, ...]
    told: bool


@dataclass(frozen=True)
class Way:
    """A number of workers, and what is changed of the engine before it starts."""

    name: str
    workers: int
    change: Callable[[], None]


@dataclass(frozen=True)
class Run:
    """One step: wall seconds, those to its first unit, what the processes of each role used, and
    per process with units the seconds between two of them."""

    wall_s: float
    start_up_s: float
    used: dict[str, Used]
    gaps: tuple[tuple[float, ...], ...]


class SleepingSettings(Settings):
    seconds: tuple[float, ...] = Field((), description="how long each unit sleeps")
    told: bool = Field(False, description="whether the sizes of units tell how long they take")


class Sleeping(Stage[SleepingSettings]):
    """A stage for the measurement alone: no other process than those below knows of it."""

    name = "sleeping"
    summary = "units that sleep"
    Settings = SleepingSettings
    ports: ClassVar[dict[str, Port]] = {}
    produces = "nothing"

    def units(self) -> list[WorkUnit]:
        seconds, told = self.settings.seconds, self.settings.told
        return [
            WorkUnit(i, len(seconds), (Piece("", size=round(s * 1e6) if told else 1),), f"{i}")
            for i, s in enumerate(seconds)
        ]

    def process(self, unit: WorkUnit, reporter: Reporter) -> Record:
        time.sleep(self.settings.seconds[unit.index])
        return Record(unit.name)


def _as_it_is() -> None:
    pass


def _static() -> None:
    from apache_beam.runners.portability.fn_api_runner import fn_runner

    from stages.engine import dealing

    usual = fn_runner.FnApiRunner._get_bundle_manager
    dealing.DealingRunner._get_bundle_manager = usual  # type: ignore[method-assign]


def _none_waits() -> None:
    from stages.engine import dealing

    dealing._SHORT = 0.0


WAYS = (
    Way("1 worker", 1, _as_it_is),
    Way("2, static", 2, _static),
    Way("2, dealt,\nnone waits", 2, _none_waits),
    Way("2, dealt", 2, _as_it_is),
)
SHAPES = (
    Shape("one of 1 s among 20 of 0.1 s", (*[0.1] * 10, 1.0, *[0.1] * 10), True),
    Shape(
        "24 of 0.05 to 0.5 s, in an order that sizes do not tell",
        tuple(random.Random(24).sample([0.05 + 0.45 * i / 23 for i in range(24)], 24)),
        False,
    ),
    Shape("40 of 0.1 s", (0.1,) * 40, False),
)
SHORT = Shape("40 of 10 ms", (0.01,) * 40, False)


def measure(
    work: str, shapes: Sequence[Shape], ways: Sequence[Way], repeats: int, say: Say
) -> list[list[list[Run]]]:
    """By shape and way, the repeated runs, which take turns. Writes below `work`.

    Raises MeasureError.
    """
    found: list[list[list[Run]]] = [[[] for _ in ways] for _ in shapes]
    for i in range(repeats):
        for shape, row in zip(shapes, found, strict=True):
            say(f"{shape.name}: {i + 1} of {repeats}")
            for way, runs in zip(ways, row, strict=True):
                runs.append(run(work, shape, way))
    return found


def run(work: str, shape: Shape, way: Way) -> Run:
    """Runs a step of such units anew with an executor of its own. Raises MeasureError."""
    settings = {"seconds": shape.seconds, "told": shape.told}
    out = f"{work}/sleeping"
    step = Step("sleeping", "sleeping", out, {}, settings, progress=f"{out}.progress")

    def call() -> tuple[Manifest, bytes]:
        # In a fork, so that nothing has to be put back.
        registry.STAGES["sleeping"] = "benchmarks.dealing:Sleeping"
        way.change()
        said = [b""]

        def tick(*_: object) -> None:
            # The last time is at the end of the step, before its file is removed.
            path = Path(f"{out}.progress")
            said[0] = path.read_bytes() if path.exists() else said[0]

        with Executor(Engine(workers=way.workers)) as executor:
            return run_step(step, executor, tick).manifest, said[0]

    tree = Tree()
    (manifest, said), _ = in_fork(call, tree.look)
    shutil.rmtree(out)
    events = [orjson.loads(line) for line in said.splitlines()]
    return Run(manifest.run["wall_s"], manifest.run["start_up_s"], tree.used(), gaps(events))


def gaps(events: Iterable[dict[str, Any]]) -> tuple[tuple[float, ...], ...]:
    """Per process the seconds from the end of a unit to the beginning of its next."""
    ended: dict[int, float] = {}
    found: dict[int, list[float]] = {}
    for event in events:
        pid = event.get("pid", 0)
        if event["e"] == "started":
            between = found.setdefault(pid, [])
            if pid in ended:
                between.append(event["t"] - ended[pid])
        elif event["e"] == "finished":
            ended[pid] = event["t"]
    return tuple(tuple(between) for between in found.values())


def walls(found: Sequence[Sequence[Sequence[Run]]], shapes: Sequence[Shape]) -> Sheet:
    rows = [
        (shape.name, *(f"{median(r.wall_s for r in runs):.1f} s" for runs in row))
        for shape, row in zip(shapes, found, strict=True)
    ]
    return Sheet(
        "Units that sleep",
        ("units", *(way.name for way in WAYS)),
        tuple(rows),
        (
            "Wall seconds of a step, medians. Static: Beam's own bundles, one a worker. None"
            " waits: a worker gets the next unit when one is done, however short they are.",
        ),
    )


def costs(found: Sequence[Sequence[Run]]) -> Sheet:
    rows = []
    for way, runs in zip(WAYS, found, strict=True):
        own = [cpu_s(runs, role) for role in ("launcher", "runner", "worker")]
        each = own.pop() / way.workers
        between = [gap for r in runs for gap in r.gaps]
        rows.append(
            (
                way.name.replace("\n", " "),
                f"{median(r.start_up_s for r in runs):.2f}",
                *(f"{cpu:.2f}" for cpu in own),
                f"{each:.2f}" if way.workers > 1 else "",
                f"{1000 * median(sum(g) for g in between):.0f}",
                f"{1000 * median(max(g, default=0.0) for g in between):.0f}",
            )
        )
    return Sheet(
        f"What a step costs by itself: {SHORT.name}",
        (
            "workers",
            "to the first\nunit s",
            "launcher\nCPU s",
            "runner\nCPU s",
            "each worker\nCPU s",
            "between units\nms",
            "longest\nms",
        ),
        tuple(rows),
        (
            "Medians; all modules are imported before. One worker is the runner itself. Between"
            " units: all milliseconds of a worker from the record of a unit to the beginning of"
            " its next.",
        ),
    )


def cpu_s(runs: Sequence[Run], role: str) -> float:
    return median(r.used[role].cpu_s for r in runs)


def main() -> int:
    """Exit codes: those of `benchmarks.command`."""
    parser = command.Parser("benchmarks.dealing", __doc__)
    parser.repeats(3, "of each step")
    options = parser.parse_args()
    return command.run(lambda: report(options))


def report(options: argparse.Namespace) -> None:
    conditions = Conditions()
    import_ahead()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        *found, short = measure(work, (*SHAPES, SHORT), WAYS, options.repeats, to_stderr)
    show([walls(found, SHAPES), costs(short)], f"{machine()}. {conditions}")


if __name__ == "__main__":
    raise SystemExit(main())
