"""The slice of real books that two kernels work on."""

from __future__ import annotations

from pathlib import Path

from stages.books.reader import BooksReader
from stages.outcomes import Document, Tally

_SLICE_BYTES = 8_000_000


def books(folder: Path) -> list[str]:
    """Texts of the first books, by name of the archive."""
    texts: list[str] = []
    size = 0
    for path in sorted((folder / "books").glob("*.zip")):
        with path.open("rb") as stream:
            for outcome in BooksReader()(stream, path.name, Tally()):
                if isinstance(outcome, Document) and size < _SLICE_BYTES:
                    texts.append(outcome.text)
                    size += len(outcome.text.encode())
    return texts
