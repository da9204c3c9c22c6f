"""Checks the sidecars of a shard against its payload, each other and the manifest."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenizer import names as name_files
from tokenizer.dialects import MEGATRON_HEADER
from tokenizer.files import file_system
from tokenizer.local import local_copy
from tokenizer.manifest import Shard, TokensManifest
from tokenizer.shards import DTYPE, ShardReader

NamesOf: TypeAlias = Callable[[str | None, str | None], Sequence[str]]
"""Origin and URL of a document -> what it can be looked up by besides its id."""

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with one file of a shard; `offset` in bytes where a place is known."""

    ending: str
    what: str
    offset: int | None = None


@dataclass
class Sidecars:
    """What the sidecars tell; `ids` are 64-bit hashes of the documents' ids, in payload order."""

    text_bytes: int | None = None
    ids: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    findings: list[Finding] = field(default_factory=list)


def look(
    reader: ShardReader,
    shard: Shard,
    manifest: TokensManifest,
    names_of: NamesOf | None = None,
    every: int = 1,
) -> Sidecars:
    """Reads all sidecars of a shard. The names of every so many documents are worked out again.

    Raises ValueError if a file is missing or malformed.
    """
    starts = reader.first_tokens
    found = Sidecars(findings=list(_index(reader, shard, manifest.separator.id)))
    try:
        table = reader.documents
    except (pa.ArrowException, OSError) as error:
        what = f"the document sidecar: {str(error).splitlines()[0]}"
        found.findings.append(Finding(".docs.parquet", what))
        return found
    lengths = np.diff(starts)
    if not np.array_equal(table.column("first_token").to_numpy(), starts[:-1]) or not (
        np.array_equal(table.column("length").to_numpy(), lengths)
    ):
        found.findings.append(Finding(".docs.parquet", "index and document list differ"))
        return found
    names = table.column("id").to_pylist()
    found.ids = np.fromiter(map(name_files.hash_of, names), np.uint64, len(names))
    found.findings += _documents(table, shard, manifest)
    if "text_bytes" in table.column_names:
        found.text_bytes = int(np.sum(table.column("text_bytes").to_numpy(), dtype=np.int64))
        if found.text_bytes != shard.text_bytes:
            what = f"{found.text_bytes} bytes of text, the manifest says {shard.text_bytes}"
            found.findings.append(Finding(".docs.parquet", what))
    found.findings += _names(reader, table, found.ids, names_of, every)
    found.findings += _datatrove(reader, starts)
    found.findings += _olmo(reader, names, starts)
    return found


def _sidecar(reader: ShardReader, ending: str) -> str | None:
    """A local path of a sidecar that need not be there."""
    url = reader.path.removesuffix(".bin") + ending
    fs, path = file_system(url)
    return local_copy(url, reader.cache_dir) if fs.isfile(path) else None


def _index(reader: ShardReader, shard: Shard, separator_id: int) -> Iterator[Finding]:
    starts, payload = reader.first_tokens, reader.memmap
    n = len(starts) - 1
    if n != shard.documents:
        what = f"the index has {n} documents, the manifest says {shard.documents}"
        yield Finding(".idx", what)
    ends = starts[1:] - 1
    if np.any(ends < starts[:-1]):
        yield Finding(".idx", "the index has a document without tokens")
    elif not np.all(payload[ends] == separator_id):
        at = int(ends[payload[ends] != separator_id][0])
        what = "a document of the index does not end in the separator"
        yield Finding(".bin", what, at * DTYPE.itemsize)
    path = _sidecar(reader, ".idx")
    assert path is not None  # it was just read
    content = Path(path).read_bytes()
    places = np.frombuffer(content, "<i8", n, MEGATRON_HEADER.size + 4 * n)
    if not np.array_equal(places, starts[:-1] * DTYPE.itemsize):
        yield Finding(".idx", "offsets of documents do not follow from their lengths")
    numbers = np.frombuffer(content, "<i8", n + 1, MEGATRON_HEADER.size + 12 * n)
    if not np.array_equal(numbers, np.arange(n + 1)):
        yield Finding(".idx", "its list of documents is not 0, 1, 2, ...")


