"""Which thresholds a curve shows: at equal steps of documents, in numbers that people write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from stages import registry
from stages.engine.step import InputError, plain
from stages.select import OFF, PROFILES, ScoreThreshold, SelectSettings, stored


class Grid:
    """Documents by a short threshold that keeps them: four decimals, rounded down, for a score from
    0 to 1; three significant digits, rounded up, for a perplexity. At most some ten thousand
    entries, whatever the number of documents."""

    def __init__(self, cut: ScoreThreshold) -> None:
        self._cut = cut
        self._counts: Counter[float] = Counter()

    def add(self, scores: npt.NDArray[np.float64]) -> None:
        """Counts documents by score, shape (rows,); those without one (NaN) are left out."""
        known = scores[np.isfinite(scores)]
        if self._cut.keeps_above:
            units = np.round(known * 1e4)
            units -= np.float32(units / 1e4) > known
            short = units / 1e4
        else:
            powers = np.floor(np.log10(np.maximum(known, 0.1))).astype(int) - 2
            digits = np.maximum(np.round(_scaled(known, -powers)), 1)
            digits += np.float32(_scaled(digits, powers)) < known
            short = _scaled(digits, powers)
        values, counts = np.unique(short, return_counts=True)
        self._counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def steps(self, points: int) -> Iterator[float]:
        """At most `points` thresholds, each of which keeps at least another 1/points of the
        documents; the last keeps all that were counted."""
        total, kept, due = self._counts.total(), 0, 1
        for threshold in sorted(self._counts, reverse=self._cut.keeps_above):
            kept += self._counts[threshold]
            if kept * points >= due * total:
                yield threshold
                due = kept * points // total + 1


def _scaled(
    numbers: npt.NDArray[np.float64], powers: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Numbers times powers of ten; of small whole numbers, the floats that people's decimals are
    read as, since one multiplication or division by an exact power is rounded once."""
    return np.where(
        powers < 0,
        numbers / 10.0 ** np.maximum(-powers, 0),
        numbers * 10.0 ** np.maximum(powers, 0),
    )


def distinct(*thresholds: float) -> tuple[float, ...]:
    """Ascending; of those that are one number in float32, as scores are stored, the last one."""
    return tuple(sorted({stored(t): t for t in thresholds}.values()))


def in_force(settings: SelectSettings, cut: ScoreThreshold) -> float | None:
    """The threshold of the settings; None where it is off."""
    value = getattr(settings, cut.setting)
    return None if value == OFF[cut.setting] else float(value)


def landmarks(cut: ScoreThreshold) -> dict[float, list[str]]:
    """The thresholds of the named profiles, with their names."""
    found: dict[float, list[str]] = {}
    for name, profile in PROFILES.items():
        if (value := profile[cut.setting].value) is not None:
            found.setdefault(float(value), []).append(name)
    return found


def with_threshold(
    settings: SelectSettings, cut: ScoreThreshold, threshold: float
) -> SelectSettings:
    """The settings with another threshold. Raises InputError where it is out of range."""
    given: Mapping[str, object] = {**plain(settings), cut.setting: threshold}
    try:
        return SelectSettings.model_validate(given)
    except ValidationError as error:
        raise InputError(registry.one_line(error)) from error


class Thresholds:
    """Thresholds by language, or the same ones for all: those asked for (`at`), or at equal steps
    of the documents that were added and the profiles' own; and always the one in force."""

    def __init__(
        self,
        settings: SelectSettings,
        cut: ScoreThreshold,
        points: int,
        at: Sequence[float],
        by_language: bool,
    ) -> None:
        current = in_force(settings, cut)
        self._cut, self._points, self._by_language = cut, points, by_language
        self._fixed = [*(at or landmarks(cut)), *([] if current is None else [current])]
        self._grids: dict[str | None, Grid] = {}

    def add(self, language: str, scores: npt.NDArray[np.float64]) -> None:
        """Counts documents of a language, shape (rows,)."""
        self._grids.setdefault(self._key(language), Grid(self._cut)).add(scores)

    def of(self, language: str) -> tuple[float, ...]:
        """Ascending."""
        grid = self._grids.get(self._key(language))
        return distinct(*(grid.steps(self._points) if grid else ()), *self._fixed)

    def _key(self, language: str) -> str | None:
        return language if self._by_language else None
