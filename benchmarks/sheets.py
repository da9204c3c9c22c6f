"""The figures as tables, for the terminal and for `docs/performance.md`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.cases import DOCUMENT_STEPS, MODEL_STEPS
from benchmarks.ccnet_path import CcnetPath
from benchmarks.floors import FLOORS
from benchmarks.growth import MODELS_UP_TO, ROLES, Growth
from benchmarks.kernels import Kernel
from benchmarks.measure import Cost, Spread
from benchmarks.sheet import Sheet
from benchmarks.stages import Measured, PathRun

# CPU seconds below which a difference is noise.
_LEAST_S = 0.1
_PATH = (*DOCUMENT_STEPS, "tokens")


def beside_floors(measured: Sequence[Measured], base: Cost) -> Sheet:
    rows = []
    for m in measured:
        for floor, runs in m.floors.items():
            stage = [r.cost.cpu_s for r in m.stage]
            bare = [r.cost.cpu_s for r in runs]
            ratios = [s / b for s, b in zip(stage, bare, strict=True)]
            rows.append(
                (
                    floor,
                    _mb(m.text_bytes, 1),
                    _rates(m.text_bytes, stage),
                    _rates(m.text_bytes, bare),
                    _spread(ratios),
                    f"{m.fixed['']:.2f}",
                    _marginal(m, stage, floor, bare),
                    _mb(max(r.cost.peak_rss for r in m.stage)),
                    _mb(max(r.cost.peak_rss for r in runs)),
                )
            )
    return Sheet(
        "Stages beside their floors",
        (
            "step",
            "MB",
            "stage\nMB/s/core",
            "floor\nMB/s/core",
            "CPU\nratio",
            "fixed\nCPU s",
            "ratio\nwithout",
            "stage\npeak MB",
            "floor\npeak MB",
        ),
        tuple(rows),
        (
            "The floors are plain loops over the bare libraries on the same input: "
            + "; ".join(f"{f}: {FLOORS[f][1]}" for m in measured for f in m.floors)
            + ".",
            "MB: text (UTF-8) that the step's work is on; for `perplexity` and `language_model`"
            " that of the one language with a model, for `wikipedia` wikitext. MB/s/core: by CPU"
            " seconds of all threads and child processes, reading and writing included, imports"
            " not. Medians, with the smallest and largest of the repetitions; stage and floor ran"
            " in turns.",
            *(f"Not the same documents: {m.disagreement}." for m in measured if m.disagreement),
            "CPU ratio: all CPU of a step by that of its floor. It holds a fixed part, the CPU of"
            " the same step with four short pages (planning, Beam's pipeline, character tables,"
            " models), which a large corpus does not notice; the last ratio is without that of"
            f" either side (empty where less than {_LEAST_S:g} s of the floor is left). Below 1:"
            " the stage goes a faster way than the plain loop: `commoncrawl` hashes lines in"
            " batches, `language` scores documents in batches and reads all of one only where its"
            " beginning leaves doubt (the floor always does), `tokens` has the faster of two"
            " encoders, `wikipedia` a wikitext reader of its own. `tokenizer` and `tokens` also"
            " compare the fast encoder with SentencePiece, on shares of their texts.",
            f"Peak memory: largest process. A process with Beam and all libraries imported has"
            f" {_mb(base.peak_rss)} MB before it does anything; floors import what they use.",
        ),
    )


def ratios(measured: Sequence[Measured]) -> dict[str, float]:
    """By floor: CPU of the step by that of the floor, without what either costs with no data;
    with it where nearly all of the floor is that."""
    found = {}
    for m in measured:
        for floor, runs in m.floors.items():
            stage = statistics.median(r.cost.cpu_s for r in m.stage)
            bare = statistics.median(r.cost.cpu_s for r in runs)
            lasting = bare - m.fixed[floor]
            if lasting >= _LEAST_S:
                found[floor] = max(stage - m.fixed[""], 0.0) / lasting
            else:
                found[floor] = stage / bare
    return found


def where_time_goes(measured: Sequence[Measured]) -> Sheet:
    medians = {m.name: statistics.median(r.cost.cpu_s for r in m.stage) for m in measured}
    shares = _shares(measured, medians)
    rows = []
    for m in measured:
        cpu = medians[m.name]
        phases = {
            phase: statistics.median(r.by_phase.get(phase, 0.0) for r in m.stage) / cpu
            for phase in ("emit", "reduce", "process")
        }
        rows.append(
            (
                m.name,
                f"{cpu:.2f}",
                f"{shares[m.name]:.0%}" if m.name in shares else "",
                *(f"{share:.0%}" if share else "" for share in phases.values()),
                f"{max(0.0, 1 - sum(phases.values())):.0%}",
                f"{m.stage[0].documents_in:,}",
                f"{m.stage[0].documents_out:,}",
            )
        )
    return Sheet(
        "Where the time goes",
        (
            "step",
            "CPU s",
            "share of\nthe path",
            "emit",
            "reduce",
            "process",
            "outside\nunits",
            "documents\nin",
            "out",
        ),
        tuple(rows),
        (
            f"The path is {', '.join(_PATH)}: what every document of a crawl goes through."
            f" {' and '.join(MODEL_STEPS)} are bounded by their settings, whatever the size of the"
            " corpus, so they have no share in it. Some were measured on more documents than"
            " others; their shares are those of as many as reach them. Emit, reduce, process:"
            " phases of a step's own CPU; outside units: planning, Beam, digests, manifest.",
        ),
    )


def _shares(measured: Sequence[Measured], medians: Mapping[str, float]) -> dict[str, float]:
    """Share of the path's CPU by step; for a step that was measured on more documents than the
    first one left, or on fewer, of so much CPU as those of them that reach it would take."""
    cpu: dict[str, float] = {}
    reach = 0.0
    for m in sorted((m for m in measured if m.name in _PATH), key=lambda m: _PATH.index(m.name)):
        given, left = max(1, m.stage[0].documents_in), m.stage[0].documents_out
        reach = reach or given
        cpu[m.name] = medians[m.name] * reach / given
        # `tokens` is given what `perplexity` leaves: more than `select` does.
        reach *= left / given if m.name != "select" else 1.0
    total = sum(cpu.values())
    return {name: seconds / total for name, seconds in cpu.items()}


def growth(found: Growth) -> Sheet:
    sizes = sorted(found.runs)
    rows = []
    for step in found.steps():
        for role in ROLES:
            peaks = found.peaks(step, role)
            cells = [_mb(peaks[n]) if n in peaks else "" for n in sizes]
            times = f"{peaks[max(peaks)] / peaks[min(peaks)]:.2f}" if len(peaks) > 1 else ""
            rows.append((f"{step}: {role}", *cells, times))
    return Sheet(
        "Memory with more data",
        ("step: process", *(f"{n}x\npeak MB" for n in sizes), "growth"),
        tuple(rows),
        (
            f"1x: {_mb(found.text_bytes, 1)} MB of text. Peak memory of the largest worker, of the"
            " runner (Beam's local one, which holds what goes through GroupByKey) and of the"
            " launching process, two workers; a step's launcher is a fork of the measuring process,"
            " and holds its imports. Beyond the data given, pages come again with another host"
            " and a further word in each line, so that none is a duplicate. From"
            f" {max(n for n in sizes if n <= MODELS_UP_TO)}x on the models are those of 1x: their"
            " settings bound how much text they are trained on, which is more than there is here."
            " `tokens`: the encoder remembers words and starts afresh every 64 million characters,"
            " at some 100 MB for running text; a shard, which is merged in memory, has a million"
            " tokens here (268 million by default, 0.5 GB).",
        ),
    )


def kernels(found: Sequence[Kernel]) -> Sheet:
    rows = []
    for kernel in found:
        for way, seconds in kernel.seconds.items():
            rows.append(
                (
                    f"{kernel.name}: {way}",
                    _rates(kernel.text_bytes, seconds),
                    f"{kernel.ratio(way):.2f}",
                    f"{kernel.differ[way]:,} of {kernel.answers:,}",
                )
            )
    return Sheet(
        "Kernels",
        ("kernel", "MB/s/core", "times\nthe loop", "answers that\ndiffer"),
        tuple(rows),
        (
            "On texts in memory, in turns, CPU seconds of one process; the ratio is the median of"
            " the repetitions. Answers: hashes of lines; languages or reasons to reject.",
        ),
    )


def ccnet(found: CcnetPath) -> Sheet:
    def row(name: str, seconds: Sequence[float], ratios: Sequence[float]) -> tuple[str, ...]:
        return (
            name,
            f"{statistics.median(seconds):.2f}",
            _rates(found.text_bytes, seconds),
            f"{statistics.median(ratios):.2f}",
        )

    lasting = [s - found.fixed for s in found.here]
    once = [
        loop * ratio / whole
        for loop, ratio, whole in zip(found.loop, found.ratios_once, found.ratios, strict=True)
    ]
    rows = (
        row("plain loop, as cc_net goes", found.loop, [1.0]),
        row("plain loop that parses and hashes once", once, _times(found.loop, once)),
        row("here", found.here, found.ratios),
        row("here, without what is fixed", lasting, _times(found.loop, lasting)),
    )
    steps = {k: statistics.median(r[k] for r in found.steps) for k in found.steps[0]}
    kinds = {k: statistics.median(r[k] for r in found.kinds) for k in found.kinds[0]}
    differ = ", ".join(f"{name} {n}" for name, n in found.differ.items())
    return Sheet(
        "CCNet's path beside the plain loop",
        ("program", "CPU s", "MB/s/core", "times\nthe loop"),
        rows,
        (
            f"{found.documents:,} pages, {_mb(found.text_bytes, 1)} MB of text: parse, hash, dedup,"
            " language, and for one language SentencePiece with normalisation and KenLM, over the"
            " same libraries. The loop goes document by document; like CCNet's program it reads and"
            " hashes everything in each of two passes. It keeps all in memory, writes once, and has"
            " no rejects, counts or digests; the steps here write and read Parquet in between.",
            f"Fixed: {found.fixed:.2f} CPU s for the same steps with four short pages.",
            "CPU s of the loop: " + ", ".join(f"{k} {v:.2f}" for k, v in kinds.items()) + ".",
            "CPU s here: " + ", ".join(f"{k} {v:.2f}" for k, v in steps.items()) + ".",
            f"Of {found.decided:,} documents that the loop keeps, decided otherwise: {differ}.",
        ),
    )


def _times(loop: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(loop, other, strict=True)]


def workers(
    runs: Mapping[int, Sequence[PathRun]],
    start: Mapping[int, Mapping[str, float]],
    bounds: Sequence[float],
    title: str = "Workers",
) -> Sheet:
    numbers = sorted(runs)
    one, many = numbers[0], numbers[-1]
    rows = []
    for step in DOCUMENT_STEPS:
        seconds = {n: statistics.median(r.wall_s[step] for r in runs[n]) for n in numbers}
        rows.append(_scaling(step, [seconds[n] for n in numbers], seconds[one] / seconds[many]))
    totals = {n: statistics.median(r.documents_wall_s for r in runs[n]) for n in numbers}
    pairs = zip(runs[one], runs[many], strict=True)
    ratios = [a.documents_wall_s / b.documents_wall_s for a, b in pairs]
    rows.append(("all", *(f"{totals[n]:.1f}" for n in numbers), _spread(ratios)))
    size = _mb(runs[one][0].text_bytes_in["url_dedup"], 1)
    starts = "; ".join(
        f"{n} worker{'s' if n > 1 else ''}: {s['first_s']:.1f} s from the start of the program to"
        f" the end of a first step with one document, {s['step_s']:.2f} s for each further step"
        for n, s in sorted(start.items())
    )
    return Sheet(
        title,
        ("step", *(f"{n} worker{'s' if n > 1 else ''}\nwall s" for n in numbers), "times\nfaster"),
        tuple(rows),
        (
            f"The CommonCrawl path on {size} MB of text; with more than there is, pages come again"
            f" as in the table above. Start-up: {starts}.",
            f"{many} processes of a plain loop over texts in memory do {_spread(bounds)} times the"
            " work of one in the same time, in turns with these runs: about what this machine gives"
            " to so many.",
        ),
    )


def _scaling(name: str, seconds: Sequence[float], ratio: float) -> tuple[str, ...]:
    return (name, *(f"{s:.2f}" for s in seconds), f"{ratio:.2f}")


def _marginal(measured: Measured, stage: Sequence[float], floor: str, bare: Sequence[float]) -> str:
    """CPU ratio without what a step and its floor cost whatever the data."""
    above = statistics.median(stage) - measured.fixed[""]
    below = statistics.median(bare) - measured.fixed[floor]
    return f"{max(above, 0.0) / below:.2f}" if below >= _LEAST_S else ""


def _rates(size: int, seconds: Sequence[float]) -> str:
    return _spread([size / 1e6 / max(s, 1e-3) for s in seconds], 1)


def _spread(values: Sequence[float], digits: int = 2) -> str:
    s = Spread.of(values)
    if s.low == s.high:
        return f"{s.median:.{digits}f}"
    return f"{s.median:.{digits}f} ({s.low:.{digits}f}-{s.high:.{digits}f})"


def _mb(size: float, digits: int = 0) -> str:
    return f"{size / 1e6:.{digits}f}"
