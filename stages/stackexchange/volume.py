"""How many bytes of XML a dump holds, without reading it: to choose the number of partitions."""

from __future__ import annotations

import py7zr

from stages.engine import files
from stages.stackexchange.sites import is_posts_member

# Where a format does not say: about what the dumps expand by.
_USUAL = 8


def expanded_size(path: str, max_expansion: int) -> int:
    """Bytes of Posts.xml in a file, as its archive states (never more than `max_expansion` times
    the file, since the statement is untrusted)."""
    size = files.size(path)
    lower = path.lower()
    if lower.endswith(".xml"):
        return size
    if lower.endswith(".7z"):
        try:
            with files.open_read(path) as stream, py7zr.SevenZipFile(stream, "r") as archive:
                stated = sum(
                    max(0, int(entry.uncompressed))
                    for entry in archive.list()
                    if is_posts_member(entry.filename)
                )
        except Exception:  # noqa: BLE001 - the reader will say what is wrong with it
            stated = size * _USUAL
        return min(stated, size * max_expansion)
    return size * _USUAL
