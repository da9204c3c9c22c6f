"""A table of figures, for the terminal and for Markdown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Sheet:
    """A table: the first column holds words, the others figures. Some names have two lines."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def rich(self) -> Table:
        table = Table(title=self.title, title_justify="left", caption_justify="left")
        for i, name in enumerate(self.columns):
            table.add_column(name, justify="right" if i else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        head = [name.replace("\n", " ") for name in self.columns]
        lines = [head, ["---", *["--:"] * (len(head) - 1)], *self.rows]
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return "\n\n".join([f"## {self.title}", body, *self.notes]) + "\n"


def show(found: Sequence[Sheet], about: str = "", width: int = 200) -> None:
    """Prints sheets under a line about them; `width`: columns where there is no terminal."""
    console = Console() if sys.stdout.isatty() else Console(width=width)
    if about:
        console.print(about, highlight=False)
    for i, sheet in enumerate(found):
        if about or i:
            console.print()
        console.print(sheet.rich())
        for note in sheet.notes:
            console.print(note, highlight=False)
