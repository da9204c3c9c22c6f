"""`_SEAL.json`: hashes of what no step's manifest speaks of: the manifests themselves, the recipe,
the report, the purge list.

Written at the end of a run (and of a purge). Its last line is the hash of what is before it, so a
change in the seal itself shows, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline import damage
from stages import purge_list
from stages.engine import files, manifest
from stages.engine.digests import Digest

NAME = "_SEAL.json"
REPORT = "report.json"
RECIPE = "recipe.yaml"
_FIELDS = ("sha256", "blocks", "crcs")


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was written.

    `offset` in bytes where a place is known: the very byte if `exact`, else it or the MiB after it.
    """

    file: str
    what: str
    offset: int | None = None
    exact: bool = False

    def __str__(self) -> str:
        place = ""
        if self.offset is not None:
            place = f" at byte {self.offset:,}" + ("" if self.exact else " or in the MiB after it")
        return f"{self.file}{place}: {self.what}"


def write(work: str, folders: Sequence[str]) -> None:
    """Seals a work folder with the step folders that are finished."""
    names = [RECIPE, REPORT, purge_list.FILE_NAME]
    names += [f"{files.basename(folder)}/{manifest.NAME}" for folder in folders]
    there = sorted(n for n in names if files.exists(files.join(work, n)))
    body = orjson.dumps(
        {"format": 1, "files": [files.entry(work, name) for name in there]},
        option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS,
    )
    body += b"\n"
    files.write_bytes(files.join(work, NAME), body + _last_line(body))


def _last_line(body: bytes) -> bytes:
    digest = Digest()
    digest.update(memoryview(body))
    entry = digest.entry(NAME)
    return (" ".join(entry[name] for name in _FIELDS) + "\n").encode()


def problems(work: str) -> Iterator[Problem]:
    """What differs from the seal. An absent seal is a problem, too: it may have been removed."""
    path = files.join(work, NAME)
    if not files.exists(path):
        yield Problem(path, "the seal is missing; the same `corpus run` writes it when it ends")
        return
    content = files.read_bytes(path)
    body, entries = _opened(content)
    if entries is None:
        yield _broken(path, content, body)
        return
    for entry in entries:
        yield from file_problem(work, entry)


def sealed(work: str) -> list[dict[str, Any]]:
    """Entries of the sealed files; empty without a sound seal."""
    path = files.join(work, NAME)
    return (_opened(files.read_bytes(path))[1] or []) if files.exists(path) else []


def _opened(content: bytes) -> tuple[bytes, list[dict[str, Any]] | None]:
    """The seal without its last line, and its entries if that line is right."""
    cut = content.rstrip(b"\n").rfind(b"\n") + 1
    body = content[:cut]
    if content[cut:] != _last_line(body):
        return body, None
    entries: list[dict[str, Any]] = orjson.loads(body)["files"]
    return body, entries


def _broken(path: str, content: bytes, body: bytes) -> Problem:
    what = "the seal is not what was written"
    due, last = _last_line(body), content[len(body) :]
    differing = [i for i, (a, b) in enumerate(zip(last, due, strict=False)) if a != b]
    if len(last) == len(due) and len(differing) == 1:
        # Were the body changed, all three hashes would be others.
        return Problem(path, what, len(body) + differing[0], exact=True)
    entry = dict(zip(_FIELDS, last.decode(errors="replace").split(), strict=False))
    digest = Digest()
    digest.update(memoryview(body))
    found = digest.entry(NAME)
    if len(entry) == len(_FIELDS) and len(entry["crcs"]) == len(found["crcs"]):
        try:
            place = damage.locate(path, found, {**entry, "bytes": len(body)})
        except ValueError:
            place = None
        if place is not None:
            return Problem(path, what, place.offset, place.exact)
    return Problem(path, what)


def file_problem(folder: str, entry: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong with one file that has an entry in a manifest."""
    path = files.join(folder, entry["path"])
    if not files.exists(path):
        yield Problem(path, "the file is missing")
        return
    try:
        found = files.digest_file(path).entry(entry["path"])
    except OSError as error:
        yield Problem(path, f"cannot be read: {error.strerror or error}")
        return
    yield from compared(path, found, entry)


def compared(path: str, found: dict[str, Any], entry: dict[str, Any]) -> Iterator[Problem]:
    """The difference of a file's entry as it is now from the one that was written."""
    if found["sha256"] == entry["sha256"]:
        return
    what = "its content is not what was written"
    if found["bytes"] != entry["bytes"]:
        what = f"it has {found['bytes']:,} bytes instead of {entry['bytes']:,}"
    place = damage.locate(path, found, entry)
    if place is None:
        yield Problem(path, what)
        return
    if place.was is not None:
        what = f"0x{place.found:02x} stands there instead of 0x{place.was:02x}"
    if place.blocks > 1:
        what += f" ({place.blocks:,} MiB differ)"
    yield Problem(path, what, place.offset, place.exact)
