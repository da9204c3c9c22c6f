"""What `corpus why` finds out, as plain data; `to_json` of it is the command's `--json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

State: TypeAlias = Literal["done", "changed", "stale", "half done", "to do"]
"""Of a step: `changed` (the recipe has other settings now), `stale` (made from an earlier output
of the steps before), or as in `corpus status`."""

Verdict: TypeAlias = Literal[
    "entered", "kept", "changed", "rejected", "bad", "not run", "not reached", "missing"
]
"""Of a step on a document: `entered` (read from raw data), `kept` (text as before), `changed`
(another text than before), `rejected`, `bad` (the step failed on it), `not run` (the step is not
done), `not reached` (it left before), `missing` (in none of the step's files)."""


@dataclass(frozen=True)
class Other:
    """Another document of the corpus."""

    id: str
    url: str | None = None
    created: str | None = None


@dataclass
class RemovedLine:
    """A line that a step took away. `line` counts from 1 in the text before.

    `documents` is in how many other documents it is, None where nobody looked; `holders` names the
    first of them. `kept_in` is the one in which the line stays, None where it stays in none.
    """

    line: int
    text: str
    why: str | None = None
    documents: int | None = None
    kept_in: Other | None = None
    holders: list[Other] = field(default_factory=list)


@dataclass
class Lines:
    """What became of a text's lines: how many before and after, and the difference. `added` are
    (line in the text after, text): lines that were not there before, or not in this form."""

    before: int
    after: int
    removed: list[RemovedLine]
    added: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """A threshold, what the document has, and whether that passes."""

    setting: str
    threshold: Any
    value: Any
    passes: bool


@dataclass
class Finding:
    """What one step did with the document.

    `gained`: columns and `meta` keys with a new value. `settings`: those of the step that mattered.
    `stayed`: documents that stay in place of this one. Bytes are of the text in UTF-8.
    """

    step: str
    stage: str
    state: State
    verdict: Verdict
    reason: str | None = None
    explanation: str | None = None
    detail: str | None = None
    part: str | None = None
    bytes_before: int | None = None
    bytes_after: int | None = None
    gained: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stayed: list[Other] = field(default_factory=list)
    lines: Lines | None = None


@dataclass(frozen=True)
class TokenPlace:
    """Where a document's tokens are. `length` counts its separator; `epochs` is how often a run of
    the stated length sees it: 0 of what is held out."""

    shard: str
    split: str
    first_token: int
    length: int
    epochs: float | None


@dataclass
class Trail:
    """One document's way through its source. `found_by` says by what it was found."""

    id: str
    source: str
    origin: str
    url: str | None
    title: str | None
    created: str | None
    found_by: str
    in_corpus: bool
    summary: str
    steps: list[Finding]
    tokens: list[TokenPlace] = field(default_factory=list)


@dataclass(frozen=True)
class BadRecord:
    """A raw record that never became a document."""

    step: str
    stage: str
    file: str
    offset: str
    error: str
    explanation: str | None
    part: str


@dataclass(frozen=True)
class Looked:
    """A step in which the document was looked for, and how many rows that were."""

    step: str
    state: State
    documents: int
    rejected: int
    bad: int


@dataclass
class Answer:
    """Everything. `more` documents matched too and are not told of."""

    query: str
    work: str
    documents: list[Trail]
    bad: list[BadRecord]
    more: int
    looked: list[Looked]

    @property
    def found(self) -> bool:
        return bool(self.documents or self.bad)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
