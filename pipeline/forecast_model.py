"""The cost model: from two measured samples to a corpus of any size. Plain arithmetic, no files.

Cost of a step is taken as `fixed + per_byte * bytes`; samples of two sizes tell the two apart. What
a step does not do in proportion to its input is named in `forecast_kinds`, for every stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.forecast_kinds import KINDS, Kind
from stages.engine.memory import BATCH_MB, MIB

REFERENCE_CPU_S = 120e-6
"""CPU of one reference, there and back, in all processes. Measured on a local disk with
`line_dedup` of 42 MB of WET text in 58 units, 4 partitions against 1,000 and 2,000: 129 and 117
microseconds, of which the reducer 80, the unit that collects 30, and `RUNNER_CPU_S`."""

RUNNER_CPU_S = 15e-6
"""Of that, CPU of the one process that runs the step (Beam's local runner) and the one that
launched it: 13 and 14 microseconds. It cannot be divided among workers."""

LAUNCHER_BYTES, RUNNER_BYTES = 1300, 1550
"""Memory of the launching and of the running process for each reference, the highest seen: 830 and
1,300 in the runs above, 1,300 and 1,550 with 8 units and 8,000 partitions."""

_LAUNCHER_ITSELF, _RUNNER_ITSELF = 47e6, 86e6

GROUPED_BYTES = 140
"""JSON of one reference, there and back, through GroupByKey (`grouped_bytes` of the same runs by
their references)."""

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
    what can be in a partition of its own: hashes in the runs of a shuffle, documents in shards; 0:
    not known. `grouped`: bytes of pairs that went through GroupByKey.
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

    `partitions_per_byte`: partitions that are planned for a byte of input, 0 where units do not
    meet; `references`: kinds of hash, each with partitions of its own; `share`: of all pairs of
    unit and partition those that can meet (shards are of one source).
    """

    split_bytes: int
    partition_bytes: int | None = None
    group_units: int | None = None
    partitions_per_byte: float = 0.0
    references: int = 1
    share: float = 1.0
    least: float = LEAST_PARTITIONS


@dataclass(frozen=True)
class StepForecast:
    """One step of the whole corpus. CPU in seconds, the rest in bytes.

    `pairs`: references that go through GroupByKey, which grow with the square of the input;
    `runner` and `launcher`: memory of the two processes that hold them. `at_most`: whether what
    comes out is an upper bound; `too_low`: whether the sample left CPU out.
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
    memory: Figure
    runner: Figure
    launcher: Figure
    samples: int = 0
    at_most: bool = False
    too_low: bool = False


_MODEL_PHASES = {"reduce"}

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
            mine = of_trained.at(trained)
            # Several models are made side by side; one of them is made by one worker.
            serial = serial + mine * min(1.0, bound.largest / max(trained.point, 1.0))
        else:
            found = line([(m.size, m.cpu_s.get(phase, 0.0)) for m in samples])
            mine = found.at(size)
            fixed = fixed + found.fixed
        cpu = cpu + mine
    pairs = _pairs(samples, size, shape)
    cpu, serial = cpu + pairs * REFERENCE_CPU_S, serial + pairs * RUNNER_CPU_S
    out = ratio([(m.main, m.text_out) for m in samples]) * main
    documents = ratio([(m.main, m.documents_out) for m in samples]) * main
    disk = ratio([(m.size, m.disk) for m in samples]) * size
    if bound.documents is not None and documents.point > bound.documents:
        share = bound.documents / documents.point
        out, documents, disk = out * share, documents.most(bound.documents), disk * share
    if kind == "once" or (kind == "bounded" and bound.trained is not None):
        disk = Figure.at(max(m.disk for m in samples))
    shuffle = ratio([(m.size, m.shuffle) for m in samples]) * size
    grouped = ratio([(m.size, m.grouped) for m in samples]) * size
    if kind == "once":
        shuffle = Figure.at(max(m.shuffle for m in samples))
        grouped = Figure.at(max(m.grouped for m in samples))
    if pairs.point:
        grouped = pairs * GROUPED_BYTES
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
        pairs,
        _memory(samples, float(peak), floor, trained, bound, shape, size),
        pairs * RUNNER_BYTES + Figure.at(_RUNNER_ITSELF),
        pairs * LAUNCHER_BYTES + Figure.at(_LAUNCHER_ITSELF),
        len(samples),
    )


def _trained(samples: Sequence[Measured], size: Figure, bound: Bound) -> Figure:
    if bound.trained is None:
        return ZERO
    return (ratio([(m.size, m.trained) for m in samples]) * size).most(bound.trained)


def _pairs(samples: Sequence[Measured], size: Figure, shape: Shape) -> Figure:
    """Units times partitions in which they have something.

    Each unit may have entries in each partition of its group; of few entries in many partitions
    (hashes spread evenly) some have none. Further kinds of hash than the first (`references`) are
    one a document.
    """
    if not shape.partitions_per_byte or not any(m.size for m in samples):
        return ZERO
    entries = ratio([(m.size, m.entries) for m in samples])
    documents = ratio([(m.size, m.documents_in) for m in samples])

    def of(here: float, entries: float, documents: float) -> float:
        units = max(1.0, here / shape.split_bytes)
        together = min(units, shape.group_units or units)
        planned = here * together / units * shape.partitions_per_byte * shape.share
        partitions = max(shape.least, planned)
        first = _met(entries * here / units, partitions) if entries else partitions
        more = (shape.references - 1) * _met(documents * here / units, partitions)
        return units * (first + more)

    return Figure(
        of(size.small, entries.small, documents.small),
        of(size.point, entries.point, documents.point),
        of(size.large, entries.large, documents.large),
    )


def _met(entries: float, partitions: float) -> float:
    """Partitions that get any of so many entries, expected."""
    return -partitions * math.expm1(-entries / partitions)


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
    partition = min(full, size.high * (shape.partitions_per_byte * full / shape.least or 1.0))
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
