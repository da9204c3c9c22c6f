"""`python -m benchmarks`: speed and memory of the stages, beside what the bare libraries need."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import (
    ccnet_path,
    ceiling,
    command,
    data,
    growth,
    hotspots,
    kernels,
    plots,
    references,
    sheets,
    targets,
)
from benchmarks import stages as measuring
from benchmarks.cases import DOCUMENT_STEPS, Case, cases
from benchmarks.machine import Conditions, machine
from benchmarks.measure import REPO, in_new_process
from benchmarks.sheet import Sheet, show

_PAGE = REPO / "docs" / "performance.md"
_PICTURES = REPO / "docs" / "performance"
_REMARKS = _PICTURES / "remarks.md"
# On more text than the others, of this step of CCNet's path: dedup and `select` take next to no
# time, and each process of the other two loads and checks an encoder, for half a second.
# (`tokenizer` reads what `select` leaves.)
_ON_MUCH = {
    "url_dedup": "commoncrawl",
    "document_dedup": "commoncrawl",
    "line_dedup": "commoncrawl",
    "select": "perplexity",
    "tokenizer": "",
    "tokens": "perplexity",
}
_FIRST = DOCUMENT_STEPS.index("line_dedup") + 1
_FLAMES = (*ccnet_path.STEPS, "tokens")


def main() -> int:
    """Exit codes: those of `benchmarks.command`."""
    parser = command.Parser("benchmarks", __doc__)
    parser.raw_data(
        "folder with WET files and Wikipedia dumps [default: $LLAMA_CORPUS_DATA, shared/data beside"
        " the project, or else the embedded sample]"
    )
    parser.repeats(3, "of each stage and floor")
    parser.repeats(2, "of the path by workers", "--path-repeats")
    parser.add_argument(
        "--workers", type=command.number(2), default=2, help="compared with one worker [2]"
    )
    parser.page("docs/performance.md")
    options = parser.parse_args()
    return command.run(lambda: report(options))


def report(options: argparse.Namespace) -> None:
    """Measures, prints, and writes if it is to. Raises FileNotFoundError, MeasureError."""
    conditions, folder = Conditions(), command.folder_of(options)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        raw = data.find(folder, Path(work))
        found, pictures = measure(raw, folder, work, options)
    about = (
        f"{machine()}. Data: {raw.name}, {len(raw.wet.large)} WET files"
        f"{' (copies)' if raw.wet.copied else ''}; {data.TIMES} times that for CCNet's path, dedup,"
        " `select`, `tokenizer` and `tokens`, and up"
        f" to {data.TIMES**2} times for workers."
        f" {options.repeats} repetitions, quick ones more; {options.path_repeats} by workers."
        f" {conditions}"
    )
    show(found, about)
    if options.write:
        _PICTURES.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            (_PICTURES / f"{name}.svg").write_text(picture, encoding="utf-8")
        _PAGE.write_text(page(found, about, [p.stem for p in sorted(_PICTURES.glob("*.svg"))]))


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
    most, on_much = _parted(found)
    least, least_of_much = _parted(little)
    for case in (*found[:_FIRST], *little[:_FIRST]):
        measuring.run_stage(case.step)  # Others read what these leave.
    measured = measuring.beside_floors(most, least, options.repeats, say)
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
    on_much = [
        c.reading(f"{work}/ccnet/here/{_ON_MUCH[c.name]}") if _ON_MUCH[c.name] else c
        for c in on_much
    ]
    measured += measuring.beside_floors(on_much, least_of_much, options.path_repeats, say)
    order = [c.name for c in found]
    measured.sort(key=lambda m: order.index(m.name))
    start = {n: _start_up(f"{work}/start-{n}", n, options.repeats) for n in (1, options.workers)}
    pictures = _flames(found, work) if options.write else {}
    grown = growth.measure(raw, f"{work}/growth", say)
    runs: dict[int, dict[int, list[measuring.PathRun]]] = {}
    # In turns with the runs: what a machine gives to two processes changes from minute to minute.
    bounds: dict[int, list[float]] = {}
    for more in (data.TIMES, data.TIMES**2):
        if more > data.TIMES:
            times = len(raw.wet.large) * more
            wet = growth.further(raw.wet.large, times, Path(work, f"more-{more}"), growth.varied)
        path = [
            case
            for case in cases(replace(raw, wet=wet), f"{work}/path", large=True, models=steps)
            if case.name in DOCUMENT_STEPS
        ]
        runs[more] = {1: [], options.workers: []}
        bounds[more] = []
        for i in range(options.path_repeats):
            for n, done in runs[more].items():
                say(
                    f"{more} times the data by {n} worker{'s' if n > 1 else ''}:"
                    f" {i + 1} of {options.path_repeats}"
                )
                done.append(measuring.run_path(path, n))
            bounds[more].append(ceiling.measure(options.workers))
        shutil.rmtree(f"{work}/path")
    aim = targets.CPU_RATIO
    pictures["ratios"] = plots.bars(
        "CPU of a step by that of its floor", sheets.ratios(measured), aim, f"{aim:g}"
    )
    across = f"times {grown.text_bytes / 1e6:.1f} MB of text"
    for role, name in (("worker", "memory"), ("runner", "memory-runner")):
        peaks = {
            step: {float(n): size / 1e6 for n, size in grown.peaks(step, role).items()}
            for step in grown.steps()
        }
        if any(peaks.values()):
            title = f"peak MB of {role}s with more data"
            known = {step: points for step, points in peaks.items() if points}
            pictures[name] = plots.lines(title, across, "peak MB", known)
    cpu = {
        step: {float(n): seconds for n, seconds in grown.cpu(step).items() if seconds}
        for step in grown.steps()
    }
    up = "CPU s in units"
    pictures["cpu"] = plots.lines(f"{up} with more data", across, up, cpu, log=True)
    aims = [
        *targets.ccnet(beside),
        *targets.floors(measured),
        *targets.workers(runs, start, bounds),
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
        *(
            sheets.workers(some, start, bounds[times], f"Workers, {times} times the data")
            for times, some in runs.items()
        ),
    ], pictures


def _parted(found: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """The cases that are measured on the data given, and those on more."""
    much = [c for c in found if c.name in _ON_MUCH]
    return [c for c in found if c not in much], much


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


def page(found: list[Sheet], about: str, pictures: Sequence[str]) -> str:
    """The page in Markdown; `pictures` are names of SVG files in the folder beside it."""
    head = (
        "# Performance\n\nWritten by `python -m benchmarks --write`; `make bench` measures the"
        f" machine at hand.\n\n{about}\n"
    )
    sheets_ = [sheet.markdown() for sheet in found]
    if references.SECTION.exists():
        sheets_.append(references.SECTION.read_text(encoding="utf-8"))
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
