"""`c4_line_dedup`: of the pages that share a line, one keeps it.

C4's authors compare the MD5 of each line, stripped and lower-cased, over the whole corpus. The page
whose URL has the smallest MD5 keeps the line, at its first place in it; then pages with too few
sentences leave. Here the shuffle carries the first 64 bits of both digests: among 10^10 different
lines three pairs are expected to be taken for the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from pydantic import Field

from stages.c4.sentences import (
    SentenceMethod,
    SentenceModelMissingError,
    model_digests,
    sentence_counter,
)
from stages.c4.url import url_digest
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
    text_bytes,
    with_columns,
)
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Record, Settings, ShuffleStage
from stages.engine.units import WorkUnit
from stages.outcomes import Reject

_BYTES_PER_LINE = 32
_MIN_PARTITIONS = 4
_SIGN = np.uint64(1 << 63)


class C4LineDedupSettings(Settings):
    min_sentences: int = Field(
        3, ge=0, description="sentences a page needs after its duplicate lines are gone"
    )
    within_page: bool = Field(
        True,
        description="a line that a page has twice stays once in it, as in c4_utils since version"
        " 2.3.0, the published dataset's included; false: as before",
    )
    sentences: SentenceMethod = Field("punkt", description="as in c4_clean")
    partition_memory_mb: int = Field(
        256, ge=1, description="memory of one reducer; it decides the number of partitions"
    )


def line_digests(text: str) -> list[bytes]:
    """MD5 of each line of `text.split("\\n")`, stripped and lower-cased."""
    md5 = hashlib.md5
    return [
        md5(line.strip().encode(), usedforsecurity=False).digest()
        for line in text.lower().split("\n")
    ]


def page_rank(url: str | None, key: str) -> int:
    """The order of keepers as a signed 64-bit integer; a page without URL has its id instead."""
    prefix = int.from_bytes(url_digest(url or key)[:8], "big")
    return prefix - (1 << 63)


def keep_smallest(hashes: U64, units: I64, values: I64) -> Bools:
    """Keeps, per hash, the entry of the smallest value, then of the first unit."""
    order = np.lexsort((units, values, hashes))
    keep = np.zeros(len(hashes), dtype=np.bool_)
    keep[order[first_of_group(hashes[order])]] = True
    return keep


@dataclass(frozen=True)
class PageLines:
    """The lines of a unit's pages, flat: the hash of each, and the row of its page; and the rank
    of each page."""

    hashes: U64
    page: I64
    ranks: I64

    def candidates(self) -> tuple[Run, I64]:
        """The unit's run (each hash with the smallest rank of its pages), and per hash the page."""
        order = np.lexsort((self.page, self.ranks[self.page], self.hashes))
        chosen = order[first_of_group(self.hashes[order])]
        pages = self.page[chosen]
        return Run(self.hashes[chosen], self.ranks[pages]), pages

    def verdicts(self, run: Run, pages: I64, keep: Bools) -> tuple[Bools, Bools]:
        """Per line: whether its page keeps such lines, and whether it is the page's first one."""
        index = np.searchsorted(run.hashes, self.hashes)
        mine = keep[index] & (pages[index] == self.page)
        order = np.lexsort((self.hashes, self.page))
        h, p = self.hashes[order], self.page[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = (h[1:] != h[:-1]) | (p[1:] != p[:-1])
        firsts = np.empty(len(order), dtype=np.bool_)
        firsts[order] = first
        return mine, firsts


class C4LineDedup(ShuffleStage[C4LineDedupSettings]):
    name = "c4_line_dedup"
    summary = "of the pages that share a line, the one with the smallest URL hash keeps it (C4)"
    Settings = C4LineDedupSettings
    reasons = {
        "all_lines_duplicate": "no line is left: other pages keep them all",
        "too_few_sentences": "fewer than min_sentences sentences in the lines that are left",
    }

    def check(self) -> None:
        try:
            model_digests(self.settings.sentences)
        except SentenceModelMissingError as error:
            raise InputError(f"{self.step.name}: {error}") from error

    def models(self) -> dict[str, str]:
        return model_digests(self.settings.sentences)

    def units(self) -> list[WorkUnit]:
        units = super().units()
        memory = self.settings.partition_memory_mb << 20
        lines = sum(u.size for u in units) // _BYTES_PER_LINE
        partitions = max(_MIN_PARTITIONS, partitions_for(lines, memory))
        return [replace(u, extra={"partitions": partitions}) for u in units]

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        run, _ = self._lines(unit).candidates()
        path = self.scratch(f"run-{unit.name}.bin")
        record = Record(
            unit.name, emitted=emit_run(run, path, unit.index, 0, unit.extra["partitions"])
        )
        record.counts.other.update(line_hashes=len(run.hashes))
        return record

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        emitted, dropped = decide_partition(values, keep_smallest, self.scratch(f"keep-{key}.bits"))
        record = Record(key, emitted=emitted)
        record.counts.other.update(duplicate_hashes=dropped)
        return record

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        lines = self._lines(unit)
        run, pages = lines.candidates()
        keep = collect_bits(values, len(run.hashes))
        mine, firsts = lines.verdicts(run, pages, keep)
        if not self.settings.within_page:
            firsts[:] = True
        bounds = np.searchsorted(lines.page, np.arange(len(lines.ranks) + 1))
        columns = further_columns(unit.pieces[0].path)
        with PartWriter(self.step.output, unit.part, self.step.name, columns) as out:
            row = 0
            for batch in self.batches(unit, None):
                self._write(batch, mine, firsts, bounds[row : row + batch.num_rows + 1], out)
                row += batch.num_rows
                reporter.advanced(
                    "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                )
        return Record(unit.name, counts=out.counts, files=out.files)

    def _write(
        self, batch: pa.RecordBatch, mine: Bools, firsts: Bools, bounds: I64, out: PartWriter
    ) -> None:
        """Rewrites the texts of a batch; `bounds` are those of its pages' lines."""
        count_sentences = sentence_counter(self.settings.sentences)
        wanted = self.settings.min_sentences
        out.counts.documents_in += batch.num_rows
        out.counts.text_bytes_in += text_bytes(batch.column("text"))
        verdicts: dict[int, Reject] = {}
        texts: list[str] = []
        metas: list[str | None] = []
        olds = batch.column("meta").to_pylist()
        for row, text in enumerate(batch.column("text").to_pylist()):
            here = slice(int(bounds[row]), int(bounds[row + 1]))
            stays = mine[here] & firsts[here]
            gone = Counter(
                duplicate=int((~mine[here]).sum()), repeated=int((mine[here] & ~firsts[here]).sum())
            )
            lines = len(stays)
            out.counts.other.update(
                {f"line_{rule}": n for rule, n in gone.items()},
                line_passed=int(stays.sum()),
                lines=lines,
            )
            if gone.total():
                parts = text.split("\n")
                text = "\n".join([parts[i] for i in np.flatnonzero(stays)])
            if not text:
                verdicts[row] = Reject("all_lines_duplicate", f"{lines} lines")
                continue
            if (found := count_sentences(text, wanted)) < wanted:
                detail = f"{found} left, {gone.total()} of {lines} lines removed"
                verdicts[row] = Reject("too_few_sentences", detail)
                continue
            texts.append(text)
            metas.append(with_line_counts(olds[row], gone))
        kept = batch.filter(out.reject(batch, verdicts))
        out.batch(with_columns(kept, out.schema, {"text": texts, "meta": metas}))

    def _lines(self, unit: WorkUnit) -> PageLines:
        digests: list[bytes] = []
        counts: list[int] = []
        ranks: list[int] = []
        for batch in self.batches(unit, ["id", "url", "text"]):
            for key, url, text in zip(
                *(batch.column(n).to_pylist() for n in ("id", "url", "text")), strict=True
            ):
                mine = line_digests(text)
                digests += mine
                counts.append(len(mine))
                ranks.append(page_rank(url, key))
        flat = np.frombuffer(b"".join(digests), dtype=[("prefix", "<u8"), ("rest", "V8")])
        page = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        return PageLines(flat["prefix"].copy(), page, np.array(ranks, dtype=np.int64))


def with_line_counts(meta: str | None, gone: Counter[str]) -> str | None:
    """A document's meta with the rules that took lines of it added to its `c4_lines`."""
    if not gone.total():
        return meta
    value = orjson.loads(meta) if meta else {}
    value["c4_lines"] = dict(Counter(value.get("c4_lines", {})) + gone)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
