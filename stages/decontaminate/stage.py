"""`decontaminate`: documents that hold items of benchmarks are marked, removed or cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
from pydantic import Field

from stages.decontaminate.cut import cut
from stages.decontaminate.frequency import common_grams, emit_frequencies, matches_of_batches
from stages.decontaminate.hit_files import HitWriter, totals
from stages.decontaminate.hits import Hit, hits
from stages.decontaminate.index import ABOUT, Index
from stages.decontaminate.matching import Matcher, Matches
from stages.documents import (
    PartWriter,
    further_columns,
    meta_json,
    text_bytes,
    with_columns,
)
from stages.engine import files, manifest
from stages.engine.models import load_once
from stages.engine.progress import Reporter
from stages.engine.step import STATE, InputError, Port, Record, Settings, ShuffleStage
from stages.engine.units import WorkUnit
from stages.outcomes import Reject

COLUMN = "contamination"
_BETWEEN = "\n\n"


class DecontaminateSettings(Settings):
    action: Literal["flag", "remove", "cut"] = Field(
        "flag",
        description="`flag` writes the column `contamination` and changes nothing: the paper"
        " removes nothing that it tells of, and a mark can be judged later; `remove` drops the"
        " document; `cut` takes the matched places out of the text, as GPT-3 does",
    )
    min_ngrams: int = Field(
        1,
        ge=1,
        description="distinct n-grams of an item that a document needs to count as contaminated by"
        " it; 1 is GPT-3's. An item with fewer n-grams than this needs all of them",
    )
    min_coverage: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of an item's n-grams that a document needs. 0 is GPT-3's; 0.5 leaves"
        " documents alone that only quote what the item quotes. Hits below either threshold are in"
        " `hits/` all the same, not `counted`",
    )
    max_documents_per_ngram: int | None = Field(
        None,
        ge=1,
        description="n-grams in more documents of this step's input do not count; null: all do."
        " GPT-3 ignores those in more than 10 documents as common phrases; but an item that many"
        " pages copied is ignored then, too, so this is off and min_coverage is the safer way",
    )
    window: int = Field(
        200, ge=0, description="for `cut`: characters that go on either side; GPT-3's 200"
    )
    min_piece: int = Field(
        200, ge=0, description="for `cut`: shorter pieces between cuts go too; GPT-3's 200"
    )
    max_pieces: int = Field(
        10, ge=1, description="for `cut`: a document in more pieces is dropped; GPT-3's 10"
    )


class Decontaminate(ShuffleStage[DecontaminateSettings]):
    """Every unit looks its documents up in the index, which workers share in memory.

    There is nothing to shuffle but, with `max_documents_per_ngram`, in how many documents of a unit
    each n-gram was found.
    """

    name = "decontaminate"
    version: ClassVar[int] = 2  # 2: texts with markup are searched without it, too
    summary = "find items of evaluation sets in documents; mark, remove or cut"
    Settings = DecontaminateSettings
    ports: ClassVar[dict[str, Port]] = {
        "input": Port("documents", "documents: step folders or Parquet files"),
        "index": Port("folder", "folder of a decontamination_index step"),
    }
    reasons = {
        "contaminated": "holds items of a benchmark (remove)",
        "contaminated_pieces": "the cuts part it into more than max_pieces pieces (cut)",
        "contaminated_remnant": "no piece between the cuts has min_piece characters (cut)",
    }

    def check(self) -> None:
        where = self.step.inputs["index"]
        if len(where) != 1:
            raise InputError(f"{self.step.name}: one index, please")
        if not files.exists(files.join(where[0], ABOUT)):
            self._check_to_come(where[0])
        else:
            try:
                self._matcher()
            except ValueError as error:
                raise InputError(f"{self.step.name}: {error}") from error

    def _check_to_come(self, where: str) -> None:
        """A folder without an index may be one that an earlier step of a plan will fill."""
        if not files.exists(where):
            return
        found = manifest.load(where) if files.is_dir(where) else None
        if found is not None:
            raise InputError(f"{self.step.name}: {where} is a step of {found.stage}, no index")
        half_done = files.exists(files.join(where, STATE))
        if not files.is_dir(where) or (files.names(where) and not half_done):
            raise InputError(f"{self.step.name}: {where} is no decontamination_index: no {ABOUT}")

    def _matcher(self) -> Matcher:
        (where,) = self.step.inputs["index"]
        stamp = files.stamp(files.join(where, ABOUT))
        return load_once(("decontamination", where, stamp), lambda: Matcher(Index(where)))

    def warm(self) -> None:
        self._matcher().matches(["a"])

    # -- n-grams that many documents have ---------------------------------------------------------

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        record = Record(unit.name)
        if self.settings.max_documents_per_ngram is not None:
            texts = (b.column("text").to_pylist() for b in self.batches(unit, ["text"]))
            found = map(self._matcher().matches, texts)
            record.emitted = emit_frequencies(found, self.scratch(), unit)
        return record

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        most = self.settings.max_documents_per_ngram
        assert most is not None
        path = self.scratch(f"common-{key}.npy")
        common_grams(values, most, path)
        return Record(key, emitted=[(unit, path) for unit, *_ in values])

    # -- documents --------------------------------------------------------------------------------

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        own = pa.field(COLUMN, pa.string())
        columns = [f for f in further_columns(unit.pieces[0].path) if f.name != COLUMN]
        with ExitStack() as stack:
            out = stack.enter_context(
                PartWriter(self.step.output, unit.part, self.step.name, [*columns, own])
            )
            found = stack.enter_context(HitWriter(self.step.output, unit.part))
            for batch, matches in self._matched(unit, values):
                self._apply(batch, matches, out, found)
                reporter.advanced(
                    "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                )
        out.counts.other.update(found.counts)
        return Record(unit.name, counts=out.counts, files=[*out.files, *found.files])

    def _matched(
        self, unit: WorkUnit, values: Sequence[Any]
    ) -> Iterator[tuple[pa.RecordBatch, Matches]]:
        """Batches of documents with the matches that count."""
        if self.settings.max_documents_per_ngram is None:
            matcher = self._matcher()
            for batch in self.batches(unit):
                yield batch, matcher.matches(batch.column("text").to_pylist())
        else:
            batches = self.batches(unit)
            yield from zip(batches, matches_of_batches(self.scratch(), unit, values), strict=True)

    def _apply(
        self, batch: pa.RecordBatch, matches: Matches, out: PartWriter, found: HitWriter
    ) -> None:
        s = self.settings
        out.counts.documents_in += batch.num_rows
        out.counts.text_bytes_in += text_bytes(batch.column("text"))
        verdicts: dict[int, Reject] = {}
        marks: list[str | None] = [None] * batch.num_rows
        changed: dict[int, tuple[str, int]] = {}
        for row, items in hits(matches, self._matcher().index):
            counted = [h for h in items if h.passes(s.min_ngrams, s.min_coverage)]
            found.write(batch, row, items, counted)
            if not counted:
                continue
            marks[row] = _mark(counted)
            if s.action == "remove":
                verdicts[row] = Reject("contaminated", _detail(counted))
            elif s.action == "cut":
                text = batch.column("text")[row].as_py()
                pieces = cut(text, _spans(counted, matches), s.window, s.min_piece, s.max_pieces)
                if isinstance(pieces, Reject):
                    detail = f"{pieces.detail}; {_detail(counted)}"
                    verdicts[row] = Reject(pieces.reason, detail)
                else:
                    changed[row] = (_BETWEEN.join(text[a:b] for a, b in pieces), len(pieces))
        values: dict[str, Any] = {COLUMN: pa.array(marks, pa.string())}
        if changed:
            values |= _rewritten(batch, changed)
        keep = out.reject(batch, verdicts)
        left = {name: column.filter(keep) for name, column in values.items()}
        out.batch(with_columns(batch.filter(keep), out.schema, left))

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        listed = [f for r in records for f in r.files]
        counts: Counter[str] = Counter()
        for record in records:
            counts.update(record.counts.other)
        index = self._matcher().index
        found = totals(
            (files.join(self.step.output, f["path"]) for f in listed if f["path"][:5] == "hits/"),
            index.benchmarks,
            counts,
        )
        notes = [
            f"{name}: {n['contaminated_items']:,} of {n['testable']:,} testable items in"
            f" {n['documents']:,} documents"
            for name, n in found.items()
        ]
        about = {
            "punctuation": index.punctuation,
            "lengths": list(index.lengths),
            "whole_lengths": list(index.whole_lengths),
            "index": index.digest,
        }
        return listed, {"decontamination": found, **about, "notes": notes}


def _mark(counted: Sequence[Hit]) -> str:
    """The value of the column: what was found, as JSON."""
    return orjson.dumps(
        [
            {
                "benchmark": h.benchmark,
                "item": h.item,
                "ngrams": h.found,
                "coverage": round(h.coverage, 4),
            }
            for h in counted
        ]
    ).decode()


def _detail(counted: Sequence[Hit]) -> str:
    first = max(counted, key=lambda h: (h.coverage, h.found))
    more = f" and {len(counted) - 1} more" if len(counted) > 1 else ""
    return f"{first.benchmark}:{first.item}, {first.found} n-grams, {first.coverage:.0%}{more}"


def _spans(counted: Sequence[Hit], matches: Matches) -> list[tuple[int, int]]:
    rows: npt.NDArray[np.int64] = np.unique(np.concatenate([h.matches for h in counted]))
    return list(zip(matches.start[rows].tolist(), matches.end[rows].tolist(), strict=True))


def _rewritten(batch: pa.RecordBatch, changed: dict[int, tuple[str, int]]) -> dict[str, pa.Array]:
    """The columns of text and meta after the cuts; `meta` tells what went."""
    texts = batch.column("text").to_pylist()
    metas = batch.column("meta").to_pylist()
    for row, (text, pieces) in changed.items():
        meta = orjson.loads(metas[row]) if metas[row] else {}
        meta["cut"] = {"pieces": pieces, "characters_before": len(texts[row])}
        metas[row], texts[row] = meta_json(meta), text
    return {
        "text": pa.array(texts, batch.column("text").type),
        "meta": pa.array(metas, batch.column("meta").type),
    }
