"""Which documents a purge is about: those that ids and URLs name, and exact copies of their text.

Three passes over what the steps wrote: by id and URL, then by the texts found (only texts of the
same length are hashed), then for the copies' other rows. Each reads the columns that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import verify_work
from pipeline.verify_work import Progress
from stages.documents import read_batches
from stages.engine import files
from stages.engine.manifest import Manifest
from stages.purge_list import LEAST_COPY_BYTES, Entry, Hashed, PurgeList


@dataclass(frozen=True)
class Request:
    """What somebody asked for. `reason` is kept in the list (opt-out, licence, takedown)."""

    ids: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    reason: str = ""


@dataclass
class Document:
    """One document that goes, and where it was: `steps` -> documents, rejected or bad."""

    id: str
    copy_of: str | None = None
    origins: set[str] = field(default_factory=set)
    texts: set[Hashed] = field(default_factory=set)
    steps: dict[str, str] = field(default_factory=dict)


@dataclass
class Found:
    """All documents that go, by id; `unknown`: ids and URLs that nothing was found for."""

    documents: dict[str, Document]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    id: str
    origin: str | None
    url: str | None
    text: Hashed | None


@dataclass(frozen=True)
class _Search:
    """Looks for rows of one file by name, or by text."""

    path: str
    kind: str
    step: str
    purge: PurgeList
    by_text: bool
    size: int

    def __call__(self) -> tuple[_Row, ...]:
        return tuple(self._rows())

    def _rows(self) -> Iterator[_Row]:
        if self.kind == "bad":
            for batch in read_batches(self.path, ("offset",)):
                for value in batch.column(0).to_pylist():
                    if value in self.purge.ids:
                        yield _Row(value, None, None, None)
            return
        narrow = ("id", "text") if self.by_text else ("id", "url")
        hits = [self._wanted(batch) for batch in read_batches(self.path, narrow)]
        if not any(hit.any() for hit in hits):
            return
        whole = read_batches(self.path, ("id", "origin", "url", "text"))
        for hit, batch in zip(hits, whole, strict=True):
            for row in np.flatnonzero(hit).tolist():
                values = batch.slice(row, 1).to_pylist()[0]
                text = values.get("text")
                hashed = None if text is None else self.purge.of_text(text)
                yield _Row(values["id"], values["origin"], values["url"], hashed)

    def _wanted(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        return self.purge.same_text(batch) if self.by_text else self.purge.named(batch)


Steps = Sequence[tuple[str, Manifest]]
"""Folder and manifest of the steps that are searched."""


def find(
    steps: Steps,
    request: Request,
    known: PurgeList,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Found:
    """Raises OSError and ArrowInvalid where a file cannot be read."""
    result = Found({}, ())
    urls = {known.of_url(url): url for url in request.urls}
    asked = PurgeList(
        known.salt,
        (*(Entry(id=i) for i in request.ids), *(Entry(url=u) for u in urls)),
    )
    unknown = {*request.ids, *request.urls}
    for search, row in _run(steps, asked, False, workers, progress):
        _take(result, search, row, None)
        unknown.discard(row.id)
        if row.url is not None:
            unknown.discard(urls.get(known.of_url(row.url), ""))
    of: dict[Hashed, str] = {}
    for name, document in sorted(result.documents.items()):
        for text in document.texts:
            if text[0] >= LEAST_COPY_BYTES:
                of.setdefault(text, name)
    if of:
        texts = PurgeList(known.salt, (Entry(texts=tuple(sorted(of))),))
        copies: dict[str, str] = {}
        for _, row in _run(steps, texts, True, workers, progress):
            if row.text is not None and row.id not in result.documents:
                copies.setdefault(row.id, of[row.text])
        if copies:
            also = PurgeList(known.salt, tuple(Entry(id=i) for i in copies))
            for search, row in _run(steps, also, False, workers, progress):
                _take(result, search, row, copies[row.id])
    result.unknown = tuple(sorted(unknown))
    return result


def _take(result: Found, search: _Search, row: _Row, copy_of: str | None) -> None:
    document = result.documents.setdefault(row.id, Document(row.id, copy_of))
    document.steps[search.step] = search.kind
    if row.origin is not None:
        document.origins.add(row.origin)
    if row.text is not None:
        document.texts.add(row.text)


def _run(
    steps: Steps,
    purge: PurgeList,
    by_text: bool,
    workers: int | None,
    progress: Progress | None,
) -> Iterator[tuple[_Search, _Row]]:
    """Rows found, in the order of steps and files, whatever ended first."""
    tasks = [
        _Search(
            files.join(folder, entry["path"]),
            kind,
            files.basename(folder),
            purge,
            by_text,
            int(entry["bytes"]),
        )
        for folder, known in steps
        for entry in known.files
        if (kind := kind_of(entry["path"])) is not None and (kind == "documents" or not by_text)
    ]
    found = dict(verify_work.run(tasks, workers, progress))
    for number, task in enumerate(tasks):
        for row in found[number]:
            yield task, row


def kind_of(path: str) -> str | None:
    """documents, rejected or bad, for the files of parts."""
    if not path.endswith(".parquet"):
        return None
    if path.startswith("part-"):
        return "documents"
    return path.partition("/")[0] if path.startswith(("rejected/", "bad/")) else None
