"""One Parquet file, written batch by batch: atomic, with a digest, the same bytes however cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.engine import files

# Row groups are closed by content alone, so that bytes do not depend on how the work was cut.
ROW_GROUP_BYTES = 16 << 20
ROW_GROUP_DOCUMENTS = 16_384
_REPETITIVE = ("source", "language", "license", "bucket", "stage", "reason")
# Of the time of level 3 two thirds, for five hundredths more bytes (measured on web pages).
_LEVEL = 2


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
            compression_level=_LEVEL,
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
