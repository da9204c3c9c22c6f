"""The only module that speaks Beam: stages as pipelines of work units.

An element is a work unit or a small (key, value) pair; no text ever crosses a GroupByKey. Each
DoFn call writes its own files and then its record, so a repeated or resumed call is harmless.

Where many units have something for many keys, pairs go by a relay (`stages.engine.relay`): what
crosses then are references to sheets of pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import orjson
from apache_beam.metrics import Metrics

from stages import registry
from stages.documents import Counts
from stages.engine import files, models, relay
from stages.engine.progress import Reporter
from stages.engine.records import UNITS, record_path
from stages.engine.relay import Relay
from stages.engine.step import DUE, SHUFFLE, Record, ShuffleStage, Stage, Step, measured
from stages.engine.stretches import nameless
from stages.engine.turns import Turns
from stages.engine.units import WorkUnit, dealt
from stages.purge_list import PurgeList
from stages.purged import strip

_turns = Turns()


class UnitError(Exception):
    """A piece of work failed; the message, one line, begins with its label."""


def stage_of(step: Step) -> Stage[Any]:
    """The stage of a step, made once per process."""
    key = ("stage", files.digest_of(step.to_json()))
    return models.load_once(key, lambda: registry.create(step))


class _Work(beam.DoFn):
    """Base of the DoFns: finds the stage once per process, runs a piece of work once only."""

    phase = ""

    def __init__(self, step: dict[str, Any], by: dict[str, int] | None = None) -> None:
        self._step_json, self._relay_json = step, by

    def setup(self) -> None:
        self.step = Step(**self._step_json)
        self.relay = Relay(**self._relay_json) if self._relay_json else None
        self.stage = stage_of(self.step)
        self.reporter = Reporter(self.step.progress)

    def teardown(self) -> None:
        self.reporter.close()

    def once(self, folder: str, name: str, label: str, work: Any) -> Record:
        """The record of a piece of work, done now unless an earlier attempt finished it."""
        record, done_now = _turns.run(lambda: self._once(folder, name, label, work))
        # Counters belong to the thread that Beam calls.
        self._metric("units", 1)
        if done_now:
            self._metrics(record.counts)
        return record

    def _once(self, folder: str, name: str, label: str, work: Any) -> tuple[Record, bool]:
        path = record_path(self.step, folder, name)
        if files.exists(path):
            record = Record.from_json(files.read_json(path))
            self.reporter.finished(self.phase, label, 0, 0)
            return record, False
        self.reporter.started(self.phase, label)
        run: dict[str, float] = {}
        try:
            with measured(run), files.noted() as written:
                record = work()
        except (Exception, SystemExit) as error:
            what = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
            raise UnitError(f"{self.named(label)}: {what}") from error
        record.name, record.run = name, run
        if folder == SHUFFLE:
            record.scratch = self._scratch(written)
        self._check(record, label)
        files.write_json(path, record.to_json())
        self.reporter.finished(
            self.phase, label, record.counts.documents_in, record.counts.text_bytes_in
        )
        return record, True

    def named(self, label: str) -> str:
        """A piece of work, as its failure is told."""
        return label

    def _scratch(self, written: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What was left for other pieces of work, so that a later run can see if it is still so."""
        below = files.join(self.step.output, SHUFFLE, "")
        return [
            {**row, "path": files.join(SHUFFLE, row["path"].removeprefix(below))}
            for row in written
            if row["path"].startswith(below)
        ]

    def values(self, shuffled: Sequence[Any]) -> list[Any]:
        """What was sent to a key or unit: as it came, or in the sheets that came."""
        return _in_order(relay.values_of(shuffled) if self.relay else shuffled)

    def _check(self, record: Record, label: str) -> None:
        if self.phase == "process" and self.stage.produces == "documents":
            problem = record.counts.imbalance()
            if problem:
                raise UnitError(f"{label}: counts do not balance: {problem}")

    def _metric(self, name: str, n: int) -> None:
        Metrics.counter(self.step.name, f"{self.phase}.{name}").inc(n)

    def _metrics(self, counts: Counts) -> None:
        self._metric("documents", counts.documents_in)
        self._metric("bytes", counts.text_bytes_in)
        for name in ("documents_in", "documents_out", "rejected", "bad"):
            Metrics.counter(self.step.name, name).inc(getattr(counts, name))
        for reason, n in counts.reasons.items():
            Metrics.counter(self.step.name, f"rejected.{reason}").inc(n)


