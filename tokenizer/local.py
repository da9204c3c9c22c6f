"""Random access to files: local ones as they are, remote ones through a copy on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from tokenizer.files import AtomicFile, file_system, is_local


class LocalFile:
    """A file opened for reads at any place, closed with the object; safe to share by threads.

    Raises ValueError with one line if it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from error
        self.bytes = os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset`; fewer than `size` if the file ends before."""
        parts = []
        while size and (part := os.pread(self._descriptor, size, offset)):
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def local_copy(url: str, cache_dir: str | os.PathLike[str] | None = None) -> str:
    """A local path with the content of `url`: itself if local, else a copy made once.

    The copy's name contains the remote file's version mark, so a changed file is fetched anew.

    Raises:
        ValueError: there is no such file.
    """
    fs, path = file_system(url)
    if is_local(fs):
        return path
    if not fs.isfile(path):
        raise ValueError(f"{url}: no such file")
    folder = Path(cache_dir or Path(tempfile.gettempdir()) / f"llama-corpus-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        # In a shared temporary folder, another user could have put files under our names.
        raise ValueError(f"{folder} belongs to another user: name another cache_dir")
    key = hashlib.sha256(f"{url}\n{fs.ukey(path)}".encode()).hexdigest()
    target = folder / f"{key[:32]}-{Path(path).name}"
    if not target.exists():
        with AtomicFile(target) as stream, fs.open(path, "rb") as remote:
            while block := remote.read(1 << 22):
                stream.write(block)
    return str(target)
