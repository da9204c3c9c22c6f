"""The document schema, the files of one part (documents, rejects, bad records) and their batches.

A part is written by one work unit: `part-NNNNN-of-NNNNN.parquet`, and beside it, when there is
anything to say, `rejected/part-...` and `bad/part-...` with the same name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.engine import files
from stages.outcomes import Bad, Document, Outcome, Reject, Rejected, Rule, Skipped

_TEXT = pa.large_string()

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", _TEXT, nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("title", pa.string()),
        pa.field("language", pa.string()),
        pa.field("created", pa.string()),
        pa.field("license", pa.string()),
        pa.field("meta", pa.string()),
        # Scores: null until the stage that computes them has run.
        pa.field("language_score", pa.float32()),
        pa.field("perplexity", pa.float32()),
        pa.field("bucket", pa.string()),
        pa.field("reference_score", pa.float32()),
    ]
)

REJECTED_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("url", pa.string()),
    ]
)

BAD_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("error", pa.string(), nullable=False),
    ]
)

# Row groups are closed by content alone, so that bytes do not depend on how the work was cut.
ROW_GROUP_BYTES = 16 << 20
ROW_GROUP_DOCUMENTS = 16_384
BATCH_DOCUMENTS = 512
_DETAIL_CHARS = 500
_FIELDS = ("id", "text", "source", "origin", "url", "title", "language", "created", "license")
_REPETITIVE = ("source", "language", "license", "bucket", "stage", "reason")


@dataclass
class Counts:
    """What became of one unit's (or one stage's) documents.

    `records` counts what the parser met; `documents_in` those of them that are documents by kind.
    """

    records: int = 0
    documents_in: int = 0
    documents_out: int = 0
    rejected: int = 0
    bad: int = 0
    text_bytes_in: int = 0
    text_bytes_out: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)

    _COUNTERS: ClassVar[tuple[str, ...]] = ("reasons", "errors", "skipped", "languages", "other")

    def add(self, more: Counts) -> None:
        for name, value in vars(more).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    def to_json(self) -> dict[str, Any]:
        return {
            k: dict(sorted(v.items())) if isinstance(v, Counter) else v
            for k, v in vars(self).items()
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Counts:
        counts = cls()
        for name, number in value.items():
            setattr(counts, name, Counter(number) if name in cls._COUNTERS else number)
        return counts

    def imbalance(self) -> str:
        """Empty when every document is accounted for, else one line that says what is missing."""
        left = self.documents_out + self.rejected + self.bad
        if self.documents_in != left:
            return (
                f"{self.documents_in} documents in, but {self.documents_out} out"
                f" + {self.rejected} rejected + {self.bad} bad = {left}"
            )
        known = self.documents_in + sum(self.skipped.values())
        if self.records and self.records != known:
            return f"{self.records} records found, but {known} accounted for"
        return ""


def _ends(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Bytes of text and binary values up to and with each row."""
    sizes = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        if _is_variable(column.type):
            sizes += pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
    return np.cumsum(sizes)


