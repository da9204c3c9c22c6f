"""The files of one part: documents, rejected documents and bad records, and their counts.

A part is written by one work unit: `part-NNNNN-of-NNNNN.parquet`, and beside it, when there is
anything to say, `rejected/part-...` and `bad/part-...` with the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stages.documents.counts import Counts
from stages.documents.reader import BATCH_DOCUMENTS
from stages.documents.schema import BAD_SCHEMA, REJECTED_SCHEMA, SCHEMA, text_bytes
from stages.documents.strings import meta_json, printable, storable, utf8
from stages.documents.table import ROW_GROUP_BYTES, ROW_GROUP_DOCUMENTS, TableFile
from stages.engine import files
from stages.outcomes import Bad, Document, Outcome, Reject, Rejected, Skipped

_DETAIL_CHARS = 500
_FIELDS = ("id", "text", "source", "origin", "url", "title", "language", "created", "license")


class PartWriter:
    """Writes one part: documents, rejected documents and bad records, and counts them.

    Use as a context manager; on an exception nothing appears. `files` lists what was written.
    """

    def __init__(
        self,
        folder: str,
        part: str,
        stage: str,
        columns: Sequence[pa.Field] = (),
        complete: Callable[[list[dict[str, Any]]], None] | None = None,
        only_leaving: bool = False,
    ) -> None:
        """`complete` may fill in further columns of a batch of rows before it is written.

        `only_leaving`: no documents part, for a stage whose documents become something else.
        """
        self._only_leaving = only_leaving
        self.folder, self.part, self.stage = folder, part, stage
        self._complete = complete
        self.schema = pa.schema([*SCHEMA, *columns])
        self.counts = Counts()
        self.files: list[dict[str, Any]] = []
        self._tables: dict[str, TableFile] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {"": [], "rejected": [], "bad": []}
        self._bytes = 0

    def __enter__(self) -> PartWriter:
        if not self._only_leaving:
            self._table("")  # A part exists even where every document was rejected.
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            try:
                for which in ("", "rejected", "bad"):
                    self._flush(which)
            except BaseException as late:
                self._abort(late)
                raise
            for which, table in sorted(self._tables.items()):
                name = f"{which}/{self.part}" if which else self.part
                self.files.append({**table.close(), "path": name})
        else:
            self._abort(error)

    def _abort(self, error: BaseException) -> None:
        for table in self._tables.values():
            table.abort(error)

    def _table(self, which: str) -> TableFile:
        if which not in self._tables:
            schema = {"": self.schema, "rejected": REJECTED_SCHEMA, "bad": BAD_SCHEMA}[which]
            self._tables[which] = TableFile(files.join(self.folder, which, self.part), schema)
        return self._tables[which]

    def _flush(self, which: str) -> None:
        rows = self._rows[which]
        if rows:
            table = self._table(which)
            if which == "" and self._complete:
                self._complete(rows)
            table.write(pa.RecordBatch.from_pylist(rows, schema=table.schema))
            self._rows[which] = []
            if which == "":
                self._bytes = 0

    def outcome(self, outcome: Outcome) -> None:
        """Takes one outcome of a source reader."""
        if isinstance(outcome, Document):
            self.counts.documents_in += 1
            row: dict[str, Any] = {name: getattr(outcome, name) for name in _FIELDS}
            try:
                size = len(outcome.text.encode())
                row |= {"meta": meta_json(outcome.meta), **outcome.extra}
                storable(value for name, value in row.items() if name != "text")
            except (ValueError, TypeError) as error:
                # Lone surrogates, or a meta that is no JSON: one dead letter, not a dead unit.
                why = f"not storable: {type(error).__name__}: {error}"
                self.leave(Bad(outcome.origin, outcome.id, why))
                return
            self.counts.text_bytes_in += size
            self._count_out(1, size, [outcome.language])
            self._rows[""].append(row)
            self._bytes += size
            if len(self._rows[""]) >= BATCH_DOCUMENTS or self._bytes >= ROW_GROUP_BYTES:
                self._flush("")
        elif isinstance(outcome, Skipped):
            self.counts.skipped[outcome.kind] += 1
        else:
            self.counts.documents_in += 1
            self.leave(outcome)

    def leave(self, outcome: Rejected | Bad) -> None:
        """Writes down a document that does not go on (already counted in)."""
        if isinstance(outcome, Rejected):
            self.counts.rejected += 1
            self.counts.reasons[outcome.reason] += 1
            which = "rejected"
            row = {
                "id": utf8(outcome.id),
                "origin": utf8(outcome.origin),
                "stage": self.stage,
                "reason": outcome.reason,
                "detail": printable(outcome.detail)[:_DETAIL_CHARS],
                "url": None if outcome.url is None else utf8(outcome.url),
            }
        else:
            self.counts.bad += 1
            error = printable(outcome.error)
            self.counts.errors[error.split(":", 1)[0][:60]] += 1
            which = "bad"
            row = {
                "file": utf8(outcome.file),
                "offset": utf8(str(outcome.offset)),
                "stage": self.stage,
                "error": error[:_DETAIL_CHARS],
            }
        self._rows[which].append(row)
        if len(self._rows[which]) >= ROW_GROUP_DOCUMENTS:
            self._flush(which)

    def reject(self, batch: pa.RecordBatch, verdicts: Mapping[int, Reject]) -> pa.Array:
        """Writes down documents of a batch that do not go on (row -> verdict, in this order).

        All at once and as columns: one by one, their names would become Python objects, and columns
        again. Returns which rows are left: booleans, one a row. Raises ArrowInvalid if a name is no
        UTF-8.
        """
        rows = list(verdicts)
        stays = np.ones(batch.num_rows, dtype=np.bool_)
        if rows:
            stays[rows] = False
            reasons = [verdict.reason for verdict in verdicts.values()]
            details = [printable(verdict.detail)[:_DETAIL_CHARS] for verdict in verdicts.values()]
            given = {"stage": [self.stage] * len(rows), "reason": reasons, "detail": details}
            self.counts.rejected += len(rows)
            self.counts.reasons.update(reasons)
            at = pa.array(rows, pa.int64())
            columns = []
            for column in REJECTED_SCHEMA:
                if column.name in given:
                    columns.append(pa.array(given[column.name], column.type))
                elif (index := batch.schema.get_field_index(column.name)) < 0:
                    columns.append(pa.nulls(len(rows), column.type))
                else:
                    named = batch.column(index).take(at).cast(column.type)
                    named.validate(full=True)
                    columns.append(named)
            self._flush("rejected")
            self._table("rejected").write(
                pa.RecordBatch.from_arrays(columns, schema=REJECTED_SCHEMA)
            )
        return pa.array(stays)

    def batch(self, batch: pa.RecordBatch) -> None:
        """Writes documents that go on (already counted in), as a batch in the part's schema."""
        self._count_out(
            batch.num_rows,
            text_bytes(batch.column("text")),
            batch.column("language").to_pylist(),
        )
        self._flush("")
        self._table("").write(batch)

    def _count_out(self, documents: int, size: int, languages: Iterable[str | None]) -> None:
        self.counts.documents_out += documents
        self.counts.text_bytes_out += size
        self.counts.languages.update(code for code in languages if code is not None)
