"""`overlap`: what two sources have in common, by URL, by text and by lines; counted, or removed.

C4 was made from a CommonCrawl dump, so a corpus with both holds some pages twice. The LLaMA paper
does not say what was done about it, and no published pipeline looks. Here the documents of `input`
are compared with those of `against`: the same URL (without scheme, `www.` and slashes at the end),
exactly the same text, and lines in common (as CCNet normalises them). Hashes of 64 bits meet in the
shuffle: of 3.6 * 10^8 documents against 5 * 10^9, 0.1 are expected to match by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import orjson
import pyarrow as pa
import xxhash
from pydantic import Field

from stages import urls as web
from stages.ccnet_text import batch_line_hashes, line_hash
from stages.dedup.runs import (
    I64,
    U64,
    Bools,
    Run,
    collect_bits,
    decide_partition,
    emit_run,
    first_of_group,
    partitions_for,
)
from stages.documents import (
    PartWriter,
    further_columns,
    part_facts,
    text_bytes,
    with_columns,
)
from stages.engine.progress import Reporter
from stages.engine.step import Port, Record, Settings, ShuffleStage
from stages.engine.units import WorkUnit, document_units
from stages.outcomes import Reject

_BYTES_PER_LINE, _BYTES_PER_DOCUMENT = 32, 512
_MIN_PARTITIONS = 4
_EMPTY_LINE = np.uint64(line_hash(""))
_INPUT, _AGAINST = 0, 1
_URL, _TEXT, _LINES = 0, 1, 2  # kinds of hashes, each a group of the shuffle


class OverlapSettings(Settings):
    remove: Literal["none", "url", "text", "both"] = Field(
        "none",
        description="which documents of `input` leave: those whose URL, or whose exact text, or one"
        " of both is in `against`. None by default: the paper removes nothing between sources",
    )
    lines: bool = Field(
        True,
        description="also count the lines that `against` has too. C4 keeps only some lines of a"
        " page, so whole texts seldom match; lines are most of the work",
    )
    partition_memory_mb: int = Field(
        256, ge=1, description="memory of one reducer; it decides the number of partitions"
    )


@dataclass(frozen=True)
class Keys:
    """Hashes of a unit's documents: of URLs (with `has_url`), of texts, and of all lines but blank
    ones."""

    url: U64
    has_url: Bools
    text: U64
    line: U64

    def of(self, kind: int) -> U64:
        return (self.url[self.has_url], self.text, self.line)[kind]


def url_match_key(url: str) -> str:
    return web.match_key(url) or url


def keys_of(batch: pa.RecordBatch, lines: bool) -> Keys:
    urls = batch.column("url").to_pylist()
    texts = batch.column("text").to_pylist()
    digest = xxhash.xxh3_64_intdigest
    line = np.empty(0, np.uint64)
    if lines:
        line, _ = batch_line_hashes(texts)
        line = line[line != _EMPTY_LINE]
    return Keys(
        np.fromiter((digest(url_match_key(u).encode()) if u else 0 for u in urls), np.uint64),
        np.fromiter((bool(u) for u in urls), np.bool_),
        np.fromiter((digest(t.encode()) for t in texts), np.uint64),
        line,
    )


def in_both(hashes: U64, units: I64, values: I64) -> Bools:
    """True for hashes that both sides have; `values` are the sides. Input sorted by hash."""
    group = np.cumsum(first_of_group(hashes)) - 1
    against = np.bincount(group, weights=values == _AGAINST) > 0
    ours = np.bincount(group, weights=values == _INPUT) > 0
    return np.asarray((against & ours)[group], dtype=np.bool_)


class Overlap(ShuffleStage[OverlapSettings]):
    name = "overlap"
    summary = "count (and remove, if told so) what another source has too: URLs, texts, lines"
    Settings = OverlapSettings
    ports: ClassVar[dict[str, Port]] = {
        "input": Port("documents", "documents: step folders or Parquet files"),
        "against": Port("documents", "documents of the other source, which stays as it is"),
    }
    reasons = {
        "overlap_url": "a document of the other source has this URL",
        "overlap_text": "a document of the other source has exactly this text",
    }

    def units(self) -> list[WorkUnit]:
        """Those of `input`, which are written, then those of `against`, which are only read."""
        ours, theirs = self._units("input"), self._units("against")
        memory = self.settings.partition_memory_mb << 20
        size = sum(u.size for u in (*ours, *theirs))
        documents, lines = (
            max(_MIN_PARTITIONS, partitions_for(size // each, memory))
            for each in (_BYTES_PER_DOCUMENT, _BYTES_PER_LINE)
        )
        partitions = [documents, documents, lines]  # by kind of hash
        total = len(ours) + len(theirs)
        mine = [replace(u, extra={"partitions": partitions, "side": _INPUT}) for u in ours]
        return mine + [
            replace(
                u,
                index=len(ours) + u.index,
                of=total,
                extra={"partitions": partitions, "side": _AGAINST},
            )
            for u in theirs
        ]

    def _units(self, port: str) -> list[WorkUnit]:
        parts = [part_facts(path) for _, paths in self.documents(port) for path in paths]
        return document_units(parts, split_bytes=self.layout.split_bytes)

    def keys_each(self, units: Sequence[WorkUnit]) -> int:
        return max(sum(u.extra["partitions"][kind] for kind in self._kinds()) for u in units)

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        record = Record(unit.name)
        keys = self._keys(unit)
        for kind in self._kinds():
            run = _run(keys.of(kind), unit.extra["side"])
            path = self.scratch(f"run-{kind}-{unit.name}.bin")
            partitions = unit.extra["partitions"][kind]
            record.emitted += emit_run(run, path, unit.index, kind, partitions)
        return record

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        emitted, _ = decide_partition(values, in_both, self.scratch(f"both-{key}.bits"))
        kind = int(key.split(".")[0])
        return Record(key, emitted=[(unit, [kind, *where]) for unit, where in emitted])

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        keys = self._keys(unit)
        found: dict[int, Bools] = {}
        for kind in self._kinds():
            hashes = keys.of(kind)
            run = _run(hashes, unit.extra["side"])
            both = collect_bits([v[1:] for v in values if v[0] == kind], len(run.hashes))
            found[kind] = both[np.searchsorted(run.hashes, hashes)]
        by_url = np.zeros(len(keys.text), dtype=np.bool_)
        by_url[keys.has_url] = found[_URL]
        by_text = found[_TEXT]
        figures = {
            "documents": len(by_text),
            "url": int(by_url.sum()),
            "text": int(by_text.sum()),
            "url_and_text": int((by_url & by_text).sum()),
        }
        if self.settings.lines:
            figures |= {"lines": len(keys.line), "lines_shared": int(found[_LINES].sum())}
        side = "against" if unit.extra["side"] == _AGAINST else "input"
        counts: Counter[str] = Counter({f"{side}_{name}": n for name, n in figures.items()})
        if side == "against":
            record = Record(unit.name)
            record.counts.other = counts
            return record
        columns = further_columns(unit.pieces[0].path)
        with PartWriter(self.step.output, unit.part, self.step.name, columns) as out:
            row = 0
            for batch in self.batches(unit, None):
                end = row + batch.num_rows
                self._write(batch, by_url[row:end], by_text[row:end], out)
                row = end
                reporter.advanced(
                    "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                )
        out.counts.other.update(counts)
        return Record(unit.name, counts=out.counts, files=out.files)

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The counts of both sides and their shares, and a line for the manifest's notes."""
        total: Counter[str] = Counter()
        for record in records:
            total.update(record.counts.other)
        sides: dict[str, Any] = {}
        for side in ("input", "against"):
            mine = {
                name.removeprefix(f"{side}_"): n
                for name, n in sorted(total.items())
                if name.startswith(f"{side}_")
            }
            shares = [("url", "documents"), ("text", "documents"), ("lines_shared", "lines")]
            sides[side] = mine | {
                f"{part}_share": round(mine[part] / mine[whole], 6)
                for part, whole in shares
                if mine.get(whole)
            }
        facts = {"overlap": sides, "notes": [_note(sides["input"])]}
        return [f for r in records for f in r.files], facts

    def _write(self, batch: pa.RecordBatch, by_url: Bools, by_text: Bools, out: PartWriter) -> None:
        """Documents in common leave or are marked in `meta.overlap`."""
        out.counts.documents_in += batch.num_rows
        out.counts.text_bytes_in += text_bytes(batch.column("text"))
        remove = self.settings.remove
        leaves = np.zeros(batch.num_rows, dtype=np.bool_)
        if remove in ("url", "both"):
            leaves |= by_url
        if remove in ("text", "both"):
            leaves |= by_text
        verdicts: dict[int, Reject] = {}
        for i in np.flatnonzero(leaves).tolist():
            url = batch.column("url")[i].as_py() if by_url[i] and remove != "text" else None
            also = [n for n, b in (("url", by_url), ("text", by_text)) if b[i]]
            detail = f"in the other source: {' and '.join(also)}"
            reason = "overlap_text" if url is None else "overlap_url"
            if url is not None:
                detail += f"; {url_match_key(url)}"
            verdicts[i] = Reject(reason, detail)
        stays = out.reject(batch, verdicts)
        metas = batch.column("meta").to_pylist()
        for i in np.flatnonzero(~leaves & (by_url | by_text)).tolist():
            value = orjson.loads(metas[i]) if metas[i] else {}
            value["overlap"] = [n for n, b in (("url", by_url), ("text", by_text)) if b[i]]
            metas[i] = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        marked = pa.array(metas, pa.string()).filter(stays)
        out.batch(with_columns(batch.filter(stays), out.schema, {"meta": marked}))

    def _kinds(self) -> tuple[int, ...]:
        return (_URL, _TEXT, _LINES) if self.settings.lines else (_URL, _TEXT)

    def _keys(self, unit: WorkUnit) -> Keys:
        parts = [keys_of(b, self.settings.lines) for b in self.batches(unit, ["url", "text"])]
        if not parts:
            return keys_of(pa.RecordBatch.from_pylist([], _EMPTY), self.settings.lines)
        return Keys(
            url=np.concatenate([p.url for p in parts]),
            has_url=np.concatenate([p.has_url for p in parts]),
            text=np.concatenate([p.text for p in parts]),
            line=np.concatenate([p.line for p in parts]),
        )


def _note(ours: dict[str, Any]) -> str:
    """What a report says of the documents of `input`."""
    whole = ours.get("documents", 0)
    parts = [
        f"{ours.get(part, 0):,} ({ours.get(f'{part}_share', 0.0):.2%}) {what}"
        for part, what in (("url", "have their URL"), ("text", "exactly their text"))
    ]
    note = f"of {whole:,} documents {' and '.join(parts)} in the other source"
    if "lines" in ours:
        note += f"; of their lines {ours.get('lines_shared_share', 0.0):.2%} are there"
    return note


_EMPTY = pa.schema([pa.field("url", pa.string()), pa.field("text", pa.large_string())])


def _run(hashes: U64, side: int) -> Run:
    unique = np.unique(hashes)
    return Run(unique, np.full(len(unique), side, dtype=np.int64))