def _documents(table: pa.Table, shard: Shard, manifest: TokensManifest) -> Iterator[Finding]:
    if manifest.held_out is None:
        return
    if "held_out" not in table.column_names or table.column("held_out").null_count:
        yield Finding(".docs.parquet", "a document has no number to tell its split by")
        return
    numbers = table.column("held_out").to_numpy()
    # Which side of one bound a number is on decides, so no number can be on both.
    inside = numbers < np.uint64(manifest.held_out.bound)
    wrong = np.flatnonzero(inside != (shard.split == "valid"))
    if wrong.size:
        name = table.column("id")[int(wrong[0])].as_py()
        right = manifest.held_out.split_of(int(numbers[wrong[0]]))
        what = f"{wrong.size} documents belong to {right}, by their cluster (the first: {name})"
        yield Finding(".docs.parquet", what)


def _names(
    reader: ShardReader,
    table: pa.Table,
    ids: npt.NDArray[np.uint64],
    names_of: NamesOf | None,
    every: int,
) -> Iterator[Finding]:
    ending = name_files.ENDING
    path = _sidecar(reader, ending)
    if path is None:
        yield Finding(ending, "no such file")
        return
    content = Path(path).read_bytes()
    n = len(content) // 12
    if len(content) % 12:
        yield Finding(ending, f"{len(content)} bytes are no whole number of names")
        return
    hashes = np.frombuffer(content, "<u8", n)
    rows = np.frombuffer(content, "<u4", n, 8 * n)
    if np.any(hashes[1:] < hashes[:-1]):
        at = int(np.flatnonzero(hashes[1:] < hashes[:-1])[0]) + 1
        yield Finding(ending, "hashes are not in order", 8 * at)
        return
    if n and int(rows.max()) >= len(ids):
        at = int(np.flatnonzero(rows >= len(ids))[0])
        yield Finding(ending, f"document {rows[at]} of {len(ids)}", 8 * n + 4 * at)
        return
    by_id = np.zeros(len(ids), dtype=np.bool_)
    by_id[rows[hashes == ids[rows]]] = True
    if not by_id.all():
        yield Finding(ending, f"{np.count_nonzero(~by_id)} documents cannot be found by their ids")
        return
    if names_of is None:
        return  # Further names are the writer's affair.
    wanted: list[int] = []
    of: list[int] = []
    some = table.select(["id", "origin", "url"]).take(np.arange(0, len(ids), every))
    columns = [column.to_pylist() for column in some.columns]
    for place, (name, origin, url) in enumerate(zip(*columns, strict=True)):
        found = {name, *names_of(origin, url)}
        wanted.extend(map(name_files.hash_of, found))
        of.extend([place * every] * len(found))
    due, due_rows = np.array(wanted, dtype=np.uint64), np.array(of, dtype=np.uint32)
    order = np.lexsort((due_rows, due))
    here = rows % np.uint32(every) == 0
    if not (
        np.array_equal(due[order], hashes[here]) and np.array_equal(due_rows[order], rows[here])
    ):
        yield Finding(ending, "names and document list differ")


def _datatrove(reader: ShardReader, starts: I64) -> Iterator[Finding]:
    index, about = _sidecar(reader, ".ds.index"), _sidecar(reader, ".ds.metadata")
    if index is not None:
        content = Path(index).read_bytes()
        if content != starts[1:].astype("<u8").tobytes():
            yield Finding(".ds.index", "ends of documents are not the index's")
    if about is not None:
        lines = Path(about).read_text(errors="replace").split("\n")
        if len(lines) < 2 or not lines[0].endswith("|2") or lines[1] != str(int(starts[-1])):
            yield Finding(".ds.metadata", f"does not tell of {int(starts[-1])} tokens of 2 bytes")


def _olmo(reader: ShardReader, names: Sequence[str], starts: I64) -> Iterator[Finding]:
    path = _sidecar(reader, ".csv.gz")
    if path is None:
        return
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(io.StringIO(stream.read(), newline="")))
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        yield Finding(".csv.gz", str(error))
        return
    due = [
        [str(first), str(end), name.replace("\r", " ").replace("\n", " "), str(place)]
        for place, (name, first, end) in enumerate(
            zip(names, starts[:-1].tolist(), starts[1:].tolist(), strict=True), 1
        )
    ]
    if [[*row[:3], *row[4:]] for row in rows] != due:
        yield Finding(".csv.gz", "rows and document list differ")
