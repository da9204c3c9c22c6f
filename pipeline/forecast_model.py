"""The cost model: from two measured samples to a corpus of any size. Plain arithmetic, no files.

Cost of a step is taken as `fixed + per_byte * bytes`; samples of two sizes tell the two apart. What
a step does not do in proportion to its input is named in `KINDS`, for every stage that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stages.dedup.runs import BYTES_PER_ENTRY
from stages.engine.memory import MIB, PROCESS_MB

Kind = Literal["linear", "grows", "bounded", "once"]

KINDS: dict[str, tuple[Kind, str]] = {
    "commoncrawl": ("linear", ""),
    "wikipedia": ("linear", ""),
    "arxiv": ("linear", ""),
    "books": ("linear", ""),
    "stackexchange": ("linear", ""),
    "c4": ("linear", ""),
    "c4_clean": ("linear", ""),
    "c4_filter": ("linear", ""),
    "language": ("linear", ""),
    "perplexity": ("linear", ""),
    "reference": ("linear", ""),
    "select": ("linear", ""),
    "decontaminate": ("linear", ""),
    "tokens": ("linear", ""),
    "github": ("grows", "copies of a file meet"),
    "url_dedup": ("grows", "captures of a URL meet"),
    "document_dedup": ("grows", "copies of a document meet"),
    "line_dedup": ("grows", "lines meet"),
    "fuzzy_dedup": ("grows", "near-duplicates meet"),
    "book_dedup": ("grows", "editions meet"),
    "c4_url_dedup": ("grows", "captures of a URL meet"),
    "c4_line_dedup": ("grows", "spans of lines meet"),
    "overlap": ("grows", "two sources meet"),
    "reference_pages": ("bounded", "max_references and max_random pages come out"),
    "language_model": ("bounded", "max_bytes a language are trained on"),
    "reference_model": ("linear", ""),
    "tokenizer": ("bounded", "budget_bytes are trained on"),
    "decontamination_index": ("once", "as large as the evaluation sets"),
}
"""Per stage how its cost and its output follow its input, and why.

linear: in proportion. grows: the work is in proportion, but more of a larger corpus is duplicates,
so what comes out is at most what is forecast. bounded: reads in proportion, but what it makes is
bounded by a setting. once: does not depend on the corpus.
"""


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
    """`fixed + per_byte * bytes`."""

    fixed: float
    per_byte: Figure

    def at(self, size: Figure | float) -> Figure:
        return self.per_byte * size + Figure.at(self.fixed)


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
    smaller value); the large sample's own figure is then that without a fixed part. Where the line
    begins below nothing (noise, or work that grows faster than its input) there is none.
    """
    sized = sorted(p for p in points if p[0] > 0)
    if len(sized) < 2 or sized[0][0] >= 0.9 * sized[-1][0]:
        return Line(0.0, ratio(sized))
    (x0, y0), (x1, y1) = sized[0], sized[-1]
    slope = (y1 - y0) / (x1 - x0)
    begins = y0 - slope * x0
    if slope <= 0 or begins < 0:
        return Line(0.0, ratio(sized))
    return Line(begins, Figure(slope, slope, y1 / x1))


@dataclass(frozen=True)
class Measured:
    """What one step did in one sample. Bytes are of text, of raw files for those that read them.

    `size`: bytes of all its inputs, of which `main` came in at the port `input`; `trained`: bytes
    that its models (so many `models`) were trained on, the one with most on `largest`. `entries`:
    hashes in the runs of a shuffle.
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


@dataclass(frozen=True)
class Bound:
    """What a setting bounds: bytes that models are trained on (and of one of them what is in memory
    at a time), or documents that come out; None: nothing."""

    trained: float | None = None
    largest: float = 0.0
    documents: float | None = None


@dataclass(frozen=True)
class Shape:
    """How a step is cut: bytes of a unit, and of a partition of its shuffle if it has such; units
    that are compared with each other (None: all)."""

    split_bytes: int
    partition_bytes: int | None = None
    group_units: int | None = None


@dataclass(frozen=True)
class StepForecast:
    """One step of the whole corpus. CPU in seconds, the rest in bytes.

    `pairs`: references that go through GroupByKey, which grow with the square of the input.
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
    fixed_s: float
    disk: Figure
    shuffle: Figure
    pairs: float
    memory: Figure
    samples: int = 0
    notes: tuple[str, ...] = field(default=())


_MODEL_PHASES = {"reduce"}
_BASE_BYTES = PROCESS_MB * MIB


def forecast(
    name: str,
    stage: str,
    samples: Sequence[Measured],
    size: Figure,
    main: Figure,
    bound: Bound,
    shape: Shape,
) -> StepForecast:
    """One step at `size` bytes of input (`main` of them at the port `input`)."""
    kind, why = KINDS[stage]
    phases = sorted({phase for m in samples for phase in m.cpu_s})
    cpu, serial, fixed = ZERO, ZERO, 0.0
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
            mine = found.per_byte * size
            fixed += found.fixed
        cpu = cpu + mine
    out = ratio([(m.main, m.text_out) for m in samples]) * main
    documents = ratio([(m.main, m.documents_out) for m in samples]) * main
    disk = ratio([(m.size, m.disk) for m in samples]) * size
    if bound.documents is not None and documents.point > bound.documents:
        share = bound.documents / documents.point
        out, documents, disk = out * share, documents.most(bound.documents), disk * share
    if kind == "once" or (kind == "bounded" and bound.trained is not None):
        disk = Figure.at(max(m.disk for m in samples))
    shuffle = ratio([(m.size, m.shuffle) for m in samples]) * size
    if kind == "once":
        shuffle = Figure.at(max(m.shuffle for m in samples))
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
        shuffle,
        _pairs(samples, size, shape),
        _memory(samples, peak, trained, bound, shape.partition_bytes),
        len(samples),
    )


def _trained(samples: Sequence[Measured], size: Figure, bound: Bound) -> Figure:
    if bound.trained is None:
        return ZERO
    return (ratio([(m.size, m.trained) for m in samples]) * size).most(bound.trained)


def _pairs(samples: Sequence[Measured], size: Figure, shape: Shape) -> float:
    """Units times partitions: each unit may have entries in each partition of its group."""
    entries = ratio([(m.size, m.entries) for m in samples]).point * size.point
    if shape.partition_bytes is None or not entries:
        return 0.0
    units = max(1.0, size.point / shape.split_bytes)
    together = min(units, shape.group_units or units)
    partitions = max(1.0, entries * together / units * BYTES_PER_ENTRY / shape.partition_bytes)
    return min(entries, units * partitions)


def _memory(
    samples: Sequence[Measured],
    peak: int,
    trained: Figure,
    bound: Bound,
    partition_bytes: int | None,
) -> Figure:
    """Of a worker: what was seen, more where a partition or what a model is trained on fills up."""
    if bound.trained is not None and any(m.largest for m in samples):
        each = max((m.peak_rss - _BASE_BYTES) / m.largest for m in samples if m.largest)
        full = min(bound.largest, trained.point)
        grown = max(float(peak), _BASE_BYTES + max(0.0, each) * full)
        return Figure(peak, grown, grown)
    if partition_bytes is not None:
        return Figure(peak, peak, max(peak, _BASE_BYTES + partition_bytes))
    return Figure.at(peak)
