"""A plain folder of repositories: which files belong to which, and what they are."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from stages.engine import files
from stages.engine.units import Piece, WorkUnit
from stages.github import paths
from stages.github.listing import Entry, below, is_of_the_file
from stages.github.spdx import licence_of_repository
from stages.outcomes import Bad, Reject

_LICENCE_NAME = re.compile(r"(?i)(?:un)?licen[sc]e|copying")
_LICENCE_BYTES = 200_000
_BLOCK = 1 << 20
_LEAST_BYTES = 1024  # that a file counts when units are bundled, so that empty ones fill a unit too


class NotAFolderError(ValueError):
    """The input is not a folder of repositories."""


@dataclass(frozen=True, slots=True)
class Inside:
    """A file by its repository and its path there."""

    repository: str
    path: str


@dataclass(slots=True)
class Folder:
    """What lies below one input folder."""

    base: str
    entries: list[Entry]
    depth: int
    licences: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def open(cls, where: str, depth: int) -> Folder:
        """Raises NotAFolderError, or FileNotFoundError if there is nothing in it."""
        if not files.is_dir(where):
            raise NotAFolderError(f"{where} is not a folder of repositories")
        fs, inner = files.filesystem(where)
        base = files.full_path(fs, inner.rstrip("/"), where)
        folder = cls(base, below(base), depth)
        if not folder.entries:
            raise FileNotFoundError(f"there is no file below {where}")
        for entry in folder.entries:
            readable = not (entry.error or entry.is_link)
            place = inside(base, entry.path, depth) if readable else None
            if place and "/" not in place.path and is_licence_file(place.path):
                folder.licences.setdefault(place.repository, []).append(entry.path)
        return folder


def is_licence_file(name: str) -> bool:
    """Is it a file at the top of a repository that says its licence?"""
    return paths.is_licence(name) and _LICENCE_NAME.match(name) is not None


def inside(base: str, path: str, depth: int) -> Inside | None:
    """None for a file that lies above the repositories."""
    parts = path[len(base) + 1 :].split("/")
    if len(parts) <= depth:
        return None
    return Inside("/".join(parts[:depth]), "/".join(parts[depth:]))


def units(folders: Sequence[Folder], bundle_bytes: int) -> list[WorkUnit]:
    """Neighbouring files of one folder are bundled up to `bundle_bytes`; what cannot be named goes
    along as the unit's bad records."""
    bundles = [(f, bundle) for f in folders for bundle in _bundles(f.entries, bundle_bytes)]
    return [_unit(i, len(bundles), f, bundle) for i, (f, bundle) in enumerate(bundles)]


def _bundles(entries: Iterable[Entry], bundle_bytes: int) -> list[list[Entry]]:
    bundles: list[list[Entry]] = []
    held = bundle_bytes + 1
    for entry in entries:
        size = max(entry.size, _LEAST_BYTES)
        if held + size > bundle_bytes:
            bundles.append([])
            held = 0
        bundles[-1].append(entry)
        held += size
    return bundles


def _unit(index: int, of: int, folder: Folder, bundle: Sequence[Entry]) -> WorkUnit:
    pieces = tuple(Piece(e.path, 0, None, e.size) for e in bundle if not e.error)
    places = (inside(folder.base, p.path, folder.depth) for p in pieces)
    mine = sorted({place.repository for place in places if place})
    more = f" and {len(bundle) - 1} more" if len(bundle) > 1 else ""
    extra = {
        "base": folder.base,
        "depth": folder.depth,
        "licenses": {r: folder.licences[r] for r in mine if r in folder.licences},
        "bad": [[entry.shown, entry.error] for entry in bundle if entry.error],
    }
    return WorkUnit(index, of, pieces, f"{bundle[0].shown}{more}", extra)


def is_link(base: str, path: str) -> bool:
    """Is a file, or a folder on the way to it, a symbolic link? It may lead anywhere."""
    if files.is_remote(path):
        return False
    place = base
    for part in path[len(base) + 1 :].split("/"):
        place = f"{place}/{part}"
        if os.path.islink(place):
            return True
    return False


def is_regular(path: str) -> bool:
    return files.is_remote(path) or stat.S_ISREG(os.lstat(path).st_mode)


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
    """The licence of each repository of a unit that has licence files; one that cannot be read may
    say anything, so it counts as another licence."""
    found: dict[str, str | None] = {}
    for repository, candidates in unit.extra["licenses"].items():
        own = [path for path in candidates if not is_link(unit.extra["base"], path)]
        found[repository] = licence_of_repository(map(_licence_text, own))
    return found


def _licence_text(path: str) -> str:
    try:
        if is_regular(path):
            with files.open_read(path) as handle:
                return handle.read(_LICENCE_BYTES).decode("utf-8", "replace")
    except OSError as error:
        if not is_of_the_file(error):
            raise
    return ""


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


@dataclass(frozen=True, slots=True)
class Content:
    """A file of a unit: where it belongs, git's SHA-1 of it, and its bytes (None for links, and
    for files that are too large)."""

    place: Inside
    linked: bool
    key: bytes
    data: bytes | None


def content(unit: WorkUnit, path: str, limit: int) -> Content | Bad:
    """Reads a file of a unit; `limit`: bytes of the longest that is held in memory."""
    base, depth = unit.extra["base"], unit.extra["depth"]
    place = inside(base, path, depth)
    if place is None:
        return Bad(path, 0, "path: not inside a repository")
    if problem := paths.problem(place.repository, place.path):
        return Bad(path, 0, problem)
    try:
        linked = is_link(base, path)
        if not linked and not is_regular(path):
            return Bad(path, 0, "file: neither a file nor a link")
        return Content(place, linked, *blob_id(path, linked, limit))
    except OSError as error:
        if not is_of_the_file(error):
            raise
        return Bad(path, 0, f"unreadable: {error.strerror}")


def bad_names(unit: WorkUnit) -> list[Bad]:
    """The bad records of what could not be named when the unit was planned."""
    return [Bad(shown, 0, error) for shown, error in unit.extra["bad"]]


def is_readable(unit: WorkUnit, path: str) -> bool:
    """May a file of a unit be opened, and can it be?"""
    try:
        if is_link(unit.extra["base"], path) or not is_regular(path):
            return False
        files.open_read(path).close()
    except OSError as error:
        if not is_of_the_file(error):
            raise
        return False
    return True
