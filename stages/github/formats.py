"""Is the input an export of BigQuery or a folder of repositories?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from stages.engine import files
from stages.github import export
from stages.github.folder import is_licence_file
from stages.github.listing import is_hidden, is_of_the_file, printable_name

_MOST_FILES = 64
"""Files at the top of a folder whose first rows are looked at for those of a table."""
_DEPTHS = (1, 2)
_FILE, _FOLDER = "file", "directory"  # as fsspec calls them


class UnknownFormatError(ValueError):
    """The input is neither; the message says what was looked for and what was found."""


def format_of(inputs: Sequence[str], depth: int) -> Literal["bigquery", "folder"]:
    """Patterns and files are those of an export; a folder is what its names tell.

    `depth`: how many folders below the input name a repository. Raises UnknownFormatError.
    """
    if not all(map(files.is_dir, inputs)):
        return "bigquery"
    tables = {table for where in inputs for table in _named_tables(where)}
    if tables == set(export.COLUMNS):
        return "bigquery"
    if any(_has_repository(where, depth) for where in inputs):
        return "folder"
    tables |= {table for where in inputs for table in _tables_by_row(where)}
    if tables == set(export.COLUMNS):
        return "bigquery"
    raise UnknownFormatError(_complaint(inputs, depth, sorted(tables)))


def _complaint(inputs: Sequence[str], depth: int, tables: Sequence[str]) -> str:
    shown = ", ".join(map(printable_name, inputs))
    levels = "/".join(("<owner>", "<name>")[2 - depth :])
    other = next(d for d in _DEPTHS if d != depth)
    elsewhere = any(_has_repository(where, other) for where in inputs)
    hint = f"there are some with repository_depth: {other}" if elsewhere else "found: none"
    return (
        f"{shown} is neither an export nor repositories. Looked for: the tables"
        f" {', '.join(export.COLUMNS)}, as files or folders so named or with their columns in the"
        f" first row (found: {', '.join(tables) or 'none'}); folders {levels}/ with .git or a"
        f" licence file such as LICENSE or COPYING ({hint})."
        " Set `format` to say which it is"
    )


def _named_tables(where: str) -> Iterator[str]:
    """Tables by the names of files in a folder, and of folders that hold files alone."""
    for name, kind in _listed(where):
        table = export.table_named(name)
        inner = _listed(files.join(where, name)) if table and kind == _FOLDER else []
        if table is not None and all(kind != _FOLDER for _, kind in inner):
            yield table


def _tables_by_row(where: str) -> Iterator[str]:
    plain = [name for name, kind in _listed(where) if kind == _FILE]
    for name in plain[:_MOST_FILES]:
        try:
            table = export.table_of(files.join(where, name))
        except OSError as error:
            if not is_of_the_file(error):
                raise
            continue
        if table is not None:
            yield table


def _has_repository(where: str, depth: int) -> bool:
    """Is there a folder at this depth with `.git` or a licence file in it?"""
    for name, kind in _listed(where):
        if depth == 0:
            if name == ".git" or (kind == _FILE and is_licence_file(name)):
                return True
            continue
        deeper = kind == _FOLDER and not is_hidden(name)
        if deeper and _has_repository(files.join(where, name), depth - 1):
            return True
    return False


def _listed(folder: str) -> list[tuple[str, str]]:
    """Names in a folder and what they are, links as such; nothing of one that cannot be read:
    reading it says why, here it is no sign of either format."""
    fs, inner = files.filesystem(folder)
    try:
        found = fs.ls(inner, detail=True)
    except OSError as error:
        if not is_of_the_file(error):
            raise
        return []
    return sorted((files.basename(row["name"]), str(row["type"])) for row in found)
