"""`python -m benchmarks.loss_curve RUN OUT.svg`: a training log as a picture.

Training loss by step, and the held-out loss of each source where it was evaluated.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks import command
from trainer_min.log import read_log

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 30, 50
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8e5ea2", "#b07d2b", "#4f6d7a", "#a23b72", "#2a9d8f")

Points = list[tuple[float, float]]


def curves(run: Path) -> dict[str, Points]:
    """(step, nats a token) by name; raises ValueError if nothing was logged."""
    found: dict[str, Points] = defaultdict(list)
    for record in read_log(run / "log.jsonl"):
        if record["kind"] == "step":
            found["training"].append((record["step"], record["loss"]))
        elif record["kind"] == "eval":
            for source, loss in record["held_out"].items():
                found[f"held out: {source}"].append((record["step"], loss))
    if not found:
        raise ValueError(f"{run}: no steps in log.jsonl")
    return dict(found)


def svg(lines: dict[str, Points], title: str) -> str:
    """The picture: linear axes, a legend at the right."""
    last = max(x for points in lines.values() for x, _ in points)
    low = min(y for points in lines.values() for _, y in points)
    high = max(y for points in lines.values() for _, y in points)
    low, high = int(low), int(high) + 1

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * x / max(1, last),
            TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
        f' viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>',
    ]
    for value in range(low, high + 1):
        _, y = place(0, value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>'
        )
    for i in range(6):
        x, y = place(last * i / 5, low)
        parts.append(
            f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{last * i / 5:.0f}</text>'
        )
    x, y = place(last / 2, low)
    parts.append(f'<text x="{x:.1f}" y="{y + 38:.1f}" text-anchor="middle">step</text>')
    parts.append(f'<text x="14" y="{TOP - 4}">nats a token</text>')
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in (place(*point) for point in points))
        wide = 1.6 if number == 0 else 1.2
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{wide}"/>'
        )
        if number:
            parts += [
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>'
                for a, b in (place(*point) for point in points)
            ]
        top = TOP + 18 * number + 10
        parts.append(
            f'<line x1="{WIDTH - RIGHT + 12}" x2="{WIDTH - RIGHT + 32}" y1="{top}" y2="{top}"'
            f' stroke="{colour}" stroke-width="2"/>'
            f'<text x="{WIDTH - RIGHT + 38}" y="{top + 4}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> int:
    """Exit codes: those of `benchmarks.command`."""
    parser = command.Parser("benchmarks.loss_curve", __doc__)
    parser.add_argument("run", type=Path, help="folder of a training run, with log.jsonl")
    parser.add_argument("out", type=Path, help="the picture (SVG)")
    options = parser.parse_args()

    def work() -> None:
        run = options.run
        options.out.write_text(svg(curves(run), f"{run.name}: loss by step"), encoding="utf-8")

    return command.run(work, ValueError)


if __name__ == "__main__":
    raise SystemExit(main())
