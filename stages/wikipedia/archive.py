"""Members of a .7z archive as a flow of bytes, with bounded memory and no file on disk.

py7zr pushes (it calls a writer), the page scanner pulls, so extraction runs in a thread behind a
small bounded queue. Member names are never used as paths: py7zr refuses an archive whose names
leave its folder, and the writer ignores them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

import py7zr
from py7zr.io import Py7zIO, WriterFactory

from stages.wikipedia.chunks import OUTPUT_BYTES, Chunk, Flow, Gap

_QUEUE_ITEMS = 8
_POLL_SECONDS = 0.2


class _AbandonedError(Exception):
    """The consumer is gone."""


class _Pipe:
    """The bounded queue between the extracting thread and the consumer."""

    def __init__(self) -> None:
        self._items: queue.Queue[Flow | None] = queue.Queue(_QUEUE_ITEMS)
        self.abandoned = threading.Event()

    def put(self, item: Flow | None) -> None:
        while not self.abandoned.is_set():
            try:
                self._items.put(item, timeout=_POLL_SECONDS)
                return
            except queue.Full:
                continue
        raise _AbandonedError

    def __iter__(self) -> Iterator[Flow]:
        while (item := self._items.get()) is not None:
            yield item


class _Member(Py7zIO):
    """Writer of one member: hands the bytes on. py7zr rewinds it at the end, which is ignored."""

    def __init__(self, pipe: _Pipe, number: int, max_bytes: int) -> None:
        self._pipe, self._number, self._size, self._max = pipe, number, 0, max_bytes

    def write(self, data: bytes | bytearray) -> int:
        view = memoryview(data)
        for at in range(0, len(view), OUTPUT_BYTES):
            part = bytes(view[at : at + OUTPUT_BYTES])
            self._pipe.put(Chunk(part, self._number, self._size))
            self._size += len(part)
            if self._size > self._max:
                raise py7zr.exceptions.DecompressionError("expands too much")
        return len(view)

    def read(self, size: int | None = None) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def flush(self) -> None: ...

    def size(self) -> int:
        return self._size


class _Members(WriterFactory):
    def __init__(self, pipe: _Pipe, max_bytes: int) -> None:
        self._pipe, self._max, self._count = pipe, max_bytes, 0

    def create(self, filename: str) -> Py7zIO:
        self._count += 1
        return _Member(self._pipe, self._count - 1, self._max)


def _extract(
    stream: BinaryIO, pipe: _Pipe, max_bytes: int, wanted: Callable[[str], bool] | None
) -> None:
    try:
        try:
            stream.seek(0)
            with py7zr.SevenZipFile(stream, "r") as archive:
                names = archive.getnames() if wanted else []
                targets = [name for name in names if wanted and wanted(name)]
                if targets:
                    archive.extract(targets=targets, factory=_Members(pipe, max_bytes))
                elif wanted is None:
                    archive.extractall(factory=_Members(pipe, max_bytes))
        except _AbandonedError:
            return
        except Exception as error:  # noqa: BLE001 - py7zr raises many kinds on a damaged archive
            pipe.put(Gap("7z", f"compression: {type(error).__name__}: {error}"[:300]))
        pipe.put(None)
    except _AbandonedError:
        return


def members(
    stream: BinaryIO,
    size: int,
    max_expansion: int,
    wanted: Callable[[str], bool] | None = None,
) -> Iterator[Flow]:
    """The members of the archive in `stream` (`size` bytes) whose names are `wanted` (None: all),
    one after the other, numbered in this order."""
    pipe = _Pipe()
    max_bytes = max(1 << 30, max_expansion * size)
    thread = threading.Thread(target=_extract, args=(stream, pipe, max_bytes, wanted), daemon=True)
    thread.start()
    try:
        yield from pipe
    finally:
        pipe.abandoned.set()
        thread.join()
