"""The samples on which a recipe is calibrated: some of each source's raw files, twice.

Files are taken in the order of a hash of their name, so the choice is the same everywhere. The
large sample and the small one share no file where there are enough. Nothing is copied that can be
linked; of files that can be cut, the last one is cut.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import xxhash

from stages.engine import files

SMALL, LARGE = "small", "large"
SHARES = {SMALL: 0.2, LARGE: 0.8}
"""Parts of the sample's budget."""

# Formats that a reader reads up to a cut, losing the last record at most. Archives with their
# table at the end (zip, 7z) are taken whole or not at all.
_CUT = tuple(
    f"{kind}{packed}"
    for kind in (".warc", ".wet", ".arc", ".json", ".jsonl", ".tar", ".xml", ".txt")
    for packed in ("", ".gz", ".bz2")
    if not (packed and kind == ".tar")
)
_BLOCK = 1 << 20

Piece = tuple[str, int | None]
"""A file, and the bytes to which it is cut (None: whole)."""


@dataclass(frozen=True)
class Drawn:
    """One sample of one source: a folder with its files, and their bytes."""

    folder: str
    bytes: int
    files: int
    shared: bool = False
    """Whether it has a file in common with the other sample."""


def draw(
    paths: Sequence[str], root: str, budget: int, folder: str, reader: str
) -> dict[str, Drawn]:
    """Samples of about `budget` bytes of `paths` in all, below `folder`, by name (SMALL, LARGE).

    `root` is the folder that holds the paths; its name and what is below it stay, for some readers
    take a language or a repository from them. Of a GitHub export both samples have all tables but
    `contents`, of a folder of repositories whole ones. There is no small sample where nothing is
    left for it.
    """
    sizes = {path: files.size(path) for path in paths}
    always: list[str] = []
    groups: dict[str, list[str]] = {path: [path] for path in paths}
    if reader == "github":
        always = [p for p in paths if "contents" not in _below(p, root)]
        groups = {p: [p] for p in paths if p not in set(always)}
        if not groups:
            always = []
            for path in paths:
                repository = "/".join(_below(path, root).split("/")[:2])
                groups.setdefault(repository, []).append(path)
    total = min(budget, sum(sizes[p] for group in groups.values() for p in group))
    order = sorted(groups, key=lambda g: (xxhash.xxh3_64_intdigest(_name(g)), g))
    large, rest = _take(order, groups, sizes, int(total * SHARES[LARGE]))
    small, _ = _take(rest, groups, sizes, int(total * SHARES[SMALL]))
    shared = not small
    if shared:  # Of a single file the small sample is a shorter beginning, if it can be cut.
        again, _ = _take(order, groups, sizes, int(total * SHARES[SMALL]))
        small = [piece for piece in again if piece[1] is not None]
    found = {}
    for name, chosen in ((SMALL, small), (LARGE, large)):
        if chosen:
            where = os.path.join(folder, name, os.path.basename(root.rstrip("/")) or "input")
            pieces: list[Piece] = [*((p, None) for p in always), *chosen]
            size = _place(pieces, root, sizes, where)
            found[name] = Drawn(where, size, len(pieces), shared or bool(always))
    return found


def root_of(inputs: Sequence[str], paths: Sequence[str]) -> str:
    """The folder that an input names, else the lowest that holds all paths."""
    if len(inputs) == 1 and files.is_dir(inputs[0]):
        return os.path.dirname(files.join(inputs[0], "x"))
    return os.path.commonpath([os.path.dirname(p) or "." for p in paths])


def _name(group: str) -> bytes:
    return files.basename(group).encode("utf-8", "replace")


def _below(path: str, root: str) -> str:
    return PurePosixPath(os.path.relpath(path, root or ".")).as_posix()


def _take(
    order: Sequence[str], groups: dict[str, list[str]], sizes: dict[str, int], budget: int
) -> tuple[list[Piece], list[str]]:
    """What fits in the budget, at least one group if any is left; and the groups left."""
    chosen: list[Piece] = []
    left: list[str] = []
    for group in order:
        size = sum(sizes[p] for p in groups[group])
        if 0 < size <= budget:
            chosen += [(p, None) for p in groups[group]]
            budget -= size
        elif 0 < budget < size and group.lower().endswith(_CUT):
            chosen.append((group, budget))
            budget = 0
        else:
            left.append(group)
    if not chosen and left and budget > 0:
        smallest = min(left, key=lambda g: (sum(sizes[p] for p in groups[g]), g))
        return [(p, None) for p in groups[smallest]], [g for g in left if g != smallest]
    return chosen, left


def _place(chosen: Sequence[Piece], root: str, sizes: dict[str, int], folder: str) -> int:
    """Links or copies files under `folder`; returns their bytes."""
    total = 0
    for path, cut in chosen:
        target = Path(folder, _below(path, root))
        target.parent.mkdir(parents=True, exist_ok=True)
        if cut is None and not files.is_remote(path):
            target.symlink_to(os.path.abspath(files.filesystem(path)[1]))
        else:
            _copy(path, target, sizes[path] if cut is None else cut)
        total += sizes[path] if cut is None else cut
    return total


def _copy(path: str, target: Path, size: int) -> None:
    with files.open_read(path) as source, target.open("wb") as out:
        while size > 0 and (block := source.read(min(size, _BLOCK))):
            out.write(block)
            size -= len(block)
