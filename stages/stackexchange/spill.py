"""Posts on their way to their thread: one file a work unit, its blocks cut by partition.

A partition holds whole threads, by the hash of site and question. Writing, posts are collected up
to a bound of memory; then each partition's posts are written as one block (an Arrow record batch,
zstd). What goes through the shuffle is where a partition's blocks lie: of each block its stretch
and its size. So answers meet their question wherever both lie in the dumps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from stages.engine import files
from stages.engine.stretches import read, stretch
from stages.stackexchange.post import Post

SCHEMA = pa.schema(
    [
        ("site", pa.string()),
        ("question", pa.int64()),
        ("kind", pa.int8()),
        ("id", pa.int64()),
        ("score", pa.int64()),
        ("html", pa.large_string()),
        ("origin", pa.string()),
        ("title", pa.string()),
        ("created", pa.string()),
        ("license", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("accepted", pa.int64()),
        ("reason", pa.string()),
    ]
)
_CODEC = "zstd"
_ROW_BYTES = 400  # a post's other values, as Python objects
_READ_ROWS = 128
# What a byte of Posts.xml takes in a reducer: the posts as they lie, their sorted copy, a part's
# open row group and Python's copy of a few threads.
_MEMORY_PER_BYTE = 3
_MAX_PARTITIONS = 4096
_MIN_PARTITIONS = 4


def partitions_for(xml_bytes: int, memory_bytes: int) -> int:
    """Partitions such that a reducer stays within `memory_bytes` (threads spread evenly)."""
    wanted = -(-xml_bytes * _MEMORY_PER_BYTE // memory_bytes)
    return max(_MIN_PARTITIONS, min(_MAX_PARTITIONS, wanted))


def partition_of(site: str, question: int, partitions: int) -> int:
    """The same on every machine, at every time."""
    return (xxhash.xxh3_64_intdigest(f"{site}/{question}".encode()) * partitions) >> 64


class SpillWriter:
    """Writes one unit's posts. A context manager; the file appears when the block ends well.

    `blocks[p]` then lists [stretch, size] of partition p's blocks.
    """

    def __init__(self, path: str, partitions: int, memory_bytes: int) -> None:
        self.path = path
        self.blocks: list[list[list[Any]]] = [[] for _ in range(partitions)]
        self._pending: list[list[Post]] = [[] for _ in range(partitions)]
        self._size, self._limit, self._written = 0, memory_bytes, 0
        self._context = files.plain_writer(path)
        self._codec = pa.Codec(_CODEC)

    def __enter__(self) -> SpillWriter:
        self._out = self._context.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            try:
                self._flush()
            except BaseException as late:
                self._context.__exit__(type(late), late, late.__traceback__)
                raise
        self._context.__exit__(kind, error, trace)

    def write(self, post: Post) -> None:
        self._pending[partition_of(post.site, post.question, len(self._pending))].append(post)
        # Characters outside ASCII take up to four bytes each in Python.
        self._size += _ROW_BYTES + len(post.html) * (1 if post.html.isascii() else 2)
        if self._size >= self._limit:
            self._flush()

    def _flush(self) -> None:
        for partition, posts in enumerate(self._pending):
            if posts:
                columns = [[getattr(p, name) for p in posts] for name in SCHEMA.names]
                batch = pa.record_batch(
                    [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)],
                    schema=SCHEMA,
                )
                data = batch.serialize()
                stored = self._codec.compress(data, asbytes=True)
                where = stretch(self.path, self._written, len(stored))
                self.blocks[partition].append([where, data.size])
                self._out.write(stored)
                self._written += len(stored)
                self._pending[partition] = []
        self._size = 0


def read_threads(blocks: Sequence[Sequence[Any]]) -> Iterator[list[Post]]:
    """The posts of one partition, thread by thread in the order of (site, question).

    `blocks`: in the order of the units; so the posts of a thread come in the order of the dumps.
    Memory: the partition twice, for a moment. Raises OSError for a file that is not as it was
    written.
    """
    batches = [
        pa.ipc.read_record_batch(pa.decompress(data, decompressed_size=size, codec=_CODEC), SCHEMA)
        for (_, size), data in zip(blocks, read([where for where, _ in blocks]), strict=True)
    ]
    if not batches:
        return
    table = pa.Table.from_batches(batches, SCHEMA)
    del batches
    order = pc.sort_indices(table, [("site", "ascending"), ("question", "ascending")])
    table = table.take(order).combine_chunks()
    for _, thread in groupby(_posts(table), key=lambda post: (post.site, post.question)):
        yield list(thread)


def _posts(table: pa.Table) -> Iterator[Post]:
    for batch in table.to_batches(max_chunksize=_READ_ROWS):
        columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            post = Post(**dict(zip(SCHEMA.names, values, strict=True)))
            post.tags = tuple(post.tags)
            yield post
