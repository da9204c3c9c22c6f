"""All steps of a run without some documents: files, counts, and what the manifests say.

A step that was up to date before is up to date after: its fingerprint is that of its new inputs, so
the next run has nothing to do. Models stay as they are; their manifests tell how many of the
documents that they were made of were purged since.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline import purge_find, purge_shards
from pipeline.purge_journal import Staging
from pipeline.purge_shards import ShardChanges
from pipeline.verify_counts import PURGED
from stages import purge_list
from stages.documents import Counts
from stages.engine import files, manifest
from stages.engine import run as engine
from stages.engine.manifest import Manifest
from stages.engine.step import InputError, Step
from stages.purge_list import Entry, PurgeList
from stages.purged import Stripped, strip


@dataclass(frozen=True)
class Finished:
    """A finished step: of the plan (`step`), or left over from another recipe (None)."""

    folder: str
    known: Manifest
    step: Step | None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Folders of the steps that it reads, where they are now."""
        return tuple(self.now(row) for row in self.known.inputs if "digest" in row)

    def now(self, row: dict[str, Any]) -> str:
        """Where an input of the manifest is now: the work folder may have been moved since."""
        path = str(row["path"])
        if self.step is not None:
            places = self.step.inputs.get(row["port"], [])
        else:
            places = [files.join(self.folder.rstrip("/").rpartition("/")[0], files.basename(path))]
        same = [p for p in places if files.basename(p) == files.basename(path)]
        return files.canonical(same[0] if same and path not in places else path)


@dataclass
class Changes:
    """What was staged. `parts`: rewritten files of documents, rejects and the like, by step;
    `models`: steps whose output stays though it was made of purged documents, with their number."""

    parts: dict[str, int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)
    shards: ShardChanges | None = None
    manifests: int = 0


def in_order(steps: Sequence[Finished]) -> list[Finished]:
    """Each step after those that it reads."""
    by_folder = {files.canonical(s.folder): s for s in steps}
    ordered: dict[str, Finished] = {}

    def visit(place: str, above: frozenset[str]) -> None:
        if place in ordered or place in above or place not in by_folder:
            return
        for path in by_folder[place].inputs:
            visit(path, above | {place})
        ordered[place] = by_folder[place]

    for place in by_folder:
        visit(place, frozenset())
    return list(ordered.values())


