"""Whether parts hold the columns that a stage needs, before any work is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow.parquet as pq

from stages.engine import files


def lacking(paths: Sequence[str], names: Iterable[str]) -> str | None:
    """The first part that has not all columns `names`, by its footer; None where all have them."""
    wanted = set(names)

    def has(path: str) -> bool:
        with files.open_read(path) as handle:
            return wanted <= set(pq.read_schema(handle).names)

    found = files.each(has, paths)
    return next((path for path, good in zip(paths, found, strict=True) if not good), None)
