"""`corpus plan --calibrate`: what the whole corpus will cost, from a sample of its raw files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import forecast_measure as measuring
from pipeline import forecast_sizes as sizes
from pipeline import plan, recipe
from pipeline.forecast_measure import Calibration
from pipeline.forecast_model import (
    KINDS,
    ZERO,
    Bound,
    Figure,
    Shape,
    StepForecast,
    forecast,
    ratio,
)
from stages import registry
from stages.engine.execute import Engine
from stages.engine.step import Layout, Step
from tokenizer import paper

EFFICIENCY = 0.85
"""Share of the cores' time that does work when all are at it: start-up of steps, their last units,
and cores that share their caches. An assumption; two cores were measured at 0.85 to 0.95."""

_STEP_SECONDS = 1.0
_MANY_PAIRS = 1e9


@dataclass(frozen=True)
class SourceForecast:
    """A source at full size. `papers`: the row of LLaMA's Table 1, if it has one."""

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


@dataclass(frozen=True)
class Forecast:
    """The whole corpus. CPU and wall in seconds, the rest in bytes."""

    recipe: str
    workers: int
    sources: tuple[SourceForecast, ...]
    steps: tuple[StepForecast, ...]
    cpu_s: Figure
    wall_s: Figure
    memory: Figure
    shuffle: Figure
    disk: Figure
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
        done[step.name] = forecast(
            step.name,
            step.stage,
            measured,
            sum(arriving.values(), ZERO),
            arriving.get("input", arriving.get("crawl", ZERO)),
            _bound(real, max(m.models for m in measured)),
            _shape(real),
        )
    steps = tuple(done.values())
    return Forecast(
        loaded.name,
        workers,
        tuple(_source(found, loaded, name, raw[name], done) for name in loaded.sources),
        steps,
        sum((s.cpu_s for s in steps), ZERO),
        sum((_wall(s, workers) for s in steps), ZERO),
        Figure(*(max(getattr(s.memory, k) for s in steps) for k in ("small", "point", "large"))),
        sum((s.shuffle for s in steps), ZERO),
        sum((s.disk for s in steps), ZERO),
        _crawl(found, loaded, done),
        _assumptions(found, loaded, raw, steps, workers),
        found.machine,
    )


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


def _settings(step: Step) -> Any:
    return registry.stage_class(step.stage).Settings.model_validate(step.settings)


def _bound(step: Step, models: int) -> Bound:
    if KINDS[step.stage][0] != "bounded":
        return Bound()
    settings = _settings(step)
    if step.stage == "tokenizer":
        return Bound(float(settings.budget_bytes), float(settings.budget_bytes))
    if step.stage == "language_model":
        languages = len(settings.languages) if settings.languages else max(models, 1)
        # lmplz sorts on disk; SentencePiece holds what it is given.
        held = min(settings.max_bytes, settings.sentencepiece_bytes)
        return Bound(float(settings.max_bytes) * languages, float(held))
    return Bound(documents=float(settings.max_references + settings.max_random))


def _shape(step: Step) -> Shape:
    settings = _settings(step)
    partition = getattr(settings, "partition_memory_mb", None)
    grouped = getattr(settings, "scope", None) == "file_group"
    return Shape(
        Layout.model_validate(step.layout).split_bytes,
        None if partition is None else partition << 20,
        settings.group_files if grouped else None,
    )


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
    )


def _wall(step: StepForecast, workers: int) -> Figure:
    """Seconds on so many cores: all of them at the units, one at what makes one model."""
    shared = (step.cpu_s + step.serial_s * -1.0) * (1 / (workers * EFFICIENCY))
    return shared + step.serial_s + Figure.at(step.fixed_s + _STEP_SECONDS)


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
        f"{s.name}: {s.pairs:.1e} references go through GroupByKey (units times partitions, so"
        " they grow with the square): give reducers more memory (worker_memory_mb), or compare"
        " groups of files (scope: file_group)"
        for s in steps
        if s.pairs > _MANY_PAIRS
    ]
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


def default_workers() -> int:
    return len(os.sched_getaffinity(0))
