"""Runs stages and the steps of others in turns on the same files, each in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import data, stages
from benchmarks.measure import MeasureError, in_fork
from benchmarks.peers.comparisons import COMPARISONS, PROGRAMS, Comparison
from benchmarks.peers.program import Run, parse
from stages.dedup.lines import LINE_HASHES
from stages.engine.run import run_step
from stages.engine.step import Step
from stages.language.model import model_path
from tests.peers import environments
from tests.peers.environments import BrokenError, Peer, UnavailableError

_TIMEOUT_S = 3600
# Libraries that would otherwise take all cores for a single step.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Input:
    """The same pages as WET files, and as documents in Parquet."""

    wet: tuple[str, ...]
    documents: str


@dataclass
class Side:
    """Repeated runs of one step; `fixed`: CPU seconds of the same on four short pages."""

    runs: list[Run] = field(default_factory=list)
    fixed: float = 0.0

    def add(self, run: Run) -> None:
        """Raises MeasureError if the run did other work than those before."""
        if self.runs and run.work != self.runs[0].work:
            raise MeasureError(f"two runs did different work: {self.runs[0].work}, {run.work}")
        self.runs.append(run)


@dataclass
class Row:
    """A stage beside a step of another project. `error` says why there is nothing to compare.

    `text_bytes`: UTF-8 of the texts that the stage read.
    """

    title: str
    stage: str
    peer: str
    differs: str
    ours: Side
    theirs: Side = field(default_factory=Side)
    text_bytes: int = 0
    version: str = ""
    error: str = ""


@dataclass(frozen=True)
class Found:
    """All rows, and in words the data that they are about.

    `idle_rss`: bytes of a process that has imported all stages, and does nothing.
    """

    data: str
    repeats: int
    idle_rss: int
    rows: tuple[Row, ...]


def measure(
    raw: data.RawData,
    work: Path,
    repeats: int,
    files: int | None = None,
    chosen: Sequence[Comparison] = COMPARISONS,
    say: Callable[[str], None] = stages.to_stderr,
) -> Found:
    """Compares on the first `files` of the WET files of `raw`; all if none is given.

    What fails in the programs of others becomes the error of their rows.

    Raises:
        MeasureError: a stage failed.
    """
    stages.import_everything()
    wet = raw.wet.large[:files]
    large = prepare(wet, work / "large")
    small = prepare(data.tiny(raw, work / "raw").wet.small, work / "tiny")
    rows: list[Row] = []
    for comparison in chosen:
        rows += beside(comparison, large, small, work, repeats, say)
    copies = " (some are copies)" if raw.wet.copied else ""
    size = max((row.text_bytes for row in rows), default=0) / 1e6
    about = f"Data: {raw.name}, {len(wet)} WET files{copies}, {size:.1f} MB of text"
    return Found(about, repeats, stages.baseline().peak_rss, tuple(rows))


def prepare(wet: Sequence[str], work: Path) -> Input:
    """Documents of WET files: all of them, with no hashes of lines, which others cannot use."""
    raw, plain = work / "commoncrawl", work / "documents"
    run_step(Step("commoncrawl", "commoncrawl", str(raw), {"input": list(wet)}, {"min_chars": 0}))
    plain.mkdir()
    for path in sorted(raw.glob("part-*.parquet")):
        table = pq.read_table(path).drop_columns([LINE_HASHES])
        pq.write_table(table, plain / path.name, compression="zstd")
    return Input(tuple(wet), str(plain))


def beside(
    comparison: Comparison,
    large: Input,
    small: Input,
    work: Path,
    repeats: int,
    say: Callable[[str], None],
) -> list[Row]:
    """One row a peer; the runs of the stage, in turns with theirs, are those of all rows."""
    ours = Side()
    rows = [
        Row(comparison.title, comparison.stage, peer.name, differs, ours)
        for peer, differs in comparison.differs.items()
    ]
    ours.fixed = min(run_stage(comparison, small, work)[0].cost.cpu_s for _ in range(2))
    for i in range(repeats):
        say(f"{comparison.title}: {i + 1} of {repeats}")
        run, text_bytes = run_stage(comparison, large, work)
        ours.add(run)
        for row, peer in zip(rows, comparison.differs, strict=True):
            row.text_bytes = text_bytes
            if not row.error:
                _add(row, comparison, peer, large, small, work)
    return rows


def _add(
    row: Row, comparison: Comparison, peer: Peer, large: Input, small: Input, work: Path
) -> None:
    """One more run of a peer; whatever goes wrong is the row's error."""
    try:
        if not row.theirs.runs:
            costs = [run_peer(comparison, peer, small, work)[1].cost for _ in range(2)]
            row.theirs.fixed = min(cost.cpu_s for cost in costs)
        row.version, run = run_peer(comparison, peer, large, work)
        row.theirs.add(run)
        if run.documents_in != row.ours.runs[0].documents_in:
            read = row.ours.runs[0].documents_in
            raise MeasureError(f"it read {run.documents_in:,} documents, the stage {read:,}")
    except UnavailableError as error:
        row.error = str(error)
    except (BrokenError, MeasureError, ValueError, subprocess.TimeoutExpired) as error:
        # The last line of a traceback is the one that says what happened.
        row.error = (str(error).strip().splitlines() or [type(error).__name__])[-1]


def run_stage(comparison: Comparison, given: Input, work: Path) -> tuple[Run, int]:
    """A stage alone in a process, and the bytes of text that it read. Raises MeasureError."""
    inputs = list(given.wet) if comparison.name == "extract" else [given.documents]
    out = str(work / "ours")
    shutil.rmtree(out, ignore_errors=True)
    step = Step(
        comparison.stage, comparison.stage, out, {"input": inputs}, dict(comparison.settings)
    )
    manifest, cost = in_fork(lambda: run_step(step).manifest)
    counts = manifest.counts
    run = Run(cost, counts.documents_in, counts.documents_out, counts.text_bytes_out)
    return run, counts.text_bytes_in


def run_peer(comparison: Comparison, peer: Peer, given: Input, work: Path) -> tuple[str, Run]:
    """A peer's version, and a run of its step, alone in a process of its environment.

    Raises UnavailableError, BrokenError, ValueError, subprocess.TimeoutExpired.
    """
    out = work / "theirs"
    shutil.rmtree(out, ignore_errors=True)
    options: Mapping[str, Any] = {
        "wet": given.wet,
        "documents": given.documents,
        "model": str(model_path()),
        "out": str(out),
    }
    printed = environments.run(
        peer,
        PROGRAMS[peer.name],
        comparison.name,
        json.dumps(options),
        # Nothing is asked of a hub, and no cache of an earlier run is found.
        environment={**_ONE_THREAD, "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(out / "hub")},
        timeout_s=_TIMEOUT_S,
    )
    return parse(printed)
