"""Planted traps and the key file that names every one of them."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

KEY_VERSION = 1


class Must(str, Enum):
    """What a sound run does with a trap."""

    REJECTED = "rejected"
    """A row in `rejected/` of one of `steps`, and no document in the last of them."""
    UNREADABLE = "unreadable"
    """A row in `bad/` (or in `rejected/`) of one of `steps`, and no document."""
    ACCOUNTED = "accounted"
    """At least one row as document, reject or bad record in one of `steps`: not lost silently."""
    NO_DOCUMENT = "no document"
    """No document in the first of `steps`; no row is needed, for it is no page by its kind."""
    KEPT = "kept"
    """A document in the first of `steps` whose text has one of `any_of`."""
    TEXT_GONE = "text gone"
    """The document is there, and none of `any_of` is in its text."""
    ONE_OF_GROUP = "one of group"
    """Of the pages `group`, exactly one is left in the first of `steps`."""
    NEWEST_OF_GROUP = "newest of group"
    """The one that is left has one of `any_of` in its text."""
    LINES_ONCE = "lines once"
    """Each of `lines` stands in at most one document of the first of `steps`."""
    TAIL = "tail"
    """In the first of `steps` the document's bucket is `tail`, or it was rejected before."""
    ITEM_FOUND = "item found"
    """The hits of the first of `steps` name the document at `url` for the item `any_of`."""
    CITED = "cited"
    """In the first of `steps` the document's reference score is at least one half."""
    NOT_CITED = "not cited"
    """In the first of `steps` the document's reference score is less than one half."""


class Trap(BaseModel):
    """One planted trap. A page is named by `url` (web) or by `language` and `title` (Wikipedia).

    `file` is the raw file below the sample's folder; `offset` and `length` are the bytes of the
    damaged record in it, as compressed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(description="name of the kind, the row of the report")
    must: Must = Field(description="what a sound run does")
    steps: tuple[str, ...] = Field(description="directories of the run in which it shows")
    file: str = Field(description="raw file, below the sample's folder")
    offset: int | None = Field(default=None, description="first byte of the record in the raw file")
    length: int | None = Field(default=None, description="bytes of the record in the raw file")
    url: str | None = Field(default=None, description="URL of the page")
    language: str | None = Field(default=None, description="language of the dump")
    title: str | None = Field(default=None, description="title of the article")
    any_of: tuple[str, ...] = Field(default=(), description="texts; see `must`")
    lines: tuple[str, ...] = Field(default=(), description="whole lines; see `must`")
    group: tuple[str, ...] = Field(
        default=(), description="URLs of pages with one content or one URL"
    )
    count: int = Field(
        default=1, description="how many this entry counts for: the copies beyond the first"
    )
    note: str = Field(default="", description="what else to expect")

    def place(self) -> str:
        """Where to look, for a person."""
        if self.url:
            return self.url
        if self.title:
            return f"{self.language}:{self.title}"
        return self.file if self.offset is None else f"{self.file}#{self.offset}"


class Key(BaseModel):
    """The key file: the sample's seed and all its traps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = KEY_VERSION
    seed: int
    traps: tuple[Trap, ...]


def write_key(path: Path, key: Key) -> None:
    data = key.model_dump(mode="json", exclude_defaults=False)
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_key(path: Path) -> Key:
    """Raises `pydantic.ValidationError` if the file is not a key."""
    return Key.model_validate_json(path.read_bytes())
