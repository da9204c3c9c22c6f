"""An HTML table as lines with bars, as Markdown writes it."""

from __future__ import annotations


class Table:
    """Collects the cells of one table; an inner table's cells belong to the cell that holds it."""

    def __init__(self) -> None:
        self._rows: list[list[str]] = []
        self._header = False

    def row(self) -> None:
        self._rows.append([])

    def cell(self, text: str, header: bool) -> None:
        if not self._rows:
            self.row()
        self._rows[-1].append(" ".join(text.split()))
        if header and len(self._rows) == 1:
            self._header = True

    def lines(self) -> list[str]:
        """The rows, a line under a first row of headings; no lines if all cells are empty."""
        rows = [row for row in self._rows if row]
        if not any(cell for row in rows for cell in row):
            return []
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        if self._header:
            lines.insert(1, "|" + " --- |" * len(rows[0]))
        return lines