class _Process(_Work):
    """(index, [unit or shuffled values]) -> the unit's name."""

    phase = "process"

    def process(self, element: tuple[int, Iterable[str]]) -> Iterator[str]:
        unit: WorkUnit | None = None
        shuffled: list[Any] = []
        for text in element[1]:
            kind, value = orjson.loads(text)
            if kind == "unit":
                unit = WorkUnit.from_json(value)
            else:
                shuffled.append(value)
        if unit is None:
            raise RuntimeError(f"{self.step.name}: values for unit {element[0]}, which is not due")
        mine = unit

        def work() -> Record:
            if isinstance(self.stage, ShuffleStage):
                values = self.values(shuffled)
                record = self.stage.process_with(mine, values, self.reporter)
            else:
                record = self.stage.process(mine, self.reporter)
            return self._without_purged(record)

        self.once(UNITS, unit.name, unit.key, work)
        yield unit.name

    def _without_purged(self, record: Record) -> Record:
        path = self.step.purged
        if self.stage.produces != "documents" or path is None or not files.exists(path):
            return record
        listed = models.load_once(("purged", path), lambda: PurgeList.load(path))
        left = strip(self.step.output, self.step.name, record.files, record.counts, listed)
        record.files, record.counts = left.files, left.counts
        return record


class _Emit(_Work):
    """(index, [unit]) -> (key, value) pairs for the shuffle."""

    phase = "emit"

    def process(self, element: tuple[int, Iterable[str]]) -> Iterator[tuple[str, str]]:
        for text in element[1]:
            unit = WorkUnit.from_json(orjson.loads(text)[1])
            record = self.once(
                SHUFFLE, f"emit-{unit.name}", unit.key, lambda u=unit: self._emitted(u)
            )
            yield from _sent(record)

    def _emitted(self, unit: WorkUnit) -> Record:
        stage = self.stage
        assert isinstance(stage, ShuffleStage)
        record = stage.emit(unit, self.reporter)
        if self.relay:
            sheet = stage.scratch(f"sheet-emit-{unit.name}.jsonl")
            record.emitted = relay.hand_over(self.relay, unit.index, record.emitted, sheet)
        return record


class _Keyed(_Work):
    """(key, [values]) -> (target, value) pairs: a piece of work of a shuffle between its units."""

    def process(self, element: tuple[str, Iterable[str]]) -> Iterator[tuple[Any, str]]:
        key = element[0]
        # A service may hand over a large group page by page, and to this thread only.
        texts = list(element[1])

        def work() -> Record:
            # Only here, in its turn: parsed they take several times the memory.
            values = [orjson.loads(text) for text in texts]
            texts.clear()
            return self._done(key, values)

        yield from _sent(self.once(SHUFFLE, f"{self.phase}-{key}", key, work))

    def _done(self, key: str, values: list[Any]) -> Record:
        raise TypeError(f"{type(self).__name__} has no work")


class _Gather(_Keyed):
    """(group and range, [references to sheets]) -> (target, reference to a sheet) pairs."""

    def __init__(self, step: dict[str, Any], by: dict[str, int], phase: str) -> None:
        super().__init__(step, by)
        self.phase = phase

    def named(self, label: str) -> str:
        return f"{self.phase} {label}"

    def _done(self, key: str, values: list[Any]) -> Record:
        stage = self.stage
        assert isinstance(stage, ShuffleStage)
        paths = (stage.scratch(f"{kind}-{self.phase}-{key}") for kind in ("sheet", "data"))
        return Record(key, emitted=relay.gather(values, *paths))


