"""What a person sees: live progress of a step, and the table of what steps did."""

from __future__ import annotations

import sys
import threading
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

from stages.documents import ranked
from stages.engine.manifest import Manifest
from stages.engine.progress import Progress
from stages.engine.step import Step

_LINE_EVERY_SECONDS = 10.0
# A unit that is in work for so long is named.
_LONG_SECONDS = 30.0
_PHASES = ("emit", "gather", "reduce", "scatter", "process")
_OF_UNITS = ("emit", "process")


class StepProgress:
    """Live bars when a terminal watches, a plain line now and then otherwise.

    While a step runs there is never silence for much more than `every` seconds, whatever it does.
    """

    def __init__(self, console: Console | None = None, every: float = _LINE_EVERY_SECONDS) -> None:
        self.console = console or Console(stderr=True)
        self._live = self.console.is_terminal
        self._every = every
        self._said = time.monotonic()
        self._step = ""
        self._over = threading.Event()
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
        self._over.set()
        if self._live:
            self._bars.stop()

    def say(self, text: str) -> None:
        self._said = time.monotonic()
        self.console.print(text, highlight=False, soft_wrap=True)

    def _pulse(self) -> None:
        """Breaks the silence while no unit is in work: input is listed, or a manifest made."""
        since, step = time.monotonic(), ""
        while not self._over.wait(self._every / 10):
            if self._step != step:
                since, step = time.monotonic(), self._step
            now = time.monotonic()
            if now - self._said >= 1.2 * self._every:
                self.say(f"  {step}: at work for {now - since:.0f} s, no unit in work")

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
        state = ""
        if not self._live and not self._step:
            threading.Thread(target=self._pulse, daemon=True, name="pulse").start()
        self._step = step.name

        def show(progress: Progress, units: int) -> None:
            nonlocal state
            now = time.monotonic()
            phases = [p for p in _PHASES if p in progress.done or _running(progress, p)]
            if self._live:
                for phase in phases:
                    label = step.name if phase == "process" else f"{step.name} ({phase})"
                    if phase not in tasks:
                        tasks[phase] = self._bars.add_task(label, total=None, rate="")
                    documents, size = progress.live(phase)
                    self._bars.update(
                        tasks[phase],
                        total=_total(progress, phase, units),
                        completed=progress.done.get(phase, 0),
                        rate=_rate(documents, size, now - started),
                    )
            if progress.state != state:
                state = progress.state
                self.say(f"  {step.name}: {state.lower()}, job {progress.job}")
            if not self._live and now - self._said >= self._every and phases:
                documents, size = progress.live(phases[-1])
                done = progress.done.get(phases[-1], 0)
                total = _total(progress, phases[-1], units)
                of = f"{done} of {total}" if total is not None else f"{done}"
                what = "units" if phases[-1] in _OF_UNITS else "keys"
                rate = f", {_rate(documents, size, now - started)}" if documents else ""
                long = _long(progress, now)
                self.say(f"  {step.name}: {phases[-1]}, {of} {what} done{rate}{long}")

        return show


def _total(progress: Progress, phase: str, units: int) -> int | None:
    """Pieces of work of a phase; None where only its runner knows, and has not said."""
    return progress.due.get(phase, units if phase in _OF_UNITS else None)


def _running(progress: Progress, phase: str) -> bool:
    return any(p == phase for p, _ in progress.running)


def _long(progress: Progress, now: float) -> str:
    longest = progress.longest(now)
    if longest is None or longest[1] < _LONG_SECONDS:
        return ""
    return f"; {longest[1]:.0f} s on {longest[0]}"


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
            ", ".join(f"{k} {v:,}" for k, v in [*ranked(c.reasons), *ranked(c.errors)]),
        )
    return table


def plain_width(console: Console) -> Console:
    """A console wide enough that tables are not folded when nobody's terminal limits it."""
    if console.is_terminal:
        return console
    return Console(width=200, file=sys.stdout)
