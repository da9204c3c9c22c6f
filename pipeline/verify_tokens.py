"""All token shards together: sums per source, bytes a token beside Table 1, no document twice."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.seal import Problem
from stages.engine import files
from tokenizer import names as name_files
from tokenizer.audit import ShardAudit
from tokenizer.manifest import SourceTokens, TokensManifest
from tokenizer.shards import ShardReader

# Bytes a token that far from Table 1 mean another tokenizer, other text or another count.
FAR_OFF = 1.3
# Bytes of characters that the vocabulary lacks; more than this is text that it was not made for.
MANY_BYTE_PIECES = 0.05
# Hashes of ids in memory before they go to files.
_IN_MEMORY = 1 << 25
_PARTITION_BITS = 8

U64 = npt.NDArray[np.uint64]


class Distinct:
    """Finds 64-bit hashes that come twice, in bounded memory: many are parted into files by their
    first bits, and one file at a time is sorted. A context manager."""

    def __init__(self, in_memory: int = _IN_MEMORY) -> None:
        self._limit = in_memory
        self._held: list[U64] = []
        self._count = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Distinct:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, hashes: U64) -> None:
        self._held.append(hashes)
        self._count += len(hashes)
        if self._count > self._limit:
            self._spill()

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="corpus-verify-")
        every = np.sort(np.concatenate(self._held))
        edges = np.arange(1, 1 << _PARTITION_BITS, dtype=np.uint64) << np.uint64(
            64 - _PARTITION_BITS
        )
        for number, part in enumerate(np.split(every, np.searchsorted(every, edges))):
            if len(part):
                with open(Path(self._folder.name, f"{number:03d}"), "ab") as out:
                    out.write(part.tobytes())
        self._held, self._count = [], 0

    def repeated(self) -> list[int]:
        """The hashes that were added more than once, ascending."""
        if self._folder is None:
            return _repeated(np.concatenate(self._held)) if self._held else []
        if self._held:
            self._spill()
        paths = sorted(Path(self._folder.name).iterdir())
        return [h for p in paths for h in _repeated(np.fromfile(p, dtype=np.uint64))]


def _repeated(hashes: U64) -> list[int]:
    ordered = np.sort(hashes)
    found: list[int] = np.unique(ordered[1:][ordered[1:] == ordered[:-1]]).tolist()
    return found


@dataclass
class _Sums:
    tokens: int = 0
    documents: int = 0
    text_bytes: int = 0
    unknown: int = 0
    byte_pieces: int = 0

    def add(self, found: ShardAudit) -> None:
        self.tokens += found.tokens
        self.documents += found.separators
        self.text_bytes += found.text_bytes or 0
        self.unknown += found.unknown
        self.byte_pieces += found.byte_pieces


@dataclass
class Shards:
    """Takes in the audits of all shards; tells what is wrong with the whole."""

    folder: str
    manifest: TokensManifest
    distinct: Distinct
    sums: dict[tuple[str, str], _Sums] = field(default_factory=dict)
    whole: bool = True

    def add(self, found: ShardAudit) -> None:
        place = (found.shard.source, found.shard.split)
        self.sums.setdefault(place, _Sums()).add(found)
        self.distinct.add(found.ids)
        # Where a shard could not be read, sums would only repeat its problem.
        self.whole &= found.text_bytes is not None

    def problems(self) -> Iterator[Problem]:
        path = files.join(self.folder, "manifest.json")
        for name, source in self.manifest.sources.items() if self.whole else ():
            for split, stated in (
                ("train", (source.tokens, source.documents, source.text_bytes)),
                (
                    "valid",
                    (source.valid_tokens, source.valid_documents, source.valid_text_bytes),
                ),
            ):
                s = self.sums.get((name, split), _Sums())
                for what, told, held in zip(
                    ("tokens", "documents", "bytes of text"),
                    stated,
                    (s.tokens, s.documents, s.text_bytes),
                    strict=True,
                ):
                    if told != held:
                        yield Problem(
                            path, f"{name} {split}: {told} {what}, the shards have {held}"
                        )
        yield from self._twice()

    def _twice(self) -> Iterator[Problem]:
        hashes = set(self.distinct.repeated())
        if not hashes:
            return
        # Two ids may have one hash; the few shards' ids are read again to tell.
        seen: dict[str, str] = {}
        for shard in self.manifest.shards:
            path = files.join(self.folder, shard.path)
            try:
                names = ShardReader(path).documents.column("id").to_pylist()
            except (OSError, ValueError):
                continue
            for name in names:
                if name_files.hash_of(name) not in hashes:
                    continue
                if name in seen:
                    yield Problem(path, f"document {name} is in {seen[name]} already")
                else:
                    seen[name] = shard.path

    def table(self) -> list[dict[str, Any]]:
        """Per source of the train split: figures found, and Table 1's bytes a token."""
        rows = []
        for name, source in self.manifest.sources.items():
            s = self.sums.get((name, "train"), _Sums())
            rows.append(
                {
                    "source": name,
                    "shards": len(self.manifest.select(name)),
                    "documents": s.documents,
                    "tokens": s.tokens,
                    "bytes_per_token": s.text_bytes / s.tokens if s.tokens else None,
                    "paper_bytes_per_token": source.paper.bytes_per_token if source.paper else None,
                    "unknown": s.unknown / s.tokens if s.tokens else 0.0,
                    "byte_pieces": s.byte_pieces / s.tokens if s.tokens else 0.0,
                }
            )
        return rows

    def warnings(self) -> Iterator[str]:
        for row in self.table():
            mine, papers = row["bytes_per_token"], row["paper_bytes_per_token"]
            if mine and papers and not 1 / FAR_OFF <= mine / papers <= FAR_OFF:
                yield (
                    f"{row['source']}: {mine:.2f} bytes a token, Table 1 implies {papers:.2f}:"
                    " another kind of text, or a tokenizer that does not fit it"
                )
            if row["byte_pieces"] > MANY_BYTE_PIECES:
                yield (
                    f"{row['source']}: {row['byte_pieces']:.1%} of the tokens are bytes of"
                    " characters that the vocabulary lacks"
                )


def sources_without_tokens(sources: dict[str, SourceTokens]) -> Sequence[str]:
    return [name for name, source in sources.items() if source.proportion and not source.tokens]
