"""`corpus recalibration`: the run's perplexity cutoffs beside CCNet's published ones.

A command of its own, not a part of `corpus report`: it is a table by language where the report's
are by step, and it is read when a language model has changed. The `perplexity` step wrote all of it
into its `cutoffs.json`; nothing is read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stages.documents import printable
from stages.engine import files, manifest
from stages.engine.step import InputError, Step
from stages.perplexity.stage import CUTOFFS_FILE, Perplexity

_NONE = "-"


def reports(steps: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """By step, what each finished `perplexity` step of a plan found: its settings and a row per
    language (`stages.perplexity.recalibration.Shift`). Raises InputError if there is none."""
    found = {}
    for step in (s for s in steps if s.stage == Perplexity.name):
        done = manifest.load(step.output)
        if done is None:
            continue
        if done.version < Perplexity.version:
            raise InputError(f"{step.name} was made by an earlier version; run the recipe again")
        rows = files.read_json(files.join(step.output, CUTOFFS_FILE))
        settings = {name: done.settings[name] for name in ("cutoffs", "percentiles")}
        found[step.name] = {**settings, "languages": rows}
    if not found:
        raise InputError("no perplexity step has been finished here")
    return found


def show(step: str, report: Mapping[str, Any], console: Console) -> None:
    """Prints one step's table."""
    low, high = report["percentiles"]
    table = Table(
        title=f"{step}: cutoffs at percentiles {low:g} and {high:g} of this run's documents,"
        f" CCNet's beside them; in force: {report['cutoffs']}",
        title_justify="left",
    )
    for name in ("language", "documents", "cutoffs", "95% interval", "CCNet's", "shift", "ratio"):
        table.add_column(name, justify="left" if name == "language" else "right", no_wrap=True)
    for name in ("head/middle/tail %", "under CCNet's %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    rows: Mapping[str, Any] = report["languages"]
    for language, row in sorted(rows.items(), key=lambda item: (-item[1]["documents"], item[0])):
        table.add_row(
            Text(printable(language)),
            f"{row['documents']:,}",
            _pair(row["recalibrated"], "{:,.1f}"),
            _intervals(row["intervals"]),
            _pair(row["published"], "{:,.0f}"),
            _pair(row["shift"], "{:+,.1f}"),
            _pair(row["ratio"], "{:.2f}"),
            _shares(row["shares"].get("recalibrated")),
            _shares(row["shares"].get("published")),
            "" if row["stable"] else Text("too few documents", style="yellow"),
        )
    console.print(table)
    for note in notes(rows):
        console.print(Text(note), soft_wrap=True)


def notes(rows: Mapping[str, Any]) -> list[str]:
    """What a reader must know to read the table."""
    found = [
        "CCNet's cutoffs belong to CCNet's language models: a ratio far from 1 says that this run's"
        " models differ from them, not that its pages do.",
        "Percentiles are exact for the stored perplexities, which are rounded to tenths: within"
        " 0.05 of those before rounding; from 100,000 on all count as 100,000.",
    ]
    if any(not row["stable"] for row in rows.values()):
        found.append(
            "too few documents: with 95 % confidence a cutoff lies somewhere among more than a"
            " tenth of the language's documents (about 370 are enough)."
        )
    return found


def _pair(values: Sequence[float] | None, form: str) -> str:
    return " / ".join(form.format(v) for v in values) if values else _NONE


def _intervals(intervals: Sequence[Mapping[str, Any]] | None) -> str:
    if not intervals:
        return _NONE
    return " / ".join(
        "–".join(_NONE if i[end] is None else f"{i[end]:,.1f}" for end in ("low", "high"))
        for i in intervals
    )


def _shares(shares: Sequence[float] | None) -> str:
    return "/".join(f"{100 * s:.0f}" for s in shares) if shares else _NONE