class _Reduce(_Keyed):
    """(key, [values]) -> (unit index, value) pairs; with a relay, pairs for gathers."""

    phase = "reduce"

    def _done(self, key: str, values: list[Any]) -> Record:
        stage = self.stage
        assert isinstance(stage, ShuffleStage)
        record = stage.reduce(key, self.values(values), self.reporter)
        if self.relay and stage.final:
            sheet = stage.scratch(f"sheet-reduce-{key}.jsonl")
            record.emitted = relay.hand_over(self.relay, key, record.emitted, sheet)
        return record


def _sent(record: Record) -> Iterator[tuple[Any, str]]:
    for target, value in record.emitted:
        # What goes back to units lies there among the units themselves.
        told = ["value", value] if isinstance(target, int) else value
        yield target, orjson.dumps(told).decode()


def _in_order(values: Sequence[Any]) -> list[Any]:
    """Sorted, because the order in which a runner hands over the values of a key varies; by what
    they say, for where their bytes lie varies too."""
    return sorted(values, key=lambda value: orjson.dumps(nameless(value)))


def _write_due(step: Step, units: Sequence[WorkUnit]) -> str:
    path = files.join(step.output, DUE)
    # WorkUnit.to_json copies deeply, which takes ten times as long as this.
    lines = [orjson.dumps(unit, option=orjson.OPT_APPEND_NEWLINE) for unit in dealt(units)]
    files.write_bytes(path, b"".join(lines))
    return path


def _read_due(path: str) -> Iterator[tuple[int, str]]:
    with files.open_read(path) as lines:
        for line in lines:
            unit = orjson.loads(line)
            yield unit["index"], orjson.dumps(["unit", unit]).decode()


def build(pipeline: beam.Pipeline, step: Step, units: Sequence[WorkUnit]) -> None:
    """Adds a step to a pipeline; `units` are those still to do (all of them for a shuffle).

    The pipeline finds them in a file of the step's folder, so its size does not depend on them.
    """
    spec = step.to_json()
    stage = registry.stage_class(step.stage)
    # GroupByKey with a key of our own breaks fusion: 4 us an element, where Reshuffle costs 21.
    due = (
        pipeline
        | "Due" >> beam.Create([_write_due(step, units)], reshuffle=False)
        | "Units" >> beam.FlatMap(_read_due).with_output_types(tuple[int, str])
    )
    if not issubclass(stage, ShuffleStage):
        _ = due | "Deal" >> beam.GroupByKey() | step.name >> beam.ParDo(_Process(spec))
        return
    way = registry.create(step).relay(units)  # type: ignore[attr-defined]
    by = way.to_json() if way else None
    pairs = (
        due
        | "Deal" >> beam.GroupByKey()
        | f"{step.name}.emit" >> beam.ParDo(_Emit(spec, by)).with_output_types(tuple[str, str])
    )
    if by:
        pairs = _gathered(pairs, step, by, "gather", str)
    reduced = pairs | "Meet" >> beam.GroupByKey()
    if by and stage.final:
        reduce = beam.ParDo(_Reduce(spec, by)).with_output_types(tuple[str, str])
        decided = _gathered(reduced | f"{step.name}.reduce" >> reduce, step, by, "scatter", int)
    else:
        reduce = beam.ParDo(_Reduce(spec, by)).with_output_types(tuple[int, str])
        decided = reduced | f"{step.name}.reduce" >> reduce
    if stage.final:
        _ = (
            (due, decided)
            | beam.Flatten()
            | "Return" >> beam.GroupByKey()
            | step.name >> beam.ParDo(_Process(spec, by))
        )


def _gathered(pairs: Any, step: Step, by: dict[str, int], phase: str, target: type) -> Any:
    work = beam.ParDo(_Gather(step.to_json(), by, phase)).with_output_types(tuple[target, str])  # type: ignore[valid-type]
    return pairs | phase.capitalize() >> beam.GroupByKey() | f"{step.name}.{phase}" >> work
