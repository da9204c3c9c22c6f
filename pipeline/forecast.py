"""`corpus plan --calibrate`: what the whole corpus will cost, from a sample of its raw files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline import forecast_measure as measuring
from pipeline import forecast_sizes as sizes
from pipeline import plan, recipe
from pipeline.forecast_kinds import KINDS
from pipeline.forecast_measure import Calibration
from pipeline.forecast_model import (
    ZERO,
    Bound,
    Figure,
    StepForecast,
    forecast,
    ratio,
)
from pipeline.forecast_shapes import settings_of, shape_of
from stages import registry
from stages.engine.execute import Engine
from stages.engine.step import Step
from tokenizer import paper

EFFICIENCY = 0.85
"""Share of the cores' time that does work when all are at it: start-up of steps, their last units,
and cores that share their caches. An assumption; two cores were measured at 0.85 to 0.95."""

_STEP_SECONDS = 1.0
_MANY_PAIRS, _MANY_REFERENCES = 1e9, 1e7


@dataclass(frozen=True)
class SourceForecast:
    """A source at full size. `papers`: the row of LLaMA's Table 1, if it has one.

    `at_most`: whether documents, text and tokens are upper bounds, so epochs a lower one;
    `cpu_too_low`: whether a step of it did less work in the sample than it will.
    """

    name: str
    raw: sizes.Size
    own: bool
    sample_bytes: tuple[int, ...]
    text: Figure
    documents: Figure
    tokens: Figure
    epochs: Figure
    cpu_s: Figure
    papers: paper.Table1Row | None
    at_most: bool = False
    cpu_too_low: bool = False


@dataclass(frozen=True)
class Forecast:
    """The whole corpus. CPU and wall in seconds, the rest in bytes. `memory`: of a worker; `runner`
    and `launcher`: of the processes that hold what units exchange; `scratch`: disk beside `disk`
    for what the units of a running step exchange, of the step that has most."""

    recipe: str
    workers: int
    sources: tuple[SourceForecast, ...]
    steps: tuple[StepForecast, ...]
    cpu_s: Figure
    wall_s: Figure
    memory: Figure
    shuffle: Figure
    disk: Figure
    scratch: Figure
    runner: Figure
    launcher: Figure
    crawl: dict[str, Any]
    assumptions: tuple[str, ...]
    machine: dict[str, Any] = field(default_factory=dict)


def run(
    name: str,
    changes: Sequence[str],
    sample_mb: float,
    raw_bytes: str,
    workers: int,
    engine: Engine,
    folder: str | None = None,
) -> Forecast:
    """Samples, measures and forecasts; the scratch folder is made in `folder` and removed.

    Raises RecipeError, InputError, StageError.
    """
    given = sizes.parse(raw_bytes)
    scratch = tempfile.mkdtemp(prefix="corpus-forecast-", dir=folder)
    try:
        loaded = measuring.load(name, measuring.embedded_in(scratch), changes)
        for source in set(given) - {""} - set(loaded.sources):
            raise recipe.RecipeError(f"--raw-bytes {source}: the recipe has no such source")

        def public(source: str) -> bool:
            known = not any(measuring.UNSET in p for p in loaded.sources[source].input)
            return given[source] is None if source in given else ("" in given or not known)

        calibration = measuring.calibrate(loaded, scratch, int(sample_mb * 1e6), engine, public)
        return of(calibration, loaded, given, workers)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def of(
    found: Calibration,
    loaded: recipe.Recipe,
    given: Mapping[str, float | None],
    workers: int,
) -> Forecast:
    """The forecast from what was measured. `loaded`: the recipe as it will be run."""
    raw = {name: _raw(found, loaded, given, name) for name in loaded.sources}
    whole = {step.name: step for step in plan.steps(loaded, "")}
    done: dict[str, StepForecast] = {}
    by_output = {step.output: step.name for step in found.steps}
    readers = {plan.source_steps(found.recipe, name)[0]: name for name in loaded.sources}
    floor = float(min(m.peak_rss for each in found.measured.values() for m in each))
    for step in found.steps:
        ports = registry.stage_class(step.stage).ports
        arriving: dict[str, Figure] = {}
        for port, where in step.inputs.items():
            if step.name in readers:
                arriving[port] = Figure.at(raw[readers[step.name]].bytes)
            elif ports[port].kind == "documents":
                parts = [done[by_output[w]].text_out for w in where if w in by_output]
                arriving[port] = sum(parts, ZERO)
        measured = found.measured[step.name]
        real = whole.get(step.name, step)
        before = [
            done[by_output[w]]
            for port, on in step.inputs.items()
            if ports[port].kind == "documents"
            for w in on
            if w in by_output
        ]
        made = forecast(
            step.name,
            step.stage,
            measured,
            sum(arriving.values(), ZERO),
            arriving.get("input", arriving.get("crawl", ZERO)),
            _bound(real, max(m.models for m in measured)),
            shape_of(
                real,
                arriving,
                [(s.text_out.point, s.parts.point) for s in before],
                measured,
                found.names[readers[step.name]] if step.name in readers else (),
                raw[readers[step.name]].files if step.name in readers else 0,
            ),
            floor,
        )
        done[step.name] = replace(
            made,
            at_most=made.kind == "grows"
            or step.name in found.loose
            or any(s.at_most for s in before),
            too_low=step.name in found.too_low,
        )
    steps = tuple(done.values())
    return Forecast(
        loaded.name,
        workers,
        tuple(_source(found, loaded, name, raw[name], done) for name in loaded.sources),
        steps,
        sum((s.cpu_s for s in steps), ZERO),
        sum((_wall(s, workers) for s in steps), ZERO),
        _most([s.memory for s in steps]),
        sum((s.shuffle for s in steps), ZERO),
        sum((s.disk for s in steps), ZERO),
        _most([s.shuffle for s in steps]),
        _most([s.runner for s in steps]),
        _most([s.launcher for s in steps]),
        _crawl(found, loaded, done),
        _assumptions(found, loaded, raw, steps, workers),
        found.machine,
    )


def _most(figures: Sequence[Figure]) -> Figure:
    return Figure(*(max(getattr(f, k) for f in figures) for k in ("small", "point", "large")))


def _raw(
    found: Calibration, loaded: recipe.Recipe, given: Mapping[str, float | None], name: str
) -> sizes.Size:
    """The full size of a source: given, its own input, published, or as Table 1 implies."""
    asked = given.get(name, given.get("", 0.0))
    if asked:
        return sizes.Size(asked, "given with --raw-bytes")
    if found.own[name] and asked is not None:
        return sizes.Size(found.whole[name], "all of the input that the recipe names")
    reader = loaded.sources[name].stages[0].stage
    known = sizes.published(reader, found.names[name])
    if known is not None:
        return known
    row = paper.TABLE_1.get(name)
    kept = _kept(found, name)
    if row is None or not kept:
        raise recipe.RecipeError(
            f"source {name}: no size is published; give --raw-bytes {name}=..."
        )
    return sizes.Size(
        row.disk_bytes / kept,
        f"as much as gives Table 1's {row.disk_bytes / 1e9:,.0f} GB at the sample's yield"
        " (no published size)",
    )


def _kept(found: Calibration, source: str) -> float:
    """Bytes of text that come out at the end of a source per byte of its raw files."""
    kept = 1.0
    for name in plan.source_steps(found.recipe, source):
        kept *= ratio([(m.main, m.text_out) for m in found.measured[name]]).point
    return kept


def _bound(step: Step, models: int) -> Bound:
    if KINDS[step.stage][0] != "bounded":
        return Bound()
    settings = settings_of(step)
    if step.stage == "tokenizer":
        return Bound(float(settings.budget_bytes), float(settings.budget_bytes))
    if step.stage == "language_model":
        languages = len(settings.languages) if settings.languages else max(models, 1)
        # lmplz sorts on disk; SentencePiece holds what it is given.
        held = min(settings.max_bytes, settings.sentencepiece_bytes)
        sorting = registry.create(step).memory()
        return Bound(
            float(settings.max_bytes) * languages,
            float(held),
            sorting=float(sorting),
            one=float(settings.max_bytes),
        )
    return Bound(documents=float(settings.max_references + settings.max_random))


def _source(
    found: Calibration,
    loaded: recipe.Recipe,
    name: str,
    raw: sizes.Size,
    done: Mapping[str, StepForecast],
) -> SourceForecast:
    steps = [done[n] for n in plan.source_steps(found.recipe, name)]
    tokens = (
        ratio([(float(b), float(t)) for b, t in found.tokens.get(name, [])]) * steps[-1].text_out
    )
    wanted = loaded.total_tokens * loaded.proportions[name]
    epochs = tokens.map(lambda each: wanted / each if each else 0.0)
    return SourceForecast(
        name,
        raw,
        found.own[name],
        tuple(found.raw[name]),
        steps[-1].text_out,
        steps[-1].documents_out,
        tokens,
        epochs,
        sum((s.cpu_s for s in steps), ZERO),
        paper.TABLE_1.get(name),
        steps[-1].at_most,
        any(s.too_low for s in steps),
    )


def _wall(step: StepForecast, workers: int) -> Figure:
    """Seconds on so many cores: all of them at the units, one at what makes one model."""
    alone = step.serial_s + step.fixed_s
    shared = (step.cpu_s + alone * -1.0) * (1 / (workers * EFFICIENCY))
    return shared + alone + Figure.at(_STEP_SECONDS)


def _crawl(
    found: Calibration, loaded: recipe.Recipe, done: Mapping[str, StepForecast]
) -> dict[str, Any]:
    """The path that CCNet has too, up to perplexity: CPU hours per TB of uncompressed text."""
    for name, source in loaded.sources.items():
        uses = [use.stage for use in source.stages]
        if uses[0] != "commoncrawl":
            continue
        names = plan.source_steps(found.recipe, name)[: len(uses)]
        if "perplexity" in uses:
            names = names[: uses.index("perplexity") + 1]
        reader = done[names[0]]
        text = ratio([(m.main, m.text_in) for m in found.measured[names[0]]]) * reader.size
        hours = sum((done[n].cpu_s for n in names), ZERO) * (1 / 3600)
        return {
            "source": name,
            "steps": names,
            "text_tb": text.point / 1e12,
            "cpu_hours": hours,
            "cpu_hours_per_tb": hours.over(text * 1e-12),
            "ccnet_cpu_hours_per_tb": sizes.CCNET_HOURS_PER_TB,
        }
    return {}


def _assumptions(
    found: Calibration,
    loaded: recipe.Recipe,
    raw: Mapping[str, sizes.Size],
    steps: Sequence[StepForecast],
    workers: int,
) -> tuple[str, ...]:
    told = [
        f"{name}: {size.bytes / 1e9:,.1f} GB of raw files: {size.origin}"
        for name, size in raw.items()
    ]
    embedded = [name for name, own in found.own.items() if not own]
    if embedded:
        told.append(
            f"sampled from the embedded sample, not from real dumps: {', '.join(embedded)}; its"
            " pages are like real ones in format, not in length, language or share of duplicates"
        )
    told += found.notes
    grows = [s.name for s in steps if s.kind == "grows"]
    if grows:
        told.append(
            f"{', '.join(grows)}: more of a larger corpus is duplicates, and a sample has next to"
            " none of them; so what comes out of these steps, and all after them, is at most this"
        )
    told += [f"{s.name}: {s.why}" for s in steps if s.kind in ("bounded", "once")]
    told += [
        f"{s.name}: {s.pairs.point:.1e} pairs of a unit and a partition for which it has something"
        " (they grow with the square of the input); by relays they leave"
        f" {s.references.point:.1e} references to GroupByKey, and cost"
        f" {s.exchange_cpu_s.point / 3600:,.0f} vCPU-hours, {s.shuffle.point / 1e12:,.1f} TB of"
        " files until the step ends and, on the local engine,"
        f" {s.runner.point / 1e9:,.1f} GB of memory in the process that runs the step. Fewer by"
        f" {_fewer(s.stage)}"
        for s in steps
        if s.pairs.point > _MANY_PAIRS or s.references.point > _MANY_REFERENCES
    ]
    if any(s.too_low for s in steps):
        low = ", ".join(s.name for s in steps if s.too_low)
        told.append(f"vCPU-hours: too low by what the sample left out of {low}")
    told.append(
        "disk: what the steps leave; without raw dumps, and without what units of a running step"
        " exchange (column shuffle, with the copies of relays; removed as it ends)"
    )
    tokenizer = loaded.tokenizer.path
    if tokenizer is None:
        told.append(
            "tokens: by a tokenizer trained on the sample; one trained on the whole corpus makes"
            " fewer of the same text"
        )
    told.append(
        f"wall: steps one after another, {workers} cores at {EFFICIENCY:.0%}, one core for what"
        f" makes a model, {_STEP_SECONDS:.0f} s a step; storage and network keep up"
    )
    told.append(
        f"CPU: of this machine ({found.machine['cores']} cores, load average"
        f" {found.machine['load_average']} meanwhile); intervals are where the small and the large"
        " sample differ, nothing else"
    )
    return tuple(told)


def _fewer(stage: str) -> str:
    """What makes pairs of a unit and a partition fewer."""
    larger = "larger units (layout.split_bytes)"
    if stage == "tokens":
        return f"{larger}, larger shards (shard_tokens)"
    more = f"{larger}, more memory for reducers (worker_memory_mb, partition_memory_mb)"
    if stage == "line_dedup":
        return f"{more}, groups of files (scope: file_group)"
    return more


def default_workers() -> int:
    return len(os.sched_getaffinity(0))
