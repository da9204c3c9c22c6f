"""Reading parts: batches, further columns, and what a footer tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from stages.documents.schema import SCHEMA
from stages.engine import files

BATCH_DOCUMENTS = 512


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
