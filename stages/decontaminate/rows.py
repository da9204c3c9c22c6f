"""Rows of an evaluation set's file, JSON lines or csv, plain or gzip, in spite of damaged ones."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, BinaryIO

import orjson

MAX_LINE = 1 << 20
"""Bytes of a line; no item of a benchmark is nearly so long. Cells of csv end at Python's own
limit, 131,072 characters."""

GZIP_ERRORS = (gzip.BadGzipFile, EOFError, zlib.error)
_GZIP = b"\x1f\x8b"


class RowError(ValueError):
    """A row is no item; the message begins with a fixed word."""


def unpacked(stream: BinaryIO | IO[bytes]) -> IO[bytes]:
    """The content of a file that may be gzip, told by its first bytes, whatever its name."""
    head = stream.read(len(_GZIP))
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream) if head == _GZIP else stream  # type: ignore[return-value]


class Lines(Iterator[str]):
    """Decoded lines of a stream; it goes on after a line that is too long.

    `start` is the byte offset (in the unpacked file) of the first line that was read after `begin`,
    `taken` are all lines since then.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._next = 0
        self._back: deque[tuple[int, str]] = deque()
        self._at: list[int] = []
        self.taken: list[str] = []
        self.start = 0

    def begin(self) -> None:
        self.start = self._back[0][0] if self._back else self._next
        self.taken, self._at = [], []

    def give_back(self, first: int) -> None:
        """Lines from `taken[first]` on are to be read once more."""
        self._back.extendleft(reversed(list(zip(self._at, self.taken, strict=True))[first:]))

    def __next__(self) -> str:
        at, line = self._back.popleft() if self._back else self._read_line()
        self.taken.append(line)
        self._at.append(at)
        return line

    def _read_line(self) -> tuple[int, str]:
        at = self._next
        line = self._read()
        if not line:
            raise StopIteration
        if len(line) > MAX_LINE:
            size = len(line)
            while line and not line.endswith(b"\n"):
                line = self._read()
                size += len(line)
            raise RowError(f"line: {size:,} bytes, {MAX_LINE:,} are the limit")
        if at == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        # Bytes that are not UTF-8 are told apart where the whole row is known.
        return at, line.decode("utf-8", "surrogateescape")

    def _read(self) -> bytes:
        line = self._stream.readline(MAX_LINE + 1)
        self._next += len(line)
        return line


class JsonRows(Iterator[Any]):
    """JSON objects; `[]` for a blank line."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def __next__(self) -> Any:
        line = next(self._lines).strip()
        if not line:
            return []
        value = orjson.loads(line.encode())
        if not isinstance(value, dict):
            raise RowError(f"json: a {type(value).__name__} where an object was expected")
        return value


def check_open_quote(lines: Sequence[str], is_row: Callable[[list[str]], bool] | None) -> None:
    """Raises RowError where a csv row of several lines is several rows, joined by a quote that
    nothing closes: the next row's opening quote closes it, but is not followed by a comma. With
    `is_row`, a line of its own that is a row is a sign, too."""
    try:
        list(csv.reader(lines, strict=True))
    except csv.Error as error:
        raise RowError(f"quote: a quote stays open at the end of the line ({error})") from error
    if is_row is not None and resume_at(lines, is_row) < len(lines):
        raise RowError("quote: a quote stays open at the end of the line, and a row follows")


def resume_at(lines: Sequence[str], is_row: Callable[[list[str]], bool]) -> int:
    """The first line behind a damaged row's first one that is a row by itself; so the rows after
    it keep their numbers. `len(lines)` if there is none."""
    for number, line in enumerate(lines[1:], start=1):
        # It may have an open quote itself.
        opened = line.startswith('"') and line.count('"') == 1
        line = line[1:] if opened else line
        if line.count('"') % 2:
            continue
        try:
            rows = list(csv.reader([line], strict=True))
        except csv.Error:
            continue
        if len(rows) == 1 and rows[0] and rows[0][0].strip() and is_row(rows[0]):
            return number
    return len(lines)
