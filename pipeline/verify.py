"""`corpus verify`: reads everything that a run left and compares it with what the run said of it.

Every file is hashed again, and where one differs the changed byte is named if it is one, else its
MiB. The books of each step must balance and continue those before; token shards are read through,
with all sidecars; the data order is looked at; texts of documents are compared with their tokens;
nothing that was purged may be there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline import (
    plan,
    purge_journal,
    recipe,
    seal,
    verify_counts,
    verify_files,
    verify_order,
    verify_purge,
    verify_text,
    verify_tokens,
    verify_work,
)
from pipeline.seal import Problem
from pipeline.verify_files import Checked, Tokens
from stages import purge_list
from stages.engine import files, manifest
from stages.engine.manifest import Manifest
from stages.engine.step import InputError, Step
from stages.purge_list import PurgeList, PurgeListError
from tokenizer import ledger as ledgers
from tokenizer.manifest import TokensManifest

Progress = Callable[[int, int], None]
SEQ_LEN = verify_order.SEQ_LEN
# Unless every document is looked at: normalising URLs would take longer than all else of a shard.
_NAMES_OF_EVERY = 16


@dataclass(frozen=True)
class Options:
    """`deep`: compare the text of every document, not of a sample. `raw`: hash raw files, too, if
    they are still there. `seq_len`, `seed`: of the data order that is looked at."""

    deep: bool = False
    raw: bool = True
    seq_len: int = SEQ_LEN
    seed: int = 0
    workers: int | None = None


@dataclass
class Verified:
    """What was looked at. `problems` is empty if all is as it should be; `warnings` are no faults;
    `notes` say what was looked at how closely; `sources`: figures of each source's tokens."""

    files: int = 0
    bytes: int = 0
    problems: tuple[Problem, ...] = ()
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)


def verify(
    steps: Sequence[Step],
    work: str,
    progress: Progress | None = None,
    workers: int | None = None,
    options: Options | None = None,
) -> Verified:
    """Checks all finished steps; `progress(bytes done, bytes in all)` is called now and then, from
    0 again for each pass."""
    look = _Look(work, options or Options(workers=workers), progress)
    look.manifests(steps)
    look.files()
    look.problems += verify_counts.problems(look.steps, look.done)
    look.shards_together()
    look.order()
    look.texts()
    look.purged()
    look.result.problems = _ordered(look.problems)
    return look.result


def verify_folder(
    work: str, progress: Progress | None = None, options: Options | None = None
) -> Verified:
    """`verify` of the steps of a work folder's recipe. A recipe that cannot be read is a problem if
    a run ended here; otherwise, RecipeError."""
    path = files.join(work, seal.RECIPE)
    try:
        if not files.exists(path):
            raise recipe.RecipeError(f"{work}: no run has begun here ({seal.RECIPE} is absent)")
        loaded, _ = recipe.load(path, work)
        steps = plan.steps(loaded, work)
    except (recipe.RecipeError, InputError) as error:
        if not files.exists(files.join(work, seal.NAME)):
            raise
        what = f"cannot be read, so nothing else was looked at: {error}"
        found = [*seal.problems(work), Problem(path, what)]
        return Verified(problems=_ordered(found))
    return verify(steps, work, progress, options=options)


