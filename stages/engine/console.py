"""What a person sees: live progress of a step, and the table of what steps did."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table

from stages.engine.manifest import Manifest
from stages.engine.progress import Progress
from stages.engine.step import Step

_LINE_EVERY_SECONDS = 10.0
_PHASES = ("emit", "reduce", "process")


class StepProgress:
    """Live bars when a terminal watches, a plain line now and then otherwise."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._live = self.console.is_terminal
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )

    def __enter__(self) -> StepProgress:
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._live:
            self._bars.stop()

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def bytes(self, label: str) -> Callable[[int, int], None]:
        """A callback that shows bytes done of bytes in all."""
        task: list[TaskID] = []

        def show(done: int, total: int) -> None:
            if self._live:
                if not task:
                    task.append(self._bars.add_task(label, total=total, rate=""))
                self._bars.update(task[0], completed=done, rate=f"{total / 1e6:.1f} MB")

        return show

    def tick(self, step: Step) -> Callable[[Progress, int], None]:
        """A callback for `run_step`; shows the phases of one step."""
        tasks: dict[str, TaskID] = {}
        started = time.monotonic()
        last = started

        def show(progress: Progress, units: int) -> None:
            nonlocal last
            now = time.monotonic()
            phases = [p for p in _PHASES if p in progress.done or _running(progress, p)]
            if self._live:
                for phase in phases:
                    label = step.name if phase == "process" else f"{step.name} ({phase})"
                    if phase not in tasks:
                        total = units if phase != "reduce" else None
                        tasks[phase] = self._bars.add_task(label, total=total, rate="")
                    documents, size = progress.live(phase)
                    self._bars.update(
                        tasks[phase],
                        completed=progress.done.get(phase, 0),
                        rate=_rate(documents, size, now - started),
                    )
            elif now - last >= _LINE_EVERY_SECONDS and phases:
                last = now
                documents, size = progress.live(phases[-1])
                done = progress.done.get(phases[-1], 0)
                of = f"{done} keys" if phases[-1] == "reduce" else f"{done} of {units} units"
                rate = f", {_rate(documents, size, now - started)}" if documents else ""
                self.say(f"  {step.name}: {phases[-1]}, {of} done{rate}")

        return show


def _running(progress: Progress, phase: str) -> bool:
    return any(p == phase for p, _ in progress.running)


def _rate(documents: int, size: int, seconds: float) -> str:
    return f"{documents:,} documents, {size / 1e6 / max(seconds, 1e-9):.1f} MB/s"


def step_table(
    manifests: Sequence[Manifest], skipped: dict[str, bool] | None = None, title: str | None = None
) -> Table:
    """Documents and bytes in and out, reasons, time and MB/s/core, a row per step."""
    table = Table(title=title, title_justify="left", expand=False)
    table.add_column("step", no_wrap=True)
    for name in (
        "documents in",
        "out",
        "rejected",
        "bad",
        "MB in",
        "MB out",
        "tokens",
        "wall s",
        "CPU s",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("MB/s/core", justify="right", no_wrap=True)
    table.add_column("peak MB", justify="right", no_wrap=True)
    table.add_column("why documents left", overflow="fold")
    for m in manifests:
        c, run = m.counts, m.run
        tokens = c.other["tokens_train"] + c.other["tokens_valid"]
        cpu = float(run.get("cpu_s", 0.0))
        rate = f"{c.text_bytes_in / 1e6 / cpu:.1f}" if cpu and c.text_bytes_in else ""
        note = " (done before)" if skipped and skipped.get(m.step) else ""
        table.add_row(
            m.step + note,
            f"{c.documents_in:,}",
            f"{c.documents_out:,}",
            f"{c.rejected:,}",
            f"{c.bad:,}",
            f"{(c.other['raw_bytes'] or c.text_bytes_in) / 1e6:.2f}",
            f"{c.text_bytes_out / 1e6:.2f}",
            f"{tokens:,}" if tokens else "",
            f"{run.get('wall_s', 0.0):.1f}",
            f"{cpu:.1f}",
            rate,
            f"{run.get('peak_rss', 0) / 1e6:.0f}",
            ", ".join(f"{k} {v:,}" for k, v in [*c.reasons.most_common(), *c.errors.most_common()]),
        )
    return table


def plain_width(console: Console) -> Console:
    """A console wide enough that tables are not folded when nobody's terminal limits it."""
    if console.is_terminal:
        return console
    return Console(width=200, file=sys.stdout)
