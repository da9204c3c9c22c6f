"""Token shards: one headerless payload that other trainers read too, and its sidecars.

`PREFIX.bin` holds the ids of all documents one after the other, little-endian uint16, each document
followed by exactly one separator. The same bytes are Megatron's and nanoGPT's `.bin`, datatrove's
`.ds` and OLMo's `.npy`. Beside it `PREFIX.idx` (Megatron's index, `tokenizer.dialects`),
`PREFIX.docs.parquet` (which document lies where, and where it comes from) and `PREFIX.names` (where
a document of some name is, `tokenizer.names`). See docs/token_shards.md.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tokenizer import names as name_files
from tokenizer.dialects import (
    Dialect,
    DocumentStarts,
    OlmoSidecar,
    read_megatron_index,
    write_datatrove_sidecars,
    write_megatron_index,
)
from tokenizer.files import AtomicFile
from tokenizer.local import LocalFile, local_copy
from tokenizer.manifest import MAX_VOCAB_SIZE, Shard, Split

DTYPE = np.dtype("<u2")
# Document rows held in memory before they go to the sidecar as one row group, which is also the
# least that is read to name the documents of a window: a few milliseconds' work.
ROW_GROUP = 4096
# Megatron stores document lengths as int32.
MAX_DOCUMENT = (1 << 31) - 1
# Tokens of documents that are checked and written at once: half a megabyte, which caches hold.
_TOGETHER = 1 << 18

DOCUMENTS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("first_token", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("origin", pa.string()),
        pa.field("url", pa.string()),
        # UTF-8 bytes of its text, and the number that decides its split (`manifest.HeldOut`).
        pa.field("text_bytes", pa.int64()),
        pa.field("held_out", pa.uint64()),
    ]
)


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """What was written: counts, the sha256 of the payload, and the paths of all files."""

    path: str
    tokens: int
    documents: int
    text_bytes: int
    sha256: str
    files: tuple[str, ...]

    def entry(self, relative_path: str, *, source: str, split: Split) -> Shard:
        """The shard's entry in the manifest."""
        return Shard(
            path=relative_path,
            split=split,
            source=source,
            tokens=self.tokens,
            documents=self.documents,
            text_bytes=self.text_bytes,
            sha256=self.sha256,
        )


