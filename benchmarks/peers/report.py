"""What was found, as a table and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.measure import Spread
from benchmarks.peers.measuring import Found, Row, Side
from benchmarks.sheet import Sheet

# CPU seconds below which a difference is noise.
_LEAST_S = 0.1
_NONE = "-"


def sheet(found: Found) -> Sheet:
    """Steps that were compared; those that were not are in the notes."""
    done = [row for row in found.rows if not row.error]
    return Sheet(
        "Stages beside the same steps of other projects",
        (
            "step",
            "beside",
            "documents\nin",
            "documents out\nhere, there",
            "MB out\nhere, there",
            "here\nMB/s/core",
            "there\nMB/s/core",
            "ratio",
            "without\nfixed",
            "fixed CPU s\nhere, there",
            "peak MB\nhere, there",
        ),
        tuple(map(_cells, done)),
        (
            "Here: the stage; there: the other project. MB: text in UTF-8. Rates by CPU seconds of"
            " all threads and children, reading and writing included, imports not: medians, with"
            " the smallest and largest. One worker, in turns, on the same input: for"
            " the first step the WET files, for all others the documents of these in Parquet. Both"
            " write Parquet with zstd, but for text-dedup. Ratio: CPU there by CPU here, run by"
            " run; above 1 the stage takes less; without fixed: the median of the same without what"
            " is fixed. Fixed: the CPU of the same on four short pages,"
            " included in all other figures. Peak: of the largest process; here"
            f" {found.idle_rss / 1e6:.0f} MB of it are imports of all stages at once.",
        ),
    )


def _cells(row: Row) -> tuple[str, ...]:
    ours, theirs = row.ours.runs[0], row.theirs.runs[0]
    return (
        row.title,
        f"{row.peer} {row.version}",
        f"{ours.documents_in:,}",
        f"{ours.documents_out:,}, {theirs.documents_out:,}",
        f"{ours.text_bytes_out / 1e6:.2f}, {theirs.text_bytes_out / 1e6:.2f}",
        _rate(row.text_bytes, row.ours),
        _rate(row.text_bytes, row.theirs),
        _spread(ratios(row, fixed=True)),
        _number(statistics.median(bare)) if (bare := ratios(row, fixed=False)) else _NONE,
        f"{row.ours.fixed:.2f}, {row.theirs.fixed:.2f}",
        f"{_peak(row.ours)}, {_peak(row.theirs)}",
    )


def ratios(row: Row, fixed: bool) -> list[float]:
    """CPU there by CPU here, run by run; none where, without what is fixed, noise is left."""
    ours = [run.cost.cpu_s - (0 if fixed else row.ours.fixed) for run in row.ours.runs]
    theirs = [run.cost.cpu_s - (0 if fixed else row.theirs.fixed) for run in row.theirs.runs]
    if not fixed and min(*ours, *theirs) < _LEAST_S:
        return []
    return [there / max(here, 1e-3) for here, there in zip(ours, theirs, strict=True)]


def _rate(text_bytes: int, side: Side) -> str:
    return _spread([text_bytes / 1e6 / max(run.cost.cpu_s, 1e-3) for run in side.runs])


def _spread(values: Sequence[float]) -> str:
    s = Spread.of(values)
    middle, low, high = map(_number, (s.median, s.low, s.high))
    return middle if low == high else f"{middle} ({low}-{high})"


def _number(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _peak(side: Side) -> str:
    return f"{max(run.cost.peak_rss for run in side.runs) / 1e6:.0f}"


def differences(found: Found) -> list[str]:
    return [f"{_name(row)}: {row.differs}" for row in found.rows if not row.error]


def _name(row: Row) -> str:
    return f"{row.title} (`{row.stage}`), {row.peer}"


def failures(found: Found) -> list[str]:
    return [f"{_name(row)}: {row.error}." for row in found.rows if row.error]


def markdown(found: Found) -> str:
    """The table with its notes, how the steps differ, and what could not be compared."""
    told = [sheet(found).markdown(), "### What differs in meaning\n", _listed(differences(found))]
    if failed := failures(found):
        told += ["### What could not be compared\n", _listed(failed)]
    return "\n".join(told)


def page(found: Found, about: str) -> str:
    return (
        "# Beside other projects\n\nWritten by `python -m benchmarks.peers --write`, which installs"
        " each project in a folder of its own below the cache folder, never into this project's"
        f" environment.\n\n{about}\n\n{markdown(found)}\n{_NOT_THERE}"
    )


def _listed(lines: Sequence[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


_NOT_THERE = """### What is not there

- text-dedup: version 0.4.0 from PyPI, since 0.4.1 wants Python 3.12. Only what its programs for
  exact hashes, lines and MinHash import is installed: it also declares pyspark, unisim, an old
  `fire` that has no wheel, and a rich and a urllib3 older than those it runs with here. It has no
  step for URLs, languages or rules.
- datatrove has no class for URLs alone in this version, and its rules of C4 no dedup of lines.
- cc_net is not on PyPI; `python -m benchmarks` has its steps as a plain loop over the same
  libraries.
"""
