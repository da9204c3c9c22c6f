"""`corpus verify` in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from pipeline.verify import Verified


def show(found: Verified, console: Console) -> None:
    if found.sources:
        console.print(_sources(found))
    for note in found.notes:
        console.print(note, highlight=False, soft_wrap=True)
    for warning in found.warnings:
        console.print(f"warning: {warning}", style="yellow", highlight=False, soft_wrap=True)
    for problem in found.problems:
        console.print(str(problem), style="red", highlight=False, soft_wrap=True)
    n = len(found.problems)
    console.print(
        f"{found.files:,} files, {found.bytes / 1e6:,.1f} MB read: "
        + (f"{n:,} problem{'s' if n != 1 else ''}" if n else "all as written"),
        highlight=False,
    )


def _sources(found: Verified) -> Table:
    table = Table(title="Token shards, train split", title_justify="left")
    table.add_column("source")
    for name in (
        "shards",
        "documents",
        "tokens",
        "bytes/token",
        "Table 1 implies",
        "unknown",
        "byte pieces",
    ):
        table.add_column(name, justify="right")
    for row in found.sources:
        table.add_row(
            row["source"],
            f"{row['shards']:,}",
            f"{row['documents']:,}",
            f"{row['tokens']:,}",
            _two(row["bytes_per_token"]),
            _two(row["paper_bytes_per_token"]),
            f"{row['unknown']:.4%}",
            f"{row['byte_pieces']:.4%}",
        )
    return table


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
