"""Copies of remote folders on this machine: one for all processes that want the same content.

Whoever uses a copy holds a shared lock on the file beside it, to its end: the system drops locks of
processes that are killed. A copy that nobody holds is removed by the last user at its exit, or,
where that was killed, by the next process that makes a copy.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

_LOCK, _PARTIAL = ".lock", ".part"
_mine = threading.Lock()
# By process and copy, as a fork inherits this: the open file whose lock says that it is used.
_held: dict[tuple[int, str], int] = {}


def root() -> Path:
    """The folder of all copies of this user. Raises PermissionError if it is somebody else's."""
    folder = Path(tempfile.gettempdir(), f"llama-corpus-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        # In a shared temporary folder, another user could have put files under our names.
        raise PermissionError(f"{folder} belongs to another user; set TMPDIR")
    copies = folder / "folders"
    copies.mkdir(mode=0o700, exist_ok=True)
    return copies


def shared(key: str, fetch: Callable[[str], None]) -> str:
    """The folder of `key`, a file name that says the content; `fetch` fills it if it is not there.

    Processes that want the same one wait for the first of them. It stays until this process ends.
    """
    with _mine:
        folder = root()
        target = folder / key
        if (os.getpid(), str(target)) not in _held:
            if not any(pid == os.getpid() for pid, _ in _held):
                atexit.register(_release)
            _held[os.getpid(), str(target)] = _take(target, fetch)
        return str(target)


def _take(target: Path, fetch: Callable[[str], None]) -> int:
    """An open file with a shared lock on the copy, made if need be."""
    while True:
        lock = os.open(f"{target}{_LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if _stands(target, lock) and target.is_dir():
                return lock
            # Another may come between the two locks, so all is looked at again after each.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _stands(target, lock) and not target.is_dir():
                _remove_unused(target.parent)
                _make(target, fetch)
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _stands(target: Path, lock: int) -> bool:
    """Whether the locked file is still the one that others would lock."""
    try:
        return os.path.samestat(os.fstat(lock), os.stat(f"{target}{_LOCK}"))
    except FileNotFoundError:
        return False


def _make(target: Path, fetch: Callable[[str], None]) -> None:
    partial = Path(f"{target}{_PARTIAL}")
    shutil.rmtree(partial, ignore_errors=True)  # Of a process that was killed.
    partial.mkdir(mode=0o700)
    try:
        fetch(str(partial))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(target)


def _remove_unused(folder: Path) -> None:
    for path in folder.glob(f"*{_LOCK}"):
        try:
            lock = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        _remove(path.with_suffix(""), lock)
        os.close(lock)


def _remove(target: Path, lock: int) -> None:
    """Removes a copy unless another process uses it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if _stands(target, lock):
        for folder in (target, Path(f"{target}{_PARTIAL}")):
            shutil.rmtree(folder, ignore_errors=True)
        os.unlink(f"{target}{_LOCK}")


def _release() -> None:
    """At exit: removes the copies that this process was the last to use."""
    for (pid, target), lock in list(_held.items()):
        if pid == os.getpid():
            del _held[pid, target]
            _remove(Path(target), lock)
            os.close(lock)
