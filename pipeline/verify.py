"""`corpus verify`: reads everything that a run left and compares it with the manifests.

Every file is hashed again; where one differs, the first damaged block of a MiB is named. Counts of
a step must balance and continue those of the steps before; token shards are read through for ids,
separators, sidecars and the canary.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline import plan
from stages.engine import files, manifest
from stages.engine.manifest import Manifest
from stages.engine.step import Step
from tokenizer import audit
from tokenizer.encode import Encoder
from tokenizer.manifest import TokensManifest

_HEX = 16


@dataclass(frozen=True)
class Problem:
    """Something that is not as the manifests say; `offset` in bytes where a place is known."""

    file: str
    what: str
    offset: int | None = None

    def __str__(self) -> str:
        place = (
            f" at byte {self.offset:,} or in the MiB after it" if self.offset is not None else ""
        )
        return f"{self.file}{place}: {self.what}"


@dataclass(frozen=True)
class Verified:
    """What was looked at. `problems` is empty if all is as it should be."""

    files: int
    bytes: int
    problems: tuple[Problem, ...]


def verify(
    steps: Sequence[Step],
    work: str,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Verified:
    """Checks all finished steps; `progress(bytes done, bytes in all)` is called now and then."""
    problems: list[Problem] = []
    done: dict[str, Manifest] = {}
    for step in steps:
        try:
            known = manifest.load(step.output)
        except manifest.ManifestError as error:
            problems.append(Problem(files.join(step.output, manifest.NAME), str(error)))
            continue
        if known is None:
            problems.append(Problem(step.output, "the step is not done"))
        else:
            done[step.output] = known
    entries = [(folder, entry) for folder, known in done.items() for entry in known.files]
    total, seen = sum(entry["bytes"] for _, entry in entries), 0
    # Hashing releases the interpreter's lock, so threads use all cores.
    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        checks = pool.map(lambda pair: _file_problem(*pair), entries)
        for (_, entry), problem in zip(entries, checks, strict=True):
            seen += entry["bytes"]
            if problem is not None:
                problems.append(problem)
            if progress is not None:
                progress(seen, total)
    problems += _count_problems(steps, done)
    problems += _token_problems(files.join(work, plan.TOKENS))
    return Verified(len(entries), total, tuple(problems))


def _file_problem(folder: str, entry: dict[str, Any]) -> Problem | None:
    path = files.join(folder, entry["path"])
    if not files.exists(path):
        return Problem(path, "the file is missing")
    try:
        found = files.digest_file(path).entry(entry["path"])
    except OSError as error:
        return Problem(path, f"cannot be read: {error.strerror or error}")
    if found["sha256"] == entry["sha256"]:
        return None
    what = "its content is not what was written"
    if found["bytes"] != entry["bytes"]:
        what = f"it has {found['bytes']:,} bytes instead of {entry['bytes']:,}"
    return Problem(path, what, _first_difference(found.get("blocks"), entry.get("blocks")))


def _first_difference(found: str | None, written: str | None) -> int | None:
    if found is None or written is None:
        return None
    for at in range(0, max(len(found), len(written)), _HEX):
        if found[at : at + _HEX] != written[at : at + _HEX]:
            return at // _HEX * files.BLOCK
    return None


def _count_problems(steps: Sequence[Step], done: dict[str, Manifest]) -> Iterator[Problem]:
    for step in steps:
        known = done.get(step.output)
        if known is None:
            continue
        if problem := known.counts.imbalance():
            yield Problem(step.output, f"counts do not balance: {problem}")
        rows = {"rejected": 0, "bad": 0}
        for entry in known.files:
            kind = entry["path"].split("/")[0]
            if kind in rows:
                rows[kind] += entry["rows"]
        for kind, counted in (("rejected", known.counts.rejected), ("bad", known.counts.bad)):
            if rows[kind] != counted:
                yield Problem(step.output, f"{counted} {kind} counted, {rows[kind]} written down")
        before = [done[p] for p in step.inputs.get("input", []) if p in done]
        written = sum(m.counts.documents_out for m in before)
        if before and written != known.counts.documents_in:
            yield Problem(
                step.output,
                f"{known.counts.documents_in} documents read, the steps before wrote {written}",
            )


def _token_problems(folder: str) -> Iterator[Problem]:
    if not files.exists(files.join(folder, "manifest.json")):
        return
    try:
        tokens = TokensManifest.load(folder)
        encoder = Encoder(files.join(folder, "tokenizer.model"), "sentencepiece")
        encoder.require(tokens)
    except ValueError as error:
        yield Problem(files.join(folder, "manifest.json"), str(error))
        return
    for found in audit.audit(tokens, folder):
        for problem in found.problems:
            yield Problem(files.join(folder, found.shard.path), problem)
