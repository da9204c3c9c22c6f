"""The `corpus` command (= `python -m pipeline`). Exit codes: 0 done; 1 a run failed; 2 bad
arguments or recipe (one clear line)."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.console import Console
from rich.table import Table

from pipeline import curve as curves
from pipeline import (
    curve_show,
    forecast_show,
    purge_show,
    seal,
    trace_command,
    trace_run,
    verify_show,
    why_show,
)
from pipeline import forecast as forecasting
from pipeline import plan as planning
from pipeline import purge as purging
from pipeline import recalibration as recalibrating
from pipeline import recipe as recipes
from pipeline import report as reports
from pipeline import run as running
from pipeline import verify as verifying
from pipeline import why as explaining
from stages import registry
from stages.engine import files, manifest
from stages.engine.console import StepProgress, plain_width, step_table
from stages.engine.execute import LOCAL, Engine, StageError, check_options
from stages.engine.manifest import ManifestError
from stages.engine.options import STALL_S, check_place, check_places, place_problem
from stages.engine.step import WRONG_PLACE, InputError, Step

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From raw public dumps to the LLaMA-1 corpus, its tokenizer and token shards.",
)

# Typer carries a Click of its own, whose base of usage errors it does not export.
UsageError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

# What Typer makes of Ctrl-C.
_INTERRUPTED = 130

Work = Annotated[
    str | None, typer.Option("--work", help="work folder [default: work/<recipe name>]")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="change one value of the recipe")
]


def _load(
    name: str, work: str | None, changes: list[str] | None
) -> tuple[recipes.Recipe, dict[str, Any], str]:
    where = files.bare(work or files.join("work", Path(name).name.removesuffix(".yaml")))
    check_place(where)
    if not files.is_remote(where):
        where = str(Path(where))
    loaded, values = recipes.load(name, where, changes or [])
    return loaded, values, where


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def run(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="a recipe file, or the name of a bundled one")],
    work: Work = None,
    set_: Set = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="local processes [default: all cores]")
    ] = None,
    worker_memory_mb: Annotated[
        int | None, typer.Option(min=512, help="memory of one worker, MiB [default: no bound]")
    ] = None,
    stall_s: Annotated[
        float,
        typer.Option(
            min=0, help="seconds after which a local worker that does nothing is killed; 0: never"
        ),
    ] = STALL_S,
    runner: Annotated[str, typer.Option(help="a Beam runner, or `local`")] = LOCAL,
    until: Annotated[str | None, typer.Option(help="stop after this step")] = None,
) -> None:
    """Run a recipe; what is done already is skipped. Further options go to Beam."""
    cores: dict[str, Any] = {"workers": workers} if workers else {}
    engine = Engine(
        **cores,
        runner=runner,
        options=tuple(context.args),
        stall_s=stall_s,
    )
    if context.args and engine.local:
        raise InputError(f"no such option: {context.args[0]} (Beam's own options need --runner)")
    check_options(engine)
    if worker_memory_mb is not None:
        set_ = [*(set_ or []), f"worker_memory_mb={worker_memory_mb}"]
    loaded, values, where = _load(recipe, work, set_)
    done = running.run(loaded, values, where, engine, until)
    console = plain_width(Console())
    console.print(step_table([m for m, _ in done], {m.step: s for m, s in done}))
    files.write_json(files.join(where, seal.REPORT), reports.as_json(where))
    seal.write(where, [step.output for step in planning.steps(loaded, where)])
    if until is None:
        steps: list[tuple[Step, manifest.Manifest | None]] = [
            (s, manifest.load(s.output)) for s in planning.steps(loaded, where)
        ]
        console.print(reports.sources_table(loaded, steps, reports.tokens_of(where)))


@app.command()
def plan(
    recipe: str,
    work: Work = None,
    set_: Set = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="run samples, and forecast what it will cost")
    ] = False,
    sample_mb: Annotated[
        float, typer.Option(min=0.1, help="of raw files of each source to calibrate on")
    ] = 20.0,
    raw_bytes: Annotated[
        str, typer.Option(metavar="SOURCE=42T,...", help="full sizes; `public`: the published ones")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, help="cores to forecast the time for [default: all here]")
    ] = None,
    scratch: Annotated[str | None, typer.Option(help="folder to run samples in")] = None,
    json: Annotated[bool, typer.Option("--json", help="the forecast, as JSON")] = False,
) -> None:
    """Show the steps of a recipe: what each reads, and whether it would run. With --calibrate, what
    it will cost; inputs that are not set are sampled from the embedded sample."""
    if calibrate:
        cores = workers or forecasting.default_workers()
        found = forecasting.run(recipe, set_ or [], sample_mb, raw_bytes, cores, Engine(), scratch)
        if json:
            sys.stdout.buffer.write(forecast_show.to_json(found))
        else:
            forecast_show.show(found, plain_width(Console()))
        return
    loaded, _, where = _load(recipe, work, set_)
    table = Table("step", "stage", "reads", "would", title=f"{loaded.name} in {where}")
    table.title_justify = "left"
    planned = planning.steps(loaded, where)
    check_places(Engine(), planned)
    steps = [(s, manifest.load(s.output)) for s in planned]
    known = reports.states(steps)
    for step, _ in steps:
        registry.create(step)
        reads = ", ".join(p for paths in step.inputs.values() for p in paths)
        would = "skip" if known[step.name] == "done" else "run"
        table.add_row(step.name, step.stage, reads, would)
    plain_width(Console()).print(table)


def _work_of(name: str, work: str | None) -> str:
    """A work folder, or the one that a recipe name stands for."""
    for place in (name, work):
        check_place(place or "")
    name = files.bare(name)
    if files.exists(files.join(name, running.RECIPE_FILE)):
        return name
    return files.bare(work) if work else files.join("work", Path(name).name.removesuffix(".yaml"))


@app.command()
def status(
    run: Annotated[str, typer.Argument(help="work folder or recipe")], work: Work = None
) -> None:
    """Show which steps are done, and the paper's Table 1 columns for this corpus."""
    reports.show_status(_work_of(run, work), plain_width(Console()))


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="work folder or recipe")],
    work: Work = None,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Show per step what went in and out, why documents left, times; and the sample's traps."""
    where = _work_of(run, work)
    if json:
        sys.stdout.buffer.write(
            orjson.dumps(reports.as_json(where), option=orjson.OPT_INDENT_2) + b"\n"
        )
    else:
        reports.show_report(where, plain_width(Console()))


