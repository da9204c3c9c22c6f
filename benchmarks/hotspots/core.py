"""A fast function beside the plain way to the same answers: measured in turns, answers compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Hotspot:
    """CPU seconds of each repetition of a function, the plain way and here; `text_bytes` are those
    of the whole slice. `differ`: answers that are not those of the plain way, of `answers`."""

    kernel: str
    function: str
    text_bytes: int
    plain_s: list[float] = field(default_factory=list)
    here_s: list[float] = field(default_factory=list)
    answers: int = 0
    differ: int = 0

    @property
    def ratio(self) -> float:
        """How many times as much CPU the plain way takes, the median of the repetitions."""
        return statistics.median(a / b for a, b in zip(self.plain_s, self.here_s, strict=True))

    def speeds(self) -> tuple[float, float]:
        """MB/s/core of the plain way and here."""
        plain, here = (statistics.median(seconds) for seconds in (self.plain_s, self.here_s))
        return self.text_bytes / plain / 1e6, self.text_bytes / here / 1e6


Way = Callable[[], Sequence[Any]]


def compared(
    kernel: str, function: str, text_bytes: int, plain: Way, here: Way, repeats: int
) -> Hotspot:
    """Both ways in turns, after one call that is not measured."""
    spot = Hotspot(kernel, function, text_bytes)
    here()
    for _ in range(repeats):
        before = time.process_time()
        wanted = plain()
        between = time.process_time()
        answers = here()
        spot.here_s.append(time.process_time() - between)
        spot.plain_s.append(between - before)
    spot.answers = len(wanted)
    spot.differ = sum(not _same(a, b) for a, b in zip(wanted, answers, strict=True))
    return spot


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else bool(a == b)


@contextmanager
def replaced(owner: Any, name: str, function: Any) -> Iterator[None]:
    """With another function in the place of a class's."""
    own = getattr(owner, name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, own)


def size_of(texts: Sequence[str]) -> int:
    """Bytes in UTF-8."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
