"""That nothing on the purge list is in a step's files or in a shard: by id, URL, text, tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.seal import Problem
from stages.documents import read_batches
from stages.engine import files
from stages.engine.manifest import Manifest
from stages.purge_list import PurgeList
from stages.purged import NAMES, REASON, is_other_table
from tokenizer.manifest import TokensManifest
from tokenizer.shards import ShardReader

_AGAIN = "purged, but still here"


@dataclass(frozen=True)
class TableTask:
    """Looks for purged documents in one Parquet file of a step. `kind`: documents, rejected, bad,
    or other."""

    path: str
    kind: str
    purge: PurgeList
    size: int

    def __call__(self) -> tuple[Problem, ...]:
        try:
            return tuple(self._problems())
        except (OSError, pa.ArrowException) as error:
            what = f"cannot be searched: {str(error).splitlines()[0]}"
            return (Problem(self.path, what),)

    def _problems(self) -> Iterator[Problem]:
        if self.kind == "documents":
            for batch in read_batches(self.path, ("id", "text", "url")):
                for row in np.flatnonzero(self.purge.documents(batch)).tolist():
                    yield Problem(self.path, f"document {batch.column('id')[row]}: {_AGAIN}")
        elif self.kind == "rejected":
            for batch in read_batches(self.path):
                for row in np.flatnonzero(self.purge.named(batch)).tolist():
                    told = batch.slice(row, 1).to_pylist()[0]
                    if told["detail"] or told["url"]:
                        yield Problem(self.path, f"{told['id']}: purged, but its row still tells")
        elif self.kind == "bad":
            for batch in read_batches(self.path, ("offset", "error")):
                for row in batch.to_pylist():
                    if row["offset"] in self.purge.ids and not row["error"].endswith(REASON):
                        what = f"{row['offset']}: purged, but its error still tells"
                        yield Problem(self.path, what)
        else:
            yield from self._named()

    def _named(self) -> Iterator[Problem]:
        with files.open_read(self.path) as handle:
            names = pq.read_schema(handle).names
        for column in NAMES:
            if column in names:
                for batch in read_batches(self.path, (column, "url")):
                    for row in np.flatnonzero(self.purge.named(batch, column)).tolist():
                        yield Problem(self.path, f"document {batch.column(column)[row]}: {_AGAIN}")
                return


@dataclass(frozen=True)
class ShardTask:
    """Looks for purged documents in one token shard: by name, and by their ids' hashes."""

    path: str
    purge: PurgeList
    size: int

    def __call__(self) -> tuple[Problem, ...]:
        try:
            return tuple(self._problems())
        except (OSError, ValueError, pa.ArrowException) as error:
            what = f"cannot be searched: {str(error).splitlines()[0]}"
            return (Problem(self.path, what),)

    def _problems(self) -> Iterator[Problem]:
        reader = ShardReader(self.path)
        table = reader.documents.select(["id", "url", "first_token", "length"])
        lengths = table.column("length").to_numpy() - 1
        listed = sorted({n for n, _ in self.purge.tokens})
        alike = np.isin(lengths, listed)
        starts = table.column("first_token").to_numpy()
        for row in np.flatnonzero(alike).tolist():
            tokens = reader.tokens(int(starts[row]), int(lengths[row]))
            alike[row] = self.purge.of_tokens(tokens) in self.purge.tokens
        ids = table.column("id")
        for first, batch in _batches(table.select(["id", "url"])):
            here = alike[first : first + batch.num_rows] | self.purge.named(batch)
            for row in np.flatnonzero(here).tolist():
                yield Problem(
                    self.path,
                    f"document {ids[first + row]}: {_AGAIN}",
                    2 * int(starts[first + row]),
                    exact=True,
                )


def _batches(table: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
    first = 0
    for batch in table.to_batches():
        yield first, batch
        first += batch.num_rows


def tasks(
    steps: Sequence[tuple[str, Manifest]],
    tokens: tuple[str, TokensManifest] | None,
    purge: PurgeList,
) -> list[TableTask | ShardTask]:
    """Work that searches the steps (folder, manifest) and the shards (folder, manifest)."""
    found: list[TableTask | ShardTask] = []
    for folder, known in steps:
        for entry in known.files:
            kind = _kind(entry["path"])
            if kind is not None:
                path = files.join(folder, entry["path"])
                found.append(TableTask(path, kind, purge, int(entry["bytes"])))
    if tokens is not None:
        where, manifest = tokens
        found += [
            ShardTask(files.join(where, s.path), purge, 2 * s.tokens) for s in manifest.shards
        ]
    return found


def _kind(path: str) -> str | None:
    if not path.endswith(".parquet"):
        return None
    if path.startswith("part-"):
        return "documents"
    if path.startswith(("rejected/", "bad/")):
        return path.partition("/")[0]
    return "other" if is_other_table(path) else None