class ShardWriter:
    """Writes one shard in a stream; nothing appears under its final name before `close`.

    Memory does not grow with the text: one document's ids (or half a megabyte of several ones'), a
    row group of document rows, 4 bytes per document and 12 per name. Same documents in the same
    order give the same bytes in every file.
    """

    def __init__(
        self,
        prefix: str | os.PathLike[str],
        *,
        vocab_size: int,
        separator_id: int,
        forbidden_ids: Collection[int] = (),
        dialects: Collection[Dialect] = (),
        tokenizer_name: str = "llama-corpus",
    ) -> None:
        """
        Args:
            prefix: path or fsspec URL without the ending.
            vocab_size: ids must be below it; at most 65,536, since ids are uint16.
            separator_id: written after each document, refused inside one.
            forbidden_ids: further ids that must not occur inside a document (`<s>`, `<unk>`).
            dialects: sidecars to write besides Megatron's: "datatrove", "olmo".
            tokenizer_name: named in datatrove's metadata.

        Raises:
            ValueError: a vocabulary that uint16 cannot hold, or a separator outside it.
        """
        if not 0 < vocab_size <= MAX_VOCAB_SIZE:
            raise ValueError(f"vocab_size {vocab_size} must be 1 to {MAX_VOCAB_SIZE} for uint16")
        if not 0 <= separator_id < vocab_size:
            raise ValueError(f"separator id {separator_id} is not below vocab_size {vocab_size}")
        unknown = set(dialects) - {"datatrove", "olmo"}
        if unknown:
            raise ValueError(f"unknown dialect {sorted(unknown)[0]!r}: datatrove or olmo")
        self.prefix = os.fspath(prefix)
        self.vocab_size = vocab_size
        self.separator_id = separator_id
        self._tokenizer_name = tokenizer_name
        self._forbidden = sorted({separator_id, *forbidden_ids})
        self._is_forbidden = np.zeros(vocab_size, dtype=np.bool_)
        self._is_forbidden[[i for i in self._forbidden if 0 <= i < vocab_size]] = True
        self._separator = np.array([separator_id], dtype=DTYPE).tobytes()
        self._dialects = frozenset(dialects)
        self._sha256 = hashlib.sha256()
        self._lengths = array("i")
        self._names, self._named = array("Q"), array("I")
        self._rows: list[tuple[str, int, int, str | None, str | None, int, int | None]] = []
        self._tokens = 0
        self._text_bytes = 0
        self._closed = False
        self._files: list[AtomicFile] = []
        self._documents: pq.ParquetWriter | None = None
        self._olmo: OlmoSidecar | None = None
        try:
            self._payload = self._new_file(".bin")
            self._documents = pq.ParquetWriter(
                self._new_file(".docs.parquet").stream, DOCUMENTS_SCHEMA, compression="zstd"
            )
            if "olmo" in self._dialects:
                self._olmo = OlmoSidecar(self._new_file(".csv.gz").stream, Path(self.prefix).name)
        except BaseException:
            self.discard()
            raise

    def _new_file(self, ending: str) -> AtomicFile:
        file = AtomicFile(self.prefix + ending)
        self._files.append(file)
        return file

    @property
    def tokens(self) -> int:
        """Tokens so far, separators included."""
        return self._tokens

    def add(
        self,
        document_id: str,
        ids: npt.NDArray[np.integer] | Sequence[int],
        text_bytes: int,
        *,
        origin: str | None = None,
        url: str | None = None,
        names: Iterable[str] = (),
        held_out: int | None = None,
    ) -> None:
        """Appends a document and its separator.

        Args:
            document_id: its id in the corpus.
            ids: integers of shape (n,), without separator; n may be 0.
            text_bytes: size of its text in UTF-8.
            origin: the raw file that it comes from, and the place in it.
            url: the page that it was.
            names: what it can be looked up by besides its id (`find`).
            held_out: the 64-bit number that decided its split (`manifest.HeldOut`).

        Raises:
            ValueError: an id outside the vocabulary, or a separator or forbidden id inside the
                document; names the document and the position. The shard stays as it was.
        """
        if self._closed:
            raise ValueError(f"{self.prefix}: the shard is closed")
        values = np.asarray(ids, dtype=np.int64 if len(ids) == 0 else None)
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise ValueError(f"document {document_id!r}: ids must be integers in one dimension")
        if values.size >= MAX_DOCUMENT:
            raise ValueError(f"document {document_id!r}: {values.size} tokens are too many")
        if values.size:
            self._check(document_id, values)
        payload = values.astype(DTYPE).tobytes() + self._separator
        self._payload.stream.write(payload)
        self._sha256.update(payload)
        length = int(values.size) + 1
        for name in {document_id, *names}:
            self._names.append(name_files.hash_of(name))
            self._named.append(len(self._lengths))
        self._lengths.append(length)
        self._rows.append((document_id, self._tokens, length, origin, url, text_bytes, held_out))
        if self._olmo is not None:
            self._olmo.add(document_id, self._tokens, length, len(self._lengths))
        self._tokens += length
        self._text_bytes += text_bytes
        if len(self._rows) >= ROW_GROUP:
            self._write_rows()

    def add_many(
        self,
        document_ids: Sequence[str],
        ids: Sequence[npt.NDArray[np.integer]],
        text_bytes: Sequence[int],
        *,
        origins: Sequence[str | None] | None = None,
        urls: Sequence[str | None] | None = None,
        names: Sequence[Iterable[str]] | None = None,
        held_out: Sequence[int | None] | None = None,
    ) -> None:
        """`add` for each of several documents, in order, for a fraction of the time.

        Args: those of `add`, each for all documents; where one is None, none of them has it.

        Raises:
            ValueError: as `add`, for the first document that is wrong; those before it are in.
        """
        n = len(document_ids)
        optional = ((origins, None), (urls, None), (names, ()), (held_out, None))
        columns: list[Sequence[Any]] = [
            document_ids,
            ids,
            text_bytes,
            *([absent] * n if given is None else given for given, absent in optional),
        ]
        if any(len(column) != n for column in columns):
            raise ValueError(f"columns of different lengths: {[len(c) for c in columns]}")
        start = 0
        while start < n:
            end, tokens = start, 0
            most = min(n, start + ROW_GROUP - len(self._rows))
            while end < most and (end == start or tokens + len(ids[end]) <= _TOGETHER):
                tokens += len(ids[end])
                end += 1
            here = [column[start:end] for column in columns]
            if not self._add_together(*here):
                for document, values, size, origin, url, known, number in zip(*here, strict=True):
                    more = {"origin": origin, "url": url, "names": known, "held_out": number}
                    self.add(document, values, size, **more)
            start = end

    def _add_together(
        self,
        document_ids: Sequence[str],
        ids: Sequence[npt.NDArray[np.integer]],
        text_bytes: Sequence[int],
        origins: Sequence[str | None],
        urls: Sequence[str | None],
        names: Sequence[Iterable[str]],
        held_out: Sequence[int | None],
    ) -> bool:
        """Appends documents, no more than fit in the row group; False, with the shard as it was,
        where each has to be looked at by itself."""
        if self._closed or any(
            not isinstance(a, np.ndarray) or a.dtype != DTYPE or a.ndim != 1 for a in ids
        ):
            return False
        separator = np.frombuffer(self._separator, dtype=DTYPE)
        values = np.concatenate([part for a in ids for part in (a, separator)])
        if values.size >= MAX_DOCUMENT or values.max() >= self.vocab_size:
            return False
        for forbidden in self._forbidden:
            expected = len(ids) if forbidden == self.separator_id else 0
            if np.count_nonzero(values == forbidden) != expected:
                return False
        payload = values.data.cast("B")
        self._payload.stream.write(payload)
        self._sha256.update(payload)
        lengths = [len(a) + 1 for a in ids]
        starts = list(accumulate(lengths, initial=self._tokens))
        first = len(self._lengths)
        for row, (document_id, known) in enumerate(zip(document_ids, names, strict=True), first):
            for name in {document_id, *known}:
                self._names.append(name_files.hash_of(name))
                self._named.append(row)
        self._lengths.extend(lengths)
        self._rows += zip(
            document_ids, starts[:-1], lengths, origins, urls, text_bytes, held_out, strict=True
        )
        if self._olmo is not None:
            for i, document_id in enumerate(document_ids):
                self._olmo.add(document_id, starts[i], lengths[i], first + i + 1)
        self._tokens = starts[-1]
        self._text_bytes += sum(text_bytes)
        if len(self._rows) >= ROW_GROUP:
            self._write_rows()
        return True

    def _check(self, document_id: str, values: npt.NDArray[np.integer]) -> None:
        if values.min() < 0 or values.max() >= self.vocab_size:
            at = int(np.flatnonzero((values < 0) | (values >= self.vocab_size))[0])
            raise ValueError(
                f"document {document_id!r}: id {values[at]} at position {at} is outside the "
                f"vocabulary of {self.vocab_size}"
            )
        if not self._is_forbidden[values].any():
            return
        for forbidden in self._forbidden:
            found = np.flatnonzero(values == forbidden)
            if found.size:
                what = "the separator" if forbidden == self.separator_id else "a control id"
                raise ValueError(
                    f"document {document_id!r}: id {forbidden} at position {int(found[0])} is "
                    f"{what}, which must not occur inside a document"
                )

    def _write_rows(self) -> None:
        if self._rows and self._documents is not None:
            columns = [list(column) for column in zip(*self._rows, strict=True)]
            self._documents.write_table(pa.table(columns, schema=DOCUMENTS_SCHEMA))
            self._rows.clear()

    def close(self) -> ShardInfo:
        """Finishes all files and gives them their names, the payload last."""
        if self._closed:
            raise ValueError(f"{self.prefix}: the shard is closed")
        try:
            self._write_rows()
            if self._documents is not None:
                self._documents.close()
            if self._olmo is not None:
                self._olmo.close()
            lengths = np.frombuffer(self._lengths, dtype=np.int32)
            write_megatron_index(self._new_file(".idx").stream, lengths, DTYPE.itemsize)
            name_files.write(
                self._new_file(name_files.ENDING).stream,
                np.frombuffer(self._names, dtype=np.uint64),
                np.frombuffer(self._named, dtype=np.uint32),
            )
            if "datatrove" in self._dialects:
                write_datatrove_sidecars(
                    self._new_file(".ds.index").stream,
                    self._new_file(".ds.metadata").stream,
                    lengths,
                    self._tokenizer_name,
                    DTYPE.itemsize,
                )
            for file in self._files:
                file.finish()
            # Who sees the payload sees all its sidecars.
            for file in reversed(self._files):
                file.commit()
        except BaseException:
            self.discard()
            raise
        self._closed = True
        return ShardInfo(
            path=self.prefix + ".bin",
            tokens=self._tokens,
            documents=len(self._lengths),
            text_bytes=self._text_bytes,
            sha256=self._sha256.hexdigest(),
            files=tuple(self.prefix + f.path[len(self._payload.path) - 4 :] for f in self._files),
        )

    def discard(self) -> None:
        """Removes what was written so far."""
        self._closed = True
        # Both would write their ends when collected, into files that are closed by then. Writing
        # them now may fail as well (a full disk may be why we are here), and does not matter.
        for sidecar in (self._documents, self._olmo):
            if sidecar is not None:
                with suppress(OSError, ValueError):
                    sidecar.close()
        for file in self._files:
            file.discard()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._closed:
            self.discard()


