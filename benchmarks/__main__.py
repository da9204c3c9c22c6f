"""`python -m benchmarks`: speed and memory of the stages, beside what the bare libraries need."""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks import ccnet_path, ceiling, data, growth, hotspots, kernels, plots, sheets, targets
from benchmarks import stages as measuring
from benchmarks.cases import DOCUMENT_STEPS, Case, cases
from benchmarks.measure import REPO, MeasureError, in_new_process
from benchmarks.sheets import Sheet

_PAGE = REPO / "docs" / "performance.md"
_PICTURES = REPO / "docs" / "performance"
_REMARKS = _PICTURES / "remarks.md"
_FLAMES = (*ccnet_path.STEPS, "tokens")


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
            found, pictures = measure(raw, folder, work, options)
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
        f"{sheets.machine()}. Data: {raw.name}, {len(raw.wet.large)} WET files"
        f"{' (copies)' if raw.wet.copied else ''}; {data.TIMES} times that for CCNet's path and for"
        " workers."
        f" {options.repeats} repetitions, {options.path_repeats} by workers."
        f" {sheets.load(load)}. It took {time.perf_counter() - started:.0f} s."
    )
    show(found, about)
    if options.write:
        _PICTURES.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            (_PICTURES / f"{name}.svg").write_text(picture, encoding="utf-8")
        _PAGE.write_text(page(found, about, [p.stem for p in sorted(_PICTURES.glob("*.svg"))]))
    return 0


def measure(
    raw: data.RawData, folder: Path | None, work: str, options: argparse.Namespace
) -> tuple[list[Sheet], dict[str, str]]:
    """All sheets, and the pictures (SVG) by name. `folder`: where further data may be."""
    say = measuring.to_stderr
    measuring.import_everything()
    steps = f"{work}/steps"
    found = cases(raw, steps, large=True)
    tiny = data.tiny(raw, Path(work, "raw"))
    little = cases(tiny, f"{work}/tiny", large=False)
    measured = measuring.beside_floors(
        *([c for c in some if c.name != "tokens"] for some in (found, little)), options.repeats, say
    )
    say("kernels")
    alone = kernels.measure(f"{steps}/commoncrawl", f"{steps}/line_dedup", options.repeats)
    times = len(raw.wet.large) * data.TIMES
    wet = growth.further(raw.wet.large, times, Path(work, "more"), growth.varied)
    say("hotspots")
    hot = hotspots.measure(options.repeats, folder) if folder and _has_more(folder) else []
    beside = ccnet_path.measure(
        wet.large,
        tiny.wet.small,
        f"{steps}/language_model",
        f"{work}/ccnet",
        options.path_repeats,
        say,
    )
    # The encoder's tables take half a second of any worker, so on much text.
    on_much = [c.reading(f"{work}/ccnet/here/perplexity") for c in found if c.name == "tokens"]
    measured += measuring.beside_floors(
        on_much, [c for c in little if c.name == "tokens"], options.path_repeats, say
    )
    start = {n: _start_up(f"{work}/start-{n}", n, options.repeats) for n in (1, options.workers)}
    pictures = _flames(found, work) if options.write else {}
    grown = growth.measure(raw, f"{work}/growth", say)
    path = [
        case
        for case in cases(replace(raw, wet=wet), f"{work}/path", large=True, models=steps)
        if case.name in DOCUMENT_STEPS
    ]
    runs: dict[int, list[measuring.PathRun]] = {1: [], options.workers: []}
    for i in range(options.path_repeats):
        for n, done in runs.items():
            say(
                f"the path with {n} worker{'s' if n > 1 else ''}: {i + 1} of {options.path_repeats}"
            )
            done.append(measuring.run_path(path, n))
    most = ceiling.measure(options.workers)
    aim = targets.CPU_RATIO
    pictures["ratios"] = plots.bars(
        "CPU of a step by that of its floor", sheets.ratios(measured), aim, f"{aim:g}"
    )
    for name, up, figures in (
        ("memory", "peak MB", {n: run.peak_rss for n, run in grown.runs.items()}),
        ("cpu", "CPU s in units", {n: run.cpu_s for n, run in grown.runs.items()}),
    ):
        scale = 1e-6 if name == "memory" else 1.0
        lines = {
            step: {float(n): row[step] * scale for n, row in figures.items() if row.get(step)}
            for step in grown.steps()
        }
        across = f"times {grown.text_bytes / 1e6:.1f} MB of text"
        pictures[name] = plots.lines(f"{up} with more data", across, up, lines, log=name == "cpu")
    aims = [
        *targets.ccnet(beside),
        *targets.floors(measured),
        *targets.workers(runs, start, most),
        *targets.kernels(alone),
        *targets.tokens(measured),
        *targets.hotspots(hot),
        *targets.memory(grown),
    ]
    return [
        targets.sheet(aims),
        sheets.beside_floors(measured, measuring.baseline()),
        sheets.ccnet(beside),
        sheets.kernels(alone),
        *([hotspots.sheet(hot)] if hot else []),
        sheets.where_time_goes(measured),
        sheets.growth(grown),
        sheets.workers(runs, start, most),
    ], pictures


def _start_up(work: str, workers: int, repeats: int) -> dict[str, float]:
    """Medians of the seconds that it takes to start."""
    runs = [
        in_new_process("benchmarks.start_up", f"{work}/{i}", str(workers)) for i in range(repeats)
    ]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _has_more(folder: Path) -> bool:
    """Whether there is data of other sources, too."""
    return any((folder / name).is_dir() for name in ("books", "arxiv"))


def _flames(found: Sequence[Case], work: str) -> dict[str, str]:
    """Flame graphs of the steps of CCNet's path, from their inputs below `work`."""
    pictures = {}
    for case in found:
        if case.name in _FLAMES:
            step = {**case.step.to_json(), "output": f"{work}/flame-{case.name}"}
            out = Path(work, f"{case.name}.svg")
            in_new_process("benchmarks.flame", json.dumps(step), str(out))
            pictures[f"flame-{case.name}"] = out.read_text(encoding="utf-8")
    return pictures


def show(found: list[Sheet], about: str) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(about, highlight=False)
    for sheet in found:
        console.print()
        console.print(sheet.rich())
        for note in sheet.notes:
            console.print(note, highlight=False)


def page(found: list[Sheet], about: str, pictures: Sequence[str]) -> str:
    """The page in Markdown; `pictures` are names of SVG files in the folder beside it."""
    head = (
        "# Performance\n\nWritten by `python -m benchmarks --write`; `make bench` measures the"
        f" machine at hand.\n\n{about}\n"
    )
    sheets_ = [sheet.markdown() for sheet in found]
    plain = [name for name in pictures if "flame" not in name]
    flames = [name for name in pictures if "flame" in name]
    if plain:
        sheets_.append("## Plots\n\n" + "\n".join(_picture(name) for name in plain))
    if flames:
        sheets_.append(
            "## Flame graphs\n\nWhere the CPU time of a step goes, by stack of Python functions;"
            " names show when the pointer rests on a box. Those that begin with `before` were taken"
            " of older versions, on the same data.\n\n"
            + "\n".join(_picture(name) for name in flames)
        )
    if _REMARKS.exists():
        sheets_.append(_REMARKS.read_text(encoding="utf-8"))
    return "\n".join([head, *sheets_])


def _picture(name: str) -> str:
    return f"![{name}]({_PICTURES.name}/{name}.svg)\n"


if __name__ == "__main__":
    raise SystemExit(main())
