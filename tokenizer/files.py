"""Files anywhere fsspec reaches: whole or absent, never half-written."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


TEMPORARY = ".tmp-"
"""What names of unfinished files begin with: hidden from readers, and left by a killed process."""


class AtomicFile:
    """A file that appears when `commit` is called, whole; `discard` removes what was written.

    As a context manager it commits at the end, and discards when the block raises. A local file is
    written under a temporary name beside its own, so a killed process leaves at most a `.tmp-*`
    file. An object store shows an upload only when it is closed, so there the name is final at
    once. `durable`: flushed to the disk before it gets its name; costs a wait per file.
    """

    def __init__(self, url: str | os.PathLike[str], durable: bool = True) -> None:
        self.fs, self.path = file_system(url)
        self._durable = durable
        if not is_local(self.fs):
            self.fs.makedirs(self.path.rpartition("/")[0], exist_ok=True)
            self.stream: BinaryIO = self.fs.open(self.path, "wb")
            return
        folder = Path(self.path).parent
        folder.mkdir(parents=True, exist_ok=True)
        # Two attempts at one unit may run on different hosts, so a process id is not enough; and
        # the name does not grow with the number of attempts.
        self._temporary = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
        self.stream = self._temporary.open("wb", buffering=1 << 20)

    def finish(self) -> None:
        """Flushes and closes a local file, still under its temporary name."""
        if self.stream.closed or not is_local(self.fs):
            return
        self.stream.flush()
        if self._durable:
            os.fsync(self.stream.fileno())
        self.stream.close()

    def commit(self) -> None:
        """Closes the file and gives it its name, over an older one if there is one.

        What cannot be ended (a full disk) is discarded. Raises OSError.
        """
        try:
            if is_local(self.fs):
                self.finish()
                self._temporary.replace(self.path)
            else:
                self.stream.close()
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Closes the file without its appearing; what was written is gone."""
        if is_local(self.fs):
            # Closing flushes, which fails again on a full disk; the bytes are not wanted any more.
            with suppress(OSError):
                self.stream.close()
            self._temporary.unlink(missing_ok=True)
            return
        abandon = getattr(self.stream, "discard", None)
        if abandon is not None:
            abandon()

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
