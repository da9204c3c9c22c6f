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
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

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
            if len(header) < MEGATRON_HEADER.size:
                raise ValueError(f"{path}: too short for a token index")
            magic, version, code, sequences, entries = MEGATRON_HEADER.unpack(header)
            if magic != MEGATRON_MAGIC or version != 1 or code != MEGATRON_UINT16:
                raise ValueError(f"{path}: no Megatron index of uint16 ids, version 1")
            expected = MEGATRON_HEADER.size + sequences * 12 + entries * 8
            if Path(path).stat().st_size != expected:
                raise ValueError(f"{path}: the index is not {expected} bytes long, as it says")
            return np.frombuffer(stream.read(sequences * 4), dtype="<i4")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error


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
