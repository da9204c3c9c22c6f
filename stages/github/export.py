"""The tables of the BigQuery export: which file holds which, and what their rows say."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from stages.engine import files
from stages.engine.units import Piece
from stages.github import paths
from stages.github.records import Found, Limits, Row, int_of, row_groups, rows, text_of
from stages.outcomes import Bad

Table: TypeAlias = Literal["licenses", "files", "contents"]

COLUMNS: dict[str, tuple[str, ...]] = {
    "licenses": ("repo_name", "license"),
    "files": ("repo_name", "path", "mode", "id", "symlink_target"),
    "contents": ("id", "size", "content", "binary"),
}
_NAMED = re.compile(r"(?:^|[^a-z])(licenses|files|contents)(?:[^a-z]|$)")
_ID = re.compile(r"[0-9a-f]{40}")


def table_named(name: str) -> Table | None:
    """Which table the name of a file or folder tells."""
    found = _NAMED.search(name.lower())
    return found.group(1) if found else None  # type: ignore[return-value]


def table_of(path: str) -> Table | None:
    """Which table a file holds, by its name, its folder's name, or else its first row."""
    for name in reversed(path.split("/")[-2:]):
        if table := table_named(name):
            return table
    columns = tuple(sorted({c for names in COLUMNS.values() for c in names}))
    with files.open_read(path) as handle:
        first = next(rows(handle, path, columns, Limits(1 << 24, 200)), None)  # type: ignore[arg-type]
    if not isinstance(first, Row):
        return None
    if "content" in first.values or "binary" in first.values:
        return "contents"
    if "license" in first.values:
        return "licenses"
    return "files" if "path" in first.values else None


def split(path: str, size: int, target: int) -> list[tuple[int, int | None]]:
    """Stretches of a large file: row groups of Parquet, bytes of plain lines, all of gzip."""
    with files.open_read(path) as handle:
        head = handle.read(4)
        if head == b"PAR1":
            return row_groups(path, size, target, handle)  # type: ignore[arg-type]
    if head.startswith(b"\x1f\x8b"):
        return [(0, None)]
    n = max(1, round(size / target))
    edges = [size * i // n for i in range(n)]
    return list(zip(edges, [*edges[1:], None], strict=True))


def read(piece: Piece, columns: tuple[str, ...], limits: Limits) -> Iterator[Found]:
    """Rows of a piece; a file that fails outright makes one bad record of what is left of it.

    Failures of the machine (memory, the disk or network: an OSError with a number) are raised.
    """
    try:
        with files.open_read(piece.path) as handle:
            yield from rows(handle, piece.path, columns, limits, piece.start, piece.end)  # type: ignore[arg-type]
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        yield Bad(piece.path, piece.start, f"reader: {type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of the files table: one path of one repository, and the content it has."""

    id: bytes
    repository: str
    path: str
    mode: int | None
    is_link: bool


def id_of(row: Row, path: str) -> bytes | Bad:
    """The git SHA-1 of a row, 20 bytes."""
    value = text_of(row.values.get("id"))
    if value is None or not _ID.fullmatch(value):
        return Bad(path, row.place, "id: not a SHA-1 in 40 hexadecimal digits")
    return bytes.fromhex(value)


def license_row(row: Row, path: str) -> tuple[str, str] | Bad:
    """(repository, licence) of a row of the licenses table."""
    repository, licence = (text_of(row.values.get(c)) for c in COLUMNS["licenses"])
    if not repository or not licence or len(licence) > 100:
        return Bad(path, row.place, "license: needs repo_name and license as text")
    return repository, licence


def file_row(row: Row, path: str) -> FileRow | Bad:
    key = id_of(row, path)
    if isinstance(key, Bad):
        return key
    repository, inside = text_of(row.values.get("repo_name")), text_of(row.values.get("path"))
    if repository is None or inside is None:
        return Bad(path, row.place, "file: needs repo_name and path as text")
    problem = paths.problem(repository, inside)
    if not problem and "/" not in repository:
        problem = "repository: not owner/name"
    if problem:
        return Bad(path, row.place, f"{problem}: {repository[:100]!r} {inside[:100]!r}")
    given: Any = row.values.get("mode")
    mode = int_of(given)
    # Some exports write "" for no target, and the mode is git's own word.
    is_link = bool(row.values.get("symlink_target")) and not (mode and stat.S_ISREG(mode))
    return FileRow(key, repository, inside, mode, is_link)


def content_of(row: Row, path: str) -> str | Bad | None:
    """The text of a row of the contents table; None where the table says that it is binary."""
    content = row.values.get("content")
    if content is None or row.values.get("binary") is True:
        return None
    if not isinstance(content, str):
        return Bad(path, row.place, f"content: a {type(content).__name__}, not text")
    return content