def _is_variable(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return any(test(kind) for test in (*tests, pa.types.is_large_binary))


class TableFile:
    """One Parquet file written batch by batch, atomically, with a digest."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self.path, self.schema, self.rows = path, schema, 0
        self._context = files.atomic_writer(path)
        self._out = self._context.__enter__()
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._out, mode="w"),
            schema,
            compression="zstd",
            compression_level=3,
            write_page_checksum=True,
            use_dictionary=[c for c in _REPETITIVE if c in schema.names],
        )
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = 0

    def __enter__(self) -> TableFile:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self.close()
        else:
            self.abort(error)

    def write(self, batch: pa.RecordBatch) -> None:
        """A row group ends with the row that fills it, wherever that row lies in its batch."""
        self.rows += batch.num_rows
        ends = _ends(batch)
        start = 0
        while start < batch.num_rows:
            before = int(ends[start - 1]) if start else 0
            full = int(np.searchsorted(ends, before + ROW_GROUP_BYTES - self._pending_bytes)) + 1
            end = min(batch.num_rows, full, start + ROW_GROUP_DOCUMENTS - self._pending_rows)
            end = max(end, start + 1)
            self._pending.append(batch.slice(start, end - start))
            self._pending_rows += end - start
            self._pending_bytes += int(ends[end - 1]) - before
            if self._pending_rows >= ROW_GROUP_DOCUMENTS or self._pending_bytes >= ROW_GROUP_BYTES:
                self._flush()
            start = end

    def _flush(self) -> None:
        if self._pending:
            # In one chunk, because the ends of chunks would end pages too.
            table = pa.Table.from_batches(self._pending, schema=self.schema).combine_chunks()
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def close(self) -> dict[str, Any]:
        """Ends the file; if that fails (a full disk) nothing appears."""
        try:
            self._flush()
            self._writer.close()
        except BaseException as error:
            self.abort(error)
            raise
        self._context.__exit__(None, None, None)
        return self._out.digest.entry(self.path, self.rows)

    def abort(self, error: BaseException) -> None:
        # The file goes; its writer must not try to end it when it is collected.
        self._writer.is_open = False
        try:
            self._context.__exit__(type(error), error, error.__traceback__)
        except BaseException as again:
            if again is not error:
                raise


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
                "id": _utf8(outcome.id),
                "origin": _utf8(outcome.origin),
                "stage": self.stage,
                "reason": outcome.reason,
                "detail": printable(outcome.detail)[:_DETAIL_CHARS],
                "url": None if outcome.url is None else _utf8(outcome.url),
            }
        else:
            self.counts.bad += 1
            error = printable(outcome.error)
            self.counts.errors[error.split(":", 1)[0][:60]] += 1
            which = "bad"
            row = {
                "file": _utf8(outcome.file),
                "offset": _utf8(str(outcome.offset)),
                "stage": self.stage,
                "error": error[:_DETAIL_CHARS],
            }
        self._rows[which].append(row)
        if len(self._rows[which]) >= ROW_GROUP_DOCUMENTS:
            self._flush(which)

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


def meta_json(meta: dict[str, Any] | None) -> str | None:
    return orjson.dumps(meta, option=orjson.OPT_SORT_KEYS).decode() if meta else None


def storable(values: Iterable[Any]) -> None:
    """Raises UnicodeEncodeError if a text among `values` has lone surrogates."""
    for value in values:
        if isinstance(value, str):
            value.encode()


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def printable(text: str) -> str:
    """`text` fit for a one-line report and valid UTF-8."""
    clean = _utf8(text).replace("\n", " ").replace("\r", " ")
    return "".join(c if c.isprintable() else "\ufffd" for c in clean)


def text_bytes(column: pa.Array) -> int:
    """UTF-8 bytes of a string column."""
    return int(pc.sum(pc.binary_length(column)).as_py() or 0)


def read_batches(
    path: str,
    columns: Sequence[str] | None = None,
    row_groups: Sequence[int] | None = None,
    batch_documents: int = BATCH_DOCUMENTS,
) -> Iterator[pa.RecordBatch]:
    """Streams a part; memory is bounded by a row group. Raises OSError/ArrowInvalid if damaged."""
    with files.open_read(path) as handle:
        parquet = pq.ParquetFile(handle, page_checksum_verification=True)
        names = columns
        if columns is not None:
            present = set(parquet.schema_arrow.names)
            names = [c for c in columns if c in present]
        yield from parquet.iter_batches(
            batch_size=batch_documents, columns=names, row_groups=row_groups, use_threads=False
        )


def further_columns(path: str) -> list[pa.Field]:
    """Columns of a part beyond the document schema, which a stage left for a later one."""
    with files.open_read(path) as handle:
        return [f for f in pq.read_schema(handle) if f.name not in SCHEMA.names]


@dataclass(frozen=True)
class PartFacts:
    """What a part's footer and first row tell: its source (None if empty), and per row group the
    rows, bytes uncompressed, and bytes of the text column."""

    path: str
    source: str | None
    row_groups: tuple[tuple[int, int, int], ...]

    @property
    def text_bytes(self) -> int:
        return sum(g[2] for g in self.row_groups)


def part_facts(path: str) -> PartFacts:
    """Reads a part's footer. Raises OSError, or ArrowInvalid if it is no part of documents."""
    with files.open_read(path) as handle:
        try:
            parquet = pq.ParquetFile(handle, page_checksum_verification=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise pa.ArrowInvalid(f"{path} is no readable Parquet file: {error}") from error
        lacking = [
            c.name for c in SCHEMA if not c.nullable and c.name not in parquet.schema_arrow.names
        ]
        if lacking:
            raise pa.ArrowInvalid(f"{path} holds no documents: it has no column {lacking[0]}")
        meta = parquet.metadata
        text = parquet.schema_arrow.get_field_index("text")
        groups = tuple(
            (
                meta.row_group(i).num_rows,
                meta.row_group(i).total_byte_size,
                meta.row_group(i).column(text).total_uncompressed_size,
            )
            for i in range(meta.num_row_groups)
        )
        first = next(parquet.iter_batches(batch_size=1, columns=["source"]), None)
        source = first.column(0)[0].as_py() if first is not None and first.num_rows else None
        return PartFacts(path, source, groups)


def apply_rule(batch: pa.RecordBatch, rule: Rule, out: PartWriter, place: str) -> None:
    """Judges every document of `batch` with `rule` and writes what goes on to `out`.

    Only the columns that the rule reads become Python values; the others stay Arrow.
    An exception in the rule is caught per document and becomes a bad record at `place#id`.
    """
    out.counts.documents_in += batch.num_rows
    out.counts.text_bytes_in += text_bytes(batch.column("text"))
    inputs = [_values(batch, name) for name in rule.reads]
    keep: list[bool] = []
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
            out.leave(rejected_row(batch, row, verdict))
        else:
            keep.append(True)
            for column, value in zip(written, verdict, strict=True):
                column.append(value)
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


def rejected_row(batch: pa.RecordBatch, row: int, verdict: Reject) -> Rejected:
    return Rejected(
        id=batch.column("id")[row].as_py(),
        origin=batch.column("origin")[row].as_py(),
        reason=verdict.reason,
        detail=verdict.detail,
        url=batch.column("url")[row].as_py() if "url" in batch.schema.names else None,
    )


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    index = batch.schema.get_field_index(name)
    return batch.column(index).to_pylist() if index >= 0 else [None] * batch.num_rows
