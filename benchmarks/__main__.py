"""`python -m benchmarks`: speed and memory of the stages, beside what the bare libraries need."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks import data, sheets
from benchmarks import stages as measuring
from benchmarks.cases import DOCUMENT_STEPS, cases
from benchmarks.measure import REPO, MeasureError, in_new_process
from benchmarks.sheets import Sheet

_PAGE = REPO / "docs" / "performance.md"


def main() -> int:
    """Exit codes: 0 done, 1 something that was to be measured failed, 2 bad arguments or data."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        help="folder with WET files and Wikipedia dumps [default: $LLAMA_CORPUS_DATA, shared/data"
        " beside the project, or else the embedded sample]",
    )
    parser.add_argument("--sample", action="store_true", help="the embedded sample in any case")
    parser.add_argument("--repeats", type=int, default=3, help="of each stage and floor [3]")
    parser.add_argument("--path-repeats", type=int, default=2, help="of the path by workers [2]")
    parser.add_argument("--workers", type=int, default=2, help="compared with one worker [2]")
    parser.add_argument("--write", action="store_true", help="also write docs/performance.md")
    options = parser.parse_args()
    if min(options.repeats, options.path_repeats) < 1 or options.workers < 2:
        parser.error("at least one repetition, and two workers")

    logging.getLogger().setLevel(logging.ERROR)
    started = time.perf_counter()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        folder = None if options.sample else options.data or data.default_folder()
        try:
            raw = data.find(folder, Path(work))
            found = measure(raw, work, options)
        except FileNotFoundError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except MeasureError as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 1
    about = (
        f"{sheets.machine()}. Data: {raw.name}, {len(raw.wet.small)} WET files, for four times"
        f" the data {len(raw.wet.large)}{' (copies)' if raw.wet.copied else ''}."
        f" {options.repeats} repetitions, {options.path_repeats} by workers."
        f" {sheets.load(load)}. It took {time.perf_counter() - started:.0f} s."
    )
    show(found, about)
    if options.write:
        _PAGE.write_text(page(found, about))
    return 0


def measure(raw: data.RawData, work: str, options: argparse.Namespace) -> list[Sheet]:
    say = measuring.to_stderr
    measuring.import_everything()
    small = f"{work}/small"
    measured = measuring.beside_floors(
        cases(raw, small, large=False),
        cases(data.tiny(raw, Path(work, "raw")), f"{work}/tiny", large=False),
        options.repeats,
        say,
    )
    start = {
        n: in_new_process("benchmarks.start_up", f"{work}/start-{n}", str(n))
        for n in (1, options.workers)
    }
    everything = cases(raw, f"{work}/large", large=True)
    path = [
        case
        for case in cases(raw, f"{work}/path", large=True, models=small)
        if case.name in DOCUMENT_STEPS
    ]
    say("everything with four times the data")
    grown = measuring.run_path(everything, 1)
    shutil.rmtree(f"{work}/large")
    runs: dict[int, list[measuring.PathRun]] = {1: [], options.workers: []}
    for i in range(options.path_repeats):
        for n, done in runs.items():
            say(
                f"the path with {n} worker{'s' if n > 1 else ''}: {i + 1} of {options.path_repeats}"
            )
            done.append(measuring.run_path(path, n))
    return [
        sheets.beside_floors(measured, measuring.baseline()),
        sheets.where_time_goes(measured),
        sheets.memory(measured, grown),
        sheets.workers(runs, start),
    ]


def show(found: list[Sheet], about: str) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(about, highlight=False)
    for sheet in found:
        console.print()
        console.print(sheet.rich())
        for note in sheet.notes:
            console.print(note, highlight=False)


def page(found: list[Sheet], about: str) -> str:
    head = (
        "# Performance\n\nWritten by `python -m benchmarks --write`; `make bench` measures the"
        f" machine at hand.\n\n{about}\n"
    )
    return "\n".join([head, *(sheet.markdown() for sheet in found)])


if __name__ == "__main__":
    raise SystemExit(main())
