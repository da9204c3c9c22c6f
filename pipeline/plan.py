"""The plan: which steps a recipe needs, in which order, each reading what earlier ones wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pipeline.recipe import DECONTAMINATE, Recipe, ReferenceUse, StageUse
from stages import purge_list, registry
from stages.engine import files
from stages.engine.memory import bounded
from stages.engine.step import Step

LANGUAGE_MODEL = "language_model"
REFERENCE_PAGES = "reference_pages"
REFERENCE_MODEL = "reference_model"
REFERENCE_FETCHED = {"pages": "reference_fetched", "random_pages": "reference_random"}
"""Steps that read fetched pages given as archives, by what they are given for."""
DECONTAMINATION_INDEX = "decontamination_index"
TOKENIZER = "tokenizer"
TOKENS = "tokens"

_ARCHIVE = re.compile(r"\.w?arc(\.wet)?(\.gz)?$|\.wet(\.gz)?$", re.IGNORECASE)


def step_name(source: str, stage: str, first: bool) -> str:
    """Folders of a source's steps: the source's own name for the reader, then `source.stage`."""
    return source if first else f"{source}.{stage}"


def source_steps(recipe: Recipe, source: str) -> list[str]:
    """The steps that a source's documents go through, in order; the last makes its part of the
    corpus."""
    uses = recipe.sources[source].stages
    names = [step_name(source, use.stage, i == 0) for i, use in enumerate(uses)]
    if recipe.decontamination is not None:
        names.append(step_name(source, DECONTAMINATE, False))
    return names


def steps(recipe: Recipe, work: str) -> list[Step]:
    """All steps, each after those that it reads."""
    plan: list[Step] = []
    ends: dict[str, str] = {}
    for name in recipe.order():
        if any(use.stage == "perplexity" for use in recipe.sources[name].stages):
            _add_language_model(plan, recipe, work, ends)
        ends[name] = _add_source(plan, recipe, work, name, ends)
    _add_language_model(plan, recipe, work, ends)
    ends = _add_decontamination(plan, recipe, work, ends)
    outputs = [ends[name] for name in recipe.sources]
    shares = recipe.proportions
    if recipe.tokenizer.path is None:
        settings = {"proportions": shares, **recipe.tokenizer.settings}
        plan.append(_step(work, TOKENIZER, TOKENIZER, {"input": outputs}, settings, recipe))
    where = recipe.tokenizer.path or files.join(work, TOKENIZER)
    settings = {"proportions": shares, "total_tokens": recipe.total_tokens, **recipe.tokens}
    plan.append(
        _step(work, TOKENS, TOKENS, {"input": outputs, "tokenizer": [where]}, settings, recipe)
    )
    return plan


def _add_source(
    plan: list[Step], recipe: Recipe, work: str, name: str, ends: dict[str, str]
) -> str:
    source = recipe.sources[name]
    before = list(source.input)
    for i, use in enumerate(source.stages):
        inputs = {"input": before}
        for port, names in use.others().items():
            inputs[port] = [ends[other] for other in names]
        if use.stage == "perplexity" and recipe.language_model is not None:
            inputs["models"] = [recipe.language_model.path or files.join(work, LANGUAGE_MODEL)]
        if (made := recipe.reference_for(use)) is not None:
            if made.path is None:
                _add_reference_model(plan, recipe, work, made, before, source.stages)
            inputs["model"] = [made.path or files.join(work, REFERENCE_MODEL)]
        step = _step(
            work, step_name(name, use.stage, i == 0), use.stage, inputs, use.own_settings(), recipe
        )
        plan.append(step)
        before = [step.output]
    return before[0]


def _add_language_model(plan: list[Step], recipe: Recipe, work: str, ends: dict[str, str]) -> None:
    models = recipe.language_model
    if models is None or models.path or any(s.name == LANGUAGE_MODEL for s in plan):
        return
    inputs = {"input": [ends[name] for name in models.sources]}
    plan.append(_step(work, LANGUAGE_MODEL, LANGUAGE_MODEL, inputs, models.settings, recipe))


def _add_reference_model(
    plan: list[Step],
    recipe: Recipe,
    work: str,
    made: ReferenceUse,
    pages: list[str],
    uses: Sequence[StageUse],
) -> None:
    """Trained on the very pages that it will score. What articles cite is known when they are read,
    so no later step of theirs makes it anew."""
    given = {
        "crawl": pages,
        "wikipedia": [files.join(work, step_name(n, "wikipedia", True)) for n in made.wikipedia],
        "urls": list(made.urls),
    }
    for port, name in REFERENCE_FETCHED.items():
        given[port] = _add_fetched(plan, recipe, work, name, getattr(made, port), uses)
    inputs = {port: places for port, places in given.items() if places}
    drawn = _step(work, REFERENCE_PAGES, REFERENCE_PAGES, inputs, made.settings, recipe)
    plan.append(drawn)
    inputs = {"input": [drawn.output]}
    plan.append(_step(work, REFERENCE_MODEL, REFERENCE_MODEL, inputs, made.model, recipe))


def _add_fetched(
    plan: list[Step],
    recipe: Recipe,
    work: str,
    name: str,
    places: Sequence[str],
    uses: Sequence[StageUse],
) -> list[str]:
    """Documents of fetched pages; archives among `places` are read first, and pass language
    identification, with the settings of the source that is scored. Its deduplication is no business
    of theirs: it compares with the whole corpus."""
    archives = [place for place in places if _ARCHIVE.search(place)]
    found = [place for place in places if place not in archives]
    if archives:
        settings = {use.stage: use.own_settings() for use in uses}
        at, before = name, archives
        for stage in ("commoncrawl", "language"):
            if stage == "commoncrawl" or stage in settings:
                inputs = {"input": before}
                step = _step(work, at, stage, inputs, settings.get(stage, {}), recipe)
                plan.append(step)
                before = [step.output]
            at = f"{name}.language"
        found += before
    return found


def _add_decontamination(
    plan: list[Step], recipe: Recipe, work: str, ends: dict[str, str]
) -> dict[str, str]:
    """The last step of every source; returns where the sources end then.

    Steps that read another source (models, overlap) read what it was before, so that another
    benchmark changes nothing but what the tokenizer and the shards are made of.
    """
    given = recipe.decontamination
    if given is None:
        return ends
    paths = [path for name in given.benchmarks for path in given.paths(name)]
    made = _step(
        work,
        DECONTAMINATION_INDEX,
        DECONTAMINATION_INDEX,
        {"input": paths},
        given.index_settings(),
        recipe,
    )
    plan.append(made)
    found = {}
    for name in recipe.sources:
        inputs = {"input": [ends[name]], "index": [made.output]}
        last = source_steps(recipe, name)[-1]
        step = _step(work, last, DECONTAMINATE, inputs, given.settings, recipe)
        plan.append(step)
        found[name] = step.output
    return found


def _step(
    work: str,
    name: str,
    stage: str,
    inputs: dict[str, list[str]],
    settings: dict[str, Any],
    recipe: Recipe,
) -> Step:
    output = files.join(work, name)
    known = registry.stage_class(stage).Settings.model_fields
    settings, layout = bounded(known, dict(settings), dict(recipe.layout), recipe.worker_memory_mb)
    return Step(
        name=name,
        stage=stage,
        output=output,
        inputs=inputs,
        settings=settings,
        layout=layout,
        progress=None if files.is_remote(work) else files.join(work, f".{name}.progress"),
        max_bad=recipe.max_bad,
        purged=files.join(work, purge_list.FILE_NAME),
    )