class StagedSteps:
    """Stages new versions of the files of all steps that are concerned."""

    def __init__(self, work: str, ids: Collection[str], purge: PurgeList, staging: Staging) -> None:
        """`purge`: the list as it was, for its salt; `ids`: documents that go."""
        self.work, self.ids, self.staging, self.salt = work, frozenset(ids), staging, purge
        self.named = PurgeList(purge.salt, tuple(Entry(id=i) for i in sorted(ids)))
        self.changes = Changes()
        # By folder: documents that it no longer has, with their bytes of text.
        self._gone: dict[str, dict[str, int]] = {}
        self._new: dict[str, Manifest] = {}
        self._steps: list[Finished] = []

    def add(self, steps: Sequence[Finished]) -> None:
        """Stages files and works out counts. Raises OSError, ArrowInvalid, ValueError, InputError
        where something cannot be read."""
        self._steps = in_order(steps)
        for one in self._steps:
            came_in: dict[str, int] = {}
            for path in one.inputs:
                came_in.update(self._gone.get(path, {}))
            if any(purge_find.kind_of(e["path"]) == "documents" for e in one.known.files):
                self._documents(one, came_in)
            elif one.known.stage == "tokens":
                self._tokens(one, came_in)
            elif came_in:
                self._model(one, len(came_in))

    def _strip(self, one: Finished, came_in: Mapping[str, int]) -> Stripped:
        """The step's own files without the listed documents, staged."""
        known, name = one.known, files.basename(one.folder)
        return strip(
            one.folder,
            known.step,
            known.files,
            known.counts,
            self.named,
            came_in,
            lambda path: self.staging.place(f"{name}/{path}"),
        )

    def _documents(self, one: Finished, came_in: Mapping[str, int]) -> None:
        known, left = one.known, self._strip(one, came_in)
        self._gone[files.canonical(one.folder)] = left.gone
        self._remove(one, left.removed)
        if left.written or left.removed:
            self.changes.parts[known.step] = len(left.written)
            self._change(one, counts=left.counts, files=left.files)

    def _tokens(self, one: Finished, came_in: Mapping[str, int]) -> None:
        known, left = one.known, self._strip(one, came_in)
        shards = purge_shards.rewrite(self.work, one.folder, self.ids, self.salt, self.staging)
        self.changes.shards = shards
        self._remove(one, left.removed)
        if not left.written and not left.removed and not shards.files:
            return
        counts = left.counts
        for which in ("documents_in", "documents_out"):
            setattr(counts, which, getattr(counts, which) - shards.documents)
        for which in ("text_bytes_in", "text_bytes_out"):
            setattr(counts, which, getattr(counts, which) - shards.text_bytes)
        for split in ("train", "valid"):
            counts.other[f"tokens_{split}"] = sum(
                s.tokens for s in shards.manifest.shards if s.split == split
            )
        listed = {e["path"]: e for e in left.files} | shards.files
        self.changes.parts[known.step] = len(left.written) + len(shards.files)
        self._change(one, counts=counts, files=[listed[p] for p in sorted(listed)])

    def _remove(self, one: Finished, paths: Sequence[str]) -> None:
        for path in paths:
            self.staging.remove(f"{files.basename(one.folder)}/{path}")

    def _model(self, one: Finished, documents: int) -> None:
        before = one.known.extra.get(PURGED, {}).get("documents", 0)
        self.changes.models[one.known.step] = documents
        self._change(one, extra={**one.known.extra, PURGED: {"documents": before + documents}})

    def _change(
        self,
        one: Finished,
        counts: Counts | None = None,
        files: list[dict[str, Any]] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        new = replace(
            one.known,
            counts=counts or one.known.counts,
            files=files or one.known.files,
            extra=extra or one.known.extra,
        )
        new.digest = new.outputs_digest()
        self._new[one.folder] = new

    def finish(self, purge: PurgeList) -> None:
        """Stages the list and the manifests of all steps that changed or read what changed."""
        path = self.staging.place(purge_list.FILE_NAME)
        files.write_bytes(path, purge.to_bytes())
        digests = {files.canonical(f): m.digest for f, m in self._new.items()}
        before = {files.canonical(s.folder): s.known.digest for s in self._steps}
        for one in self._steps:
            rows = [self._row(one, row, digests) for row in one.known.inputs]
            new = self._new.get(one.folder, one.known)
            fingerprint = self._fingerprint(one, rows, path, before)
            if new is one.known and rows == one.known.inputs and fingerprint == new.fingerprint:
                continue
            new = replace(new, inputs=rows, fingerprint=fingerprint)
            target = self.staging.place(f"{files.basename(one.folder)}/{manifest.NAME}")
            files.write_json(target, new.to_json())
            self.changes.manifests += 1

    def _row(
        self, one: Finished, row: dict[str, Any], digests: Mapping[str, str]
    ) -> dict[str, Any]:
        new = digests.get(one.now(row)) if "digest" in row else None
        return dict(row) if new is None else {**row, "digest": new}

    def _fingerprint(
        self,
        one: Finished,
        rows: Sequence[dict[str, Any]],
        list_path: str,
        before: Mapping[str, str],
    ) -> str:
        """That of the new inputs, if the old one was that of the old inputs."""
        known = one.known
        try:
            if one.step is None or engine.fingerprint(one.step, known.inputs) != known.fingerprint:
                return known.fingerprint
        except InputError:
            return known.fingerprint  # Its settings or models are others now; it will be redone.
        for row in known.inputs:
            if "digest" in row and before.get(one.now(row), row["digest"]) != row["digest"]:
                return known.fingerprint
        return engine.fingerprint(replace(one.step, purged=list_path), rows)
