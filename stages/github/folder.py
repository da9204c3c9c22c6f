"""A plain folder of repositories: which files belong to which, and what they are."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field

from stages.engine import files
from stages.engine.units import Piece, WorkUnit, number
from stages.github import paths
from stages.github.spdx import licence_of_repository
from stages.outcomes import Bad, Reject

_LICENCE_NAME = re.compile(r"(?i)(?:un)?licen[sc]e|copying")
_LICENCE_BYTES = 200_000
_BLOCK = 1 << 20


class NotAFolderError(ValueError):
    """The input is not a folder of repositories."""


@dataclass(frozen=True, slots=True)
class Inside:
    """A file by its repository and its path there."""

    repository: str
    path: str


@dataclass(slots=True)
class Folder:
    """The files below one input folder."""

    base: str
    files: list[str]
    depth: int
    licences: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def open(cls, where: str, depth: int) -> Folder:
        """Raises NotAFolderError, or FileNotFoundError if there is nothing in it."""
        if not files.is_dir(where):
            raise NotAFolderError(f"{where} is not a folder of repositories")
        fs, inner = files.filesystem(where)
        base = files.full_path(fs, inner.rstrip("/"), where)
        folder = cls(base, files.glob(where), depth)
        for path in folder.files:
            place = inside(base, path, depth)
            if place and "/" not in place.path and _is_licence_file(place.path):
                folder.licences.setdefault(place.repository, []).append(path)
        return folder


def _is_licence_file(name: str) -> bool:
    return paths.is_licence(name) and _LICENCE_NAME.match(name) is not None


def inside(base: str, path: str, depth: int) -> Inside | None:
    """None for a file that lies above the repositories."""
    parts = path[len(base) + 1 :].split("/")
    if len(parts) <= depth:
        return None
    return Inside("/".join(parts[:depth]), "/".join(parts[depth:]))


def units(folders: Sequence[Folder], bundle_bytes: int) -> list[WorkUnit]:
    """Neighbouring files of one folder are bundled up to `bundle_bytes`."""
    bundles: list[list[Piece]] = []
    bases: list[Folder] = []
    for folder in folders:
        held = bundle_bytes + 1
        for path in folder.files:
            size = 0 if is_link(folder.base, path) else files.size(path)
            if held + size > bundle_bytes:
                bundles.append([])
                bases.append(folder)
                held = 0
            bundles[-1].append(Piece(path, 0, None, size))
            held += size
    out = []
    for unit, folder in zip(number(bundles), bases, strict=True):
        mine = {
            i.repository for p in unit.pieces if (i := inside(folder.base, p.path, folder.depth))
        }
        licences = {r: folder.licences[r] for r in sorted(mine) if r in folder.licences}
        extra = {"base": folder.base, "depth": folder.depth, "licenses": licences}
        out.append(WorkUnit(unit.index, unit.of, unit.pieces, unit.key, extra))
    return out


def is_link(base: str, path: str) -> bool:
    """Must the file stay closed? A symbolic link (or a folder on the way to it that is one) may
    lead anywhere; a FIFO, socket or device may have no end."""
    if files.is_remote(path):
        return False
    place = base
    for part in path[len(base) + 1 :].split("/"):
        place = f"{place}/{part}"
        if os.path.islink(place):
            return True
    return not is_regular(path)


def is_regular(path: str) -> bool:
    return files.is_remote(path) or stat.S_ISREG(os.lstat(path).st_mode)


def _is_special(path: str) -> bool:
    return not is_regular(path) and not os.path.islink(path)


def blob_id(path: str, linked: bool, limit: int) -> tuple[bytes, bytes | None]:
    """git's SHA-1 of a file's content, and the content; None for links and files over `limit`."""
    if linked:
        target = os.readlink(path) if os.path.islink(path) else path
        return _blob(len(os.fsencode(target)), [os.fsencode(target)]), None
    size = files.size(path)
    with files.open_read(path) as handle:
        if size <= limit:
            data = handle.read(size)
            return _blob(len(data), [data]), data
        return _blob(size, iter(lambda: handle.read(_BLOCK), b"")), None  # type: ignore[arg-type]


def _blob(size: int, blocks: Sequence[bytes]) -> bytes:
    sha = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for block in blocks:
        sha.update(block)
    return sha.digest()


def licences(unit: WorkUnit) -> dict[str, str | None]:
    """The licence of each repository of a unit that has licence files."""
    found: dict[str, str | None] = {}
    for repository, candidates in unit.extra["licenses"].items():
        texts = []
        for path in candidates:
            if not is_link(unit.extra["base"], path) and is_regular(path):
                with files.open_read(path) as handle:
                    texts.append(handle.read(_LICENCE_BYTES).decode("utf-8", "replace"))
        found[repository] = licence_of_repository(texts)
    return found


def decode(data: bytes) -> str | Reject:
    """UTF-8; UTF-16 if a byte order mark says so; else Windows-1252, as most old sources are."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings: tuple[str, ...] = ("utf-16",)
    elif b"\0" in data:
        return Reject("binary", "NUL")
    else:
        encodings = ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return Reject("encoding", "neither UTF-8 nor Windows-1252")


def place_of(unit: WorkUnit, path: str) -> Inside | Bad:
    """Where a file of a unit belongs, or why it cannot."""
    found = inside(unit.extra["base"], path, unit.extra["depth"])
    if found is None:
        return Bad(path, 0, "path: not inside a repository")
    if problem := paths.problem(found.repository, found.path):
        return Bad(path, 0, problem)
    if _is_special(path):
        return Bad(path, 0, "file: neither a file nor a link")
    return found
