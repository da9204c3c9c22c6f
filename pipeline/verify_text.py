"""Whether the shards hold the documents' text: tokens are decoded and compared with it.

For a sample of each source's documents, or for all of them. "Equal" is up to what the tokenizer
itself does to a text: where the decoded text differs, the text is encoded anew, and the ids must be
those of the shard. On the way, the number that decides the document's split is worked out again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.seal import Problem
from pipeline.verify_files import Tokens
from stages.documents import part_facts, read_batches
from stages.engine import files
from stages.engine.manifest import Manifest
from stages.held_out import CLUSTER, HeldOutRule
from stages.tokens import order_key, shard_of
from tokenizer.manifest import Shard
from tokenizer.sample import hash64
from tokenizer.shards import ShardReader

# Of a sample: row groups of each source, and documents of each.
_GROUPS, _DOCUMENTS = 4, 50
_COLUMNS = ("id", "text", "source", "origin", "url", CLUSTER)
_NUMBER = re.compile(r"-(\d{5,})-of-(\d{5,})\.bin$")
_SPACE = "\u2581"  # SentencePiece writes spaces so, and reads it as one
_READERS = 64


@dataclass(frozen=True)
class Compared:
    """`documents` compared; `normalised`: of these, those that the tokenizer itself changes;
    `left_out`: those that the shards need not have."""

    problems: tuple[Problem, ...]
    documents: int = 0
    normalised: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class TextTask:
    """Documents of one part, all or `most` of them spread evenly, against the shards.

    `seed`: of the tokens step. `rejected`: ids that it rejected, or could not encode.
    """

    part: str
    groups: tuple[int, ...]
    most: int | None
    tokens: Tokens
    seed: int
    rejected: frozenset[str]
    size: int

    def __call__(self) -> Compared:
        problems: list[Problem] = []
        counts: Counter[str] = Counter()
        shards = _Shards(self.tokens, self.seed)
        try:
            for group in self.groups:
                for rows in self._rows(group):
                    due = [row for row in rows if row["id"] not in self.rejected]
                    counts["left_out"] += len(rows) - len(due)
                    for what, place in shards.differences(due, counts):
                        problems.append(Problem(place or self.part, what))
        except (OSError, pa.ArrowException) as error:
            problems.append(Problem(self.part, f"cannot be read: {str(error).splitlines()[0]}"))
        return Compared(
            tuple(problems), counts["documents"], counts["normalised"], counts["left_out"]
        )

    def _rows(self, group: int) -> Iterator[list[dict[str, Any]]]:
        if self.most is None:
            for batch in read_batches(self.part, _COLUMNS, [group], 4096):
                yield batch.to_pylist()
            return
        with files.open_read(self.part) as handle:
            parquet = pq.ParquetFile(handle, page_checksum_verification=True)
            present = [c for c in _COLUMNS if c in parquet.schema_arrow.names]
            table = parquet.read_row_group(group, columns=present, use_threads=False)
        step = max(1, table.num_rows // self.most)
        yield table.take(list(range(0, table.num_rows, step))[: self.most]).to_pylist()


class _Shards:
    """The token shards, asked for documents by id."""

    def __init__(self, tokens: Tokens, seed: int) -> None:
        self.folder, self.seed = tokens.folder, seed
        self.manifest, self.encoder = tokens.manifest, tokens.encoder
        held_out = self.manifest.held_out
        self.numbers = HeldOutRule(held_out.by, held_out.seed) if held_out else None
        # Of this task alone: a path that is asked for later may hold another shard.
        self.reader = lru_cache(_READERS)(self._open)

    def _open(self, path: str) -> ShardReader:
        return ShardReader(path, vocab_size=self.manifest.vocab_size)

    def differences(
        self, rows: Sequence[dict[str, Any]], counts: Counter[str]
    ) -> Iterator[tuple[str, str | None]]:
        """What is wrong with documents, and the shard in which it is."""
        texts = {row["id"]: row for row in rows}
        for shard, names in self._likely(texts):
            yield from self._look(shard, {n: texts[n] for n in names if n in texts}, texts, counts)
        if texts:  # Shards that were dealt in another way.
            for shard in self.manifest.shards:
                if texts and shard.source in {row["source"] for row in texts.values()}:
                    yield from self._look(shard, dict(texts), texts, counts)
        for name in texts:
            yield f"document {name} is in no shard", None

    def _likely(self, texts: dict[str, dict[str, Any]]) -> list[tuple[Shard, list[str]]]:
        """Shards by the rule that dealt documents to them, each with its documents' ids."""
        keys = {name: order_key(self.seed, name) for name in texts}
        found = []
        for shard in self.manifest.shards:
            number = _NUMBER.search(shard.path)
            if number is None:
                continue
            names = [
                name
                for name, row in texts.items()
                if row["source"] == shard.source
                and shard_of(keys[name], int(number[2])) == int(number[1])
            ]
            if names:
                found.append((shard, names))
        return found

    def _look(
        self,
        shard: Shard,
        wanted: dict[str, dict[str, Any]],
        texts: dict[str, dict[str, Any]],
        counts: Counter[str],
    ) -> Iterator[tuple[str, str | None]]:
        path = files.join(self.folder, shard.path)
        reader = self.reader(path)
        try:
            for span in reader.find(wanted):
                row = wanted.get(span.id)
                if row is None or texts.pop(span.id, None) is None:
                    continue
                counts["documents"] += 1
                ids = reader.tokens(span.first_token, span.whole - 1)
                if not self._same(row["text"], ids, counts):
                    yield f"document {span.id}: its tokens are not its text", path
                if (span.origin, span.url) != (row["origin"], row.get("url")):
                    yield f"document {span.id}: origin or URL are not the document's", path
                if self.numbers is not None:
                    due = self.numbers.number(span.id, row["text"], row.get(CLUSTER))
                    if span.held_out != due:
                        what = "the number of its cluster does not follow from it"
                        yield f"document {span.id}: {what}", path
        except (ValueError, OSError) as error:
            for name in wanted:
                texts.pop(name, None)
            yield str(error).splitlines()[0], path

    def _same(self, text: str, ids: npt.NDArray[np.uint16], counts: Counter[str]) -> bool:
        decoded = self.encoder.decode(ids)
        if decoded == text:
            return True
        counts["normalised"] += 1
        return decoded == text.replace(_SPACE, " ") or np.array_equal(
            self.encoder.encode(text), ids
        )


