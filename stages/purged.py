"""Takes purged documents out of what a step wrote, with its counts kept in balance.

The same function serves a finished step (`corpus purge`) and a unit that was just written (a run
after a purge), so both leave the same files. In the step that first made a document it becomes a
rejected one, `purged`; from later steps it goes without a trace, as if it had never come in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stages.documents import BAD_SCHEMA, REJECTED_SCHEMA, Counts, TableFile, read_batches
from stages.engine import files
from stages.purge_list import PurgeList

REASON = "purged"
_REJECTED, _BAD = "rejected/", "bad/"
# Columns by which other tables of a step name documents.
NAMES = ("id", "document")


@dataclass
class Stripped:
    """What a step's folder holds now. `files`: entries of the manifest; `written`: those that are
    new; `removed`: files of which nothing is left; `gone`: id -> bytes of text of the documents
    that it no longer has."""

    files: list[dict[str, Any]]
    counts: Counts
    written: list[dict[str, Any]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    gone: dict[str, int] = field(default_factory=dict)


def strip(
    folder: str,
    step: str,
    listed: Sequence[dict[str, Any]],
    counts: Counts,
    purge: PurgeList,
    came_in: Mapping[str, int] | None = None,
    target: Callable[[str], str] | None = None,
) -> Stripped:
    """Rewrites the files that hold something purged; others are not touched.

    Args:
        folder: where the step's files are.
        listed: their entries.
        came_in: id -> bytes of text of documents that the steps before no longer give; all others
            become rejected ones here.
        target: where the new version of a file is written. By default over the old one, and files
            of which nothing is left are removed here; otherwise that is the caller's part.

    Raises:
        OSError, pa.ArrowInvalid: a file cannot be read.
    """
    result = Stripped([], Counts.from_json(counts.to_json()))
    place = target or (lambda path: files.join(folder, path))
    work = _Strip(folder, step, purge, came_in or {}, place)
    known = {entry["path"]: entry for entry in listed}
    parts = {files.basename(p) for p in known if p.startswith(("part-", _REJECTED, _BAD))}
    for part in sorted(parts):
        work.part(part, known, result)
    for path in sorted(known):
        if is_other_table(path):
            work.other(path, known, result)
    result.files = sorted(known.values(), key=lambda entry: str(entry["path"]))
    for path in result.removed if target is None else ():
        files.remove(files.join(folder, path))
    return result


def is_other_table(path: str) -> bool:
    ours = path.startswith(("part-", _REJECTED, _BAD)) or path.endswith(".docs.parquet")
    return path.endswith(".parquet") and not ours


@dataclass
class _Strip:
    folder: str
    step: str
    purge: PurgeList
    came_in: Mapping[str, int]
    target: Callable[[str], str]

    def part(self, part: str, known: dict[str, dict[str, Any]], result: Stripped) -> None:
        leaving: list[dict[str, Any]] = []
        if part in known:
            leaving = self._documents(part, known, result)
        self._rejected(part, known, result, leaving)
        if _BAD + part in known:
            self._bad(part, known, result)

    def _read(self, path: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        return read_batches(files.join(self.folder, path), columns)

    def _write_if_any(
        self,
        path: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        known: dict[str, dict[str, Any]],
        result: Stripped,
    ) -> None:
        """For files that are there only if they have a row."""
        rest = [batch for batch in batches if batch.num_rows]
        if rest:
            self._write(path, schema, rest, known, result)
        else:
            del known[path]
            result.removed.append(path)

    def _write(
        self,
        path: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        known: dict[str, dict[str, Any]],
        result: Stripped,
    ) -> None:
        table = TableFile(self.target(path), schema)
        try:
            for batch in batches:
                table.write(batch)
        except BaseException as error:
            table.abort(error)
            raise
        entry = {**table.close(), "path": path}
        known[path] = entry
        result.written.append(entry)

    # -- documents -------------------------------------------------------------------------------

    def _documents(
        self, part: str, known: dict[str, dict[str, Any]], result: Stripped
    ) -> list[dict[str, Any]]:
        """Drops documents; returns those that are to be rejected here."""
        columns = ("id", "text", "url") if self.purge.texts else ("id", "url")
        if not any(self._purged(b).any() for b in self._read(part, columns)):
            return []
        leaving: list[dict[str, Any]] = []
        counts = result.counts

        def kept() -> Iterator[pa.RecordBatch]:
            for batch in self._read(part):
                out = self._purged(batch)
                for row in np.flatnonzero(out).tolist():
                    one = {
                        n: batch.column(n)[row].as_py()
                        for n in ("id", "origin", "language", "text")
                    }
                    size = len(one["text"].encode())
                    result.gone[one["id"]] = size
                    counts.documents_out -= 1
                    counts.text_bytes_out -= size
                    _less(counts.languages, one["language"])
                    if one["id"] in self.came_in:
                        self._never_came(one["id"], counts)
                    else:
                        leaving.append({"id": one["id"], "origin": one["origin"]})
                yield batch.filter(pa.array(~out))

        with files.open_read(files.join(self.folder, part)) as handle:
            schema = pq.read_schema(handle).remove_metadata()
        self._write(part, schema, kept(), known, result)
        return leaving

    def _purged(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        judge = self.purge.documents if "text" in batch.schema.names else self.purge.named
        return judge(batch)

    def _never_came(self, document: str, counts: Counts) -> None:
        counts.documents_in -= 1
        counts.text_bytes_in -= self.came_in[document]
        if counts.records:
            counts.records -= 1

    # -- rejected documents and bad records ------------------------------------------------------

    def _rejected(
        self,
        part: str,
        known: dict[str, dict[str, Any]],
        result: Stripped,
        leaving: Sequence[dict[str, Any]],
    ) -> None:
        """Rows of purged documents say no more than id, origin and reason; those of documents that
        never came are dropped; `leaving` are added, in the order of their ids."""
        path, counts = _REJECTED + part, result.counts
        here = list(self._read(path)) if path in known else []
        if not leaving and not any(self._telling(batch).any() for batch in here):
            return
        purged = [
            {**row, "stage": self.step, "reason": REASON, "detail": "", "url": None}
            for row in leaving
        ]
        counts.rejected += len(purged)
        counts.reasons[REASON] += len(purged)
        rest: list[pa.RecordBatch] = []
        for batch in here:
            rows = []
            for row, named in zip(batch.to_pylist(), self.purge.named(batch), strict=True):
                if row["reason"] == REASON:
                    purged.append(row)
                elif named and row["id"] in self.came_in:
                    counts.rejected -= 1
                    _less(counts.reasons, row["reason"])
                    self._never_came(row["id"], counts)
                else:
                    rows.append({**row, "detail": "", "url": None} if named else row)
            rest.append(pa.RecordBatch.from_pylist(rows, schema=REJECTED_SCHEMA))
        if not counts.reasons[REASON]:
            del counts.reasons[REASON]
        purged.sort(key=lambda row: str(row["id"]))
        rest.append(pa.RecordBatch.from_pylist(purged, schema=REJECTED_SCHEMA))
        self._write_if_any(path, REJECTED_SCHEMA, rest, known, result)

    def _telling(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Rows of purged documents that tell more of them than they may, or may not be there."""
        ids, details, addresses = (batch.column(n).to_pylist() for n in ("id", "detail", "url"))
        more = [
            bool(detail) or url is not None or (document in self.came_in)
            for document, detail, url in zip(ids, details, addresses, strict=True)
        ]
        return self.purge.named(batch) & np.array(more, dtype=np.bool_)

    def _bad(self, part: str, known: dict[str, dict[str, Any]], result: Stripped) -> None:
        """Errors may quote what could not be read; a bad record is named by its document's id."""
        path, counts = _BAD + part, result.counts
        changed, rest = False, []
        for batch in self._read(path):
            rows = []
            for row in batch.to_pylist():
                word = row["error"].split(":", 1)[0]
                if row["offset"] not in self.purge.ids:
                    rows.append(row)
                elif row["offset"] in self.came_in:
                    changed = True
                    counts.bad -= 1
                    _less(counts.errors, word[:60])
                    self._never_came(row["offset"], counts)
                else:
                    changed |= row["error"] != f"{word}: {REASON}"
                    rows.append({**row, "error": f"{word}: {REASON}"})
            rest.append(pa.RecordBatch.from_pylist(rows, schema=BAD_SCHEMA))
        if changed:
            self._write_if_any(path, BAD_SCHEMA, rest, known, result)

    def other(self, path: str, known: dict[str, dict[str, Any]], result: Stripped) -> None:
        """Other tables of the step that name documents (found benchmark items)."""
        with files.open_read(files.join(self.folder, path)) as handle:
            schema = pq.read_schema(handle).remove_metadata()
        name = next((n for n in NAMES if n in schema.names), None)
        if name is None or not pa.types.is_string(schema.field(name).type):
            return
        if any(self.purge.named(b, name).any() for b in self._read(path)):
            kept = (b.filter(pa.array(~self.purge.named(b, name))) for b in self._read(path))
            self._write_if_any(path, schema, kept, known, result)


def _less(counter: Counter[str], key: str | None) -> None:
    if key is None:
        return
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
