"""The list of what was taken out of a corpus for good: `purged.jsonl` in the work folder.

It names documents by id and pages by URL, and holds salted hashes of texts and token sequences, so
that a copy under another id is known without the text being kept. Every step that makes documents
obeys it (`stages.purged`), so another run does not bring back what was purged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError

from stages import urls as web
from stages.engine import files

FILE_NAME = "purged.jsonl"
# Texts this short say nothing of whose they are ("Home", "Thank you"): other documents that have
# them are no copies.
LEAST_COPY_BYTES = 100
_FORMAT = "llama-corpus purge list"
_DIGEST_BYTES = 16

Hashed = tuple[int, str]
"""Length (bytes of text, or tokens) and salted hash of something that must not come back."""


class PurgeListError(Exception):
    """The list cannot be read; without it, what was purged could come back."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Part):
    """One document (`id`) or page (`url`, the salted hash of its matching key) and why it went.

    `origins`: raw files, with the place, that still hold it. `copy_of`: the id of the document that
    was asked for, where this one went because its text is the same. `texts` and `tokens`: what the
    document was in each step and in the shards.
    """

    id: str | None = None
    url: str | None = None
    reason: str = ""
    copy_of: str | None = None
    origins: tuple[str, ...] = ()
    texts: tuple[Hashed, ...] = ()
    tokens: tuple[Hashed, ...] = ()


class _Header(_Part):
    format: str = _FORMAT
    format_version: int = 1
    salt: str


@dataclass(frozen=True)
class PurgeList:
    """The whole list. `salt`: 32 hexadecimal digits, another for each corpus, so that hashes of
    known texts cannot be looked up in a table."""

    salt: str
    entries: tuple[Entry, ...] = ()

    @classmethod
    def load(cls, path: str) -> PurgeList:
        """Raises PurgeListError with one line."""
        try:
            first, *rest = files.read_bytes(path).splitlines()
            header = _Header.model_validate_json(first)
            entries = tuple(Entry.model_validate_json(line) for line in rest)
        except (ValueError, OSError, ValidationError) as error:
            what = str(error).splitlines()[0]
            raise PurgeListError(f"{path}: no purge list of this program ({what})") from error
        if (header.format, header.format_version) != (_FORMAT, 1):
            raise PurgeListError(f"{path}: {header.format} {header.format_version} is unknown here")
        return cls(header.salt, entries)

    def to_bytes(self) -> bytes:
        """The bytes of the file; the same list gives the same bytes."""
        lines = [_Header(salt=self.salt).model_dump_json()]
        lines += [entry.model_dump_json(exclude_defaults=True) for entry in self.entries]
        return "".join(f"{line}\n" for line in lines).encode()

    def with_entries(self, more: Iterable[Entry]) -> PurgeList:
        """The list with further entries; of one id or page the earlier entry stays."""
        known = {(e.id, e.url): e for e in [*more, *self.entries]}
        known.update({(e.id, e.url): e for e in self.entries})
        ordered = sorted(known.values(), key=lambda e: (e.id is None, e.id or "", e.url or ""))
        return PurgeList(self.salt, tuple(ordered))

    # -- hashes ----------------------------------------------------------------------------------

    def hashed(self, content: bytes) -> str:
        """The salted hash of a text's UTF-8 or of a token sequence's payload bytes."""
        return hashlib.blake2b(
            content, digest_size=_DIGEST_BYTES, key=bytes.fromhex(self.salt)
        ).hexdigest()

    def of_text(self, text: str) -> Hashed:
        content = text.encode()
        return len(content), self.hashed(content)

    def of_tokens(self, tokens: npt.NDArray[np.uint16]) -> Hashed:
        """Of a document's ids without separator."""
        return len(tokens), self.hashed(tokens.astype("<u2").tobytes())

    def of_url(self, url: str) -> str:
        """Equal for two URLs of one page (`stages.urls.match_key`)."""
        return self.hashed((web.match_key(url) or url).encode())

    # -- what is on it ---------------------------------------------------------------------------

    @cached_property
    def ids(self) -> frozenset[str]:
        return frozenset(e.id for e in self.entries if e.id is not None)

    @cached_property
    def urls(self) -> frozenset[str]:
        return frozenset(e.url for e in self.entries if e.url is not None)

    @cached_property
    def texts(self) -> frozenset[Hashed]:
        return frozenset(t for e in self.entries for t in e.texts)

    @cached_property
    def tokens(self) -> frozenset[Hashed]:
        return frozenset(t for e in self.entries for t in e.tokens)

    @cached_property
    def _id_set(self) -> pa.Array:
        return pa.array(sorted(self.ids), pa.string())

    @cached_property
    def _lengths(self) -> pa.Array:
        return pa.array(sorted({n for n, _ in self.texts}), pa.int64())

    def named(self, batch: pa.RecordBatch, column: str = "id") -> npt.NDArray[np.bool_]:
        """Rows that are on the list by id or URL: bool of shape (rows,)."""
        values = batch.column(column)
        found: npt.NDArray[np.bool_] = pc.is_in(values, self._id_set.cast(values.type)).to_numpy(
            zero_copy_only=False
        )
        if self.urls and "url" in batch.schema.names:
            urls = batch.column("url").to_pylist()
            by_url = [u is not None and self.of_url(u) in self.urls for u in urls]
            found = found | np.array(by_url, dtype=np.bool_)
        return found

    def same_text(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Rows whose text is on the list: bool of shape (rows,). Only texts of a listed length are
        hashed."""
        found = np.zeros(batch.num_rows, dtype=np.bool_)
        if not self.texts:
            return found
        texts = batch.column("text")
        lengths = pc.binary_length(texts).cast(pa.int64())
        for row in pc.indices_nonzero(pc.is_in(lengths, self._lengths)).to_pylist():
            found[row] = self.of_text(texts[row].as_py()) in self.texts
        return found

    def documents(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Documents that may not be in the corpus, by id, URL or text: bool of shape (rows,)."""
        return self.named(batch) | self.same_text(batch)
