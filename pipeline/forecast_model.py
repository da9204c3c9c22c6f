"""The cost model: from two measured samples to a corpus of any size. Plain arithmetic, no files.

Cost of a step is taken as `fixed + per_byte * bytes`; samples of two sizes tell the two apart. What
a step does not do in proportion to its input is named in `forecast_kinds`, for every stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.forecast_kinds import KINDS, Kind
from pipeline.forecast_references import Meeting, Traffic, traffic
from stages.engine.memory import BATCH_MB, MIB

_LAUNCHER_ITSELF, _RUNNER_ITSELF = 47e6, 86e6

LEAST_PARTITIONS = 4
"""Of every step in which units meet."""


@dataclass(frozen=True)
class Figure:
    """A forecast three times over: as the small sample has it, as both together, as the large one.

    Sums and products are taken of each apart, so that the bounds of a long chain of steps are those
    of a corpus that is all like one of the samples.
    """

    small: float
    point: float
    large: float

    @classmethod
    def at(cls, value: float) -> Figure:
        return cls(value, value, value)

    @property
    def low(self) -> float:
        return min(self.small, self.point, self.large)

    @property
    def high(self) -> float:
        return max(self.small, self.point, self.large)

    def map(self, change: Callable[[float], float]) -> Figure:
        return Figure(change(self.small), change(self.point), change(self.large))

    def __add__(self, other: Figure) -> Figure:
        return Figure(self.small + other.small, self.point + other.point, self.large + other.large)

    def __mul__(self, other: Figure | float) -> Figure:
        by = other if isinstance(other, Figure) else Figure.at(other)
        return Figure(self.small * by.small, self.point * by.point, self.large * by.large)

    def over(self, other: Figure) -> Figure:
        """The quotient, 0 where the other is."""
        return Figure(
            self.small / other.small if other.small else 0.0,
            self.point / other.point if other.point else 0.0,
            self.large / other.large if other.large else 0.0,
        )

    def most(self, bound: float) -> Figure:
        return self.map(lambda value: min(value, bound))

    def to_json(self) -> list[float]:
        """[low, point, high]"""
        return [self.low, self.point, self.high]


ZERO = Figure.at(0.0)

Point = tuple[float, float]
"""(bytes in, value) of one sample."""


@dataclass(frozen=True)
class Line:
    """`fixed + per_byte * bytes`. One sample alone tells no fixed part."""

    fixed: Figure
    per_byte: Figure

    def at(self, size: Figure | float) -> Figure:
        return self.per_byte * size + self.fixed


def ratio(points: Sequence[Point]) -> Figure:
    """Value per byte: of the small sample, of both together, of the large one; without bytes 0."""
    sized = sorted(p for p in points if p[0] > 0)
    if not sized:
        return ZERO
    size, value = (sum(p[i] for p in sized) for i in (0, 1))
    return Figure(sized[0][1] / sized[0][0], value / size, sized[-1][1] / sized[-1][0])


def line(points: Sequence[Point]) -> Line:
    """The line through a small and a large sample.

    The fixed part is where the line begins, as far as that is possible (between nothing and the
    smaller value). Each sample alone is in proportion, so it takes the fixed part for work and
    forecasts more than both do. Where the line begins below nothing (noise, or work that grows
    faster than its input) there is no fixed part, and both together lie between the two.
    """
    sized = sorted(p for p in points if p[0] > 0)
    if len(sized) < 2 or sized[0][0] >= 0.9 * sized[-1][0]:
        return Line(ZERO, ratio(sized))
    (x0, y0), (x1, y1) = sized[0], sized[-1]
    slope = (y1 - y0) / (x1 - x0)
    begins = y0 - slope * x0
    if slope <= 0 or begins < 0:
        return Line(ZERO, ratio(sized))
    return Line(Figure(0.0, begins, 0.0), Figure(y0 / x0, slope, y1 / x1))


@dataclass(frozen=True)
class Measured:
    """What one step did in one sample. Bytes are of text, of raw files for those that read them.

    `size`: bytes of all its inputs, of which `main` came in at the port `input`; `trained`: bytes
    that its models (so many `models`) were trained on, the one with most on `largest`. `entries`:
    what can be in a partition of its own: hashes in the runs of a shuffle, documents in shards,
    files of repositories, posts; 0: not known. `grouped`: bytes of references through GroupByKey.
    """

    size: int
    main: int
    text_out: int
    documents_out: int
    cpu_s: dict[str, float]
    disk: int
    shuffle: int
    peak_rss: int
    trained: int = 0
    largest: int = 0
    entries: int = 0
    text_in: int = 0
    models: int = 0
    grouped: int = 0
    documents_in: int = 0


@dataclass(frozen=True)
class Bound:
    """What a setting bounds: bytes that models are trained on (and of one of them what its trainer
    holds in memory), or documents that come out; None: nothing.

    `sorting`: bytes in which lmplz may sort, 0 where it does not run; `one`: bytes that one model
    is trained on.
    """

    trained: float | None = None
    largest: float = 0.0
    documents: float | None = None
    sorting: float = 0.0
    one: float = 0.0


@dataclass(frozen=True)
class Shape:
    """How a step is cut: bytes of a unit, and of a partition of its shuffle if it has such; units
    that are compared with each other (None: all).

    `planned`: keys (partitions, shards) of one kind that the stage plans for so many bytes of
    input, all of which meet; None where units do not. `partitions_per_byte`: how full they are, 0
    where that is not known. `kinds`: kinds of hash, each with keys of its own, `further` times as
    many for those after the first. `sources`: those whose units have keys of their own, as
    shares of the input, and in how many files each lies at least: a unit is of one file.
    `ways`: 2, there and back; 1 where the step ends with its reduce.
    """

    split_bytes: int
    partition_bytes: int | None = None
    group_units: int | None = None
    planned: Callable[[float], float] | None = None
    partitions_per_byte: float = 0.0
    kinds: int = 1
    further: float = 1.0
    sources: tuple[tuple[float, float], ...] = ((1.0, 0.0),)
    ways: int = 2


@dataclass(frozen=True)
class StepForecast:
    """One step of the whole corpus. CPU in seconds, the rest in bytes.

    `pairs`: of a unit and a key for which it has something, which grow with the square of the
    input; `references`: what of them goes through GroupByKey, there and back; `parts`: files that
    come out, one a unit, or a partition where the step ends with its reduce; `exchange_cpu_s`: of
    the CPU what pairs and references cost; `shuffle`: what units exchange, sheets and copies of
    relays (`relayed`) included, which lies there until the step ends. `runner` and `launcher`:
    memory of the two processes around the workers. `at_most`: whether what comes out is an upper
    bound; `too_low`: whether the sample left CPU out.
    """

    name: str
    stage: str
    kind: Kind
    why: str
    size: Figure
    text_out: Figure
    documents_out: Figure
    cpu_s: Figure
    serial_s: Figure
    fixed_s: Figure
    disk: Figure
    shuffle: Figure
    pairs: Figure
    references: Figure
    parts: Figure
    exchange_cpu_s: Figure
    memory: Figure
    runner: Figure
    launcher: Figure
    relayed: bool = False
    samples: int = 0
    at_most: bool = False
    too_low: bool = False


_MODEL_PHASES = {"reduce"}

PIECES_SHARE, PRUNED = 0.54, 2.8
"""Of the CPU of a language model what SentencePiece's trainer has, and how many times more that is
where the text holds many more pieces than asked for, which it then prunes round by round. On 6 MB
of WET text, which holds 57,000 pieces, 6.3 of 11.7 s with 65,536 asked for; 17.7 with 4,000."""

TRAINER_BYTES = Figure(10.0, 18.0, 30.0)
"""Memory of SentencePiece's trainer for each byte of text, where the samples are too small to tell:
10 (tokenizer/sample.py, on 11 and 42 MB), 18 (between 1 and 4 MB of WET text), 30
(docs/local_engine.md). It falls with the size, so a line through small samples is too steep."""

_TELLS_BYTES = 1e6

# lmplz takes this of its setting at once and so much more for each byte of text: 390, 401 and 446
# MB of 2G on 1, 4 and 16 MB of WET text. At the upper end as much more as SentencePiece, which is
# an assumption. Never more than the setting.
_SORTING_AT_ONCE, _SORTING_PER_BYTE, _SORTING_MOST = 0.18, 3.8, 30.0

_BYTES_PER_UNIT_BYTE = 3  # Hashes of a unit of a shuffle (docs/local_engine.md).


def forecast(
    name: str,
    stage: str,
    samples: Sequence[Measured],
    size: Figure,
    main: Figure,
    bound: Bound,
    shape: Shape,
    floor: float,
) -> StepForecast:
    """One step at `size` bytes of input (`main` of them at the port `input`).

    `floor`: bytes of memory that a process has before it does anything.
    """
    kind, why = KINDS[stage]
    phases = sorted({phase for m in samples for phase in m.cpu_s})
    cpu, serial, fixed = ZERO, ZERO, ZERO
    trained = _trained(samples, size, bound)
    for phase in phases:
        if kind == "once":
            mine = Figure.at(max(m.cpu_s.get(phase, 0.0) for m in samples))
        elif kind == "bounded" and phase in _MODEL_PHASES and bound.trained is not None:
            of_trained = line([(m.trained, m.cpu_s.get(phase, 0.0)) for m in samples])
            mine = _training_cpu(of_trained.at(trained), samples, trained, bound)
            # Several models are made side by side; one of them is made by one worker.
            serial = serial + mine * min(1.0, bound.largest / max(trained.point, 1.0))
        else:
            found = line([(m.size, m.cpu_s.get(phase, 0.0)) for m in samples])
            mine = found.at(size)
            fixed = fixed + found.fixed
        cpu = cpu + mine
    shuffle = ratio([(m.size, m.shuffle) for m in samples]) * size
    grouped = ratio([(m.size, m.grouped) for m in samples]) * size
    if kind == "once":
        shuffle = Figure.at(max(m.shuffle for m in samples))
        grouped = Figure.at(max(m.grouped for m in samples))
    sent = _sent(samples, size, shape)
    # Bits and answers, which go back, are among what the samples exchanged, and copied as well.
    copied = _each(sent, shuffle, lambda t, met: met if t.relayed else 0.0)
    exchange = _each(sent, copied, Traffic.cpu_s)
    cpu, serial = cpu + exchange, serial + _each(sent, ZERO, lambda t, _: t.serial_s)
    shuffle = shuffle + copied + _each(sent, ZERO, lambda t, _: t.sheet_bytes)
    references = _each(sent, ZERO, lambda t, _: t.references)
    if references.point:
        grouped = _each(sent, ZERO, lambda t, _: t.grouped_bytes)
    out = ratio([(m.main, m.text_out) for m in samples]) * main
    documents = ratio([(m.main, m.documents_out) for m in samples]) * main
    disk = ratio([(m.size, m.disk) for m in samples]) * size
    if bound.documents is not None and documents.point > bound.documents:
        share = bound.documents / documents.point
        out, documents, disk = out * share, documents.most(bound.documents), disk * share
    if kind == "once" or (kind == "bounded" and bound.trained is not None):
        disk = Figure.at(max(m.disk for m in samples))
    peak = max(m.peak_rss for m in samples)
    return StepForecast(
        name,
        stage,
        kind,
        why,
        size,
        out,
        documents,
        cpu,
        serial,
        fixed,
        disk,
        shuffle + grouped,
        _each(sent, ZERO, lambda t, _: t.pairs),
        references,
        _each(sent, ZERO, lambda t, _: t.units if t.ways == 2 else max(t.keys, 1.0)),
        exchange,
        _memory(samples, float(peak), floor, trained, bound, shape, size),
        _each(sent, ZERO, lambda t, _: t.runner_bytes + _RUNNER_ITSELF),
        _each(sent, ZERO, lambda t, _: t.launcher_bytes + _LAUNCHER_ITSELF),
        any(t.relayed for t in sent),
        len(samples),
    )


def _training_cpu(
    cpu: Figure, samples: Sequence[Measured], trained: Figure, bound: Bound
) -> Figure:
    """CPU of models, given that in proportion to the text. Of language models, SentencePiece reads
    a part of a long text only; at the upper end it prunes, if there is more text than sampled."""
    if not bound.one or bound.trained is None or not trained.point:
        return cpu
    read = min(1.0, bound.largest * (bound.trained / bound.one) / trained.point)
    pruned = PRUNED if trained.high > max(m.trained for m in samples) else 1.0
    least, most = (1 - PIECES_SHARE + PIECES_SHARE * read * times for times in (1.0, pruned))
    return Figure(cpu.small * least, cpu.point * least, max(cpu.large * least, cpu.high * most))


def _trained(samples: Sequence[Measured], size: Figure, bound: Bound) -> Figure:
    if bound.trained is None:
        return ZERO
    return (ratio([(m.size, m.trained) for m in samples]) * size).most(bound.trained)


Sent = tuple[Traffic, Traffic, Traffic]
"""As the small sample has it, as both together, as the large one."""


def _each(sent: Sent, more: Figure, what: Callable[[Traffic, float], float]) -> Figure:
    small, point, large = sent
    return Figure(what(small, more.small), what(point, more.point), what(large, more.large))


def _sent(samples: Sequence[Measured], size: Figure, shape: Shape) -> Sent:
    """What units send to keys for which they have something.

    Each unit may have entries for each key of its group or source. Further kinds of hash than the
    first are one a document.
    """
    entries = ratio([(m.size, m.entries) for m in samples])
    documents = ratio([(m.size, m.documents_in) for m in samples])

    def of(here: float, entries: float, documents: float) -> Traffic:
        cut = [max(1.0, parts, here * share / shape.split_bytes) for share, parts in shape.sources]
        units = sum(cut)
        if shape.planned is None or not here or not any(m.size for m in samples):
            return Traffic(units)
        meetings = []
        for (share, _), mine in zip(shape.sources, cut, strict=True):
            together = min(mine, shape.group_units or mine)
            keys = shape.planned(here * share * together / mine)
            each = here * share / mine
            # Of few entries for many keys some have none; where none were counted, all have some.
            first = entries * each if entries else math.inf
            fewer = max(LEAST_PARTITIONS, keys * shape.further)
            kinds = ((keys, first), *[(fewer, documents * each)] * (shape.kinds - 1))
            meetings.append(Meeting(together, kinds, mine / together))
        return traffic(meetings, shape.ways)

    return (
        of(size.small, entries.small, documents.small),
        of(size.point, entries.point, documents.point),
        of(size.large, entries.large, documents.large),
    )


def _memory(
    samples: Sequence[Measured],
    peak: float,
    floor: float,
    trained: Figure,
    bound: Bound,
    shape: Shape,
    size: Figure,
) -> Figure:
    """Of a worker: what was seen, more where a unit, a partition or what a model is trained on
    fills up."""
    if bound.trained is not None and any(m.largest for m in samples):
        return _training_memory(samples, peak, floor, trained, bound)
    if shape.partition_bytes is None or size.high <= max(m.size for m in samples):
        return Figure.at(peak)
    full = float(shape.partition_bytes)
    partition = min(full, size.high * (shape.partitions_per_byte * full / LEAST_PARTITIONS or 1.0))
    unit = BATCH_MB * MIB + _BYTES_PER_UNIT_BYTE * min(float(shape.split_bytes), size.high)
    if size.high < shape.split_bytes:
        unit = 0.0
    return Figure(peak, peak, max(peak, floor + partition, floor + unit))


def _training_memory(
    samples: Sequence[Measured], peak: float, floor: float, trained: Figure, bound: Bound
) -> Figure:
    """SentencePiece's trainer, which holds its text; lmplz after it, which sorts on disk.

    What grows with the text is the line through both samples, from the large one on; at the upper
    end the large sample over what every process has. Nothing is taken from the small one alone:
    what a trainer takes at once would be divided by next to no text. From samples with less than a
    megabyte of text, or of one size, `TRAINER_BYTES`.
    """
    share = max(m.largest / m.trained for m in samples if m.trained)
    small, large = min(samples, key=_largest), max(samples, key=_largest)
    each = TRAINER_BYTES
    if large.largest - small.largest >= _TELLS_BYTES and large.peak_rss > small.peak_rss:
        slope = (large.peak_rss - small.peak_rss) / (large.largest - small.largest)
        alone = max(0.0, large.peak_rss - floor) / large.largest
        each = Figure(min(each.small, slope), slope, max(slope, alone))
    one = (trained * share).most(bound.largest)
    more = one.map(lambda text: max(0.0, text - large.largest))
    trainer = Figure.at(peak) + each * Figure(more.low, more.point, more.high)
    if not bound.sorting:
        return trainer
    text = (trained * share).most(bound.one).point
    # Samples sort in less than the recipe, and peaks are those of one process, not of both.
    sorting, most = (
        min(bound.sorting, _SORTING_AT_ONCE * bound.sorting + per_byte * text)
        for per_byte in (_SORTING_PER_BYTE, _SORTING_MOST)
    )
    return Figure(
        max(trainer.small, sorting), max(trainer.point, sorting), max(trainer.large, most)
    )


def _largest(sample: Measured) -> int:
    return sample.largest
