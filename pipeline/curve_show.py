"""A curve in a terminal, as JSON and as a drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import escape

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.curve import Curve, Group, Point
from pipeline.curve_counts import Kept
from stages.documents import printable
from stages.engine.step import plain


def show(curve: Curve, title: str, console: Console) -> None:
    """Prints a table per group, and under it the documents at each boundary.

    Texts, ids and names come from the crawl: control characters are shown as U+FFFD.
    """
    ask = curve.ask
    side = "at least" if ask.cut.keeps_above else "at most"
    lines = [
        f"{title}: what `{ask.cut.setting}` keeps, {side} the threshold",
        f"documents in: {curve.documents_in:,} ({curve.text_bytes_in / 1e6:,.2f} MB of text)",
    ]
    if curve.left:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in curve.left.items())
        lines.append(f"out by other thresholds, so not in the curve: {reasons}")
    if ask.ignore:
        lines.append(f"lifted: {', '.join(ask.ignore)}")
    if ask.score == "perplexity" and curve.settings.buckets and "buckets" not in ask.ignore:
        names = ", ".join(curve.settings.buckets)
        lines.append(f"buckets ({names}) stand: --ignore buckets shows what lies beyond them")
    lines.append(f"tokens: {curve.tokens_how}{_ratios(curve)}")
    for line in lines:
        _say(console, line)
    if not curve.groups:
        _say(console, "no document passes the other thresholds")
    for group in curve.groups:
        console.print(_table(curve, group))
        if group.without_score.documents:
            _say(console, f"without a score: {group.without_score.documents:,} documents")
        for point in group.points:
            for sample in point.samples:
                verdict = "kept" if sample.kept else "out "
                _say(
                    console,
                    f"  at {_number(point.threshold)}: {sample.score:.6g} {verdict}"
                    f"  {sample.id}  {sample.url or ''}\n    {printable(sample.text)}",
                )


def _say(console: Console, text: str) -> None:
    clean = "\n".join(printable(line) for line in text.split("\n"))
    console.print(Text(clean), soft_wrap=True)


def _ratios(curve: Curve) -> str:
    """What the estimates are made from; empty where there are none."""
    if not any(p.kept.estimated for g in curve.groups for p in g.points):
        return ""
    ratios = [f"{name} {ratio:.2f}" for name, ratio in curve.bytes_per_token.items()]
    if curve.other_bytes_per_token is None:
        return ""
    ratios.append(f"any other language {curve.other_bytes_per_token:.2f}")
    return f"; elsewhere (marked ~) estimated from bytes a token: {', '.join(ratios)}"


def _table(curve: Curve, group: Group) -> Table:
    title = f"language {group.language}" if group.language is not None else None
    table = Table(title=Text(printable(title)) if title else None, title_justify="left")
    for name in (curve.ask.cut.setting, "documents", "%", "text MB", "%", "tokens", "%"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    whole = group.points[-1].kept
    for point in group.points:
        kept = point.kept
        about = "~" if kept.estimated else ""
        table.add_row(
            _number(point.threshold),
            f"{kept.documents:,}",
            _percent(kept.documents, whole.documents),
            f"{kept.text_bytes / 1e6:,.2f}",
            _percent(kept.text_bytes, whole.text_bytes),
            "" if kept.tokens is None else f"{about}{kept.tokens:,}",
            _percent(kept.tokens, whole.tokens),
            ", ".join(m for m in point.marks if m != "off"),
            style="bold" if "now" in point.marks else None,
        )
    return table


def _number(threshold: float | None) -> str:
    if threshold is None:
        return "off"
    return f"{threshold:,.10g}"


def _percent(part: int | None, whole: int | None) -> str:
    if part is None or not whole:
        return ""
    return f"{part / whole:.1%}"


def to_json(curve: Curve, step: str) -> bytes:
    """`as_json` as the bytes that are printed."""
    return orjson.dumps(as_json(curve, step), option=orjson.OPT_INDENT_2) + b"\n"


def as_json(curve: Curve, step: str) -> dict[str, Any]:
    """The curve as plain data; `threshold` null: off. Shares are of what is kept when it is off."""
    ask = curve.ask
    return {
        "step": step,
        "score": ask.score,
        "setting": ask.cut.setting,
        "keeps": "at or above" if ask.cut.keeps_above else "at or below",
        "settings": plain(curve.settings),
        "ignored": list(ask.ignore),
        "documents_in": curve.documents_in,
        "text_bytes_in": curve.text_bytes_in,
        "left_by_other_thresholds": curve.left,
        "bytes_per_token": curve.bytes_per_token,
        "other_bytes_per_token": curve.other_bytes_per_token,
        "tokens": curve.tokens_how,
        "groups": [
            {
                "language": group.language,
                "without_score": vars(group.without_score),
                "points": [_point(point, group.points[-1].kept) for point in group.points],
            }
            for group in curve.groups
        ],
    }


def _point(point: Point, whole: Kept) -> dict[str, Any]:
    names = ("documents", "text_bytes", "tokens")
    pairs = {name: (getattr(point.kept, name), getattr(whole, name)) for name in names}
    return {
        "threshold": point.threshold,
        **vars(point.kept),
        "shares": {
            n: round(a / b, 6) if a is not None and b else None for n, (a, b) in pairs.items()
        },
        "marks": list(point.marks),
        "samples": [
            {
                "id": printable(sample.id),
                "score": sample.score,
                "kept": sample.kept,
                "url": None if sample.url is None else printable(sample.url),
                "text": printable(sample.text),
            }
            for sample in point.samples
        ],
    }


# -- the drawing ----------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _MARGIN = 720, 320, 56
_LINES = (("documents", "#1b6ca8"), ("text_bytes", "#c7522a"), ("tokens", "#4f772d"))


def svg(curve: Curve, title: str) -> str:
    """Shares kept against the threshold, a panel per group; a file of its own, without scripts."""
    groups = [g for g in curve.groups if any(p.threshold is not None for p in g.points)]
    height = _HEIGHT * max(1, len(groups))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for i, group in enumerate(groups):
        name = f"{title}, {group.language}" if group.language is not None else title
        parts += [
            f'<g transform="translate(0 {i * _HEIGHT})">',
            *_panel(curve, group, name),
            "</g>",
        ]
    return "\n".join([*parts, "</svg>", ""])


def _panel(curve: Curve, group: Group, title: str) -> Iterator[str]:
    points = [p for p in group.points if p.threshold is not None]
    whole = group.points[-1].kept
    values = [p.threshold for p in points if p.threshold is not None]
    low, high = min(values), max(values)

    def x(value: float) -> float:
        return _MARGIN + (value - low) / ((high - low) or 1.0) * (_WIDTH - 2 * _MARGIN)

    def y(share: float) -> float:
        return _HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN)

    yield f'<text x="{_MARGIN}" y="24" font-size="14">{escape(printable(title))}</text>'
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield (
            f'<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{y(share):.1f}" y2="{y(share):.1f}"'
            ' stroke="#ddd"/>'
            f'<text x="{_MARGIN - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        )
    for value, anchor in ((low, "start"), (high, "end")):
        yield (
            f'<text x="{x(value):.1f}" y="{_HEIGHT - _MARGIN + 18}" text-anchor="{anchor}">'
            f"{_number(value)}</text>"
        )
    for point in points:
        if point.marks and point.threshold is not None:
            at = f"{x(point.threshold):.1f}"
            yield (
                f'<line x1="{at}" x2="{at}" y1="{y(0):.1f}" y2="{y(1):.1f}" stroke="#888"'
                ' stroke-dasharray="4 3"/>'
                f'<text x="{at}" y="{y(1) - 6:.1f}" text-anchor="middle">'
                f"{escape(', '.join(point.marks))}</text>"
            )
    for place, (name, colour) in enumerate(_LINES):
        total = getattr(whole, name)
        line = _line(points, name, total, x, y)
        if line:
            yield f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{line}"/>'
            yield (
                f'<text x="{_MARGIN + 110 * place}" y="{_HEIGHT - 10}" fill="{colour}">'
                f"{name.replace('_', ' ')}</text>"
            )
    yield (
        f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 10}" text-anchor="end">'
        f"{curve.ask.cut.setting}</text>"
    )


def _line(points: Sequence[Point], name: str, total: int | None, x: Any, y: Any) -> str:
    if not total:
        return ""
    known = [(p.threshold, getattr(p.kept, name)) for p in points]
    return " ".join(f"{x(t):.1f},{y(n / total):.1f}" for t, n in known if n is not None)
