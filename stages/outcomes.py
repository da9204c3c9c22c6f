"""What can become of one raw record or one document: the whole vocabulary of the stages.

A *source reader* turns raw records into outcomes, a *rule* judges one document. Neither knows Beam,
files or counters; `stages.engine` writes the outcomes down and checks that none was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, TypeAlias, runtime_checkable


@dataclass(slots=True)
class Document:
    """One document; the fields of the document schema (see `stages.documents.SCHEMA`).

    `id` is stable: derived from the origin, not from the run. `origin` is the URI of the raw file
    and `#` plus the offset or key inside it. `created` is ISO 8601 in UTC, or None.
    `meta` must be JSON-serialisable. `extra` holds values of further columns that the source
    declares (for example the line hashes of CommonCrawl).
    """

    id: str
    text: str
    source: str
    origin: str
    url: str | None = None
    title: str | None = None
    language: str | None = None
    created: str | None = None
    license: str | None = None
    meta: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Rejected:
    """A readable document that does not enter the corpus; `reason` is from a short fixed list."""

    id: str
    origin: str
    reason: str
    detail: str = ""
    url: str | None = None


@dataclass(slots=True)
class Bad:
    """Unreadable raw data: a dead letter with its place.

    `offset` is a byte offset, or a key where the format has no offsets.
    `error` begins with a short fixed word, then `: ` and the particulars.
    """

    file: str
    offset: int | str
    error: str


@dataclass(slots=True)
class Skipped:
    """A raw record that is no document by its kind (`warcinfo`, `request`, a dump's header)."""

    kind: str


Outcome: TypeAlias = Document | Rejected | Bad | Skipped


class Tally:
    """Counts raw records where they are *found*, apart from where outcomes are made.

    A reader calls `record()` once for each raw record (and each unreadable stretch) that its parser
    meets, then yields exactly one outcome for it. The engine compares both numbers, so a record
    dropped between the parser and the outcome fails the run.
    """

    __slots__ = ("records",)

    def __init__(self) -> None:
        self.records = 0

    def record(self) -> None:
        self.records += 1


class SourceReader(Protocol):
    """Reads one raw file (or the stretch `start..end` of one) as outcomes, in file order."""

    def __call__(
        self, stream: BinaryIO, path: str, tally: Tally, start: int = 0, end: int | None = None
    ) -> Iterator[Outcome]: ...


@dataclass(slots=True, frozen=True)
class Reject:
    """A rule's verdict that a document leaves, with its reason."""

    reason: str
    detail: str = ""


@runtime_checkable
class Rule(Protocol):
    """Judges one document, given the values of the columns named in `reads`, in that order.

    Returns the new values of the columns named in `writes`, in that order, or a `Reject`.
    An exception makes the document a bad record, never a crash.
    """

    @property
    def reads(self) -> tuple[str, ...]: ...

    @property
    def writes(self) -> tuple[str, ...]: ...

    @property
    def __call__(self) -> Callable[..., tuple[Any, ...] | Reject]: ...
