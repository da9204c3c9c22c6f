"""A step: one stage with its settings, inputs and output folder; and the base classes of stages.

Stages know nothing of Beam. They say how input is cut into work units and what is done with one;
`stages.engine.transforms` turns that into a pipeline, `stages.engine.execute` runs it.
"""

from __future__ import annotations

import os
import resource
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from stages.documents import Counts, part_facts, read_batches
from stages.engine import files, manifest
from stages.engine.progress import Reporter
from stages.engine.relay import Relay, planned
from stages.engine.units import WorkUnit, document_units

MAX_BAD = 0.5
"""Default of commands and recipes: wrong files, or a wrong setting, make all records bad, while
damaged dumps have a few; a run that went on would leave a corpus without a source."""

STATE = ".state.json"
"""In the folder of a step that is not finished: what its units belong to."""
DUE = ".due.jsonl"
"""There too: the units handed to its pipeline, one a line. Five dumps have 300,000 of them, more
than a job may carry."""

SHUFFLE = ".shuffle"
"""And the folder of what pieces of work of a shuffle leave for each other."""

S = TypeVar("S", bound=BaseModel)


WRONG_PLACE = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    NotADirectoryError,
    IsADirectoryError,
)
"""Errors of the operating system that a path given by the user can cause."""


class InputError(Exception):
    """Settings or inputs cannot work; the message is one clear line. Exit code 2."""


class Settings(BaseModel):
    """Base of all stage settings: unknown names are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Layout(Settings):
    """How input is cut into work units; it decides the number of parts, nothing else."""

    split_bytes: int = Field(
        64 << 20, ge=1, description="files (or parts) over this size are cut into several units"
    )
    bundle_bytes: int = Field(
        2 << 20, ge=0, description="neighbouring raw files are bundled up to this size"
    )


def plain(value: Any) -> Any:
    """Settings as JSON values, the same in every process (sets have no order of their own)."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(v) for v in value)
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


@dataclass(frozen=True)
class Step:
    """One stage with everything that decides its output; plain data, so it travels to workers.

    `inputs`: port -> patterns, files or folders of other steps. `progress`: where live progress
    goes (a local file) or None. `max_bad`: share of the records read that may be bad before the
    step fails; it decides no output. `purged`: where a list of purged documents is, if there is
    one.
    """

    name: str
    stage: str
    output: str
    inputs: dict[str, list[str]]
    settings: dict[str, Any] = field(default_factory=dict)
    layout: dict[str, Any] = field(default_factory=dict)
    progress: str | None = None
    max_bad: float = 1.0
    purged: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Port:
    """One named input of a stage: `raw` files, `documents` of other steps, or a step's `folder`."""

    kind: str
    help: str
    required: bool = True


@dataclass
class Record:
    """What one unit (or one key of a reduce) says when it is done: small, and the same each time
    but for `run`."""

    name: str
    counts: Counts = field(default_factory=Counts)
    files: list[dict[str, Any]] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    run: dict[str, float] = field(default_factory=dict)
    emitted: list[Any] = field(default_factory=list)
    scratch: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "counts": self.counts.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Record:
        return cls(**{**value, "counts": Counts.from_json(value["counts"])})


