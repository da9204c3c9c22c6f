"""Cutting a dump into units of work that can be read apart.

`pages-articles-multistream.xml.bz2` is a chain of bzip2 streams, the first with the header, each
following one with 100 pages. A unit is a range of compressed offsets; `WikipediaReader` decodes
the streams that begin inside, so any set of ranges that tiles the file gives each page once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import BinaryIO

from stages.wikipedia.compression import Compression, find_start, sniff

# Wikimedia's streams are well under this; a file without a start in so many bytes is one stream.
_SCAN_BYTES = 64 << 20


def stream_offsets(stream: BinaryIO) -> list[int]:
    """Offsets of all bzip2 streams in a seekable file, by one scan over it (no decompression)."""
    offsets: list[int] = []
    found = find_start(stream, 0)
    while found is not None:
        offsets.append(found)
        found = find_start(stream, found + 1)
    return offsets


def index_offsets(lines: Iterable[bytes]) -> list[int]:
    """Offsets named in a `multistream-index.txt` (`offset:page id:title` a line), ascending.

    Raises ValueError on a line of another form.
    """
    offsets: set[int] = set()
    for line in lines:
        head, colon, _ = line.partition(b":")
        if not colon or not head.isdigit():
            raise ValueError(f"not a line of a multistream index: {line[:80]!r}")
        offsets.add(int(head))
    return sorted(offsets)


def split(
    stream: BinaryIO, size: int, target_bytes: int, offsets: Iterable[int] | None = None
) -> list[tuple[int, int]]:
    """Ranges `(start, end)` that tile `0..size`, each about `target_bytes` (compressed) long.

    Cuts lie on stream starts: from `offsets` where an index gives them, else searched for just
    behind each multiple of the target, so that a remote dump is not read whole to be planned. An
    uncompressed UTF-8 dump is cut anywhere (the reader finds the pages); every other file, a
    bzip2 file of one stream included, is one unit.
    """
    if target_bytes < 1:
        raise ValueError("target_bytes must be positive")
    stream.seek(0)
    head = stream.read(16)
    compression = sniff(head)
    targets = range(target_bytes, size, target_bytes)
    cuts: list[int] = []
    if compression is Compression.NONE:
        if head[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\0" not in head:
            cuts = list(targets)
    elif compression is Compression.BZIP2:
        if offsets is not None:
            known = sorted(offsets)
            position = 0
            for target in targets:
                while position < len(known) and known[position] < target:
                    position += 1
                if position < len(known):
                    cuts.append(known[position])
        else:
            for target in targets:
                if cuts and cuts[-1] >= target:
                    continue
                found = find_start(stream, target, _SCAN_BYTES)
                if found is not None:
                    cuts.append(found)
                elif not cuts:
                    break
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < size}), size]
    return list(itertools.pairwise(edges))