@dataclass(frozen=True, slots=True)
class DocumentSpan:
    """The part of a document inside a stretch of a shard: `length` tokens from token `start`.

    The whole document has `whole` tokens (separator included) from token `first_token` of the
    shard. `origin` and `url` are None where its writer gave none; `text_bytes` and `held_out` (see
    `DOCUMENTS_SCHEMA`) also where they were not asked for.
    """

    id: str
    first_token: int
    start: int
    length: int
    whole: int
    origin: str | None = None
    url: str | None = None
    text_bytes: int | None = None
    held_out: int | None = None


class ShardReader:
    """Reads a shard's payload and sidecars; files of a remote file system are cached on disk.

    Safe to share between threads and forks, and to pickle. Windows are read with `pread`, not
    through a memory map: resident memory stays flat however much is read, and a file cut short
    raises instead of killing the process. `memmap` gives the whole payload as an array.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        vocab_size: int = MAX_VOCAB_SIZE,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """
        Args:
            path: path or fsspec URL of the payload (`.bin`), or its prefix.
            vocab_size: ids read must be below it.
            cache_dir: where copies of remote files are kept; by default a folder of the user's
                under the system's temporary folder.
        """
        given = os.fspath(path)
        self.path = given if given.endswith(".bin") else given + ".bin"
        self.vocab_size = vocab_size
        self.cache_dir = cache_dir

    def __reduce__(self) -> tuple[object, ...]:
        return _open_reader, (self.path, self.vocab_size, self.cache_dir)

    def _local(self, ending: str) -> str:
        return local_copy(self.path[: -len(".bin")] + ending, self.cache_dir)

    @cached_property
    def _payload(self) -> LocalFile:
        return LocalFile(self._local(".bin"))

    @property
    def size(self) -> int:
        """Tokens in the shard."""
        size = self._payload.bytes
        if size % DTYPE.itemsize:
            raise ValueError(f"{self.path}: {size} bytes are no whole number of uint16")
        return size // DTYPE.itemsize

    def __len__(self) -> int:
        return self.size

    def tokens(self, start: int, n: int) -> npt.NDArray[np.uint16]:
        """Tokens `start` to `start + n`, a new array of shape (n,) and dtype uint16.

        Raises:
            ValueError: the stretch is not all inside the shard, the file is shorter than it was,
                or it holds an id outside the vocabulary (names the shard and the offset).
        """
        if start < 0 or n < 0 or start + n > self.size:
            raise ValueError(
                f"{self.path}: tokens {start} to {start + n} are not within 0 to {self.size}"
            )
        values = self._payload.read(start * DTYPE.itemsize, n * DTYPE.itemsize)
        if len(values) != n * DTYPE.itemsize:
            raise ValueError(f"{self.path}: the file ends before token {start + n}")
        ids = np.frombuffer(values, dtype=DTYPE)
        if n and int(ids.max()) >= self.vocab_size:
            at = int(np.flatnonzero(ids >= self.vocab_size)[0])
            raise ValueError(
                f"{self.path}: id {ids[at]} at token {start + at} is outside the vocabulary of "
                f"{self.vocab_size}"
            )
        return ids.astype(np.uint16)

    @property
    def memmap(self) -> npt.NDArray[np.uint16]:
        """The whole payload as a read-only memory map of shape (tokens,); ids are not checked."""
        if self.size == 0:
            return np.empty(0, dtype=DTYPE)
        return np.memmap(self._local(".bin"), dtype=DTYPE, mode="r")

    @cached_property
    def first_tokens(self) -> npt.NDArray[np.int64]:
        """Where each document begins, and the shard's size: int64 of shape (documents + 1,)."""
        lengths = read_megatron_index(self._local(".idx"))
        starts = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=starts[1:])
        if starts[-1] != self.size:
            raise ValueError(
                f"{self.path}: the index tells of {starts[-1]} tokens, the payload has {self.size}"
            )
        return starts

    @property
    def documents(self) -> pa.Table:
        """The document sidecar: id (string), first_token (int64), length (int64, separator in),
        origin and url (string or null), text_bytes (int64), held_out (uint64 or null)."""
        with pq.ParquetFile(self._local(".docs.parquet")) as file:
            return file.read()

    def documents_in(self, start: int, n: int) -> list[DocumentSpan]:
        """The documents that tokens `start` to `start + n` belong to, in order.

        Reads the one or two row groups of the document sidecar that tell of them.
        """
        index = self._starts
        size = int(index.starts(index.documents - 1, index.documents)[-1]) if index.documents else 0
        if size != self.size:
            raise ValueError(
                f"{self.path}: the index tells of {size} tokens, the payload has {self.size}"
            )
        if n <= 0 or start < 0 or start + n > size:
            raise ValueError(
                f"{self.path}: tokens {start} to {start + n} are not within 0 to {size}"
            )
        first, last = index.find(start), index.find(start + n - 1) + 1
        starts = index.starts(first, last).tolist()
        rows = self._rows(range(first, last), ("id", "origin", "url"))
        spans = []
        for row, begin, end in zip(rows, starts[:-1], starts[1:], strict=True):
            low, high = max(begin, start), min(end, start + n)
            spans.append(
                DocumentSpan(
                    row["id"], begin, low, high - low, end - begin, row["origin"], row["url"]
                )
            )
        return spans

    def find(self, names: Iterable[str]) -> list[DocumentSpan]:
        """The documents that may have one of these names, each whole; O(1), by their hashes.

        Names of others may have the same hash, so who asks must look at what comes back.

        Raises:
            ValueError: a sidecar is missing, damaged, or of another shard.
        """
        where = self.path[: -len(".bin")] + name_files.ENDING
        rows = name_files.Names(where).rows(names)
        return [
            DocumentSpan(
                row["id"],
                row["first_token"],
                row["first_token"],
                row["length"],
                row["length"],
                row["origin"],
                row["url"],
                row.get("text_bytes"),
                row.get("held_out"),
            )
            for row in self._rows(rows, DOCUMENTS_SCHEMA.names)
        ]

    @cached_property
    def _starts(self) -> DocumentStarts:
        return DocumentStarts(self._local(".idx"), DTYPE.itemsize)

    def _rows(self, wanted: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of the document sidecar (ascending), reading only the row groups that hold them."""
        found: list[dict[str, Any]] = []
        if not wanted:
            return found
        try:
            with pq.ParquetFile(self._local(".docs.parquet")) as file:
                first = 0
                for group in range(file.num_row_groups):
                    end = first + file.metadata.row_group(group).num_rows
                    low, high = bisect_left(wanted, first), bisect_left(wanted, end)
                    if low < high:
                        table = file.read_row_group(group, columns=list(columns))
                        here = [row - first for row in wanted[low:high]]
                        found += table.take(here).to_pylist()
                    first = end
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{self.path}: the document sidecar: {error}") from error
        if len(found) != len(wanted):
            raise ValueError(
                f"{self.path}: the document sidecar has {first} rows, {wanted[-1] + 1} needed"
            )
        return found

    def sha256(self) -> str:
        """The sha256 of the payload, read through."""
        digest = hashlib.sha256()
        with open(self._local(".bin"), "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


def _open_reader(
    path: str, vocab_size: int, cache_dir: str | os.PathLike[str] | None
) -> ShardReader:
    return ShardReader(path, vocab_size=vocab_size, cache_dir=cache_dir)
