"""Runs a recipe on samples of its raw input and takes down what each step cost."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from pipeline import forecast_sample as samples
from pipeline import plan, recipe, yaml_lines
from pipeline import run as running
from pipeline.forecast_model import Measured
from stages import registry
from stages.engine import files
from stages.engine.console import StepProgress
from stages.engine.execute import Engine, Executor
from stages.engine.manifest import Manifest
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from tokenizer.manifest import TokensManifest

UNSET = "input-that-is-not-set"
# Stages whose shuffle is runs of 64-bit hashes, each with a value of eight bytes.
_RUN_BYTES = 16
_RUNS = {
    "url_dedup",
    "document_dedup",
    "line_dedup",
    "overlap",
    "c4_url_dedup",
    "c4_line_dedup",
    "reference_pages",
}


@dataclass
class Calibration:
    """What the samples told.

    `own`: per source whether its own input was sampled; `whole`: bytes of all of a source's own
    input; `raw`: bytes of each sample; `loose`: steps that let more pass in a sample than they
    will; `too_low`: steps that did less work there than they will.
    """

    recipe: recipe.Recipe
    steps: list[Step]
    measured: dict[str, list[Measured]]
    tokens: dict[str, list[tuple[int, int]]]
    raw: dict[str, list[int]]
    own: dict[str, bool]
    whole: dict[str, int]
    names: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    loose: set[str] = field(default_factory=set)
    too_low: set[str] = field(default_factory=set)

    @property
    def own_models(self) -> bool:
        """Whether language models are made by the recipe, and so were small ones here."""
        return self.recipe.language_model is not None and self.recipe.language_model.path is None


def load(name: str, work: str, changes: Sequence[str]) -> recipe.Recipe:
    """A recipe whose parameters need not be set: sources that lack their input have `UNSET` there.

    Raises RecipeError where something else than input would be read from an unset one.
    """
    unset = [f"parameters.{parameter}={UNSET}" for parameter in _unset(name, changes)]
    loaded, _ = recipe.load(name, work, [*changes, *unset])
    for part in ("language_model", "reference", "tokenizer"):
        section = getattr(loaded, part)
        if section is not None and section.path is not None and UNSET in section.path:
            raise recipe.RecipeError(f"{part}.path: its parameter is not set")
    return loaded


def _unset(name: str, changes: Sequence[str]) -> list[str]:
    """Parameters that are empty. What else is wrong with a recipe is told when it is loaded."""
    path = recipe.find(name)
    try:
        value, _ = yaml_lines.load(files.read_bytes(path).decode("utf-8"), path)
    except (UnicodeDecodeError, yaml_lines.YamlError):
        return []
    given = value.get("parameters") if isinstance(value, dict) else None
    set_here = {c.partition("=")[0] for c in changes}
    return [
        key
        for key, text in (given.items() if isinstance(given, dict) else ())
        if text == "" and f"parameters.{key}" not in set_here
    ]


def calibrate(
    loaded: recipe.Recipe,
    scratch: str,
    sample_bytes: int,
    engine: Engine,
    public: Callable[[str], bool],
) -> Calibration:
    """Runs the recipe twice, on a small and a large sample, in the folder `scratch`.

    `public(source)`: whether the forecast is for the published size, whose format the sample must
    have then. Raises InputError, StageError, RecipeError.
    """
    notes: list[str] = []
    made = Calibration(adapted(loaded, notes), [], {}, {}, {}, {}, {}, {}, notes)
    with Executor(engine) as executor:
        drawn = _draw(made, scratch, sample_bytes, public)
        for name in (samples.SMALL, samples.LARGE):
            inputs = {
                source: found[name].folder for source, found in drawn.items() if name in found
            }
            if len(inputs) < len(drawn):
                lacking = sorted(set(drawn) - set(inputs))
                made.notes.append(
                    f"{', '.join(lacking)}: too few files for two samples, so no interval"
                )
                inputs |= {s: drawn[s][samples.LARGE].folder for s in lacking}
            _run(made, os.path.join(scratch, name), inputs, executor, name)
    for source, found in drawn.items():
        made.raw[source] = [found[n].bytes for n in (samples.SMALL, samples.LARGE) if n in found]
    return made


def adapted(loaded: recipe.Recipe, notes: list[str]) -> recipe.Recipe:
    """The recipe with the settings that a sample of some megabytes needs; each is noted."""
    update: dict[str, Any] = {"max_bad": 1.0}
    models = loaded.language_model
    trains = models is not None and models.path is None
    if models is not None and trains:
        # As many pieces as the recipe wants, or as the text holds: pruning them to a few would be
        # most of a trainer's work.
        small = {"min_bytes": 10_000, "memory": "256M"}
        update["language_model"] = models.model_copy(
            update={"settings": {**models.settings, **small}}
        )
        notes.append(
            "language models were trained on the sample: the real ones are larger, and cutoffs were"
            " the sample's own percentiles; CPU and memory of perplexity, and disk of"
            " language_model, are too low, by how much was not measured"
        )
    made = loaded.reference
    if made is not None and made.path is None:
        few = {"min_positives": 10, "min_count": 2}
        update["reference"] = made.model_copy(update={"model": {**made.model, **few}})
    sources = {}
    for name, source in loaded.sources.items():
        uses = []
        for use in source.stages:
            settings = dict(use.settings)
            if use.stage == "perplexity" and trains:
                settings["cutoffs"] = "recalibrated"
            if use.stage == "stackexchange" and settings.pop("sites", None):
                notes.append(f"{name}: the sites that the sample has, not those of the recipe")
            uses.append(use.model_copy(update={"settings": settings}))
        sources[name] = source.model_copy(update={"stages": tuple(uses)})
    update["sources"] = sources
    given = loaded.decontamination
    if given is not None and any(UNSET in p for n in given.benchmarks for p in given.paths(n)):
        update["decontamination"] = None
        notes.append("no decontamination: its evaluation sets are not set")
    return loaded.model_copy(update=update)


def _draw(
    made: Calibration, scratch: str, sample_bytes: int, public: Callable[[str], bool]
) -> dict[str, dict[str, samples.Drawn]]:
    drawn = {}
    embedded = embedded_in(scratch)
    # A recipe that makes its own raw dumps has none yet.
    for name, source in made.recipe.sources.items():
        made.own[name] = not made.recipe.generate and not any(UNSET in p for p in source.input)
    if not all(made.own.values()):
        with redirect_stdout(sys.stderr):
            running.make_sample(embedded)
    for name, source in made.recipe.sources.items():
        reader = source.stages[0].stage
        if made.own[name]:
            paths = _files(name, source.input)
            root = samples.root_of(source.input, paths)
            made.whole[name] = sum(files.size(p) for p in paths)
        else:
            root = os.path.join(embedded, running.RAW, reader)
            if not files.is_dir(root):
                raise recipe.RecipeError(
                    f"source {name}: give its input; the embedded sample has none for {reader}"
                )
            paths = files.glob(root)
        if reader == "commoncrawl" and public(name):
            # The published size is that of one kind of file.
            paths = [p for p in paths if ".wet" in files.basename(p)] or paths
        made.names[name] = [files.basename(p) for p in paths]
        where = os.path.join(scratch, "raw", name)
        found = samples.draw(paths, root, sample_bytes, where, reader)
        if samples.LARGE not in found:
            raise InputError(f"source {name}: no file to take a sample of")
        drawn[name] = found
    return drawn


def embedded_in(scratch: str) -> str:
    """The folder whose `raw` holds the embedded sample, for sources without input of their own."""
    return os.path.join(scratch, "embedded")


def _files(source: str, patterns: Sequence[str]) -> list[str]:
    try:
        return files.glob(patterns)
    except FileNotFoundError as error:
        raise InputError(f"source {source}: {error}") from error


def _run(
    made: Calibration,
    work: str,
    inputs: Mapping[str, str],
    executor: Executor,
    label: str,
) -> None:
    """One run of all steps; adds a measurement of each."""
    sources = {
        name: source.model_copy(update={"input": (inputs[name],)})
        for name, source in made.recipe.sources.items()
    }
    here = made.recipe.model_copy(update={"sources": sources, "generate": None})
    files.make_dirs(work)
    done: dict[str, Manifest] = {}
    with StepProgress() as progress:
        steps = plan.steps(here, work)
        for i, step in enumerate(steps, 1):
            done[step.output] = _step(made, step, executor, progress, label)
            _told(made, step, done[step.output], label)
            made.measured.setdefault(step.name, []).append(_measured(step, done))
            wall = done[step.output].run["wall_s"]
            progress.say(f"{label} sample, {i} of {len(steps)}: {step.name}, {wall:.1f} s")
    if not made.steps:
        made.steps = steps
        found = done[steps[0].output].run
        made.machine = {k: found[k] for k in ("python", "system")} | {
            "cores": os.cpu_count(),
            "load_average": round(os.getloadavg()[0], 2),
        }
    shards = TokensManifest.load(files.join(work, plan.TOKENS))
    for name, facts in shards.sources.items():
        made.tokens.setdefault(name, []).append((facts.text_bytes, facts.tokens))


def _step(
    made: Calibration, step: Step, executor: Executor, progress: StepProgress, label: str
) -> Manifest:
    """Runs a step; a selection by scores that the sample has none of is made without them."""
    try:
        return run_step(step, executor, progress.tick(step)).manifest
    except InputError:
        if step.stage != "select" or step.settings.get("min_reference_score", 0) is None:
            raise
    made.loose.add(step.name)
    made.notes.append(
        f"{step.name}: the {label} sample has too few cited pages for a reference classifier, so"
        " nothing was selected by its score there: what comes out is too much"
    )
    step.settings["min_reference_score"] = None
    return run_step(step, executor, progress.tick(step)).manifest


def _told(made: Calibration, step: Step, done: Manifest, label: str) -> None:
    """Notes what a sample of some megabytes does not make a step do."""
    if step.stage == "reference" and not done.models:
        made.too_low.add(step.name)
        made.notes.append(
            f"{step.name}: the {label} sample has too few cited pages for a classifier, so no page"
            " was scored there: CPU of the scores is not in the figure"
        )
    elif step.stage == "reference_model" and "model" not in done.extra["reference_model"]:
        made.too_low.add(step.name)
        made.notes.append(
            f"{step.name}: no classifier was trained on the {label} sample: CPU of the training is"
            " not in the figure"
        )
    elif step.stage == "perplexity" and made.own_models:
        made.too_low.add(step.name)


def _measured(step: Step, done: Mapping[str, Manifest]) -> Measured:
    mine = done[step.output]
    ports = registry.stage_class(step.stage).ports
    by_port: dict[str, int] = {}
    for port, where in step.inputs.items():
        if ports[port].kind == "documents":
            by_port[port] = sum(done[w].counts.text_bytes_out for w in where if w in done)
        elif ports[port].kind == "raw":
            by_port[port] = sum(r.get("size", 0) for r in mine.inputs if r["port"] == port)
    main = by_port.get("input", by_port.get("crawl", 0))
    shuffle = int(mine.run.get("shuffle_bytes", 0))
    trained = _trained_on(mine)
    return Measured(
        size=sum(by_port.values()),
        main=main,
        text_out=mine.counts.text_bytes_out,
        documents_out=mine.counts.documents_out,
        cpu_s=dict(mine.run["cpu_s_by_phase"]),
        disk=sum(int(f["bytes"]) for f in mine.files),
        shuffle=shuffle,
        peak_rss=int(mine.run["peak_rss"]),
        text_in=mine.counts.text_bytes_in,
        models=len(trained),
        trained=sum(trained),
        largest=max(trained, default=0),
        entries=_entries(step, mine, shuffle),
        grouped=int(mine.run.get("grouped_bytes", 0)),
        documents_in=mine.counts.documents_in,
    )


def _entries(step: Step, done: Manifest, shuffle: int) -> int:
    if step.stage == "tokens":  # A document is in one shard.
        return done.counts.documents_in
    if step.stage == "github":  # Of an export the rows that name files, else the files.
        return done.counts.skipped["row of files"] or done.counts.records
    if step.stage == "stackexchange":
        return done.counts.records
    return shuffle // _RUN_BYTES if step.stage in _RUNS else 0


def _trained_on(done: Manifest) -> list[int]:
    """Bytes of text that each model of a step was trained on."""
    if done.stage == "tokenizer":
        return [int(done.extra["tokenizer"]["trained_bytes"])]
    if done.stage == "language_model":
        return [int(m["bytes"]) for m in done.extra["languages"].values() if m["model"]]
    return []