def _ordered(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Each once, by file and place; those whose place is not known after the others."""

    def key(p: Problem) -> tuple[str, bool, int, str]:
        return p.file, p.offset is None, p.offset or 0, p.what

    return tuple(sorted(set(problems), key=key))


class _Look:
    """One verification, pass by pass."""

    def __init__(self, work: str, options: Options, progress: Progress | None) -> None:
        self.work, self.options, self.progress = work, options, progress
        self.problems: list[Problem] = []
        self.result = Verified()
        self.steps: list[Step] = []
        self.done: dict[str, Manifest] = {}
        self.tokens: Tokens | None = None
        self._shards: verify_tokens.Shards | None = None

    # -- manifests -------------------------------------------------------------------------------

    def manifests(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)
        self.problems += seal.problems(self.work)
        if purge_journal.unfinished(self.work):
            what = "a purge was interrupted; `corpus purge` of this folder finishes it"
            self.problems.append(Problem(files.join(self.work, purge_journal.FOLDER), what))
        for step in steps:
            path = files.join(step.output, manifest.NAME)
            try:
                known = manifest.load(step.output)
            except manifest.ManifestError as error:
                what = str(error).removeprefix(f"{path}: ")
                self.problems.append(Problem(path, f"{what}; the step's files are not checked"))
                continue
            if known is None:
                self.problems.append(Problem(step.output, "the step is not done"))
            else:
                self.done[step.output] = known
        self._left_over()
        folder = files.join(self.work, plan.TOKENS)
        if folder in self.done:
            tokens = Tokens.of(folder)
            try:
                tokens.encoder.require(tokens.manifest)
                self.tokens = tokens
            except (ValueError, OSError) as error:
                where = files.join(folder, "manifest.json")
                self.problems.append(Problem(where, str(error).splitlines()[0]))

    def _left_over(self) -> None:
        """Step folders of another recipe: nothing reads them, but they hold documents."""
        for folder in left_over(self.work, [s.output for s in self.steps]):
            self.result.warnings.append(
                f"{folder} is of no step of the recipe: left by another one, not looked at"
            )

    # -- files and shards ------------------------------------------------------------------------

    def files(self) -> None:
        shards = {s.path: s for s in self.tokens.manifest.shards} if self.tokens else {}
        work: list[verify_work.Task[Checked]] = []
        for folder, known in self.done.items():
            of_shards = self.tokens is not None and folder == self.tokens.folder
            for entry in known.files:
                if of_shards and self.tokens and entry["path"] in shards:
                    shard = shards[entry["path"]]
                    every = 1 if self.options.deep else _NAMES_OF_EVERY
                    work.append(verify_files.ShardTask(self.tokens, entry, shard, every))
                else:
                    work.append(verify_files.FileTask(folder, entry))
        n, size = len(work), sum(task.size for task in work)
        if self.options.raw:
            rows, gone = verify_files.raw_rows(list(self.done.values()))
            work += [verify_files.RawTask(row) for row in rows]
            n, size = n + len(rows), size + sum(int(r["size"]) for r in rows)
            self.result.notes.append(
                f"raw files: {len(rows):,} hashed again"
                + (f", {gone:,} no longer there" if gone else "")
            )
        sealed = seal.sealed(self.work)
        self.result.files = n + len(sealed)
        self.result.bytes = size + sum(e["bytes"] for e in sealed)
        for step in self.steps:
            if step.output in self.done:
                self.problems += verify_files.unlisted(step, self.done[step.output])
        with verify_tokens.Distinct() as distinct:
            if self.tokens is not None:
                self._shards = verify_tokens.Shards(
                    self.tokens.folder, self.tokens.manifest, distinct
                )
            for _, found in verify_work.run(work, self.options.workers, self.progress):
                self.problems += found.problems
                if found.audit is not None and self._shards is not None:
                    self._shards.add(found.audit)
            if self._shards is not None:
                self.problems += self._shards.problems()

    def shards_together(self) -> None:
        if self._shards is None or self.tokens is None:
            return
        manifest_, folder = self.tokens.manifest, self.tokens.folder
        self.problems += verify_counts.token_problems(folder, self.done[folder], manifest_)
        self.result.sources = self._shards.table()
        self.result.warnings += self._shards.warnings()
        if manifest_.held_out is None:
            self.result.warnings.append("the shards do not say how documents were held out")
        else:
            h = manifest_.held_out
            self.result.notes.append(
                f"split: every document of every shard is on the side of its number, by {h.by}"
                f" (share {h.share:g}, seed {h.seed}), so none has part in both"
            )

    # -- the order -------------------------------------------------------------------------------

    def order(self) -> None:
        if self.tokens is None:
            return
        self._order((), self.tokens.folder)
        for path in ledger_files(self.work):
            try:
                self._order(ledgers.load(path).mixture, path)
                self.result.notes.append(f"ledger {path}: valid")
            except ValueError as error:
                self.problems.append(Problem(path, str(error).removeprefix(f"{path}: ")))

    def _order(self, changes: Sequence[ledgers.MixtureChange], path: str) -> None:
        assert self.tokens is not None
        try:
            looked = verify_order.look(
                self.tokens.manifest,
                self.tokens.folder,
                self.options.seq_len,
                self.options.seed,
                changes,
            )
        except ValueError as error:
            self.problems.append(Problem(path, f"no order of the data: {error}"))
            return
        if looked is not None:
            self.problems += looked.problems
            if not changes:
                self.result.notes.append(looked.note)

    # -- texts -----------------------------------------------------------------------------------

    def texts(self) -> None:
        if self.tokens is None:
            return
        step = next(s for s in self.steps if s.output == self.tokens.folder)
        inputs = [(p, self.done[p]) for p in step.inputs["input"] if p in self.done]
        try:
            work = verify_text.tasks(inputs, self.tokens, self.done[step.output], self.options.deep)
        except (OSError, pa.ArrowException) as error:
            what = f"texts cannot be compared: {str(error).splitlines()[0]}"
            self.problems.append(Problem(step.output, what))
            return
        documents = normalised = 0
        for _, found in verify_work.run(work, self.options.workers, self.progress):
            self.problems += found.problems
            documents += found.documents
            normalised += found.normalised
        held = sum(s.documents for s in self.tokens.manifest.shards)
        if self.options.deep and not self.problems and documents != held:
            what = f"{held} documents are in the shards, {documents} in the steps before"
            self.problems.append(Problem(step.output, what))
        self.result.notes.append(
            f"text: of {documents:,} documents of {held:,} the shards' tokens are the text"
            + (f", {normalised:,} as the tokenizer normalises it" if normalised else "")
        )

    # -- what was purged -------------------------------------------------------------------------

    def purged(self) -> None:
        path = files.join(self.work, purge_list.FILE_NAME)
        if not files.exists(path):
            return
        try:
            purge = PurgeList.load(path)
        except PurgeListError as error:
            self.problems.append(Problem(path, str(error).removeprefix(f"{path}: ")))
            return
        shards = (self.tokens.folder, self.tokens.manifest) if self.tokens else None
        self.problems += search(
            list(self.done.items()), shards, purge, self.options.workers, self.progress
        )
        self.result.notes.append(
            f"purged: {len(purge.ids):,} ids, {len(purge.urls):,} URLs, {len(purge.texts):,} texts"
            f" and {len(purge.tokens):,} token sequences looked for in all documents and shards"
        )


def search(
    steps: Sequence[tuple[str, Manifest]],
    shards: tuple[str, TokensManifest] | None,
    purge: PurgeList,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Problem]:
    """Everything in the steps (folder, manifest) and shards (folder, manifest) that is purged."""
    work = verify_purge.tasks(steps, shards, purge)
    for _, found in verify_work.run(work, workers, progress):
        yield from found


def left_over(work: str, folders: Sequence[str]) -> list[str]:
    """Folders of finished steps in a work folder besides `folders`."""
    if not files.is_dir(work):
        return []
    found = [files.join(work, name) for name in files.names(work)]
    return [f for f in found if f not in folders and files.exists(files.join(f, manifest.NAME))]


def ledger_files(work: str) -> list[str]:
    """Ledgers of the training runs in a local work folder."""
    if files.is_remote(work):
        return []
    found = []
    for root, folders, names in os.walk(os.path.join(files.filesystem(work)[1], "train")):
        folders.sort()
        found += [os.path.join(root, n) for n in names if n == ledgers.FILE_NAME]
    return found


def as_json(found: Verified) -> Mapping[str, Any]:
    """The result as plain data."""
    return {
        "files": found.files,
        "bytes": found.bytes,
        "problems": [vars(p) | {"exact": p.exact} for p in found.problems],
        "warnings": found.warnings,
        "notes": found.notes,
        "sources": found.sources,
    }
