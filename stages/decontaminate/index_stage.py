"""`decontamination_index`: evaluation sets become a table of n-gram hashes."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from stages.decontaminate.benchmarks import Benchmark, Item, read_items
from stages.decontaminate.grams import GramHasher
from stages.decontaminate.index import ITEMS, write_index
from stages.decontaminate.merge import HASHED, merge
from stages.decontaminate.trial import fault
from stages.decontaminate.words import NormalForm, Punctuation, words
from stages.documents import PartWriter, TableFile
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Port, Record, Settings, ShuffleStage, input_row
from stages.engine.units import WorkUnit, raw_units
from stages.outcomes import Rejected, Tally

_BATCH_ITEMS = 1024
_KEY = "index"


class IndexSettings(Settings):
    benchmarks: dict[str, Benchmark] = Field(
        {},
        description="the evaluation sets by name, each with its layout; none is built in, because"
        " each is somebody's work and which ones matter is the user's question",
    )
    ngram: int = Field(
        13,
        ge=4,
        le=50,
        description="words of an n-gram: GPT-3's 13 (appendix C), as LLaMA's paper tells of no"
        " decontamination. Characters count as words in Chinese, Japanese and Thai, where 13 are"
        " about one clause; a benchmark may have its own `ngram`",
    )
    min_tokens: int = Field(
        8,
        ge=1,
        description="an item without any form of `ngram` words is looked for as a whole if it has"
        " so many (8 is GPT-3's lower bound for n); shorter ones are listed as not testable",
    )
    max_items_per_ngram: int = Field(
        6,
        ge=1,
        description="n-grams of more items than this are phrases of the benchmark, not of an item"
        " (`which of the following ...`), and do not count. On one passage MMLU has up to 6"
        " questions; its 175 n-grams of 7 items and more, of 823,107, are all such phrases",
    )
    punctuation: Punctuation = Field(
        "separates",
        description="`separates`: punctuation parts words, so that markup, dashes and line ends"
        " make no difference; `deleted`: GPT-3's way, only blanks part words",
    )


class DecontaminationIndex(ShuffleStage[IndexSettings]):
    """Units read files of one benchmark and hash the n-grams of its items; one reducer merges.

    Memory is about 150 bytes for each n-gram of the benchmarks. An item counts as a document:
    it comes out if it is testable.
    """

    name = "decontamination_index"
    summary = "n-gram hashes of evaluation sets, to find their items in documents"
    Settings = IndexSettings
    produces = "index"
    final: ClassVar[bool] = False
    ports: ClassVar[dict[str, Port]] = {
        "input": Port("raw", "files of evaluation sets: paths, patterns or folders")
    }
    reasons = {
        "too_short": "no form of the item has min_tokens words: it cannot be looked for",
        "common": "all its n-grams are in more than max_items_per_ngram items",
    }

    def check(self) -> None:
        if not self.settings.benchmarks:
            raise InputError(
                f"{self.step.name}: name the `benchmarks`, such as {{mmlu: {{layout: mmlu}}}}"
            )

    def units(self) -> list[WorkUnit]:
        """Units of one benchmark each, in the order of their names."""
        units: list[WorkUnit] = []
        for name, paths in sorted(self._files().items()):
            self._try(name, paths)
            base = posixpath.commonpath([posixpath.dirname(p) for p in paths])
            found = raw_units(
                paths,
                split_bytes=self.layout.split_bytes,
                bundle_bytes=self.layout.bundle_bytes,
            )
            units += [replace(u, extra={"benchmark": name, "base": base}) for u in found]
        return [replace(u, index=i, of=len(units)) for i, u in enumerate(units)]

    def _try(self, name: str, paths: Sequence[str]) -> None:
        """Raises InputError where files of a benchmark are of no use."""
        benchmark = self.settings.benchmarks[name]
        prober = _Prober(self.settings, benchmark)
        found = fault(paths, benchmark, lambda item: "kind" in prober(item)[0])
        if found is not None:
            raise InputError(f"{self.step.name}: benchmark {name}: {found}")

    def _files(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {name: [] for name in self.settings.benchmarks}
        for path in files.glob(self.step.inputs["input"]):
            owners = [n for n, b in self.settings.benchmarks.items() if b.owns(n, path)]
            if len(owners) > 1:
                raise InputError(
                    f"{self.step.name}: {path} belongs to {owners[0]} and to {owners[1]}; give each"
                    " benchmark a `path` that only its files match"
                )
            if owners:
                found[owners[0]].append(path)
        for name, paths in found.items():
            if not paths:
                raise InputError(
                    f"{self.step.name}: no input file belongs to benchmark {name}; give it a `path`"
                )
        return found

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        benchmark = self.settings.benchmarks[unit.extra["benchmark"]]
        record, tally = Record(unit.name), Tally()
        prober = _Prober(self.settings, benchmark)
        path = self.scratch(f"items-{unit.name}.parquet")
        rows: list[dict[str, Any]] = []
        number = 0
        with (
            PartWriter(self.step.output, unit.part, self.step.name, only_leaving=True) as out,
            TableFile(path, HASHED) as table,
        ):
            for piece in unit.pieces:
                record.inputs.append(input_row(piece.path, whole=True))
                name = _name(piece.path, unit.extra["base"])
                with files.open_read(piece.path) as stream:
                    for outcome in read_items(stream, piece.path, benchmark, tally):
                        if not isinstance(outcome, Item):
                            out.outcome(outcome)
                            continue
                        common = {
                            "row": number,
                            "item": f"{name}#{outcome.row}",
                            "origin": f"{piece.path}#{outcome.row}",
                        }
                        rows += [{**common, **probe} for probe in prober(outcome)]
                        number += 1
                        if number % _BATCH_ITEMS == 0:
                            table.write(pa.RecordBatch.from_pylist(rows, schema=HASHED))
                            rows = []
            if rows:
                table.write(pa.RecordBatch.from_pylist(rows, schema=HASHED))
            out.counts.records = tally.records
        record.counts, record.files = out.counts, out.files
        record.emitted = [(_KEY, [unit.index, unit.extra["benchmark"], path])]
        return record

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        benchmarks = [name for _, name, _ in sorted(values)]
        tables = [_table(path) for _, _, path in sorted(values)]
        merged = merge(tables, self.settings.max_items_per_ngram)
        record = Record(key)
        totals: dict[str, Counter[str]] = {name: Counter() for name in sorted(set(benchmarks))}
        rows: list[dict[str, Any]] = []
        with PartWriter(
            self.step.output, "part-00000-of-00001.parquet", self.step.name, only_leaving=True
        ) as out:
            for i, (item, origin) in enumerate(zip(merged.items, merged.origins, strict=True)):
                benchmark = benchmarks[merged.table_of[i]]
                reason = "" if merged.testable[i] else "common" if merged.probed[i] else "too_short"
                totals[benchmark].update({"items": 1, reason or "testable": 1})
                rows.append({"benchmark": benchmark, "item": item, "testable": not reason})
                out.counts.documents_in += 1
                if reason:
                    out.leave(Rejected(f"{benchmark}:{item}", origin, reason))
                else:
                    out.counts.documents_out += 1
        if not merged.testable.any():
            # Nothing to write an index of; `finish` says so.
            record.counts, record.files = out.counts, out.files
            record.extra = {"benchmarks": _by_benchmark(totals)}
            return record
        about = {
            "punctuation": self.settings.punctuation,
            "head_words": self.settings.min_tokens,
            **_lengths(merged.probes),
            "benchmarks": _by_benchmark(totals),
        }
        items = pa.Table.from_pylist(rows, schema=ITEMS)
        written = write_index(
            self.step.output, merged.postings, merged.heads, items, merged.probes, about
        )
        record.counts, record.files = out.counts, [*out.files, *written]
        record.extra = {
            **about,
            "ngrams": len(merged.postings.grams),
            "common_ngrams": merged.common,
        }
        return record

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        (merged,) = [r for r in records if r.extra]
        for name, n in merged.extra["benchmarks"].items():
            if not n["testable"]:
                raise InputError(
                    f"{self.step.name}: benchmark {name}: no item of {n['items']:,} can be"
                    f" looked for: {n['too_short']:,} are too short (`min_tokens`),"
                    f" {n['common']:,} have only n-grams of more than `max_items_per_ngram` items"
                )
        notes = [
            f"{name}: {n['testable']:,} of {n['items']:,} items can be looked for"
            for name, n in merged.extra["benchmarks"].items()
        ]
        notes.append(
            f"{merged.extra['ngrams']:,} n-grams; {merged.extra['common_ngrams']:,} of more than"
            f" {self.settings.max_items_per_ngram} items do not count"
        )
        return [f for r in records for f in r.files], {**merged.extra, "notes": notes}


def _by_benchmark(totals: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    names = ("items", "testable", "too_short", "common")
    return {b: {n: known[n] for n in names} for b, known in totals.items()}


def _lengths(probes: pa.Table) -> dict[str, list[int]]:
    """The n of n-grams, and the numbers of words of probes that are looked for as a whole."""
    whole = probes.column("whole").to_numpy(zero_copy_only=False)
    n = probes.column("ngram").to_numpy()
    return {
        "lengths": np.unique(n[~whole]).tolist(),
        "whole_lengths": np.unique(n[whole]).tolist(),
    }


def _table(path: str) -> pa.Table:
    with files.open_read(path) as stream:
        return pq.read_table(stream)


def _name(path: str, base: str) -> str:
    """A file's name in its benchmark: below the folder that all have in common, without ending."""
    path = path.removesuffix(".gz")
    return posixpath.splitext(posixpath.relpath(path, base))[0]


class _Prober:
    """item -> rows of its probes with their n-grams; one row without a probe if it is too short."""

    def __init__(self, settings: IndexSettings, benchmark: Benchmark) -> None:
        self._n = benchmark.ngram or settings.ngram
        self._min = min(settings.min_tokens, self._n)
        self._form = NormalForm(settings.punctuation)
        self._hasher = GramHasher()

    def __call__(self, item: Item) -> list[dict[str, Any]]:
        hashes = [words(self._form(probe.text)).hashes for probe in item.probes]
        longest = max(map(len, hashes), default=0)
        shortest = self._n if longest >= self._n else self._min
        rows: list[dict[str, Any]] = []
        for probe, own in zip(item.probes, hashes, strict=True):
            if len(own) < shortest:
                continue
            n = min(self._n, len(own))
            sums = self._hasher.sums(own)
            head = None if n == self._n else int(self._hasher.grams(sums, self._min)[0])
            grams = np.unique(self._hasher.grams(sums, n)).tolist()
            row = {"kind": probe.kind, "words": len(own), "ngram": n, "head": head}
            rows.append({**row, "grams": grams})
        return rows or [{"words": longest, "ngram": 0, "grams": []}]
