"""Line dedup the CCNet way: lines seen in more than one document go, wherever the documents lie.

CCNet (Wenzek et al. 2019, section 3.1): the first 64 bits of the SHA-1 of each normalised line.
`keep: none` removes every copy, as CCNet's code does; `keep: first` keeps the line in the first
document. Within one document the first copy always stays, also as there. Lines whose normal form
is empty (blank lines) carry nothing to compare; they are removed, as CCNet does in effect, because
any two pages share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from stages.ccnet_text import Variant, batch_line_hashes, line_hash
from stages.dedup.line_text import ColumnLines, column_bytes
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


class UnitLines:
    """The lines of a unit's documents, flat. `document[i]`, which never falls, is the row that
    line i belongs to; `number[i]` numbers its hash among the distinct ones, ascending."""

    def __init__(self, hashes: U64, document: I64) -> None:
        self.hashes, self.document = hashes, document
        # Not stable: what has the same hash is put in order only where there is more of it.
        self._order = np.argsort(hashes)
        ordered = hashes[self._order]
        self._first = first_of_group(ordered)
        self.distinct: U64 = ordered[self._first]
        self.number = np.empty(len(hashes), dtype=np.int64)
        self.number[self._order] = np.cumsum(self._first) - 1

    def once_per_document(self) -> Bools:
        """True where a line is the first of its hash in its document, and not blank."""
        last = np.ones(len(self._first), dtype=np.bool_)
        last[:-1] = self._first[1:]
        several = self._order[~(self._first & last)]
        # By hash, then by place.
        several = np.sort(self.number[several] * len(self.hashes) + several) % len(self.hashes)
        number, document = self.number[several], self.document[several]
        again = (number[1:] == number[:-1]) & (document[1:] == document[:-1])
        out = self.hashes != EMPTY_LINE_HASH
        out[several[1:][again]] = False
        return out

    def run(self, eligible: Bools) -> Run:
        """Distinct hashes with the number of documents of this unit that have them (at most 2)."""
        documents = np.bincount(self.number[eligible], minlength=len(self.distinct))
        there = documents > 0
        return Run(self.distinct[there], np.minimum(documents[there], _MANY))

    def kept(self, eligible: Bools, keep: Bools, first: bool) -> Bools:
        """Which lines stay, given the decisions on the hashes of `run(eligible)`."""
        where = np.flatnonzero(eligible)
        numbers = self.number[where]
        stays = np.zeros(len(self.distinct), dtype=np.bool_)
        stays[np.bincount(numbers, minlength=len(stays)) > 0] = keep
        out = eligible & stays[self.number]
        if first:
            # Of this unit's documents only the first one keeps the line.
            earliest = np.empty(len(self.distinct), dtype=np.int64)
            earliest[numbers[::-1]] = where[::-1]
            out[where] &= earliest[numbers] == where
        return out


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
        stays = lines.kept(eligible, keep, self.settings.keep == "first")
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
        start, end = offsets[:-1], offsets[1:]
        kept_before = np.concatenate([[0], np.cumsum(stays[offsets[0] : offsets[-1]])])
        removed = end - start - np.diff(kept_before[offsets - offsets[0]])
        lines = ColumnLines.of(batch.column("text"))
        apart = (removed > 0) & (lines.counts != end - start)
        touched = (removed > 0) & ~apart
        keep = np.repeat(~touched, lines.counts)
        keep[~keep] = stays[offsets[0] : offsets[-1]][np.repeat(touched, end - start)]
        texts = lines.only(keep)
        chars = pc.utf8_length(texts).to_numpy()
        before = (start == end) & (chars < self.settings.min_chars_before)
        after = ~before & (chars < self.settings.min_chars_after)
        for row in np.flatnonzero(~before & apart).tolist():
            error = f"line_hashes: {end[row] - start[row]} hashes for {lines.counts[row]} lines"
            out.leave(Bad(place, batch.column("id")[row].as_py(), error))
        leaving = np.flatnonzero(before | (after & ~apart)).tolist()
        verdicts = {
            row: Reject("too_short", f"{chars[row]} characters")
            if before[row]
            else Reject(
                "duplicate_lines",
                f"{removed[row]} of {end[row] - start[row]} lines removed,"
                f" {chars[row]} characters left",
            )
            for row in leaving
        }
        out.reject(batch, verdicts)
        goes_on = ~(before | apart | after)
        metas = batch.column("meta").to_pylist()
        for row in np.flatnonzero(touched & goes_on).tolist():
            meta = orjson.loads(metas[row]) if metas[row] else {}
            meta["lines_removed"] = int(removed[row])
            meta["lines"] = int(end[row] - start[row])
            metas[row] = orjson.dumps(meta, option=orjson.OPT_SORT_KEYS).decode()
        changed = with_columns(batch, out.schema, {"text": texts, "meta": metas})
        out.batch(changed.filter(pa.array(goes_on)))

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
    data, offsets = column_bytes(column)
    return np.frombuffer(data.tobytes(), dtype="<u8"), np.diff(offsets) // 8
