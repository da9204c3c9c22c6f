"""A flame graph of a step: where its CPU time goes, by stack of Python functions.

    python -m benchmarks.flame STEP_AS_JSON OUT.svg

A signal comes every few milliseconds of CPU time; its handler notes which functions are at work,
and how much CPU time went by. Native code shows as the function that called it. Frames of the
engine around the stage are left out.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from xml.sax.saxutils import escape

EVERY_S = 0.001
_WIDTH, _ROW, _TOP = 1200, 17, 46
_LEAST = 0.4
_ENGINE = ("stages/engine/", "benchmarks/")
Stack = tuple[str, ...]


class Sampler:
    """Looks at the stack while it is entered; `stacks` has microseconds of CPU time by stack."""

    def __init__(self) -> None:
        self.stacks: Counter[Stack] = Counter()
        self._last = 0.0
        self._code: dict[Any, str] = {}

    def __enter__(self) -> Sampler:
        self._last = time.process_time()
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        return self

    def __exit__(self, *_: Any) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            code = frame.f_code
            if code not in self._code:
                self._code[code] = f"{_module(code.co_filename)}:{code.co_qualname}"
            if code is not Sampler._sample.__code__:
                stack.append(self._code[code])
            frame = frame.f_back
        now = time.process_time()
        self.stacks[tuple(reversed(stack))] += int((now - self._last) * 1e6)
        self._last = now


def _module(path: str) -> str:
    """The file as modules name it: below `site-packages`, the project, or by its name alone."""
    parts = Path(path).parts
    for root in ("site-packages", "stages", "benchmarks", "tokenizer"):
        if root in parts:
            at = len(parts) - 1 - parts[::-1].index(root)
            return "/".join(parts[at + (root == "site-packages") :])
    return Path(path).name


def of_the_stage(stacks: Counter[Stack]) -> Counter[Stack]:
    """Stacks from the first function of a stage on; all others together as `outside units`."""
    found: Counter[Stack] = Counter()
    for stack, count in stacks.items():
        start = next(
            (
                i
                for i, name in enumerate(stack)
                if name.startswith("stages/") and not name.startswith(_ENGINE)
            ),
            None,
        )
        work = next(
            (
                i
                for i, name in enumerate(stack)
                if name.endswith((".process", ".emit", ".reduce", ".process_with"))
                and name.startswith("stages/engine/")
                and "transforms" not in name
            ),
            None,
        )
        first = min(i for i in (start, work, len(stack)) if i is not None)
        found[stack[first:] or ("outside units",)] += count
    return found


@dataclass
class _Node:
    count: int = 0
    below: dict[str, _Node] = field(default_factory=dict)


def svg(stacks: Counter[Stack], title: str) -> str:
    """Boxes as wide as their share of the time; the callers are below."""
    root = _Node()
    for stack, count in stacks.items():
        node = root
        node.count += count
        for name in stack:
            node = node.below.setdefault(name, _Node())
            node.count += count
    deepest = max((len(stack) for stack in stacks), default=0)
    height = _TOP + _ROW * deepest + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}" font-family="monospace" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="20" font-size="14">{escape(title)}</text>',
        f'<text x="8" y="36" fill="#666">{root.count / 1e6:.2f} CPU s; callers below,'
        " what they call above</text>",
    ]
    _draw(root, 0.0, _WIDTH / max(root.count, 1), height - 8, root.count, parts)
    return "\n".join([*parts, "</svg>\n"])


def _draw(node: _Node, x: float, scale: float, bottom: float, total: int, parts: list[str]) -> None:
    for name, below in sorted(node.below.items()):
        width = below.count * scale
        if width >= _LEAST:
            short = name.rpartition(":")[2] if ":" in name else name
            text = escape(short[: max(0, int(width / 6.7) - 1)])
            parts.append(
                f"<g><title>{escape(name)}: {below.count / total:.1%}</title>"
                f'<rect x="{x:.1f}" y="{bottom - _ROW:.0f}" width="{width:.1f}" height="{_ROW - 1}"'
                f' fill="{_colour(name)}" rx="1"/>'
                f'<text x="{x + 3:.1f}" y="{bottom - 5:.0f}">{text}</text></g>'
            )
            _draw(below, x, scale, bottom - _ROW, total, parts)
        x += width


def _colour(name: str) -> str:
    """The project's own functions warm, libraries' cool."""
    shade = sum(name.encode()) % 40
    if name.startswith(("stages/", "tokenizer/")):
        return f"hsl({20 + shade // 2}, 85%, {62 + shade // 4}%)"
    return f"hsl({190 + shade}, 45%, {70 + shade // 4}%)"


def main(arguments: list[str]) -> None:
    from stages.engine.run import run_step
    from stages.engine.step import Step

    step, out = Step(**json.loads(arguments[0])), Path(arguments[1])
    run_step(step)  # Imports and tables are not what is to be seen.
    shutil.rmtree(step.output)
    with Sampler() as sampler:
        run_step(step)
    found = of_the_stage(sampler.stacks)
    out.write_text(svg(found, step.stage), encoding="utf-8")
    print(json.dumps({"cpu_s": sum(found.values()) / 1e6}))


if __name__ == "__main__":
    main(sys.argv[1:])
