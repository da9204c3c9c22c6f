"""Records of finished pieces of work, in the folder of a step that is not finished.

One small JSON file for each unit, and for each piece of a shuffle: a run that is started again, or
a runner that tries twice, does not do again what has one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import orjson

from stages.engine import files, manifest
from stages.engine.step import SHUFFLE, Record, ShuffleStage, Stage, Step
from stages.engine.units import WorkUnit

UNITS = ".units"
PHASES = ("emit", "gather", "reduce", "scatter")
"""Of a shuffle, before its units are processed; a record's name begins with its phase."""
AT_ONCE = 1024
"""Records in memory at a time: what one has emitted can be long."""


def record_path(step: Step, folder: str, name: str) -> str:
    return files.join(step.output, folder, f"{name}.json")


def names(step: Step, folder: str) -> set[str]:
    """The names of the records that there are."""
    where = files.join(step.output, folder)
    if not files.is_dir(where):
        return set()
    return {n.removesuffix(".json") for n in files.names(where) if n.endswith(".json")}


def each(step: Step, folder: str, wanted: Sequence[str]) -> Iterator[Record]:
    """The records of these names, in order."""
    for i in range(0, len(wanted), AT_ONCE):
        paths = [record_path(step, folder, name) for name in wanted[i : i + AT_ONCE]]
        for value in files.each(files.read_json, paths):
            yield Record.from_json(value)


def of_units(step: Step, units: Sequence[WorkUnit]) -> list[Record]:
    return list(each(step, UNITS, [unit.name for unit in units]))


def of_shuffle(step: Step) -> tuple[list[Record], dict[str, int]]:
    """The records of a shuffle's phases without what they emitted; and figures of the shuffle:
    bytes of the files through which units met, and the number and bytes of the pairs that went
    through a GroupByKey."""
    found: list[Record] = []
    pairs = size = 0
    for record in each(step, SHUFFLE, sorted(_shuffle_names(step))):
        pairs += len(record.emitted)
        size += sum(len(orjson.dumps(pair)) for pair in record.emitted)
        record.emitted, record.scratch = [], []
        found.append(record)
    folder = files.join(step.output, SHUFFLE)
    fs, inner = files.filesystem(folder)
    listed = fs.find(inner, detail=True) if files.is_dir(folder) else {}
    met = sum(int(f["size"]) for name, f in listed.items() if not name.endswith(".json"))
    return found, {"shuffle_bytes": met, "references": pairs, "grouped_bytes": size}


def _shuffle_names(step: Step) -> set[str]:
    return {name for name in names(step, SHUFFLE) if name.split("-")[0] in PHASES}


def ends_with_reduce(stage: Stage[Any]) -> bool:
    return isinstance(stage, ShuffleStage) and not stage.final


def due(stage: Stage[Any], units: Sequence[WorkUnit]) -> list[WorkUnit]:
    """Units to hand to the pipeline. A shuffle needs them all: its DoFns skip what is done."""
    if isinstance(stage, ShuffleStage):
        return list(units)
    have = names(stage.step, UNITS)
    return [unit for unit in units if unit.name not in have]


def finished(stage: Stage[Any], units: Sequence[WorkUnit]) -> bool:
    """Whether every piece of work of a step has its record."""
    if not ends_with_reduce(stage):
        return {unit.name for unit in units} <= names(stage.step, UNITS)
    assert isinstance(stage, ShuffleStage)
    have = names(stage.step, SHUFFLE)
    wanted = {f"emit-{unit.name}" for unit in units}
    for phase in ["gather", "reduce"] if stage.relay(units) else ["reduce"]:
        if not wanted <= have:
            return False
        wanted = {f"{phase}-{key}" for key in _keys(stage.step, wanted)}
    return wanted <= have


def _keys(step: Step, wanted: Collection[str]) -> set[str]:
    """The keys for which pieces of work of a phase emitted values."""
    return {key for record in each(step, SHUFFLE, sorted(wanted)) for key, _ in record.emitted}


def drop_unsound(step: Step, every_byte: bool) -> None:
    """Drops the records that are unreadable, or whose files are not as they were written (by their
    size, or `every_byte`): their pieces of work are done again."""
    for folder, found in ((UNITS, names(step, UNITS)), (SHUFFLE, _shuffle_names(step))):
        for path in (record_path(step, folder, name) for name in found):
            value = files.json_or_none(path)
            rows = [] if value is None else [*value["files"], *value["scratch"]]
            if (
                value is None
                or manifest.missing_files(rows, step.output)
                or (every_byte and not all(files.as_written(row, step.output) for row in rows))
            ):
                files.remove(path)
