"""What flows from a file to the page scanner: decompressed bytes that know where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

READ_BYTES = 1 << 18
OUTPUT_BYTES = 1 << 20

Key: TypeAlias = int | str


@dataclass(slots=True, frozen=True)
class Chunk:
    """Consecutive decompressed bytes.

    `stream` is the offset of the compressed stream (or the number of the archive member) that
    holds them, None in an uncompressed file; `at` is the offset of the first byte inside it.
    `own` is False for bytes beyond the unit of work, read only to finish a page begun inside.
    """

    data: bytes
    stream: int | None
    at: int
    own: bool = True


@dataclass(slots=True, frozen=True)
class Gap:
    """An unreadable stretch between two chunks; `error` begins with a fixed word and `: `."""

    key: Key
    error: str
    own: bool = True


Flow: TypeAlias = Chunk | Gap


def key(stream: int | None, at: int) -> Key:
    """A place in a file: the byte offset, or `<compressed stream>+<offset inside it>`."""
    return at if stream is None else f"{stream}+{at}"