@app.command()
def verify(
    run: Annotated[str, typer.Argument(help="work folder or recipe")],
    work: Work = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="compare every document's text, not a sample's")
    ] = False,
    raw: Annotated[bool, typer.Option(help="hash raw files again, too")] = True,
    seq_len: Annotated[
        int, typer.Option(min=1, help="of the data order that is looked at")
    ] = verifying.SEQ_LEN,
    seed: Annotated[int, typer.Option(help="of the data order that is looked at")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="[default: all cores]")] = None,
    json: Annotated[bool, typer.Option("--json", help="everything, as JSON")] = False,
) -> None:
    """Read everything again: digests, counts, token shards. Exit code 1 if anything is wrong."""
    where = _work_of(run, work)
    options = verifying.Options(deep, raw, seq_len, seed, workers)
    with StepProgress() as progress:
        found = verifying.verify_folder(where, progress.bytes("verify"), options)
    if json:
        sys.stdout.buffer.write(
            orjson.dumps(verifying.as_json(found), option=orjson.OPT_INDENT_2) + b"\n"
        )
    else:
        verify_show.show(found, plain_width(Console()))
    if found.problems:
        raise typer.Exit(1)


@app.command()
def purge(
    run: Annotated[str, typer.Argument(help="work folder or recipe")],
    work: Work = None,
    ids: Annotated[
        str | None, typer.Option("--ids", metavar="FILE", help="ids of documents, one a line")
    ] = None,
    urls: Annotated[
        str | None, typer.Option("--urls", metavar="FILE", help="URLs of pages, one a line")
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="kept in the list: opt-out, licence, takedown")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    check: Annotated[bool, typer.Option(help="look for what was purged, afterwards")] = True,
    workers: Annotated[int | None, typer.Option(min=1, help="[default: all cores]")] = None,
) -> None:
    """Take documents out of a finished corpus for good, from every step and every shard. Without
    --ids and --urls, finish a purge that was interrupted."""
    where = _work_of(run, work)
    request = purging.Request(purging.lines_of(ids), purging.lines_of(urls), reason)
    with StepProgress() as progress:
        done = purging.purge(
            where,
            request,
            dry_run=dry_run,
            check=check,
            workers=workers,
            progress=progress.bytes("purge"),
        )
    purge_show.show(done, dry_run, plain_width(Console()))
    if done.problems:
        raise typer.Exit(1)