class Stage(ABC, Generic[S]):
    """Base of all stages. Subclasses set the class attributes and `process`."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    summary: ClassVar[str]
    Settings: ClassVar[type[BaseModel]]
    ports: ClassVar[dict[str, Port]] = {
        "input": Port("documents", "documents: step folders or Parquet files")
    }
    produces: ClassVar[str] = "documents"
    reasons: ClassVar[dict[str, str]] = {}

    def __init__(self, step: Step) -> None:
        self.step = step
        self.settings: S = self.Settings.model_validate(step.settings)  # type: ignore[assignment]
        self.layout = Layout.model_validate(step.layout)

    # -- planning, in the launching process ------------------------------------------------------

    def units(self) -> list[WorkUnit]:
        """Cuts the input; the default is for stages that read documents."""
        parts = [path for _, paths in self.documents("input") for path in paths]
        facts = files.each(part_facts, parts)
        return document_units(facts, split_bytes=self.layout.split_bytes)

    def raw_files(self, where: str) -> list[str]:
        """Files of an input that is no finished step: their sizes and stamps tell if it changed."""
        return files.glob(where)

    def documents(self, port: str) -> list[tuple[manifest.Manifest | None, list[str]]]:
        """Per given input of a port: its manifest, if it is a finished step, and its parts."""
        found: list[tuple[manifest.Manifest | None, list[str]]] = []
        for where in self.step.inputs.get(port, []):
            if files.is_dir(where) and (known := manifest.load(where)):
                found.append((known, known.documents(where)))
            elif files.is_dir(where):
                names = sorted(files.names(where))
                parts = [n for n in names if n.startswith("part-") and n.endswith(".parquet")]
                if not parts:
                    raise FileNotFoundError(
                        f"no file matches {files.join(where, 'part-*.parquet')}"
                    )
                found.append((None, [files.join(where, n) for n in parts]))
            else:
                found.append((None, files.glob(where)))
        return found

    def models(self) -> dict[str, str]:
        """sha256 by name of the models that decide the output."""
        return {}

    def check(self) -> None:
        """Raises InputError where settings cannot work; called before anything runs."""

    def memory(self) -> int:
        """Bytes that each worker process has for itself beyond what any stage's has: models, sorts.

        A hint for runners that choose machines; 0 where any machine will do.
        """
        return 0

    def mapped_memory(self) -> int:
        """Bytes of model files that processes map into memory: what sees the same files shares it.

        A hint as `memory` is.
        """
        return 0

    def batches(
        self, unit: WorkUnit, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The documents of a unit, with all columns or those named, in order."""
        for piece in unit.pieces:
            yield from read_batches(piece.path, columns, piece.row_groups)

    # -- work, in a worker -----------------------------------------------------------------------

    def warm(self) -> None:
        """Loads what every worker of this machine needs for its first unit: tables and models.

        Called once, in the process that local workers are forked from, so that they share it.
        Must start no threads, and must not be counted on: other runners do not call it.
        """

    @abstractmethod
    def process(self, unit: WorkUnit, reporter: Reporter) -> Record:
        """Does one unit and writes its files."""

    # -- the end, in the launching process -------------------------------------------------------

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Files written and facts for the manifest from all records; may write files of its own."""
        return [f for r in records for f in r.files], {}


class ShuffleStage(Stage[S]):
    """A stage in which units must meet: `emit` per unit, `reduce` per key, then `process`.

    Keys and values are small (paths, counts, digests; never text). `emit` yields (key, value);
    `reduce` gets all values of a key, sorted, and yields (unit index, value); `process_with` gets
    all values for its unit, sorted. With `final = False` the work ends with the reduce.

    Bytes that a value is about lie in files of the step's scratch folder and are named as
    `stages.engine.stretches` says, since they may be moved on their way. Without the names of
    files, the values of a key differ. Of many keys (partitions), each ends in `NUMBER-of-TOTAL`,
    and bytes for neighbours are neighbours in the files.
    """

    final: ClassVar[bool] = True

    @abstractmethod
    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        """Fills `Record.emitted` with (key, value) pairs."""

    @abstractmethod
    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        """Fills `Record.emitted` with (unit index, value) pairs."""

    def keys_each(self, units: Sequence[WorkUnit]) -> int:
        """For how many keys a unit has values, at most, about; decides how they travel."""
        return max((int(u.extra.get("partitions", 1)) for u in units), default=1)

    def relay(self, units: Sequence[WorkUnit]) -> Relay | None:
        """How the values of all these units travel, if not straight to their keys."""
        return planned(len(units), self.keys_each(units))

    def process(self, unit: WorkUnit, reporter: Reporter) -> Record:
        return self.process_with(unit, (), reporter)

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        raise TypeError(f"{self.name} ends with its reduce")

    def scratch(self, *names: str) -> str:
        return files.join(self.step.output, SHUFFLE, *names)


@contextmanager
def measured(record_run: dict[str, float]) -> Iterator[None]:
    """Adds wall and CPU seconds and the process's peak memory (bytes) of the block."""
    wall, cpu = time.perf_counter(), time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    record_run["wall_s"] = round(time.perf_counter() - wall, 4)
    record_run["cpu_s"] = round(
        time.process_time()
        - cpu
        + after.ru_utime
        + after.ru_stime
        - children.ru_utime
        - children.ru_stime,
        4,
    )
    record_run["peak_rss"] = float(
        max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, after.ru_maxrss) * 1024
    )
    record_run["pid"] = float(os.getpid())


def input_row(path: str, whole: bool) -> dict[str, Any]:
    """What the manifest says of an input file; its sha256 is taken where it is read whole."""
    return {"path": path, **({"sha256": files.sha256_of(path)} if whole else {})}


def flatten(parts: Iterable[Iterable[Any]]) -> list[Any]:
    return [x for part in parts for x in part]
