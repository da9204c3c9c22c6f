"""`corpus curve`: threshold -> documents, bytes and tokens kept, from the stored scores.

Nothing is scored again. One pass over the score columns alone finds thresholds worth showing, one
over scores and texts counts what each of them keeps; counts are exact at each threshold, ties
included, and memory is bounded by row groups, thresholds and languages. `select`'s own rule judges
the other thresholds, so the curve at the threshold in force is what `select` writes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.curve_boundary import Boundary, Sample
from pipeline.curve_columns import JUDGED, by_language, decoded, passing, scores, values
from pipeline.curve_counts import Counts, Kept, Tally, ratios_of, total
from pipeline.curve_thresholds import Thresholds, in_force, landmarks, with_threshold
from pipeline.curve_tokens import TokenLengths, of_source
from stages import registry
from stages.documents import ranked
from stages.engine import manifest
from stages.engine.step import InputError, Step
from stages.select import (
    OFF,
    SCORES,
    ScoreThreshold,
    Select,
    SelectRule,
    SelectSettings,
    lifted,
    stored,
)


@dataclass(frozen=True)
class Ask:
    """What is to be shown.

    `score`: a name in `stages.select.SCORES`. `points`: how many thresholds, at equal steps of
    documents; or `at`: these. `samples`: documents shown at each threshold. `ignore`: thresholds
    of `select` that are lifted. `by_language`: a curve, with thresholds of its own, per language.
    """

    score: str = "perplexity"
    points: int = 20
    at: tuple[float, ...] = ()
    samples: int = 2
    ignore: tuple[str, ...] = ()
    by_language: bool = False

    @property
    def cut(self) -> ScoreThreshold:
        return SCORES[self.score]


def asked(score: str, points: int, at: str, samples: int, ignore: str, by_language: bool) -> Ask:
    """An `Ask` as typed: `at` and `ignore` are lists with commas. Raises InputError."""
    lifted_names = tuple(name.strip() for name in ignore.split(",") if name.strip())
    try:
        numbers = tuple(float(text) for text in at.split(",") if text.strip())
    except ValueError as error:
        raise InputError(f"--at {at}: give numbers, with commas between them") from error
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"--at {at}: thresholds are finite numbers")
    every = tuple(OFF) if lifted_names == ("all",) else lifted_names
    return Ask(score, points, numbers, samples, every, by_language)


@dataclass(frozen=True)
class Point:
    """What one threshold keeps (the threshold itself included); `threshold` None: it is off.

    `marks`: `now` for the threshold in force, the names of profiles that have it, `off`.
    """

    threshold: float | None
    kept: Kept
    marks: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Group:
    """A curve, of all documents or of one language; points from the least threshold to the
    greatest, then `off`. `without_score`: documents that have no score, among those of `off`."""

    language: str | None
    points: tuple[Point, ...]
    without_score: Kept


@dataclass(frozen=True)
class Curve:
    """`left`: documents that other thresholds take out, by reason; they are in no curve.

    `bytes_per_token` by language, where it could be measured; `other_bytes_per_token`, the
    source's, stands for other languages. `tokens_how`: one line on where tokens come from.
    """

    ask: Ask
    settings: SelectSettings
    documents_in: int
    text_bytes_in: int
    left: dict[str, int]
    bytes_per_token: dict[str, float]
    other_bytes_per_token: float | None
    tokens_how: str
    groups: tuple[Group, ...]


def of_run(steps: Sequence[Step], source: str | None, ask: Ask, threads: int) -> tuple[Step, Curve]:
    """The curve of a source's `select` step (of the first that has one), and that step.

    `steps`: the plan of a run, whose settings are those of its recipe now.

    Raises:
        InputError: there is no such step, or the one before it has not run; a bad `ask`.
    """
    found = [s for s in steps if s.stage == Select.name and source in (None, source_of(s))]
    if not found:
        of = "" if source is None else f" of source {source}"
        raise InputError(f"there is no select step{of} in this run")
    step = found[0]
    stage = registry.create(step)
    scored = next(s for s in steps if s.output in step.inputs["input"])
    if manifest.load(scored.output) is None:
        raise InputError(f"{scored.name} has not run yet; its scores are what the curve is made of")
    paths = [path for _, parts in stage.documents("input") for path in parts]
    lengths = of_source(steps, source_of(step), scored)
    return step, curve(paths, stage.settings, ask, lengths, threads)


def source_of(step: Step) -> str:
    """The source of a step that is not its first: folders are named `source.stage`."""
    return step.name.partition(".")[0]


def curve(
    paths: Sequence[str], settings: SelectSettings, ask: Ask, lengths: TokenLengths, threads: int
) -> Curve:
    """Reads the parts that `select` reads; the result does not depend on `threads`.

    Raises:
        InputError: a threshold out of range, an unknown name in `ask.ignore`.
    """
    unknown = sorted(set(ask.ignore) - set(OFF))
    if unknown:
        raise InputError(f"no threshold is called {unknown[0]}; there are {', '.join(OFF)}")
    for threshold in ask.at:
        with_threshold(settings, ask.cut, threshold)
    others = SelectRule(lifted(settings, {*ask.ignore, ask.cut.setting}))
    thresholds = _thresholds(paths, settings, ask)
    tallies: dict[str, Tally] = {}
    left: Counter[str] = Counter()
    documents_in = text_bytes_in = 0
    for batch in decoded(paths, ("id", "url", "text", *JUDGED), threads):
        sizes = pc.binary_length(batch.column("text")).to_numpy()
        documents_in += batch.num_rows
        text_bytes_in += int(sizes.sum())
        keep = passing(batch, others, left, _chars(batch, settings, ask))
        tokens = lengths.of(values(batch, "id"))
        known = scores(batch, ask.score)
        for language, rows in by_language(batch, keep).items():
            if language not in tallies:
                tallies[language] = Tally(thresholds.of(language), ask.cut.keeps_above, ask.samples)
            tallies[language].add(batch, rows, known[rows], sizes[rows], tokens[rows])
    ratios = ratios_of(tallies)
    kept = partial(total, ratios=ratios, otherwise=lengths.bytes_per_token)
    grouped: dict[str | None, list[str]] = {}
    for language in sorted(tallies, key=lambda name: (-tallies[name].documents, name)):
        grouped.setdefault(language if ask.by_language else None, []).append(language)
    return Curve(
        ask=ask,
        settings=settings,
        documents_in=documents_in,
        text_bytes_in=text_bytes_in,
        left=dict(ranked(left)),
        bytes_per_token=ratios,
        other_bytes_per_token=lengths.bytes_per_token,
        tokens_how=lengths.how,
        groups=tuple(
            _group(key, {name: tallies[name] for name in members}, kept, settings, ask)
            for key, members in grouped.items()
        ),
    )


def _chars(batch: pa.RecordBatch, settings: SelectSettings, ask: Ask) -> Sequence[int]:
    """Characters of each text; zeros where nothing asks for them."""
    if settings.min_chars and "min_chars" not in ask.ignore:
        lengths: list[int] = pc.utf8_length(batch.column("text")).to_pylist()
        return lengths
    return [0] * batch.num_rows


def _thresholds(paths: Sequence[str], settings: SelectSettings, ask: Ask) -> Thresholds:
    found = Thresholds(settings, ask.cut, ask.points, ask.at, ask.by_language)
    if ask.at:
        return found
    # Texts are not read here, so not their lengths: that moves the steps, never a count.
    rule = SelectRule(lifted(settings, {*ask.ignore, ask.cut.setting, "min_chars"}))
    for batch in decoded(paths, JUDGED, threads=1):
        keep = passing(batch, rule, Counter(), [0] * batch.num_rows)
        known = scores(batch, ask.score)
        for language, rows in by_language(batch, keep).items():
            found.add(language, known[rows])
    return found


def _group(
    language: str | None,
    members: Mapping[str, Tally],
    kept: Callable[[Iterable[tuple[str, Counts]]], Kept],
    settings: SelectSettings,
    ask: Ask,
) -> Group:
    thresholds = next(iter(members.values())).thresholds
    current = in_force(settings, ask.cut)
    names = {stored(t): names for t, names in landmarks(ask.cut).items()}
    boundary = Boundary.merged([tally.boundary for tally in members.values()])
    points = []
    for i, threshold in enumerate(thresholds):
        unscored = _keeps_unscored(settings, ask.cut, threshold)
        sums = ((n, t.kept(i) + (t.unscored if unscored else 0)) for n, t in members.items())
        value = stored(threshold)
        now = ["now"] if current is not None and value == stored(current) else []
        marks = (*now, *names.get(value, []))
        points.append(Point(threshold, kept(sums), marks, boundary.samples(i)))
    everything = kept((n, t.whole) for n, t in members.items())
    points.append(Point(None, everything, ("off", *(["now"] if current is None else []))))
    without = kept((n, t.unscored) for n, t in members.items())
    return Group(language, tuple(points), without)


def _keeps_unscored(settings: SelectSettings, cut: ScoreThreshold, threshold: float) -> bool:
    """Whether `select` keeps a document that lacks the score; its own rule says so."""
    only = with_threshold(lifted(settings, OFF), cut, threshold)
    return SelectRule(only).verdict(0, None, None, None, None, None) is None
