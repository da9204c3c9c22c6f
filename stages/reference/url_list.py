"""Lists of URLs: text files with one URL a line, plain or gzip."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import IO

from stages.wikipedia.citations import clean_url

_LONGEST_LINE = 8192
_GZIP = b"\x1f\x8b"


def listed_urls(stream: IO[bytes]) -> Iterator[tuple[int, str]]:
    """Numbers of lines (from 1) and their URLs; a web archive's URL gives the archived one, as in
    articles. Raises as `read_lines`."""
    for number, line in read_lines(stream):
        # Lists are not wikitext: `&copy=` in them is no HTML entity, a dot at the end no full stop.
        escaped = line.replace("&", "&amp;")
        archived = clean_url(escaped)
        yield number, line if archived in (None, clean_url(escaped, False)) else archived


def read_lines(stream: IO[bytes]) -> Iterator[tuple[int, str]]:
    """The lines of a list that are not empty and no remarks (`#`), with their numbers from 1.

    A longer line than any URL is read past in pieces and left out, so that neither a file without
    line ends nor one that unpacks to terabytes fills the memory.

    Raises:
        OSError, EOFError, zlib.error: the file is damaged.
    """
    head = stream.read(len(_GZIP))
    stream.seek(0)
    lines = gzip.GzipFile(fileobj=stream) if head == _GZIP else stream
    whole, number = True, 1
    while piece := lines.readline(_LONGEST_LINE):
        ended = piece.endswith(b"\n")
        if whole and (ended or len(piece) < _LONGEST_LINE):
            line = piece.decode("utf-8", "replace").strip()
            if line and not line.startswith("#"):
                yield number, line
        whole = ended
        number += ended
