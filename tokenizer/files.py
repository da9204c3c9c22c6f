"""Files anywhere fsspec reaches: whole or absent, never half-written."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import fsspec


def file_system(url: str | os.PathLike[str]) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path as that file system writes it."""
    return cast("tuple[Any, str]", fsspec.core.url_to_fs(os.fspath(url)))


def is_local(fs: Any) -> bool:
    """Whether files of this file system can be opened by the operating system."""
    return isinstance(fs, fsspec.implementations.local.LocalFileSystem)


def join(root: str | os.PathLike[str], relative: str) -> str:
    """`relative` under `root`, which may be a URL."""
    return f"{os.fspath(root).rstrip('/')}/{relative}"


class AtomicFile:
    """Writes to a temporary name beside `url`; `commit` gives it its name, `discard` removes it.

    As a context manager it commits at the end, and discards when the block raises. A killed process
    leaves at most a `.tmp-*` file, never a short one under the final name.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.fs, self.path = file_system(url)
        parent = self.path.rpartition("/")[0]
        if parent:
            self.fs.makedirs(parent, exist_ok=True)
        # Two attempts at one unit may run on different hosts, so a process id is not enough.
        self._temporary = f"{parent}/" if parent else ""
        self._temporary += f".tmp-{uuid.uuid4().hex}"
        self.stream: BinaryIO = self.fs.open(self._temporary, "wb")

    def finish(self) -> None:
        """Flushes and closes the temporary file."""
        if self.stream.closed:
            return
        self.stream.flush()
        if is_local(self.fs):
            os.fsync(self.stream.fileno())
        self.stream.close()

    def commit(self) -> None:
        """Closes the file and gives it its final name, over an older one if there is one."""
        self.finish()
        if is_local(self.fs):
            Path(self._temporary).replace(self.path)
        else:
            self.fs.mv(self._temporary, self.path)

    def discard(self) -> None:
        """Closes and removes the temporary file."""
        if not self.stream.closed:
            self.stream.close()
        if self.fs.exists(self._temporary):
            self.fs.rm_file(self._temporary)

    def __enter__(self) -> BinaryIO:
        return self.stream

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


@contextmanager
def open_read(url: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a path or URL for reading bytes."""
    fs, path = file_system(url)
    with fs.open(path, "rb") as stream:
        yield stream


def read_bytes(url: str | os.PathLike[str]) -> bytes:
    """The whole content of a path or URL."""
    with open_read(url) as stream:
        return stream.read()
