"""`book_dedup`: of books that overlap by more than 90 % one stays, verified exactly.

Paper, section 2.1: "We perform deduplication at the book level, removing books with more than 90%
content overlap." How overlap is measured is open. Here it is the share of common word n-grams,
counted exactly; hashes only find the pairs worth counting.

1. `emit`: each unit writes the shingles of its books to a file of its own, and a run of *keys*: the
   bands of each book's MinHash signature, and for containment a sample of its shingles.
2. `reduce`: books with a key in common are candidates. Their shingles are read by offset and the
   overlap counted; pairs over the threshold are written down. Each pair is counted once, by the
   partition that holds its first common key.
3. `process`: all pairs (few) decide who stays.

Memory: a reducer holds 64 bytes a key of its partition, and the shingles of a few books.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import floor, log, log1p
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
from pydantic import Field

from stages.dedup import groups, sketch
from stages.dedup.documents import seconds
from stages.dedup.minhash import Bands, first_shared, pairs_of
from stages.dedup.runs import Run, emit_run, first_of_group, partitions_for, read_runs
from stages.dedup.set_overlap import Measure, SetOverlap, set_overlap
from stages.dedup.shingle_files import Entry, ShingleReader, ShingleWriter
from stages.dedup.shingles import mix, shingles, word_hashes
from stages.documents import PartWriter, further_columns, read_batches, text_bytes
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Record, Settings, ShuffleStage
from stages.engine.units import WorkUnit
from stages.outcomes import Reject

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

DUPLICATE = "duplicate_book"
_BATCH_BOOKS = 16
_MIN_PARTITIONS = 4
_BYTES_PER_WORD = 6
_BAND, _SAMPLE, _PROBE = 0, 1, 2  # what a key is, in the low bits of its value
_LARGE_GROUP = 64
_COMMON_PHRASE = 500


class BookDedupSettings(Settings):
    threshold: float = Field(
        0.9, gt=0, lt=1, description="books that overlap by more than this are duplicates (paper)"
    )
    measure: Measure = Field(
        "containment",
        description="containment: common shingles over those of the smaller book, so a story leaves"
        " where a collection has it, and an extended edition counts as overlapping; jaccard: over"
        " those of both, which for two books of one length that share 90 % is 0.82. The paper says"
        " overlap; RedPajama compared 64-bit SimHashes, which measure none",
    )
    words: int = Field(
        5,
        ge=1,
        le=50,
        description="words in a shingle. One changed word costs this many shingles, so many words"
        " make the measure strict; with 3, long books of other authors share up to 20 %, with 5"
        " below 1 %",
    )
    groups: Literal["direct", "connected"] = Field(
        "direct",
        description="direct: a book leaves if it overlaps with one that stays; connected: one stays"
        " of each connected group, so that by a chain of overlaps a book may leave that no book"
        " left resembles. With containment two collections with one story in common are such a"
        " chain",
    )
    keep: Literal["longest", "newest", "first"] = Field(
        "longest",
        description="which one stays: that of most distinct shingles, the newest release, or the"
        " first. With containment only longest makes sense: the others would give a collection for"
        " one of its stories. Ties: Gutenberg's current editions before those of old/, then the"
        " lowest id",
    )
    tie: float = Field(
        0.01,
        ge=0,
        lt=0.5,
        description="with longest, sizes are compared in steps of this ratio: editions differ by a"
        " few words, and the current one, in UTF-8, should not leave for that. A book may so leave"
        " for one that is shorter by this much",
    )
    bands: int = Field(
        25,
        ge=1,
        description="bands of the MinHash signature; see `rows`",
    )
    rows: int = Field(
        5,
        ge=1,
        description="positions in a band: a pair of Jaccard similarity J is a candidate with"
        " probability 1 - (1 - J^rows)^bands; 25 bands of 5 miss one pair in 10^5 at 0.82, which is"
        " 90 % containment of books of one length, and one in 5 * 10^9 at 0.9",
    )
    sample_rate: int = Field(
        32,
        ge=1,
        description="with containment: one of so many shingles goes into the index in which short"
        " books are looked up in long ones; 8 % of the text's size on disk",
    )
    probes: int = Field(
        16,
        ge=1,
        description="with containment: shingles looked up per book; half of them must be found."
        " 16 miss a book contained to 90 % once in 10^5; a book below about 700 words has fewer",
    )
    seed: int = Field(1, ge=0, description="of the MinHash permutations")
    partition_memory_mb: int = Field(256, ge=1, description="memory of one reducer for keys")


@dataclass(frozen=True)
class Pair:
    """Two books that overlap by more than the threshold."""

    first: Entry
    second: Entry
    shared: int

    def overlap(self) -> SetOverlap:
        return SetOverlap(self.first.count, self.second.count, self.shared)

    def to_json(self) -> list[Any]:
        return [self.first.to_json(), self.second.to_json(), self.shared]

    @classmethod
    def from_json(cls, row: list[Any]) -> Pair:
        return cls(Entry(*row[0]), Entry(*row[1]), row[2])


class BookDedup(ShuffleStage[BookDedupSettings]):
    name = "book_dedup"
    summary = "of books that overlap by more than 90 % keep one, verified on shingles"
    Settings = BookDedupSettings
    reasons = {DUPLICATE: "more than `threshold` of it is in another book, which stays"}

    def check(self) -> None:
        if self.settings.measure == "containment" and self.settings.keep != "longest":
            raise InputError(
                f"{self.step.name}: keep: {self.settings.keep} needs measure: jaccard; by"
                " containment a long book could leave for a short one that is part of it"
            )

    def units(self) -> list[WorkUnit]:
        units = super().units()
        memory = self.settings.partition_memory_mb << 20
        keys = sum(u.size for u in units) // (_BYTES_PER_WORD * self.settings.sample_rate)
        partitions = max(_MIN_PARTITIONS, partitions_for(keys, memory))
        return [replace(u, extra={"partitions": partitions}) for u in units]

    # -- keys of each book -----------------------------------------------------------------------

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        bands = Bands(self.settings.bands, self.settings.rows, self.settings.seed)
        hashes: list[U64] = []
        values: list[I64] = []
        band_keys: list[U64] = []
        record = Record(unit.name)
        with ShingleWriter(self.scratch(), unit.index) as out:
            for batch in self._batches(unit, ["id", "text", "created", "meta"]):
                columns = (batch.column(c).to_pylist() for c in ("id", "text", "created", "meta"))
                for id_, text, created, meta in zip(*columns, strict=True):
                    found = shingles(word_hashes(text), self.settings.words)
                    old = bool(meta) and bool(orjson.loads(meta).get("old"))
                    row = out.add(id_, seconds(created), old, found)
                    keys, value = self._keys(found, row, bands, band_keys)
                    hashes.append(keys)
                    values.append(value)
                record.counts.other.update(books=batch.num_rows)
                reporter.advanced("emit", unit.key, record.counts.other["books"], 0)
        run = _sorted_run(hashes, values)
        with files.atomic_writer(self._bands_path(unit.index)) as stream:
            for row_keys in band_keys:
                stream.write(row_keys.astype("<u8", copy=False).data)
        path = self.scratch(f"keys-{unit.name}.bin")
        record.emitted = [
            (key, [unit.of, *reference])
            for key, reference in emit_run(run, path, unit.index, 0, unit.extra["partitions"])
        ]
        return record

    def _keys(self, found: U64, row: int, bands: Bands, band_keys: list[U64]) -> tuple[U64, I64]:
        """A book's keys and what each is; a book of fewer words than a shingle has none."""
        if not len(found):
            band_keys.append(np.full(bands.bands, row, np.uint64))
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        keys = bands.keys(bands.signature(found))
        band_keys.append(keys)
        kinds = np.full(len(keys), _BAND, np.int64)
        if self.settings.measure == "containment":
            sampled = sketch.sample(found, self.settings.sample_rate)
            more = np.full(len(sampled), _SAMPLE, np.int64)
            more[: self.settings.probes] = _PROBE
            # Sampled hashes are low; mixed, they spread over all partitions.
            keys, kinds = np.concatenate([keys, mix(sampled)]), np.concatenate([kinds, more])
        return keys, row * 4 + kinds

    def _bands_path(self, unit: int) -> str:
        return self.scratch(f"bands-{unit:05d}.bin")

    # -- pairs -----------------------------------------------------------------------------------

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        pairs = _Candidates(self, values).verified()
        record = Record(key)
        if pairs:
            path = self.scratch(f"pairs-{key}.json")
            files.write_bytes(path, orjson.dumps([p.to_json() for p in pairs]))
            record.emitted = [(unit, path) for unit in range(values[0][0])]
        record.counts.other.update(pairs=len(pairs))
        return record

    # -- decisions -------------------------------------------------------------------------------

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        pairs = [Pair.from_json(row) for path in values for row in files.read_json(path)]
        leaving = decide(pairs, self.settings)
        mine = {e.row: (e, kept) for e, kept in leaving.items() if e.unit == unit.index}
        reader = ShingleReader(self.scratch())
        columns = further_columns(unit.pieces[0].path)
        with PartWriter(self.step.output, unit.part, self.step.name, columns) as out:
            row = 0
            for batch in self._batches(unit, None):
                out.counts.documents_in += batch.num_rows
                out.counts.text_bytes_in += text_bytes(batch.column("text"))
                verdicts = {
                    i: Reject(DUPLICATE, self._detail(*found, reader))
                    for i in range(batch.num_rows)
                    if (found := mine.get(row + i))
                }
                row += batch.num_rows
                out.batch(batch.filter(out.reject(batch, verdicts)))
                reporter.advanced(
                    "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                )
        return Record(unit.name, counts=out.counts, files=out.files)

    def _detail(self, leaves: Entry, stays: Entry, reader: ShingleReader) -> str:
        found = set_overlap(reader.shingles(leaves), reader.shingles(stays))
        chain = "" if found.by(self.settings.measure) > self.settings.threshold else ", by a chain"
        return (
            f"kept: {stays.id}; {self.settings.measure} {found.by(self.settings.measure):.4f}"
            f" ({found.shared} of {found.first} shingles in {found.second}){chain}"
        )

    def _batches(self, unit: WorkUnit, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        for piece in unit.pieces:
            row_groups = piece.row_groups
            yield from read_batches(piece.path, columns, row_groups, _BATCH_BOOKS)


def decide(pairs: Sequence[Pair], settings: BookDedupSettings) -> dict[Entry, Entry]:
    """Every book that leaves -> the one that stays for it, by the pairs that overlap."""

    def rank(entry: Entry) -> tuple[Any, ...]:
        first = {"longest": -size(entry.count), "newest": -entry.created, "first": 0}
        return (first[settings.keep], entry.old, entry.id, entry.unit, entry.row)

    def size(count: int) -> int:
        return floor(log(count) / log1p(settings.tie)) if settings.tie else count

    edges = [(p.first, p.second) for p in pairs]
    choose = groups.keep_dominating if settings.groups == "direct" else groups.keep_one_per_group
    return choose(edges, rank)


def _sorted_run(hashes: list[U64], values: list[I64]) -> Run:
    h = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
    v = np.concatenate(values) if values else np.empty(0, np.int64)
    order = np.lexsort((v, h))
    return Run(h[order], v[order])


class _Candidates:
    """The keys of one partition, and the pairs that they make."""

    def __init__(self, stage: BookDedup, references: Sequence[Any]) -> None:
        self._stage, self._settings = stage, stage.settings
        self._reader = ShingleReader(stage.scratch())
        self._bands: dict[int, U64] = {}
        self._hashes, self._values, lengths = read_runs([r[-1] for r in references])
        self._units = np.repeat(np.array([r[1] for r in references], dtype=np.int64), lengths)
        order = np.lexsort((self._values, self._units, self._hashes))
        self._hashes, self._values = self._hashes[order], self._values[order]
        self._units = self._units[order]

    def verified(self) -> list[Pair]:
        """The pairs owned by this partition that overlap by more than the threshold, sorted."""
        first = first_of_group(self._hashes)
        starts = np.flatnonzero(first)
        ends = np.append(starts[1:], len(first))
        kinds = self._values % 4
        # Most sampled shingles are nobody's probe, or nobody else has them.
        probing = np.bincount(np.cumsum(first) - 1, weights=kinds != _SAMPLE) > 0
        found: set[Pair] = set()
        for i in np.flatnonzero(probing & (ends - starts > 1)).tolist():
            start, end = int(starts[i]), int(ends[i])
            key = int(self._hashes[start])
            if kinds[start] == _BAND:
                found.update(self._of_band(self._entries(start, end), key))
            elif end - start <= _COMMON_PHRASE:
                entries = self._entries(start, end)
                probes = [e for e, k in zip(entries, kinds[start:end], strict=True) if k == _PROBE]
                found.update(self._of_probe(probes, entries, key))
        return sorted(found, key=lambda p: (p.first, p.second))

    def _entries(self, start: int, end: int) -> list[Entry]:
        places = zip(self._units[start:end].tolist(), self._values[start:end].tolist(), strict=True)
        return [self._reader.entry(unit, value // 4) for unit, value in places]

    def _of_band(self, entries: list[Entry], key: int) -> Iterator[Pair]:
        """Pairs whose first common band is this one. Of a large group, whose pairs would be too
        many, each book is compared with those that do not overlap with an earlier one."""
        if len(entries) <= _LARGE_GROUP:
            for a, b in pairs_of(entries):
                if self._band_owned(a, b, key) and (pair := self._pair(a, b)):
                    yield pair
            return
        leaders: list[Entry] = []
        for entry in sorted(entries, key=lambda e: (-e.count, e)):
            found = [p for leader in leaders if (p := self._pair(leader, entry))]
            yield from found
            if not found:
                leaders.append(entry)

    def _of_probe(self, probing: list[Entry], entries: list[Entry], key: int) -> Iterator[Pair]:
        """Pairs of a smaller book and a larger one that has at least half of its probes, the first
        of which is this key."""
        s = self._settings
        for small in probing:
            probes = sketch.sample(self._reader.shingles(small), s.sample_rate)[: s.probes]
            for large in entries:
                if (large.count, large) <= (small.count, small):
                    continue
                if first_shared(self._band_keys(small), self._band_keys(large)) >= 0:
                    continue  # the bands have it
                sampled = sketch.sample(self._reader.shingles(large), s.sample_rate)
                hits = sketch.shared_probes(probes, sampled)
                if len(hits) < sketch.needed(len(probes)) or int(mix(hits[:1])[0]) != key:
                    continue
                if pair := self._pair(small, large):
                    yield pair

    def _band_owned(self, a: Entry, b: Entry, key: int) -> bool:
        keys = self._band_keys(a)
        return int(keys[first_shared(keys, self._band_keys(b))]) == key

    def _band_keys(self, entry: Entry) -> U64:
        if entry.unit not in self._bands:
            data = files.read_bytes(self._stage._bands_path(entry.unit))
            keys = np.frombuffer(data, dtype="<u8").reshape(-1, self._settings.bands)
            self._bands[entry.unit] = keys
        return self._bands[entry.unit][entry.row]

    def _pair(self, a: Entry, b: Entry) -> Pair | None:
        a, b = min(a, b), max(a, b)
        found = set_overlap(self._reader.shingles(a), self._reader.shingles(b))
        if found.by(self._settings.measure) > self._settings.threshold:
            return Pair(a, b, found.shared)
        return None
