"""URL dedup and exact-document dedup: of documents with the same key, one stays.

Two stages rather than one, because the second must not see what the first removed: a page that
URL dedup took away must not cost the copy that stays its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import xxhash
from pydantic import Field

from stages import urls as web
from stages.dedup.line_text import column_bytes
from stages.dedup.runs import (
    I64,
    U64,
    Bools,
    Run,
    collect_bits,
    decide_partition,
    emit_run,
    first_of_group,
    partitions_for,
)
from stages.documents import (
    PartWriter,
    further_columns,
    text_bytes,
    values_of,
    with_columns,
)
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.step import Record, S, Settings, ShuffleStage
from stages.engine.units import WorkUnit
from stages.outcomes import Reject

_BYTES_PER_DOCUMENT = 512
_MIN_PARTITIONS = 4
_NO_TIME = -(1 << 62)


class UrlDedupSettings(Settings):
    keep: Literal["newest", "first"] = Field(
        "newest",
        description="which crawl of a URL stays: the newest (as C4's authors do), or the first in"
        " the order of the input; CCNet and the LLaMA paper are silent",
    )
    partition_memory_mb: int = Field(256, ge=1, description="memory of one reducer")


class DocumentDedupSettings(Settings):
    partition_memory_mb: int = Field(256, ge=1, description="memory of one reducer")


class _KeyDedup(ShuffleStage[S]):
    """Keeps one document per 64-bit key: the one of the highest rank, then the first.

    Documents without a key (rank None) all stay.
    """

    reason: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]

    def keys(self, batch: pa.RecordBatch) -> tuple[U64, I64, Bools]:
        """Per document: its key, its rank (higher stays), and whether it has a key."""
        raise TypeError

    def units(self) -> list[WorkUnit]:
        units = super().units()
        memory = int(getattr(self.settings, "partition_memory_mb")) << 20  # noqa: B009
        documents = sum(u.size for u in units) // _BYTES_PER_DOCUMENT
        partitions = max(_MIN_PARTITIONS, partitions_for(documents, memory))
        return [replace(u, extra={"partitions": partitions}) for u in units]

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        run, best = self._run(unit)
        path = self.scratch(f"run-{unit.name}.bin")
        files.write_bytes(self._best_path(unit), best.astype("<i8", copy=False).tobytes())
        return Record(
            unit.name, emitted=emit_run(run, path, unit.index, 0, unit.extra["partitions"])
        )

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        emitted, _ = decide_partition(values, keep_best, self.scratch(f"keep-{key}.bits"))
        return Record(key, emitted=emitted)

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        best = np.frombuffer(files.read_bytes(self._best_path(unit)), dtype="<i8")
        keep = collect_bits(values, int(best.max(initial=-1)) + 1)
        columns = further_columns(unit.pieces[0].path)
        with PartWriter(self.step.output, unit.part, self.step.name, columns) as out:
            row = 0
            for batch in self.batches(unit, None):
                mine = best[row : row + batch.num_rows]
                row += batch.num_rows
                # -1: the document has no key; -2: another document of this unit is the best.
                stays = mine == -1
                stays[mine >= 0] = keep[mine[mine >= 0]]
                if len(mine) < batch.num_rows:
                    raise RuntimeError(f"{len(best)} keys for more documents in {unit.key}")
                out.counts.documents_in += batch.num_rows
                out.counts.text_bytes_in += text_bytes(batch.column("text"))
                rows = np.flatnonzero(~stays).tolist()
                out.reject(batch, dict.fromkeys(rows, Reject(self.reason)))
                out.batch(with_columns(batch.filter(pa.array(stays)), out.schema, {}))
                reporter.advanced(
                    "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                )
        return Record(unit.name, counts=out.counts, files=out.files)

    def _best_path(self, unit: WorkUnit) -> str:
        """Where `emit` leaves what `process_with` needs, for keys may cost reading all texts."""
        return self.scratch(f"best-{unit.name}.bin")

    def _run(self, unit: WorkUnit) -> tuple[Run, I64]:
        """The unit's run, and per document the entry it stands for (see `process_with`)."""
        parts = [self.keys(batch) for batch in self.batches(unit, self.reads)]
        if not parts:
            return Run(np.empty(0, np.uint64), np.empty(0, np.int64)), np.empty(0, np.int64)
        keys, ranks, has = (np.concatenate([p[i] for p in parts]) for i in range(3))
        rows = np.flatnonzero(has)
        order = rows[np.lexsort((rows, -ranks[rows], keys[rows]))]
        first = first_of_group(keys[order])
        chosen = order[first]
        best = np.full(len(keys), -1, dtype=np.int64)
        best[rows] = -2
        best[chosen] = np.arange(len(chosen))
        return Run(keys[chosen].astype(np.uint64), ranks[chosen].astype(np.int64)), best


def keep_best(hashes: U64, units: I64, values: I64) -> Bools:
    """Keeps, per hash, the entry of the highest value, then of the first unit."""
    order = np.lexsort((units, -values, hashes))
    keep = np.zeros(len(hashes), dtype=np.bool_)
    keep[order[first_of_group(hashes[order])]] = True
    return keep


class UrlDedup(_KeyDedup[UrlDedupSettings]):
    name = "url_dedup"
    summary = "of the crawls of one URL (normalised) keep one"
    Settings = UrlDedupSettings
    reason = "duplicate_url"
    reasons = {"duplicate_url": "another crawl of the same URL stays"}
    reads = ("url", "created")

    def keys(self, batch: pa.RecordBatch) -> tuple[U64, I64, Bools]:
        urls = values_of(batch, "url")
        keys = np.fromiter(
            (xxhash.xxh3_64_intdigest((web.normalise(u) or u).encode()) if u else 0 for u in urls),
            np.uint64,
            len(urls),
        )
        has = np.fromiter((bool(u) for u in urls), np.bool_, len(urls))
        ranks = np.zeros(len(urls), np.int64)
        if self.settings.keep == "newest":
            times = values_of(batch, "created")
            ranks = np.fromiter((seconds(t) for t in times), np.int64, len(times))
        return keys, ranks, has


class DocumentDedup(_KeyDedup[DocumentDedupSettings]):
    name = "document_dedup"
    summary = "of documents with exactly the same text keep the first"
    Settings = DocumentDedupSettings
    reason = "duplicate_document"
    reasons = {"duplicate_document": "an earlier document has exactly this text"}
    reads = ("text",)

    def keys(self, batch: pa.RecordBatch) -> tuple[U64, I64, Bools]:
        data, offsets = column_bytes(batch.column("text"))
        whole, n = memoryview(data.data), batch.num_rows
        keys = np.fromiter(
            (xxhash.xxh3_64_intdigest(whole[a:b]) for a, b in pairwise(offsets.tolist())),
            np.uint64,
            n,
        )
        return keys, np.zeros(n, np.int64), np.ones(n, np.bool_)


def seconds(created: str | None) -> int:
    """Seconds since 1970 of an ISO 8601 time (UTC where it names no zone); far in the past where
    there is none."""
    if not created:
        return _NO_TIME
    try:
        time = datetime.fromisoformat(created.replace("Z", "+00:00"))
    except ValueError:
        return _NO_TIME
    if time.tzinfo is None:
        # Never the machine's own zone: the same documents must stay everywhere.
        time = time.replace(tzinfo=timezone.utc)
    return int(time.timestamp())
