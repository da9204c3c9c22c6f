"""A forecast as tables, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from pipeline.forecast import Forecast, SourceForecast
from pipeline.forecast_model import Figure, StepForecast

_SIGNS = {"linear": "", "grows": "", "bounded": "bounded", "once": "once"}
_LOW = " (too low)"
_UNITS = (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6))


def show(found: Forecast, console: Console) -> None:
    console.print(_sources(found))
    console.print(_steps(found))
    console.print(_totals(found))
    if found.crawl:
        each = found.crawl["cpu_hours_per_tb"]
        console.print(
            f"{found.crawl['source']} up to {found.crawl['steps'][-1]}: {_interval(each, _number)}"
            f" vCPU-hours per TB of uncompressed text, of which there are"
            f" {found.crawl['text_tb']:,.1f} TB; CCNet:"
            f" {found.crawl['ccnet_cpu_hours_per_tb']:,} ({_times(each.point, found)}; core-hours"
            " that were reserved, with download, and a language model for each of 48 languages)",
            highlight=False,
        )
    console.print("Assumptions")
    for text in found.assumptions:
        console.print(f"  - {text}", highlight=False, soft_wrap=True)


def _times(point: float, found: Forecast) -> str:
    if not point:
        return "nothing measured"
    ratio = found.crawl["ccnet_cpu_hours_per_tb"] / point
    return f"{ratio:.1f} times as many" if ratio >= 1 else f"{1 / ratio:.1f} times fewer"


def _sources(found: Forecast) -> Table:
    table = Table(title=f"{found.recipe}: sources at full size", title_justify="left")
    for name in (
        "source",
        "raw",
        "sampled",
        "documents",
        "text (paper's)",
        "tokens",
        "epochs (paper's)",
        "vCPU-hours",
    ):
        table.add_column(name, justify="left" if name == "source" else "right", no_wrap=True)
    for source in found.sources:
        table.add_row(
            source.name,
            _bytes(source.raw.bytes),
            " + ".join(_bytes(b) for b in source.sample_bytes)
            + ("" if source.own else " embedded"),
            _marked(source.at_most, _count(source.documents.point)),
            _marked(source.at_most, _interval(source.text, _bytes))
            + (f" ({_bytes(source.papers.disk_bytes)})" if source.papers else ""),
            _marked(source.at_most, _interval(source.tokens, _count)),
            _epochs(source),
            _interval(source.cpu_s * (1 / 3600), _number) + (" low" if source.cpu_too_low else ""),
        )
    return table


def _marked(at_most: bool, text: str) -> str:
    return f"≤ {text}" if at_most else text


def _epochs(source: SourceForecast) -> str:
    papers = f" ({source.papers.epochs:.2f})" if source.papers else ""
    least = "≥ " if source.at_most else ""
    return f"{least}{_number(source.epochs.point)}{papers}" if source.epochs.point else ""


def _steps(found: Forecast) -> Table:
    table = Table(title="steps at full size", title_justify="left")
    for name in ("step", "", "reads", "text out", "vCPU-hours", "disk", "shuffle", "memory/worker"):
        table.add_column(name, justify="left" if name in ("step", "") else "right", no_wrap=True)
    for step in found.steps:
        table.add_row(*_row(step))
    return table


def _row(step: StepForecast) -> tuple[str, ...]:
    return (
        step.name,
        " ".join(filter(None, ("≤" if step.at_most else "", _SIGNS[step.kind]))),
        _bytes(step.size.point),
        _interval(step.text_out, _bytes) if step.text_out.point else "",
        _interval(step.cpu_s * (1 / 3600), _number) + (_LOW if step.too_low else ""),
        _bytes(step.disk.point),
        _bytes(step.shuffle.point) if step.shuffle.point else "",
        _interval(step.memory, _bytes),
    )


def _totals(found: Forecast) -> Table:
    table = Table(title="the whole corpus", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    # What is read after an upper bound costs at most so much; what was left out costs more.
    low = any(s.too_low for s in found.steps)
    most = any(s.at_most for s in found.steps)
    for name, seconds in (
        ("vCPU-hours", found.cpu_s),
        (f"wall hours on {found.workers} cores", found.wall_s),
    ):
        shown = _interval(seconds * (1 / 3600), _number)
        table.add_row(name, f"{shown}{_LOW}" if low else _marked(most, shown))
    table.add_row("memory of a worker", _interval(found.memory, _bytes))
    table.add_row("memory of the process that runs a step", _interval(found.runner, _bytes))
    table.add_row("memory of the command", _interval(found.launcher, _bytes))
    table.add_row("bytes that units exchange", _marked(most, _interval(found.shuffle, _bytes)))
    table.add_row("disk that steps leave", _marked(most, _interval(found.disk, _bytes)))
    table.add_row(
        "more disk while a step runs, at most", _marked(most, _interval(found.scratch, _bytes))
    )
    tokens = sum((s.tokens.point for s in found.sources), 0.0)
    loose = any(s.at_most for s in found.sources)
    table.add_row("tokens", _marked(loose, _count(tokens)))
    return table


def _interval(value: Figure, shown: Any) -> str:
    low, point, high = shown(value.low), shown(value.point), shown(value.high)
    return point if low == high else f"{point} [{low} to {high}]"


def _bytes(value: float) -> str:
    for unit, size in _UNITS:
        if value >= size:
            return f"{value / size:,.1f} {unit}"
    return f"{value / 1e3:,.1f} kB"


def _count(value: float) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:,.1f}{unit}"
    return f"{value:,.0f}"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def to_json(found: Forecast) -> bytes:
    """All figures; intervals are [low, point, high]. CPU and wall in seconds, the rest in bytes."""
    return orjson.dumps(_plain(asdict(found)), option=orjson.OPT_INDENT_2) + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"small", "point", "large"}:
            return Figure(**value).to_json()
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
