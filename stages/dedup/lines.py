"""Line dedup the CCNet way: lines seen in more than one document go, wherever the documents lie.

CCNet (Wenzek et al. 2019, section 3.1): the first 64 bits of the SHA-1 of each normalised line.
`keep: none` removes every copy, as CCNet's code does; `keep: first` keeps the line in the first
document. Within one document the first copy always stays, also as there. Lines whose normal form
is empty (blank lines) carry nothing to compare; they are removed, as CCNet does in effect, because
any two pages share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from stages.ccnet_text import Variant, batch_line_hashes, line_hash
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
    rejected_row,
    text_bytes,
    with_columns,
)
from stages.engine.progress import Reporter
from stages.engine.step import Record, Settings, ShuffleStage
from stages.engine.units import WorkUnit
from stages.outcomes import Bad, Reject

LINE_HASHES = "line_hashes"
"""Column that `commoncrawl` leaves: per document the little-endian uint64 hashes of its lines."""

EMPTY_LINE_HASH = np.uint64(line_hash(""))
_MANY = 2
_BYTES_PER_LINE = 32
_MIN_PARTITIONS = 4


class LineDedupSettings(Settings):
    keep: Literal["none", "first"] = Field(
        "none",
        description="none: every copy goes, as CCNet's code has it; first: the copy in the first"
        " document stays (the paper says only that duplicates are removed)",
    )
    scope: Literal["corpus", "file_group"] = Field(
        "corpus",
        description="lines are compared over the whole input, or within groups of files. CCNet"
        " used 50 of 1600 shards and says that more removes more; the LLaMA paper is silent",
    )
    group_files: int = Field(
        50, ge=1, description="work units in a group with scope file_group (CCNet's hash_in_mem)"
    )
    variant: Variant = Field(
        "cc_net", description="normal form of a line: as CCNet's code has it, or as its paper says"
    )
    min_chars_before: int = Field(
        0,
        ge=0,
        description="documents shorter than this (characters) leave before lines are compared;"
        " CCNet's 300 is applied by `commoncrawl` already",
    )
    min_chars_after: int = Field(
        1,
        ge=0,
        description="documents shorter than this after dedup leave; CCNet drops emptied ones only",
    )
    partition_memory_mb: int = Field(
        256, ge=1, description="memory of one reducer; it decides the number of partitions"
    )


@dataclass(frozen=True)
class UnitLines:
    """The lines of a unit's documents, flat. `document[i]` is the row that line i belongs to."""

    hashes: U64
    document: I64

    def once_per_document(self) -> Bools:
        """True where a line is the first of its hash in its document, and not blank."""
        order = np.lexsort((self.hashes, self.document))
        h, d = self.hashes[order], self.document[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = (h[1:] != h[:-1]) | (d[1:] != d[:-1])
        out = np.empty(len(order), dtype=np.bool_)
        out[order] = first
        return out & (self.hashes != EMPTY_LINE_HASH)

    def run(self, eligible: Bools) -> Run:
        """Distinct hashes with the number of documents of this unit that have them (at most 2)."""
        unique, counts = np.unique(self.hashes[eligible], return_counts=True)
        return Run(unique, np.minimum(counts, _MANY).astype(np.int64))

    def kept(self, eligible: Bools, run: Run, keep: Bools, first: bool) -> Bools:
        """Which lines stay, given the decisions on the run's hashes."""
        stays = eligible.copy()
        where = np.flatnonzero(eligible)
        index = np.searchsorted(run.hashes, self.hashes[where])
        stays[where] = keep[index]
        if first:
            # Of this unit's documents only the first one keeps the line.
            _, earliest = np.unique(self.hashes[where], return_index=True)
            in_unit = np.zeros(len(where), dtype=np.bool_)
            in_unit[earliest] = True
            stays[where] &= in_unit
        return stays


def keep_none(hashes: U64, units: I64, values: I64) -> Bools:
    """Keeps hashes that one document alone has. Input sorted by (hash, unit)."""
    first = first_of_group(hashes)
    group = np.cumsum(first) - 1
    documents = np.bincount(group, weights=values).astype(np.int64) if len(hashes) else values
    return documents[group] < _MANY


def keep_first(hashes: U64, units: I64, values: I64) -> Bools:
    """Keeps a hash in the first unit that has it. Input sorted by (hash, unit)."""
    return first_of_group(hashes)


class LineDedup(ShuffleStage[LineDedupSettings]):
    name = "line_dedup"
    summary = "remove lines that several documents share (CCNet), by shuffling hashes"
    Settings = LineDedupSettings
    reasons = {
        "too_short": "shorter than min_chars_before, before lines were compared",
        "duplicate_lines": "nothing, or less than min_chars_after, is left without its"
        " duplicate lines",
    }

    def units(self) -> list[WorkUnit]:
        units = super().units()
        sizes = [u.size for u in units]
        n = len(units) if self.settings.scope == "corpus" else self.settings.group_files
        largest = max((sum(sizes[i : i + n]) for i in range(0, len(sizes), n)), default=0)
        memory = self.settings.partition_memory_mb << 20
        partitions = max(_MIN_PARTITIONS, partitions_for(largest // _BYTES_PER_LINE, memory))
        return [replace(u, extra={"partitions": partitions}) for u in units]

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        lines, _ = self._lines(unit)
        run = lines.run(lines.once_per_document())
        path = self.scratch(f"run-{unit.name}.bin")
        group = 0
        if self.settings.scope == "file_group":
            group = unit.index // self.settings.group_files
        emitted = emit_run(run, path, unit.index, group, unit.extra["partitions"])
        record = Record(unit.name, emitted=emitted)
        record.counts.other.update(line_hashes=len(run.hashes))
        return record

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        decide = keep_none if self.settings.keep == "none" else keep_first
        emitted, dropped = decide_partition(values, decide, self.scratch(f"keep-{key}.bits"))
        record = Record(key, emitted=emitted)
        record.counts.other.update(duplicate_hashes=dropped)
        return record

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        lines, rows = self._lines(unit)
        eligible = lines.once_per_document()
        run = lines.run(eligible)
        keep = collect_bits(values, len(run.hashes))
        stays = lines.kept(eligible, run, keep, self.settings.keep == "first")
        offsets = np.searchsorted(lines.document, np.arange(rows + 1))
        columns = [f for f in further_columns(unit.pieces[0].path) if f.name != LINE_HASHES]
        with PartWriter(self.step.output, unit.part, self.step.name, columns) as out:
            row = 0
            for batch in self.batches(unit, None):
                bounds = offsets[row : row + batch.num_rows + 1]
                self._write(batch, stays, bounds, out, unit.pieces[0].path)
                row += batch.num_rows
                reporter.advanced(
                    "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                )
        out.counts.other.update(lines_in=len(lines.hashes), lines_removed=int((~stays).sum()))
        return Record(unit.name, counts=out.counts, files=out.files)

    def _write(
        self, batch: pa.RecordBatch, stays: Bools, offsets: I64, out: PartWriter, place: str
    ) -> None:
        """Rewrites the texts of a batch; `offsets` are the bounds of its documents' lines."""
        out.counts.documents_in += batch.num_rows
        out.counts.text_bytes_in += text_bytes(batch.column("text"))
        survivors: list[int] = []
        texts: list[str] = []
        metas: list[str | None] = []
        olds = batch.column("meta").to_pylist()
        for row, text in enumerate(batch.column("text").to_pylist()):
            start, end = int(offsets[row]), int(offsets[row + 1])
            if start == end and len(text) < self.settings.min_chars_before:
                out.leave(rejected_row(batch, row, Reject("too_short", f"{len(text)} characters")))
                continue
            mine = stays[start:end]
            removed = int(end - start - mine.sum())
            old = olds[row]
            if removed:
                kept = np.flatnonzero(mine)
                parts = text.split("\n")
                if len(parts) != end - start:
                    key = batch.column("id")[row].as_py()
                    error = f"line_hashes: {end - start} hashes for {len(parts)} lines"
                    out.leave(Bad(place, key, error))
                    continue
                text = "\n".join([parts[i] for i in kept])
                meta = orjson.loads(old) if old else {}
                meta["lines_removed"], meta["lines"] = removed, end - start
                old = orjson.dumps(meta, option=orjson.OPT_SORT_KEYS).decode()
            if len(text) < self.settings.min_chars_after:
                detail = f"{removed} of {end - start} lines removed, {len(text)} characters left"
                out.leave(rejected_row(batch, row, Reject("duplicate_lines", detail)))
                continue
            survivors.append(row)
            texts.append(text)
            metas.append(old)
        kept_batch = batch.take(pa.array(survivors, pa.int64()))
        out.batch(with_columns(kept_batch, out.schema, {"text": texts, "meta": metas}))

    def _lines(self, unit: WorkUnit) -> tuple[UnitLines, int]:
        """Line hashes of the unit's documents, from the column if it is there, else computed."""
        hashes: list[U64] = []
        counts: list[I64] = []
        minimum = self.settings.min_chars_before
        stored = LINE_HASHES in {f.name for f in further_columns(unit.pieces[0].path)}
        # The stored hashes are of the default variant.
        stored = stored and self.settings.variant == "cc_net"
        columns = [LINE_HASHES] if stored else ["text"]
        for batch in self.batches(unit, [*columns, *(["text"] if minimum and stored else [])]):
            if stored:
                found, n = _stored(batch.column(LINE_HASHES))
            else:
                found, offsets = batch_line_hashes(
                    batch.column("text").to_pylist(), self.settings.variant
                )
                n = np.diff(offsets)
            if minimum:
                long = pc.greater_equal(pc.utf8_length(batch.column("text")), minimum).to_numpy(
                    zero_copy_only=False
                )
                found = found[np.repeat(long, n)]
                n = np.where(long, n, 0)
            hashes.append(found)
            counts.append(n.astype(np.int64))
        rows = sum(len(n) for n in counts)
        flat = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
        each = np.concatenate(counts) if counts else np.empty(0, np.int64)
        return UnitLines(flat, np.repeat(np.arange(rows, dtype=np.int64), each)), rows


def _stored(column: pa.Array) -> tuple[U64, I64]:
    """(hashes, lines per document) of a binary column of little-endian uint64."""
    lengths = np.asarray(pc.binary_length(column), dtype=np.int64)
    joined = b"".join(column.to_pylist())
    return np.frombuffer(joined, dtype="<u8"), lengths // 8
