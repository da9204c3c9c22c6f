"""How each step of the whole corpus will be cut, and how many partitions its stage will plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.forecast_model import LEAST_PARTITIONS, ZERO, Figure, Measured, Shape, ratio
from stages import registry
from stages.dedup import runs
from stages.dedup.fuzzy_pairs import bytes_per_key
from stages.engine.step import Layout, ShuffleStage, Step
from stages.github import join
from stages.stackexchange import spill

# Bytes of text for each hash, as the stages plan (with `BYTES_PER_ENTRY` of memory for each); at
# the ports of reference_pages, a page and a cited URL.
PLANNED = {
    "url_dedup": 512,
    "document_dedup": 512,
    "c4_url_dedup": 512,
    "line_dedup": 32,
    "c4_line_dedup": 32,
    "overlap": 32,
    "book_dedup": 6,
}
PLANNED_PAGE, PLANNED_CITATION = 512, 64
PLANNED_TOKEN = 3.5
# Bytes of Posts.xml for each byte of a packed dump.
PLANNED_EXPANSION = 8

_MUCH = 1e18
_Planned = Callable[[float], float]


def settings_of(step: Step) -> Any:
    """The settings of a step, validated."""
    return registry.stage_class(step.stage).Settings.model_validate(step.settings)


def shape_of(
    step: Step,
    arriving: Mapping[str, Figure],
    sources: Sequence[tuple[float, float]],
    measured: Sequence[Measured],
    names: Sequence[str],
    files: int,
) -> Shape:
    """How the step will be cut, and how many partitions it plans. `sources`: bytes and parts of
    each step that it reads; `names`: of raw files in the sample, `files`: how many there are."""
    settings = settings_of(step)
    layout = Layout.model_validate(step.layout)
    partition = getattr(settings, "partition_memory_mb", None)
    grouped = getattr(settings, "scope", None) == "file_group"
    stage = registry.stage_class(step.stage)
    shape = Shape(
        layout.split_bytes,
        None if partition is None else partition << 20,
        settings.group_files if grouped else None,
        sources=((1.0, float(files) or sum(parts for _, parts in sources)),),
        ways=1 if issubclass(stage, ShuffleStage) and not stage.final else 2,
    )
    size = sum(arriving.values(), ZERO).point
    if step.stage == "tokens":
        # A shard is of one source, so only units of the source have references to it.
        apart = tuple((text / size, parts) for text, parts in sources if text)
        return replace(shape, planned=_shards(settings), sources=apart or shape.sources)
    if partition is None:
        return shape
    memory = partition << 20
    if step.stage == "github" and not any("contents" in name for name in names):
        # Repositories, whose files are bundled.
        shape = replace(shape, split_bytes=max(1, layout.bundle_bytes))
    planned = _partitions(step, settings, arriving, measured, names, memory)
    if planned is None:
        return shape
    kinds, further = 1, 1.0
    if step.stage == "overlap":
        kinds = 3 if settings.lines else 2
        further = PLANNED["overlap"] / PLANNED_PAGE if settings.lines else 1.0
    each = 0.0 if step.stage == "stackexchange" else planned(_MUCH) / _MUCH
    return replace(
        shape,
        planned=lambda here: max(LEAST_PARTITIONS, planned(here)),
        partitions_per_byte=each,
        kinds=kinds,
        further=further,
    )


def _partitions(
    step: Step,
    settings: Any,
    arriving: Mapping[str, Figure],
    measured: Sequence[Measured],
    names: Sequence[str],
    memory: int,
) -> _Planned | None:
    """The partitions of one kind that a stage plans for so many bytes; None where it has none."""
    if step.stage == "reference_pages":
        size = sum(arriving.values(), ZERO).point
        pages = arriving.get("crawl", ZERO).point / PLANNED_PAGE
        cited = arriving.get("wikipedia", ZERO).point / PLANNED_CITATION
        each = (pages + cited) / size if size else 0.0
        return lambda here: runs.partitions_for(int(here * each), memory)
    if step.stage == "fuzzy_dedup":
        bands, _ = settings.banding()
        keys = ratio([(m.size, m.documents_in) for m in measured]).point * bands
        held = keys * bytes_per_key(settings.verify, settings.permutations)
        return lambda here: -(-int(here * held) // memory)
    if step.stage == "github":
        places = ratio([(m.size, m.entries) for m in measured]).point
        return lambda here: join.partitions_for(int(here * places), memory)
    if step.stage == "stackexchange":
        plain = all(name.lower().endswith(".xml") for name in names)
        more = 1 if plain else PLANNED_EXPANSION
        return lambda here: spill.partitions_for(int(here * more), memory)
    if step.stage in PLANNED:
        rate = settings.sample_rate if step.stage == "book_dedup" else 1
        text = PLANNED[step.stage] * rate
        if step.stage == "overlap" and not settings.lines:
            text = PLANNED_PAGE
        return lambda here: runs.partitions_for(int(here / text), memory)
    return None


def _shards(settings: Any) -> _Planned:
    """Shards of a source, for training and for validation."""

    def planned(here: float) -> float:
        whole = here / PLANNED_TOKEN / settings.shard_tokens
        held_out = whole * settings.valid_share
        return max(1, round(whole - held_out)) + max(1, round(held_out))

    return planned
