"""Rules applied to batches of documents, and batches with other columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.documents.schema import text_bytes
from stages.documents.strings import storable
from stages.documents.writer import PartWriter
from stages.outcomes import Bad, Reject, Rule

CHARACTERS = "characters of text"
"""What a rule may read beside the columns: the length alone, for which no text is made."""


def apply_rule(batch: pa.RecordBatch, rule: Rule, out: PartWriter, place: str) -> None:
    """Judges every document of `batch` with `rule` and writes what goes on to `out`.

    Only the columns that the rule reads become Python values; the others stay Arrow.
    An exception in the rule is caught per document and becomes a bad record at `place#id`.
    """
    out.counts.documents_in += batch.num_rows
    out.counts.text_bytes_in += text_bytes(batch.column("text"))
    inputs = [values_of(batch, name) for name in rule.reads]
    keep: list[bool] = []
    verdicts: dict[int, Reject] = {}
    written: list[list[Any]] = [[] for _ in rule.writes]
    for row, values in enumerate(zip(*inputs, strict=True)):
        try:
            verdict = rule(*values)
            if not isinstance(verdict, Reject):
                storable(verdict)
        except MemoryError:
            raise  # What fits in memory is a fact about the machine, not about the document.
        except Exception as error:  # noqa: BLE001 - any failure of one document is its dead letter
            keep.append(False)
            key = batch.column("id")[row].as_py()
            out.leave(Bad(place, key, f"{type(error).__name__}: {error}"))
            continue
        if isinstance(verdict, Reject):
            keep.append(False)
            verdicts[row] = verdict
        else:
            keep.append(True)
            for column, value in zip(written, verdict, strict=True):
                column.append(value)
    out.reject(batch, verdicts)
    survivors = batch.filter(pa.array(keep, pa.bool_())) if not all(keep) else batch
    out.batch(with_columns(survivors, out.schema, dict(zip(rule.writes, written, strict=True))))


def with_columns(
    batch: pa.RecordBatch, schema: pa.Schema, columns: dict[str, Any]
) -> pa.RecordBatch:
    """`batch` conformed to `schema`, with `columns` (lists or arrays) put in place of its own."""
    arrays = []
    for column in schema:
        if column.name in columns:
            values = columns[column.name]
            if not isinstance(values, pa.Array):
                values = pa.array(values, column.type)
            arrays.append(values if values.type == column.type else values.cast(column.type))
        else:
            index = batch.schema.get_field_index(column.name)
            if index < 0:
                arrays.append(pa.nulls(batch.num_rows, column.type))
            else:
                own = batch.column(index)
                arrays.append(own if own.type == column.type else own.cast(column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def values_of(batch: pa.RecordBatch, name: str) -> list[Any]:
    """A column's values; None for each row where there is no such column."""
    if name == CHARACTERS:
        # Counting does not notice what is not UTF-8; making texts of it would.
        batch.column("text").validate(full=True)
        return pc.utf8_length(batch.column("text")).to_pylist()
    index = batch.schema.get_field_index(name)
    return batch.column(index).to_pylist() if index >= 0 else [None] * batch.num_rows
