"""Plots for the page of results, as SVG: lines over a doubling axis, and bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 190, 44, 52
_COLOURS = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
    "#393b79",
)
_TEXT = 'font-family="sans-serif" font-size="12"'
_BAR = 22


def lines(
    title: str, across: str, up: str, found: Mapping[str, Mapping[float, float]], log: bool = False
) -> str:
    """Lines by name over x values that double; the y axis starts at zero, or is logarithmic."""
    xs = sorted({x for points in found.values() for x in points})
    ys = [y for points in found.values() for y in points.values()]
    low = min(ys) if log else 0.0
    high = max(ys)
    ticks = _powers(low, high) if log else _ticks(high)
    low, high = (ticks[0], ticks[-1])

    def x_at(x: float) -> float:
        span = math.log2(xs[-1] / xs[0]) or 1.0
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log2(x / xs[0]) / span

    def y_at(y: float) -> float:
        share = math.log(y / low) / math.log(high / low) if log else y / high
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    parts = [_label(_LEFT, 24, title, "font-weight='bold'")]
    for tick in ticks:
        y = y_at(tick)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "#ddd"))
        parts.append(_label(_LEFT - 8, y + 4, f"{tick:g}", "text-anchor='end'"))
    for x in xs:
        parts.append(_label(x_at(x), _HEIGHT - _BOTTOM + 18, f"{x:g}", "text-anchor='middle'"))
    parts.append(_label(_LEFT, _HEIGHT - 12, across))
    parts.append(_label(8, _TOP - 6, up))
    ends = _apart([(y_at(points[max(points)]), name) for name, points in found.items()])
    for i, (name, points) in enumerate(found.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in sorted(points.items()))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="2.5" fill="{colour}"/>'
            for x, y in sorted(points.items())
        ]
        parts.append(_label(_WIDTH - _RIGHT + 12, ends[name] + 4, name, f"fill='{colour}'"))
    return _svg(_WIDTH, _HEIGHT, parts)


def bars(title: str, found: Mapping[str, float], mark: float, what: str) -> str:
    """Horizontal bars with their values, and a line at `mark`, which `what` explains."""
    height = _TOP + _BAR * len(found) + 30
    high = max([*found.values(), mark]) * 1.05
    left, right = 190, 70

    def x_at(value: float) -> float:
        return left + (_WIDTH - left - right) * value / high

    parts = [_label(8, 24, title, "font-weight='bold'")]
    for i, (name, value) in enumerate(found.items()):
        y = _TOP + _BAR * i
        colour = _COLOURS[2] if value <= mark else _COLOURS[1]
        width = max(x_at(value) - left, 1.0)
        parts.append(_label(left - 8, y + 15, name, "text-anchor='end'"))
        parts.append(
            f'<rect x="{left}" y="{y + 3}" width="{width:.1f}" height="{_BAR - 6}"'
            f' fill="{colour}"/>'
        )
        parts.append(_label(x_at(value) + 6, y + 15, f"{value:.2f}"))
    bottom = _TOP + _BAR * len(found)
    parts.append(_line(x_at(mark), _TOP, x_at(mark), bottom, "#333"))
    parts.append(_label(x_at(mark), bottom + 18, what, "text-anchor='middle'"))
    return _svg(_WIDTH, height, parts)


def _apart(wanted: Sequence[tuple[float, str]], least: float = 14.0) -> dict[str, float]:
    """Heights of labels near where they belong, none over another."""
    placed: dict[str, float] = {}
    above = -math.inf
    for y, name in sorted(wanted):
        above = max(y, above + least)
        placed[name] = above
    return placed


def _ticks(high: float, about: int = 6) -> list[float]:
    """Round numbers from zero to a little above `high`."""
    step = 10.0 ** math.floor(math.log10(high / about)) if high > 0 else 1.0
    step *= next((n for n in (1, 2, 5, 10) if high / (step * n) <= about), 10)
    return [step * i for i in range(math.ceil(high / step) + 1)]


def _powers(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**n for n in range(first, max(last, first + 1) + 1)]


def _label(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {_TEXT} {more}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])
