"""`fuzzy_dedup`: of documents whose sets of n-grams nearly agree one stays. For any source.

The LLaMA paper removes near duplicates of books only, so this is in no recipe of the paper; put
`- fuzzy_dedup` into the stages of a source to use it. Parameters are datasketch's, and so are
signatures and candidates.

1. `emit`: each unit sketches its documents (MinHash, Broder 1997) and writes a run of band keys;
   signatures, ids and, to verify exactly, shingles stay in files of the unit.
2. `reduce`: documents with a band in common are candidates; what is verified is written as pairs.
3. `process`: all pairs decide who leaves, once a machine (`stages.dedup.fuzzy_decisions`).

Memory of a reducer is bounded by the number of partitions, which follows from the number of
documents. See docs/fuzzy_dedup.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, model_validator

from stages.dedup.fuzzy_decisions import Corpus, Decisions, write_edges
from stages.dedup.fuzzy_files import UnitReader, UnitWriter, place
from stages.dedup.fuzzy_pairs import BAND_BITS, Matching, bytes_per_key, edges_of
from stages.dedup.fuzzy_shingles import Shingler
from stages.dedup.fuzzy_signature import Permutations, band_keys, best_bands
from stages.dedup.runs import Run, emit_run
from stages.dedup.set_overlap import set_overlap
from stages.documents import (
    PartWriter,
    further_columns,
    part_facts,
    read_batches,
    text_bytes,
)
from stages.engine.progress import Reporter
from stages.engine.step import Port, Record, Settings, ShuffleStage
from stages.engine.units import WorkUnit, document_units
from stages.outcomes import Reject

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

NEAR_DUPLICATE = "near_duplicate"
_BATCH = 128
_MIN_PARTITIONS = 4


class FuzzyDedupSettings(Settings):
    threshold: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Jaccard similarity of the sets of n-grams from which on two documents are"
        " duplicates. SlimPajama and RefinedWeb's followers took 0.8; the LLaMA paper does none of"
        " this",
    )
    ngram: int = Field(
        5,
        ge=1,
        le=100,
        description="words (or characters) in an n-gram. One changed word costs so many n-grams:"
        " longer ones make the same threshold stricter. GPT-3, FineWeb, BigCode: 5 words;"
        " SlimPajama: 13 characters",
    )
    unit: Literal["words", "characters"] = Field(
        "words",
        description="what n-grams are made of, both without case, accents and punctuation."
        " Characters suit languages that part no words",
    )
    permutations: int = Field(
        128,
        ge=2,
        le=1 << BAND_BITS,
        description="positions of a signature (datasketch's num_perm, and its default); 4 bytes of"
        " scratch each, and the error of the estimate is 0.035 at 0.8 with 128",
    )
    weights: tuple[float, float] | None = Field(
        None,
        description="weights of false positives and false negatives when bands and rows are chosen"
        " for the threshold. By default [0.1, 0.9] where candidates are verified, since false ones"
        " cost time only (at 0.8: 14 bands of 9, which find 0.87 of the pairs at 0.8 and 0.975 at"
        " 0.85), else datasketch's [0.5, 0.5] (9 of 13: 0.40 and 0.69)",
    )
    bands: int | None = Field(
        None, ge=1, description="bands of the signature, with `rows`, instead of the choice for it"
    )
    rows: int | None = Field(
        None,
        ge=1,
        description="positions in a band: a pair of similarity J is a candidate with probability"
        " 1 - (1 - J^rows)^bands",
    )
    verify: Literal["none", "signature", "exact"] = Field(
        "exact",
        description="what candidates must pass: nothing; the estimate by their signatures; or the"
        " exact similarity. Exact by default: a document is removed for good, and unverified bands"
        " of 0.8 join every twelfth pair of 0.7, of which there are many (of the code files that"
        " they removed in a test, a quarter resembled no other). It costs scratch of about 0.6"
        " times the text, and reads candidates only",
    )
    groups: Literal["connected", "direct"] = Field(
        "connected",
        description="connected: one stays of each connected group (as in SlimPajama and FineWeb),"
        " so that by a chain a document may leave that resembles none that stays (5 to 8 % of those"
        " that left in tests); direct: a document leaves only if it resembles one that stays, for"
        " 24 bytes of memory a pair",
    )
    keep: Literal["first", "longest"] = Field(
        "first",
        description="which one stays: the first in the order of the input, or the one of the most"
        " bytes of text, which no order of files changes",
    )
    seed: int = Field(1, ge=0, lt=1 << 32, description="of the permutations (datasketch's default)")
    partition_memory_mb: int = Field(
        256, ge=1, description="memory of one reducer; it decides the number of partitions"
    )

    @model_validator(mode="after")
    def _fits(self) -> FuzzyDedupSettings:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("give both bands and rows, or neither")
        if self.bands and self.rows and self.bands * self.rows > self.permutations:
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows need"
                f" {self.bands * self.rows} permutations, there are {self.permutations}"
            )
        # Asked so that it fails for what is no number, too.
        if self.weights and not (
            all(0 <= w <= 1 for w in self.weights) and abs(sum(self.weights) - 1) <= 1e-9
        ):
            raise ValueError("weights must be two numbers from 0 to 1 whose sum is 1")
        try:
            self.banding()
        except ValueError as error:
            # datasketch takes two bands at least.
            raise ValueError(
                f"the best banding for threshold {self.threshold:g}, {self.permutations}"
                " permutations and these weights is a single band: give bands and rows"
            ) from error
        return self

    def banding(self) -> tuple[int, int]:
        """(bands, rows): as given, or the best for the threshold."""
        if self.bands and self.rows:
            return self.bands, self.rows
        default = (0.5, 0.5) if self.verify == "none" else (0.1, 0.9)
        return best_bands(self.threshold, self.permutations, self.weights or default)


class FuzzyDedup(ShuffleStage[FuzzyDedupSettings]):
    name = "fuzzy_dedup"
    summary = "of near duplicates (MinHash over n-grams) keep one; for any source"
    Settings = FuzzyDedupSettings
    ports: ClassVar[dict[str, Port]] = {
        "input": Port("documents", "documents: step folders or Parquet files"),
        "against": Port(
            "documents", "documents of another source, whose duplicates leave here", required=False
        ),
    }
    reasons = {NEAR_DUPLICATE: "another document, which stays, has nearly the same n-grams"}

    # -- planning --------------------------------------------------------------------------------

    def units(self) -> list[WorkUnit]:
        """Those of `input`, which are written, then those of `against`, which are only read."""
        facts = {
            port: [part_facts(path) for _, paths in self.documents(port) for path in paths]
            for port in self.ports
        }
        documents = sum(
            rows for parts in facts.values() for f in parts for rows, _, _ in f.row_groups
        )
        bands, _ = self.settings.banding()
        needed = documents * bands * bytes_per_key(self.settings.verify, self.settings.permutations)
        memory = self.settings.partition_memory_mb << 20
        partitions = max(_MIN_PARTITIONS, -(-needed // memory))
        ours, theirs = (
            document_units(facts[port], split_bytes=self.layout.split_bytes)
            for port in ("input", "against")
        )
        total = len(ours) + len(theirs)
        extra = {"partitions": partitions, "inputs": len(ours), "units": total}
        return [replace(u, extra=extra) for u in ours] + [
            replace(u, index=len(ours) + u.index, of=total, extra=extra) for u in theirs
        ]

    # -- sketches --------------------------------------------------------------------------------

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        s = self.settings
        shingler = Shingler(s.unit, s.ngram)
        permutations = Permutations(s.permutations, s.seed)
        bands, rows = s.banding()
        keys: list[U64] = []
        values: list[I64] = []
        record = Record(unit.name)
        size = row = 0
        with UnitWriter(self.scratch(), unit.index, s.verify == "exact") as out:
            for batch in self._batches(unit, ["id", "text"]):
                texts = batch.column("text").to_pylist()
                sets = [shingler(text) for text in texts]
                signatures = permutations.signatures(sets)
                sizes = [len(text.encode()) for text in texts]
                out.add(batch.column("id").to_pylist(), sizes, sets, signatures)
                some = np.array([len(x) > 0 for x in sets], dtype=np.bool_)
                numbers = np.flatnonzero(some) + row
                keys.append(band_keys(signatures[some], bands, rows).ravel())
                values.append((numbers[:, None] << BAND_BITS | np.arange(bands)).ravel())
                row += batch.num_rows
                size += sum(sizes)
                reporter.advanced("emit", unit.key, row, size)
        run = _sorted_run(keys, values)
        path = self.scratch(f"keys-{unit.name}.bin")
        facts = [unit.extra["inputs"], unit.extra["units"]]
        record.emitted = [
            (key, [*facts, *reference])
            for key, reference in emit_run(run, path, unit.index, 0, unit.extra["partitions"])
        ]
        return record

    # -- pairs -----------------------------------------------------------------------------------

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        s = self.settings
        bands, rows = s.banding()
        inputs = values[0][0]
        how = Matching(bands, rows, s.threshold, s.verify, s.groups, s.keep, inputs)
        pairs, unpaired = edges_of([v[2:] for v in values], how, self._reader())
        record = Record(key)
        if len(pairs) or unpaired:
            write_edges(self._edges(key), pairs)
            record.emitted = [(unit, [key, len(pairs), unpaired]) for unit in range(inputs)]
        return record

    def _edges(self, key: str) -> str:
        return self.scratch(f"pairs-{key}.bin")

    # -- decisions -------------------------------------------------------------------------------

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        inputs = unit.extra["inputs"]
        if unit.index >= inputs:
            return Record(unit.name)
        s = self.settings
        reader = self._reader()
        mine: dict[int, int] = {}
        figures: Counter[str] = Counter()
        if values:
            decisions = Decisions(self.scratch())
            corpus = Corpus(reader, inputs, unit.extra["units"])
            decisions.make([self._edges(v[0]) for v in values], corpus, s.groups, s.keep)
            mine = decisions.of_unit(unit.index)
            if unit.index == 0:  # facts of the whole step, told once
                outcome = decisions.outcome()
                figures.update(groups=outcome.groups, largest_group=outcome.largest_group)
                figures.update(pairs=sum(v[1] for v in values), unpaired=sum(v[2] for v in values))
        details = self._details(unit.index, mine, reader)
        columns = further_columns(unit.pieces[0].path)
        with PartWriter(self.step.output, unit.part, self.step.name, columns) as out:
            row = 0
            for batch in self._batches(unit, None):
                out.counts.documents_in += batch.num_rows
                out.counts.text_bytes_in += text_bytes(batch.column("text"))
                verdicts = {
                    i: Reject(NEAR_DUPLICATE, details[row + i])
                    for i in range(batch.num_rows)
                    if row + i in details
                }
                row += batch.num_rows
                out.batch(batch.filter(out.reject(batch, verdicts)))
                reporter.advanced(
                    "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                )
        figures.update(without_words=reader.without_shingles(unit.index))
        out.counts.other.update(figures)
        return Record(unit.name, counts=out.counts, files=out.files)

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Bands and rows that were used, for the manifest's notes."""
        bands, rows = self.settings.banding()
        return [f for r in records for f in r.files], {"fuzzy": {"bands": bands, "rows": rows}}

    def _details(self, unit: int, leaving: dict[int, int], reader: UnitReader) -> dict[int, str]:
        """Row -> who stays for it and how alike both are; in the order of those who stay, so that
        each is read once."""
        rows = sorted(leaving, key=lambda row: (leaving[row], row))
        stays = np.array([leaving[row] for row in rows], dtype=np.int64)
        mine = np.array([place(unit, row) for row in rows], dtype=np.int64)
        ids = {where: reader.id(where) for where in np.unique(stays).tolist()}
        exact = self.settings.verify == "exact"
        shown = self._exact(mine, stays, reader) if exact else self._estimated(mine, stays, reader)
        return {
            row: f"kept: {ids[leaving[row]]}; {how}" for row, how in zip(rows, shown, strict=True)
        }

    def _exact(self, mine: I64, stays: I64, reader: UnitReader) -> Iterator[str]:
        for one, other in zip(mine.tolist(), stays.tolist(), strict=True):
            both = set_overlap(reader.shingles(one), reader.shingles(other))
            chain = ", by a chain" if both.jaccard < self.settings.threshold else ""
            sizes = f"{both.shared} of {both.first}, {both.second} n-grams"
            yield f"jaccard {both.jaccard:.4f} ({sizes}){chain}"

    def _estimated(self, mine: I64, stays: I64, reader: UnitReader) -> Iterator[str]:
        s = self.settings
        known = np.unique(np.concatenate([mine, stays]))
        signatures = reader.signatures(known)
        for one, other in zip(mine, stays, strict=True):
            first, second = signatures[np.searchsorted(known, [one, other])]
            equal = int((first == second).sum())
            weak = s.verify == "signature" and equal / s.permutations < s.threshold
            chain = ", by a chain" if weak else ""
            shown = f"{equal} of {s.permutations} positions"
            yield f"jaccard about {equal / s.permutations:.2f} ({shown}){chain}"

    def _reader(self) -> UnitReader:
        return UnitReader(self.scratch(), self.settings.permutations)

    def _batches(self, unit: WorkUnit, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        for piece in unit.pieces:
            yield from read_batches(piece.path, columns, piece.row_groups, _BATCH)


def _sorted_run(keys: list[U64], values: list[I64]) -> Run:
    hashes = np.concatenate(keys) if keys else np.empty(0, np.uint64)
    rows = np.concatenate(values) if values else np.empty(0, np.int64)
    order = np.lexsort((rows, hashes))
    return Run(hashes[order], rows[order])
