"""The sidecars by which other trainers read a token payload: Megatron, datatrove, OLMo.

Layouts: Megatron-LM `core/datasets/indexed_dataset.py` (`MMIDIDX`, version 1); datatrove
`pipeline/tokens/tokenizer.py`; dolma `tokenizer/memmap_writer.py`.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import struct
from bisect import bisect_right
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tokenizer.local import LocalFile

Dialect: TypeAlias = Literal["datatrove", "olmo"]

MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
# magic, u64 version, u8 dtype code, u64 sequences, u64 entries of the document index
MEGATRON_HEADER = struct.Struct("<9sQBQQ")
MEGATRON_UINT16 = 8
_BLOCK = 1 << 16


def write_megatron_index(stream: BinaryIO, lengths: npt.NDArray[np.int32], itemsize: int) -> None:
    """Writes a `.idx` in which every document is one sequence.

    After the header: int32 length of each document, int64 offset of each in bytes, and the int64
    document index 0, 1, ..., n.

    Args:
        lengths: tokens of each document, separator included, shape (n,).
        itemsize: bytes a token in the payload.
    """
    n = len(lengths)
    stream.write(MEGATRON_HEADER.pack(MEGATRON_MAGIC, 1, MEGATRON_UINT16, n, n + 1))
    stream.write(lengths.astype("<i4").tobytes())
    offset = 0
    for start in range(0, n, _BLOCK):
        block = lengths[start : start + _BLOCK].astype("<i8") * itemsize
        ends = np.cumsum(block) + offset
        stream.write((ends - block).astype("<i8").tobytes())
        offset = int(ends[-1])
    for start in range(0, n + 1, _BLOCK):
        stream.write(np.arange(start, min(start + _BLOCK, n + 1), dtype="<i8").tobytes())


def read_megatron_index(path: str | os.PathLike[str]) -> npt.NDArray[np.int32]:
    """Document lengths in tokens from a `.idx`: int32 of shape (documents,).

    Raises:
        ValueError: not an index of uint16 ids in version 1, or its size does not fit its counts.
    """
    try:
        with open(path, "rb") as stream:
            header = stream.read(MEGATRON_HEADER.size)
            sequences = megatron_documents(path, header, Path(path).stat().st_size)
            return np.frombuffer(stream.read(sequences * 4), dtype="<i4")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error


def megatron_documents(path: str | os.PathLike[str], header: bytes, size: int) -> int:
    """The number of documents in a `.idx`, from its first bytes and its size in bytes.

    Raises:
        ValueError: not an index of uint16 ids in version 1, or the size does not fit its counts.
    """
    if len(header) < MEGATRON_HEADER.size:
        raise ValueError(f"{path}: too short for a token index")
    magic, version, code, sequences, entries = MEGATRON_HEADER.unpack(header)
    if magic != MEGATRON_MAGIC or version != 1 or code != MEGATRON_UINT16:
        raise ValueError(f"{path}: no Megatron index of uint16 ids, version 1")
    expected = MEGATRON_HEADER.size + sequences * 12 + entries * 8
    if size != expected:
        raise ValueError(f"{path}: the index is not {expected} bytes long, as it says")
    return int(sequences)


class DocumentStarts:
    """Where documents begin, from a `.idx` of one document a sequence, a few bytes at a time.

    Raises ValueError like `read_megatron_index`.
    """

    def __init__(self, path: str, itemsize: int) -> None:
        self._file = LocalFile(path)
        header = self._file.read(0, MEGATRON_HEADER.size)
        self.documents = megatron_documents(path, header, self._file.bytes)
        self._itemsize = itemsize
        self._offsets = MEGATRON_HEADER.size + 4 * self.documents

    def starts(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """First tokens of documents `first` to `last - 1`, then where the last of them ends:
        int64 of shape (last - first + 1,). There must be at least one."""
        content = self._file.read(self._offsets + 8 * first, 8 * (last - first))
        starts = np.frombuffer(content, dtype="<i8") // self._itemsize
        length = self._file.read(MEGATRON_HEADER.size + 4 * (last - 1), 4)
        return np.append(starts, starts[-1] + int.from_bytes(length, "little"))

    def find(self, token: int) -> int:
        """The document that holds a token; the last one for tokens beyond the end."""
        return bisect_right(range(self.documents), token, key=self._start) - 1

    def _start(self, document: int) -> int:
        content = self._file.read(self._offsets + 8 * document, 8)
        return int.from_bytes(content, "little") // self._itemsize


def write_datatrove_sidecars(
    index: BinaryIO,
    metadata: BinaryIO,
    lengths: npt.NDArray[np.int32],
    tokenizer_name: str,
    itemsize: int,
) -> None:
    """Writes `.ds.index` (u64 end of each document, in tokens) and `.ds.metadata` (text)."""
    ends = np.cumsum(lengths, dtype=np.uint64)
    index.write(ends.astype("<u8").tobytes())
    tokens = int(ends[-1]) if len(ends) else 0
    metadata.write(f"{tokenizer_name}|{itemsize}\n{tokens}\n{tokens:,} tokens".encode())


class OlmoSidecar:
    """Writes `.csv.gz`: start, end, document id, source file, place in it; no header line."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        # No name and no time in the gzip header, so that the bytes depend on the rows alone.
        self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)
        self._text = io.TextIOWrapper(self._gzip, encoding="utf-8", newline="", write_through=False)
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._source = source

    def add(self, document_id: str, start: int, length: int, place: int) -> None:
        """Appends a row; `place` counts documents from 1."""
        # OLMo-core splits the file at newlines before it looks at commas and quotes.
        one_line = document_id.replace("\r", " ").replace("\n", " ")
        self._rows.writerow((start, start + length, one_line, self._source, place))

    def close(self) -> None:
        """Ends the gzip stream; the file below stays open."""
        self._text.close()