def tasks(
    inputs: Sequence[tuple[str, Manifest]], tokens: Tokens, known: Manifest, deep: bool
) -> list[TextTask]:
    """Work that compares documents of the steps `inputs` (folder, manifest) with the shards that
    the step with the manifest `known` wrote. Raises OSError, ArrowException for damaged files."""
    seed = int(known.settings.get("seed", 0))
    rejected = frozenset(_rejected(tokens.folder, known))
    found = []
    for where, done in inputs:
        groups = [
            (path, group, size)
            for path in done.documents(where)
            for group, (_, size, _) in enumerate(part_facts(path).row_groups)
        ]
        if not deep:
            groups.sort(key=lambda g: hash64(0, f"{files.basename(g[0])}:{g[1]}", "verify"))
            del groups[_GROUPS:]
        for path in sorted({g[0] for g in groups}):
            mine = [g for g in groups if g[0] == path]
            found.append(
                TextTask(
                    path,
                    tuple(sorted(g[1] for g in mine)),
                    None if deep else _DOCUMENTS,
                    tokens,
                    seed,
                    rejected,
                    sum(g[2] for g in mine),
                )
            )
    return found


def _rejected(folder: str, known: Manifest) -> Iterator[str]:
    for entry in known.files:
        kind = entry["path"].split("/")[0]
        column = {"rejected": "id", "bad": "offset"}.get(kind)
        if column is not None:
            for batch in read_batches(files.join(folder, entry["path"]), [column]):
                yield from batch.column(0).to_pylist()
