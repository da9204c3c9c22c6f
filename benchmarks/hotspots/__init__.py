"""The hottest functions of four kernels, beside the plain way.

Decontamination, book dedup, LaTeX and wikitext on fixed slices of real data in memory. Each plain
way is the straightforward program for the same answers, kept here; tests compare the two as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from benchmarks.hotspots import book_dedup, decontamination, latex, wikitext
from benchmarks.hotspots.core import Hotspot
from benchmarks.measure import in_fork
from benchmarks.sheet import Sheet

__all__ = ["Hotspot", "measure", "sheet"]

KERNELS: tuple[Callable[[int, Path], list[Hotspot]], ...] = (
    decontamination.measure,
    book_dedup.measure,
    latex.measure,
    wikitext.measure,
)


def measure(repeats: int, data_folder: Path) -> list[Hotspot]:
    """Of each kernel with data in the folder: its hotspots, then the whole of it.

    Raises FileNotFoundError where there is data for none, and MeasureError.
    """
    found = [in_fork(lambda k=k: k(repeats, data_folder))[0] for k in KERNELS]  # type: ignore[misc]
    if not any(found):
        raise FileNotFoundError(f"{data_folder}: no books, arXiv tars or Wikipedia dumps")
    return list(chain.from_iterable(found))


def sheet(found: Sequence[Hotspot]) -> Sheet:
    rows = []
    for spot in found:
        plain, here = (f"{speed:.1f}" for speed in spot.speeds())
        answers = f"{spot.differ:,} of {spot.answers:,}"
        rows.append((spot.kernel, spot.function, plain, here, f"{spot.ratio:.2f}", answers))
    columns = (
        *("kernel", "function", "plain way\nMB/s/core", "here\nMB/s/core"),
        *("times faster", "answers that differ"),
    )
    return Sheet(
        "Hotspots beside the plain way",
        columns,
        tuple(rows),
        (
            "CPU seconds of one process, in turns; MB are those of the whole slice, so the speeds"
            " of a kernel's functions can be compared; ratios are medians of the repetitions.",
        ),
    )
