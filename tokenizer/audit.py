"""Checks token shards against their manifest: what went wrong in other projects' corpora.

One separator after each document and none inside (a doubled one went unnoticed for 1.5T tokens in
one public training run), ids below the vocabulary (uint16 wraps silently), payload as hashed,
index and document list in step with the payload.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tokenizer.files import join
from tokenizer.manifest import Shard, TokensManifest
from tokenizer.shards import ShardReader

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class ShardAudit:
    """What a look through one shard found; `problems` is empty if all is as it should be."""

    shard: Shard
    tokens: int
    separators: int
    highest_id: int
    sha256: str
    problems: tuple[str, ...]


def audit(
    manifest: TokensManifest,
    root: str | os.PathLike[str],
    cache_dir: str | os.PathLike[str] | None = None,
) -> Iterator[ShardAudit]:
    """Reads every shard through, in the manifest's order. Bounded memory, no exceptions for data
    that is wrong: it is reported.
    """
    for shard in manifest.shards:
        reader = ShardReader(join(root, shard.path), cache_dir=cache_dir)
        try:
            yield audit_shard(reader, shard, manifest)
        except (ValueError, OSError) as error:
            yield ShardAudit(shard, 0, 0, -1, "", (str(error).splitlines()[0],))


def audit_shard(reader: ShardReader, shard: Shard, manifest: TokensManifest) -> ShardAudit:
    """Reads one shard through; ValueError if it or a sidecar is missing or malformed."""
    digest, separators, highest = hashlib.sha256(), 0, -1
    problems: list[str] = []
    payload = reader.memmap
    for start in range(0, payload.size, _BLOCK):
        block = payload[start : start + _BLOCK]
        digest.update(block.tobytes())
        separators += int(np.count_nonzero(block == manifest.separator.id))
        highest = max(highest, int(block.max()))
    if payload.size != shard.tokens:
        problems.append(f"{payload.size} tokens, the manifest says {shard.tokens}")
    if digest.hexdigest() != shard.sha256:
        problems.append("the sha256 is not the manifest's")
    if highest >= manifest.vocab_size:
        problems.append(f"id {highest} is outside the vocabulary of {manifest.vocab_size}")
    if separators != shard.documents:
        problems.append(f"{separators} separators, {shard.documents} documents")
    problems.extend(_sidecar_problems(reader, shard, manifest.separator.id))
    return ShardAudit(shard, payload.size, separators, highest, digest.hexdigest(), tuple(problems))


def _sidecar_problems(reader: ShardReader, shard: Shard, separator_id: int) -> Iterator[str]:
    starts, payload = reader.first_tokens, reader.memmap
    if len(starts) - 1 != shard.documents:
        yield f"the index has {len(starts) - 1} documents, the manifest says {shard.documents}"
    ends = starts[1:] - 1
    if np.any(ends < starts[:-1]):
        yield "the index has a document without tokens"
    elif not np.all(payload[ends] == separator_id):
        yield "a document of the index does not end in the separator"
    table = reader.documents
    if not np.array_equal(table.column("first_token").to_numpy(), starts[:-1]) or not (
        np.array_equal(table.column("length").to_numpy(), np.diff(starts))
    ):
        yield "index and document list differ"
