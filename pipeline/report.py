"""`corpus status` and `corpus report`: what was done, in a terminal or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from pipeline import plan, recipe
from pipeline.run import RAW, RECIPE_FILE, finished
from stages.engine import files
from stages.engine.console import step_table
from stages.engine.manifest import Manifest
from stages.engine.run import is_current
from stages.engine.step import STATE, InputError, Step
from tokenizer import paper
from tokenizer.manifest import TokensManifest


def of_work(work: str) -> tuple[recipe.Recipe, list[tuple[Step, Manifest | None]]]:
    """The recipe that a work folder was made with, and its steps. Raises RecipeError."""
    path = files.join(work, RECIPE_FILE)
    if not files.exists(path):
        raise recipe.RecipeError(f"{work}: no run has begun here ({RECIPE_FILE} is absent)")
    loaded, _ = recipe.load(path, work)
    return loaded, finished(loaded, work)


def tokens_of(work: str) -> TokensManifest | None:
    where = files.join(work, plan.TOKENS)
    return TokensManifest.load(where) if files.exists(files.join(where, "manifest.json")) else None


def states(steps: Sequence[tuple[Step, Manifest | None]]) -> dict[str, str]:
    """Per step `done`, `changed` (its settings or inputs are others now), `stale` (a step before it
    is not done), `half done` or `to do`. Steps in the order of the plan."""
    found: dict[str, str] = {}
    settled: set[str] = set()
    outputs = {step.output for step, _ in steps}
    for step, done in steps:
        before = {p for paths in step.inputs.values() for p in paths} & outputs
        if done is None:
            half = files.exists(files.join(step.output, STATE))
            found[step.name] = "half done" if half else "to do"
        elif not before <= settled:
            found[step.name] = "stale"
        else:
            try:
                found[step.name] = "done" if is_current(step) else "changed"
            except InputError as error:
                # Raw files of a finished step may be gone; its output stands.
                found[step.name] = "done" if "no file matches" in str(error) else "changed"
        if found[step.name] == "done":
            settled.add(step.output)
    return found


def show_status(work: str, console: Console) -> None:
    loaded, steps = of_work(work)
    table = Table("step", "stage", "state", "documents out", title=f"{loaded.name} in {work}")
    table.title_justify = "left"
    known = states(steps)
    for step, done in steps:
        out = f"{done.counts.documents_out:,}" if done else ""
        table.add_row(step.name, step.stage, known[step.name], out)
    console.print(table)
    console.print(sources_table(loaded, steps, tokens_of(work)))


def sources_table(
    loaded: recipe.Recipe,
    steps: Sequence[tuple[Step, Manifest | None]],
    tokens: TokensManifest | None,
) -> Table:
    """The columns of the paper's Table 1 for this corpus, with the paper's own beside them."""
    table = Table(
        title=f"Table 1 of the paper, for this corpus (epochs in a run of"
        f" {loaded.total_tokens:,} tokens; the paper's in brackets)",
        title_justify="left",
    )
    for name in ("source", "proportion", "documents", "text MB", "tokens", "bytes/token"):
        table.add_column(name, justify="left" if name == "source" else "right")
    table.add_column("implied epochs", justify="right")
    ends = {s.name: m for s, m in steps}
    for name, share in loaded.proportions.items():
        row = paper.TABLE_1.get(name)
        end = ends.get(plan.source_steps(loaded, name)[-1])
        known = tokens.sources.get(name) if tokens else None
        table.add_row(
            name,
            f"{share:.1%}" + (f" ({row.proportion:.1%})" if row else ""),
            f"{end.counts.documents_out:,}" if end else "",
            f"{end.counts.text_bytes_out / 1e6:.2f}" if end else "",
            f"{known.tokens:,}" + (f" ({row.unique_tokens / 1e9:.0f}B)" if row else "")
            if known
            else "",
            _two(known.bytes_per_token if known else None, row.bytes_per_token if row else None),
            _two(known.implied_epochs if known else None, row.epochs if row else None),
        )
    return table


def _two(mine: float | None, papers: float | None) -> str:
    if mine is None:
        return ""
    shown = f"{mine:,.2f}" if mine < 1e5 else f"{mine:.2e}"
    return shown + (f" ({papers:.2f})" if papers is not None else "")


def as_json(work: str) -> dict[str, Any]:
    """The report as plain data: per step counts, reasons, times; tokens; traps of the sample."""
    loaded, steps = of_work(work)
    tokens = tokens_of(work)
    return {
        "recipe": loaded.name,
        "steps": [
            {
                "step": step.name,
                "stage": step.stage,
                "done": done is not None,
                **(
                    {"counts": done.counts.to_json(), "run": done.run, "extra": done.extra}
                    if done
                    else {}
                ),
            }
            for step, done in steps
        ],
        "sources": {n: s.model_dump() for n, s in tokens.sources.items()} if tokens else {},
        "traps": [vars_of(t) for t in traps(work)],
    }


def vars_of(value: Any) -> dict[str, Any]:
    return {k: getattr(value, k) for k in value.__dataclass_fields__}


def traps(work: str) -> list[Any]:
    """How many of the sample's planted traps the run caught; empty for other corpora."""
    from pipeline import sample

    key = Path(work) / RAW / "KEY.json"
    if files.is_remote(work) or not key.exists():
        return []
    try:
        return list(sample.caught(key, Path(work)))
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{key} is no key of traps: {first}; remove {key.parent}") from error


def show_report(work: str, console: Console) -> None:
    loaded, steps = of_work(work)
    done = [m for _, m in steps if m is not None]
    console.print(step_table(done, title=f"{loaded.name} in {work}"))
    missing = [s.name for s, m in steps if m is None]
    if missing:
        console.print(f"not done yet: {', '.join(missing)}")
    console.print(sources_table(loaded, steps, tokens_of(work)))
    _show_facts(done, console)
    _show_training(work, console)
    if found := traps(work):
        table = Table("trap", "planted", "caught", "missed", title="Traps planted in the raw dumps")
        table.title_justify = "left"
        for trap in found:
            missed = "; ".join(str(m) for m in trap.missed_examples[:2])
            table.add_row(trap.kind, str(trap.planted), str(trap.caught), missed)
        console.print(table)
        planted, caught = sum(t.planted for t in found), sum(t.caught for t in found)
        console.print(f"traps: {caught} of {planted} caught", highlight=False)


def _show_training(work: str, console: Console) -> None:
    """First and last loss of the trainer's log, if the corpus was trained on in `<work>/train`."""
    logs = sorted(Path(work).glob("train/**/log.jsonl"), key=lambda p: p.stat().st_mtime)
    if files.is_remote(work) or not logs:
        return
    path = str(logs[-1])
    records = [orjson.loads(line) for line in files.read_bytes(path).splitlines() if line]
    losses = [r["loss"] for r in records if r.get("kind") == "step"]
    if losses:
        console.print(
            f"training: {len(losses)} steps, loss {losses[0]:.3f} at the first, {losses[-1]:.3f}"
            " at the last",
            highlight=False,
        )


def _show_facts(done: Sequence[Manifest], console: Console) -> None:
    for m in done:
        for fact in m.extra.get("notes", []):
            console.print(f"{m.step}: {fact}", highlight=False)
