"""The books of a run: documents in = out + rejected + bad in every step, each step read what those
before wrote, and the files hold as many rows as they say, with the reasons that were counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.seal import Problem
from stages.documents import read_batches
from stages.engine import files
from stages.engine.manifest import Manifest
from stages.engine.step import Step
from tokenizer.manifest import TokensManifest

PURGED = "purged"
"""In `extra` of a step that made something else than documents: how many of the documents that it
read were purged since."""


def problems(steps: Sequence[Step], done: Mapping[str, Manifest]) -> Iterator[Problem]:
    """`done`: step folder -> manifest."""
    for step in steps:
        known = done.get(step.output)
        if known is None:
            continue
        if problem := known.counts.imbalance():
            yield Problem(step.output, f"counts do not balance: {problem}")
        yield from _written_down(step, known)
        before = [done[p] for p in step.inputs.get("input", []) if p in done]
        written = sum(m.counts.documents_out for m in before)
        read = known.counts.documents_in - known.extra.get(PURGED, {}).get("documents", 0)
        if before and written != read:
            what = f"{read} documents read, the steps before wrote {written}"
            yield Problem(step.output, what)


def _written_down(step: Step, known: Manifest) -> Iterator[Problem]:
    counted = {
        "": (known.counts.documents_out, None, ""),
        "rejected": (known.counts.rejected, known.counts.reasons, "reason"),
        "bad": (known.counts.bad, known.counts.errors, "error"),
    }
    rows: Counter[str] = Counter()
    words: dict[str, Counter[str]] = {"rejected": Counter(), "bad": Counter()}
    parts = 0
    for entry in known.files:
        kind = _kind(entry["path"])
        if kind is None:
            continue
        parts += kind == ""
        rows[kind] += entry["rows"]
        path = files.join(step.output, entry["path"])
        try:
            found = _rows(path)
            if found != entry["rows"]:
                yield Problem(path, f"{found} rows, the manifest says {entry['rows']}")
            if kind:
                words[kind].update(_words(path, counted[kind][2]))
        except (OSError, pa.ArrowException):
            continue  # A damaged or missing file is told of by its hash.
    for kind, (n, named, column) in counted.items():
        if kind == "" and not parts:
            continue  # A step that makes no documents.
        if rows[kind] != n:
            what = f"{n} {kind or 'documents'} counted, {rows[kind]} written down"
            yield Problem(step.output, what)
        elif named is not None and words[kind] != +named and sum(words[kind].values()) == n:
            wrong = sorted(w for w in {*words[kind], *named} if words[kind][w] != named.get(w, 0))[
                0
            ]
            what = f"{column} {wrong!r}: {named.get(wrong, 0)} counted, {words[kind][wrong]}"
            yield Problem(step.output, f"{what} written down")


def _kind(path: str) -> str | None:
    folder, _, name = path.rpartition("/")
    if not name.startswith("part-") or not name.endswith(".parquet"):
        return None
    return folder if folder in ("", "rejected", "bad") else None


def _rows(path: str) -> int:
    with files.open_read(path) as handle:
        return int(pq.ParquetFile(handle).metadata.num_rows)


def _words(path: str, column: str) -> Iterator[str]:
    for batch in read_batches(path, [column]):
        for value in batch.column(0).to_pylist():
            yield value.split(":", 1)[0][:60] if column == "error" else value


def token_problems(folder: str, known: Manifest, tokens: TokensManifest) -> Iterator[Problem]:
    """The shards against the step that wrote them."""
    of: dict[str, tuple[int, int]] = {
        "documents": (known.counts.documents_out, sum(s.documents for s in tokens.shards)),
        "bytes of text": (known.counts.text_bytes_out, sum(s.text_bytes for s in tokens.shards)),
    }
    for split in ("train", "valid"):
        held = sum(s.tokens for s in tokens.shards if s.split == split)
        of[f"{split} tokens"] = (known.counts.other[f"tokens_{split}"], held)
    for what, (counted, held) in of.items():
        if counted != held:
            yield Problem(folder, f"{what}: {counted} counted, the shards hold {held}")
    listed: dict[str, dict[str, Any]] = {e["path"]: e for e in known.files}
    for shard in tokens.shards:
        entry = listed.get(shard.path)
        if entry is None:
            yield Problem(files.join(folder, shard.path), "the step did not write this shard")
        elif (entry["sha256"], entry["bytes"]) != (shard.sha256, 2 * shard.tokens):
            what = "the manifests of step and shards tell of different content"
            yield Problem(files.join(folder, shard.path), what)
