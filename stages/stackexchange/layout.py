"""Blocks of text under one another: indents of lists, marks of quotes, blank lines between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Deeper containers add no further indent, so that output is linear in its input.
_MAX_DEPTH = 16


@dataclass(slots=True)
class _Container:
    """A quote or list item: what stands before its first line, and before all others (the same
    for quotes)."""

    marker: str
    rest: str
    used: bool = False


class Layout:
    """Collects blocks. Between two blocks stand as many line ends as the larger wish of both."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._stack: list[_Container] = []
        self._gap = 0

    def text(self) -> str:
        return "\n".join(self._lines).strip("\n")

    def part(self, gap: int) -> None:
        """At least `gap` line ends before the next block; 2 make a blank line. Not between a list
        item's marker and its first block."""
        inner = self._stack[-1] if self._stack else None
        if inner is None or inner.used or inner.marker == inner.rest:
            self._gap = max(self._gap, gap)

    def part_exactly(self, gap: int) -> None:
        self._gap = gap

    def open(self, marker: str, rest: str) -> None:
        """Begins a quote or list item."""
        self._stack.append(_Container(marker, rest))

    def close(self) -> None:
        if self._stack:
            self._stack.pop()

    def add(self, lines: Sequence[str]) -> None:
        """Adds a block of lines."""
        if self._lines:
            blank = self._blank()
            self._lines.extend([blank] * (self._gap - 1))
        containers = self._stack[:_MAX_DEPTH]
        first = "".join(c.rest if c.used else c.marker for c in containers)
        for c in self._stack:
            c.used = True
        rest = "".join(c.rest for c in containers)
        for i, line in enumerate(lines):
            line = (rest if i else first) + line
            self._lines.append(line if line.strip(" ") else "")
        self._gap = 1

    def _blank(self) -> str:
        """The line between two blocks: with the marks of the quotes that hold both."""
        marks = ""
        for c in self._stack[:_MAX_DEPTH]:
            if not c.used:
                break
            marks += c.rest
        return marks.rstrip()
