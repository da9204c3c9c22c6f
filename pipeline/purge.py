"""`corpus purge`: takes documents out of a finished corpus for good (opt-out, licence, takedown).

The documents, and exact copies of their text under other ids, go from every step's files and from
the token shards; only files that hold one are written anew, all others keep their bytes. They are
put on a list that every later run obeys. All changes wait in a folder until the last one is ready,
and a journal finishes them if the command is killed (`pipeline.purge_journal`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import orjson

from pipeline import plan, purge_journal, purge_shards, recipe, report, seal, verify
from pipeline.purge_find import Document, Found, Request, find
from pipeline.purge_journal import Staging
from pipeline.purge_steps import Changes, Finished, StagedSteps
from pipeline.run import alone
from pipeline.seal import Problem
from pipeline.verify_work import Progress
from stages import purge_list
from stages.engine import files, manifest
from stages.engine.step import STATE, InputError, Step
from stages.purge_list import LEAST_COPY_BYTES, Entry, PurgeList
from tokenizer.files import TEMPORARY
from tokenizer.manifest import TokensManifest

LOG = "purge.log"
"""One line of JSON for each purge, with its time; no other file tells times."""


@dataclass
class Purged:
    """What was (or would be) done.

    Attributes:
        found: the documents, and what nothing was found for.
        again: of these, those that the list had already.
        shards: shard -> ids that go of it.
        changes: what was rewritten; None for a dry run, or if there was nothing to do.
        finished: facts of an interrupted purge that was finished first.
        problems: what is still there, after all; None if that was not looked for.
    """

    found: Found
    again: tuple[str, ...] = ()
    shards: dict[str, list[str]] = field(default_factory=dict)
    changes: Changes | None = None
    finished: dict[str, Any] | None = None
    problems: tuple[Problem, ...] | None = None


def purge(
    work: str,
    request: Request,
    *,
    dry_run: bool = False,
    check: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Purged:
    """Purges a work folder; with an empty request only finishes what was interrupted.

    Raises:
        RecipeError, InputError: no run is there, a step is half done, a list that cannot be read.
        BusyError: a run is at work.
        OSError, ManifestError: files are missing or damaged; nothing was changed.
    """
    path = files.join(work, seal.RECIPE)
    if not files.exists(path):
        raise recipe.RecipeError(f"{work}: no run has begun here ({seal.RECIPE} is absent)")
    with alone(work):
        finished = None
        if not dry_run:
            for name in files.names(work):
                if name.startswith(TEMPORARY):
                    files.remove(files.join(work, name))
            finished = purge_journal.recover(work)
            if finished is not None:
                _finish(work, finished)
        loaded, _ = recipe.load(path, work)
        planned = plan.steps(loaded, work)
        steps = _finished(work, planned)
        known = _list(work, steps)
        searched = [(s.folder, s.known) for s in steps]
        if not request.ids and not request.urls:
            return Purged(Found({}, ()), finished=finished)
        found = find(searched, request, known, workers, progress)
        again = tuple(sorted(i for i in found.documents if i in known.ids))
        result = Purged(found, again, finished=finished)
        folder = files.join(work, plan.TOKENS)
        if any(s.folder == folder for s in steps):
            result.shards = _shards(folder, found)
        if not dry_run:
            _carry_out(work, request, result, steps, known)
    if check and not dry_run:
        result.problems = gone(work, workers, progress)
    return result


def lines_of(path: str | None) -> tuple[str, ...]:
    """The lines of a file, each once, without blank ones; none without a file.

    Raises InputError for a file that is not UTF-8, OSError for one that cannot be read.
    """
    if path is None:
        return ()
    try:
        text = files.read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from error
    return tuple(dict.fromkeys(line.strip() for line in text.split("\n") if line.strip()))


def gone(
    work: str, workers: int | None = None, progress: Progress | None = None
) -> tuple[Problem, ...]:
    """Everything on the list that is still in a step's files or in a shard."""
    path = files.join(work, purge_list.FILE_NAME)
    if not files.exists(path):
        return ()
    loaded, _ = recipe.load(files.join(work, seal.RECIPE), work)
    steps = [(s.folder, s.known) for s in _finished(work, plan.steps(loaded, work))]
    folder = files.join(work, plan.TOKENS)
    shards = (folder, TokensManifest.load(folder)) if folder in dict(steps) else None
    purge_ = PurgeList.load(path)
    return tuple(verify.search(steps, shards, purge_, workers, progress))


