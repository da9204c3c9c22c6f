"""What lies below a folder: files that can be named, and what cannot, with the reason.

Checked-out repositories are whatever somebody packed into them. Links are listed and never
followed, so neither loops nor links to `/` are walked; a name that is no text and a folder that
cannot be read cost one bad record each, never the run.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from stages.engine import files

# Errors that speak of one file or folder; all others (disk, memory, network) speak of the machine.
_OF_THE_FILE = frozenset(
    (
        *(errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR),
        *(errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP),
    )
)
_UNSAFE = ("Cc", "Cs", "Zl", "Zp")  # Unicode's controls, lone surrogates, line separators


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, link or other thing; with an `error` if it cannot be named or opened. `shown`: its
    path made safe to print and to write."""

    path: str
    size: int = 0
    error: str = ""
    is_link: bool = False

    @property
    def shown(self) -> str:
        return printable_name(self.path)


def is_of_the_file(error: OSError) -> bool:
    """Does an error speak of one file or folder alone?"""
    return error.errno in _OF_THE_FILE


def printable_name(path: str) -> str:
    r"""`path` with bytes that are no text as `\xff`, and control characters as `\u000a`."""
    return "".join(map(_printable, path))


def _printable(char: str) -> str:
    if unicodedata.category(char) not in _UNSAFE:
        return char
    code = ord(char)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def name_problem(path: str) -> str:
    """Why a path cannot be written down as it is; empty if it can."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "name: not UTF-8"
    return "name: has control characters" if printable_name(path) != path else ""


def below(folder: str) -> list[Entry]:
    """Everything below a folder that is not itself a folder, sorted by its path; hidden names
    (`files.is_hidden`) are left out with what they hold."""
    found = _remote(folder) if files.is_remote(folder) else _local(folder)
    return sorted(found, key=lambda entry: os.fsencode(entry.path))


def _remote(folder: str) -> Iterator[Entry]:
    for path in files.glob(folder):
        yield Entry(path, files.size(path), name_problem(path))


def _local(folder: str) -> Iterator[Entry]:
    pending = [folder]
    while pending:
        here = pending.pop()
        try:
            with os.scandir(here) as listed:
                entries = sorted(listed, key=lambda e: e.name)
        except OSError as error:
            if not is_of_the_file(error):
                raise
            yield Entry(here, error=f"folder: {error.strerror}")
            continue
        for entry in entries:
            if is_hidden(entry.name):
                continue
            path = f"{here}/{entry.name}"
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError as error:
                if not is_of_the_file(error):
                    raise
                yield Entry(path, error=f"unreadable: {error.strerror}")
                continue
            if stat.S_ISDIR(info.st_mode):
                pending.append(path)
            else:
                problem = name_problem(path) or _kind_problem(info)
                yield Entry(path, _size(info), problem, stat.S_ISLNK(info.st_mode))


def is_hidden(name: str) -> bool:
    """Names that are no content: those that begin with a dot, and marks that programs leave."""
    return name[:1] == "." or name in ("_MANIFEST.json", "_SUCCESS", "_temporary")


def _size(info: os.stat_result) -> int:
    return info.st_size if stat.S_ISREG(info.st_mode) else 0


def _kind_problem(info: os.stat_result) -> str:
    """FIFOs, sockets and devices may have no end, and opening one may wait for ever."""
    known = stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)
    return "" if known else "file: neither a file nor a link"
