"""How many tokens a document has: exact where the token shards hold it, else from bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import xxhash

from pipeline import plan
from stages.engine import files, manifest
from stages.engine.step import Step
from tokenizer.manifest import TokensManifest

# 12 bytes a document, 20 while they are sorted: 0.7 GB. Beyond, tokens are estimated.
EXACT_DOCUMENTS = 1 << 25


@dataclass(frozen=True)
class TokenLengths:
    """Tokens (separator included) of a source's documents, found by a 64-bit hash of their id.

    `hashes`: uint64, ascending; `lengths`: int32, of the same shape (n,). `bytes_per_token`: the
    source's, for documents that are not here; None where the run has no tokens yet. `how`: one
    line for people.
    """

    hashes: npt.NDArray[np.uint64]
    lengths: npt.NDArray[np.int32]
    bytes_per_token: float | None
    how: str

    def of(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Tokens by document, -1 where it is not in the shards; int64, shape (len(ids),)."""
        found = np.full(len(ids), -1, dtype=np.int64)
        if len(self.hashes):
            wanted = hashed(ids)
            at = np.searchsorted(self.hashes, wanted)
            at[at == len(self.hashes)] = 0
            here = self.hashes[at] == wanted
            found[here] = self.lengths[at[here]]
        return found


def hashed(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter((digest(i.encode()) for i in ids), dtype=np.uint64, count=len(ids))


def of_source(steps: Sequence[Step], source: str, scored: Step) -> TokenLengths:
    """The token lengths of `source`, whose steps from `scored` on lead to the shards.

    `steps`: the plan. Lengths count only if the shards were made from the documents that are there
    now.
    """
    tokens = next(step for step in steps if step.name == plan.TOKENS)
    none: tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]
    none = (np.empty(0, np.uint64), np.empty(0, np.int32))
    if manifest.load(tokens.output) is None:
        return TokenLengths(*none, None, "no tokens yet: run the recipe to the end to see them")
    known = TokensManifest.load(tokens.output)
    mine = known.sources.get(source)
    ratio = mine.bytes_per_token if mine else None
    if ratio is None:
        return TokenLengths(*none, None, f"the token shards hold nothing of {source}")
    documents = sum(s.documents for s in known.shards if s.source == source)
    if not _leads_to(steps, scored, tokens):
        how = "the token shards were made before the last change, so none are exact"
        return TokenLengths(*none, ratio, how)
    if documents > EXACT_DOCUMENTS:
        how = f"none are exact, since {documents:,} documents are too many to look up"
        return TokenLengths(*none, ratio, how)
    hashes = np.empty(documents, np.uint64)
    lengths = np.empty(documents, np.int32)
    row = 0
    for shard in (s for s in known.shards if s.source == source):
        path = files.join(tokens.output, shard.path.removesuffix(".bin") + ".docs.parquet")
        with files.open_read(path) as handle:
            for batch in pq.ParquetFile(handle).iter_batches(columns=["id", "length"]):
                end = row + batch.num_rows
                hashes[row:end] = hashed(batch.column("id").to_pylist())
                lengths[row:end] = batch.column("length").to_numpy()
                row = end
    order = np.argsort(hashes, kind="stable")
    how = f"exact for the {documents:,} documents in the token shards"
    return TokenLengths(hashes[order], lengths[order], ratio, how)


def _leads_to(steps: Sequence[Step], first: Step, last: Step) -> bool:
    """Whether `last` was made from what `first` holds now, by the digests in the manifests."""
    current = {first.output}
    for step in steps[steps.index(first) + 1 :]:
        before = current & {p for paths in step.inputs.values() for p in paths}
        done = manifest.load(step.output)
        if done is not None and before:
            read = {row["path"]: row.get("digest") for row in done.inputs}
            if all(read.get(path) == _digest(path) for path in before):
                current.add(step.output)
    return last.output in current


def _digest(folder: str) -> str | None:
    done = manifest.load(folder)
    return None if done is None else done.digest
