"""Lists of URLs: text files with one URL a line, plain or gzip."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import IO

_LONGEST_LINE = 8192
_GZIP = b"\x1f\x8b"


def read_urls(stream: IO[bytes]) -> Iterator[str]:
    """The lines of a list that are not empty and no remarks (`#`).

    A longer line than any URL is read past in pieces and left out, so that neither a file without
    line ends nor one that unpacks to terabytes fills the memory.

    Raises:
        OSError, EOFError, zlib.error: the file is damaged.
    """
    head = stream.read(len(_GZIP))
    stream.seek(0)
    lines = gzip.GzipFile(fileobj=stream) if head == _GZIP else stream
    whole = True
    while piece := lines.readline(_LONGEST_LINE):
        ended = piece.endswith(b"\n")
        if whole and (ended or len(piece) < _LONGEST_LINE):
            line = piece.decode("utf-8", "replace").strip()
            if line and not line.startswith("#"):
                yield line
        whole = ended