def _finished(work: str, planned: Sequence[Step]) -> list[Finished]:
    """All finished steps, also those left over from another recipe. Raises InputError."""
    found = []
    for step in planned:
        if files.exists(files.join(step.output, STATE)):
            raise InputError(
                f"{step.name} is half done, and its scratch files hold text: finish the run first,"
                f" or remove {step.output}"
            )
        if (known := manifest.load(step.output)) is not None:
            found.append(Finished(step.output, known, step))
    for folder in verify.left_over(work, [s.output for s in planned]):
        known = manifest.load(folder)
        assert known is not None  # its manifest is what it was found by
        found.append(Finished(folder, known, None))
    for one in found:
        if absent := manifest.missing_files(one.known.files, one.folder):
            raise InputError(f"{one.folder} lacks {absent[0]}; `corpus verify` tells more")
    return found


def _list(work: str, steps: Sequence[Finished]) -> PurgeList:
    """The list of the work folder, or an empty one with a salt of this corpus's own."""
    path = files.join(work, purge_list.FILE_NAME)
    if files.exists(path):
        try:
            return PurgeList.load(path)
        except purge_list.PurgeListError as error:
            raise InputError(str(error)) from error
    content = "\0".join(["llama-corpus purge", *sorted(s.known.digest for s in steps)])
    return PurgeList(hashlib.sha256(content.encode()).hexdigest()[:32])


def _shards(folder: str, found: Found) -> dict[str, list[str]]:
    try:
        return purge_shards.find(folder, TokensManifest.load(folder), set(found.documents))
    except ValueError as error:
        raise InputError(str(error)) from error


def _carry_out(
    work: str, request: Request, result: Purged, steps: Sequence[Finished], known: PurgeList
) -> None:
    staging = Staging(work)
    try:
        staged = StagedSteps(work, result.found.documents, known, staging)
        staged.add(steps)
        entries = _entries(request, result, known, staged.changes)
        new = known.with_entries(entries)
        result.changes = staged.changes
        if new.to_bytes() == known.to_bytes() and not staged.changes.parts:
            staging.discard()
            return
        staged.finish(new)
        facts = {
            "documents": len(result.found.documents),
            "asked": {"ids": len(request.ids), "urls": len(request.urls)},
            "reason": request.reason,
            "shards": sorted(result.shards),
        }
        staging.commit(facts)
    except ValueError as error:
        staging.discard()
        raise InputError(str(error)) from error
    except BaseException:
        if not purge_journal.unfinished(work):
            staging.discard()
        raise
    purge_journal.recover(work)
    _finish(work, facts)


def _entries(request: Request, result: Purged, known: PurgeList, changes: Changes) -> list[Entry]:
    tokens = changes.shards.tokens if changes.shards is not None else {}
    entries = [Entry(url=known.of_url(url), reason=request.reason) for url in request.urls]
    for name in request.ids:
        if name not in result.found.documents:
            entries.append(Entry(id=name, reason=request.reason))
    for document in result.found.documents.values():
        entries.append(_entry(document, request.reason, tokens))
    return entries


def _entry(document: Document, reason: str, tokens: dict[str, Any]) -> Entry:
    mine = document.copy_of is None
    telling = sorted(t for t in document.texts if t[0] >= LEAST_COPY_BYTES) if mine else []
    in_shards = [tokens[document.id]] if telling and document.id in tokens else []
    return Entry(
        id=document.id,
        reason=reason,
        copy_of=document.copy_of,
        origins=tuple(sorted(document.origins)),
        texts=tuple(telling),
        tokens=tuple(in_shards),
    )


def _finish(work: str, facts: dict[str, Any]) -> None:
    """What follows when all files are in their places: report, seal, log."""
    if files.exists(files.join(work, seal.REPORT)):
        files.write_json(files.join(work, seal.REPORT), report.as_json(work))
    loaded, _ = recipe.load(files.join(work, seal.RECIPE), work)
    seal.write(work, [step.output for step in plan.steps(loaded, work)])
    path = files.join(work, LOG)
    line = {"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), **facts}
    before = files.read_bytes(path) if files.exists(path) else b""
    files.write_bytes(path, before + orjson.dumps(line) + b"\n")
    purge_journal.forget(work)