@app.command()
def why(
    run: Annotated[str, typer.Argument(help="work folder or recipe")],
    document: Annotated[str, typer.Argument(help="id, URL, or origin (file#offset)")],
    work: Work = None,
    text: Annotated[bool, typer.Option("--text", help="all removed lines, in full")] = False,
    holders: Annotated[
        int, typer.Option(min=0, help="other documents to name for a removed line")
    ] = explaining.HOLDERS,
    json: Annotated[bool, typer.Option("--json", help="everything, as JSON")] = False,
) -> None:
    """Show what each step did with one document, and why. Exit code 1 if there is none."""
    answer = explaining.why(_work_of(run, work), document, holders)
    if json:
        sys.stdout.buffer.write(why_show.to_json(answer))
    elif answer.found:
        why_show.show(answer, plain_width(Console()), text)
    if not answer.found:
        print(f"not found: {why_show.not_found(answer)}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def curve(
    run: Annotated[str, typer.Argument(help="work folder or recipe")],
    work: Work = None,
    source: Annotated[
        str | None, typer.Option(help="a source [default: the first that has a select stage]")
    ] = None,
    score: Annotated[
        Literal["perplexity", "reference_score", "language_score"],
        typer.Option(help="its threshold"),
    ] = "perplexity",
    by: Annotated[Literal["language"] | None, typer.Option(help="a curve for each")] = None,
    points: Annotated[
        int, typer.Option(min=1, max=1000, help="thresholds, at equal steps of documents")
    ] = 20,
    at: Annotated[
        str, typer.Option(metavar="T,T,...", help="these thresholds, in place of --points")
    ] = "",
    samples: Annotated[
        int, typer.Option(min=0, max=1000, help="documents to show at each, the nearest ones")
    ] = 2,
    ignore: Annotated[
        str, typer.Option(metavar="NAME,...", help="other thresholds to lift, or `all`")
    ] = "",
    plot: Annotated[str | None, typer.Option(metavar="FILE.svg", help="draw it, too")] = None,
    json: Annotated[bool, typer.Option("--json", help="everything, as JSON")] = False,
) -> None:
    """Show what other thresholds of `select` would keep, from the scores that are stored."""
    ask = curves.asked(score, points, at, samples, ignore, by == "language")
    _, steps = reports.of_work(_work_of(run, work))
    started = time.perf_counter()
    step, found = curves.of_run([s for s, _ in steps], source, ask, threads=os.cpu_count() or 1)
    took = time.perf_counter() - started
    if plot is not None:
        files.write_bytes(plot, curve_show.svg(found, step.name).encode())
    if json:
        sys.stdout.buffer.write(curve_show.to_json(found, step.name))
    else:
        curve_show.show(found, step.name, plain_width(Console()))
    rate = found.text_bytes_in / 1e6 / took
    print(f"{found.text_bytes_in / 1e6:.1f} MB of text read, {rate:.0f} MB/s", file=sys.stderr)


@app.command()
def recalibration(
    run: Annotated[str, typer.Argument(help="work folder or recipe")],
    work: Work = None,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Show the run's perplexity cutoffs beside CCNet's published ones, by language."""
    _, steps = reports.of_work(_work_of(run, work))
    found = recalibrating.reports([s for s, _ in steps])
    if json:
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
        return
    for step, facts in found.items():
        recalibrating.show(step, facts, plain_width(Console()))


@app.command()
def trace(
    run: Annotated[str, typer.Argument(help="work folder or recipe")],
    work: Work = None,
    step: Annotated[int | None, typer.Option(min=1, help="a step of the training run")] = None,
    sequence: Annotated[int | None, typer.Option(min=0, help="or one sequence of it")] = None,
    document: Annotated[
        str | None, typer.Option(help="or a document, by id, URL or origin: when it is seen")
    ] = None,
    rank: Annotated[int | None, typer.Option(min=0, help="a process's share of the step")] = None,
    world: Annotated[
        int | None, typer.Option(min=1, help="processes [default: as many as the run had]")
    ] = None,
    row: Annotated[int | None, typer.Option(min=0, help="one place in the step")] = None,
    train: Annotated[
        str | None, typer.Option(help="training run [default: the newest in the work folder]")
    ] = None,
    seq_len: Annotated[
        int | None, typer.Option(min=1, help="instead of --train: tokens of a sequence")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="instead of --train: sequences of a step")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="instead of --train: of the order")] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="NAME=W,...", help="instead of --train: the mixture")
    ] = None,
    ledger: Annotated[
        str | None, typer.Option(help="instead of --train: what was changed later")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="of the source [default: to the end of the run]")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="decoded, document by document")] = False,
    json: Annotated[bool, typer.Option("--json", help="everything, as JSON")] = False,
) -> None:
    """Show what a training step holds, or when a document is seen. Exit code 1 if there is no such
    document, or the shards give another digest than the run logged."""
    where = run if trace_run.has_shards(run) else _work_of(run, work)
    options = trace_run.options(seq_len, batch, seed, weights, ledger)
    asked = trace_command.Asked(step, sequence, document, rank, row, epochs, text)
    tracing = trace_run.open_run(where, train, options, world)
    raise typer.Exit(trace_command.run(tracing, asked, plain_width(Console()), where, json))


def main() -> int:
    """Returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        code = int(app(standalone_mode=False) or 0)
    except typer.Exit as stop:
        code = stop.exit_code
    except UsageError as error:
        if error.format_message():
            print(f"error: {error.format_message()}", file=sys.stderr)
        return 2
    except (recipes.RecipeError, InputError, ManifestError, *WRONG_PLACE) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (StageError, running.BusyError, OSError, RuntimeError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except (ImportError, ValueError) as error:
        if not (problem := place_problem(error)):
            raise
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        print("stopped; finished units are kept, the same command goes on", file=sys.stderr)
        return 1
    return code
