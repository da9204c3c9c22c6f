"""`reference_pages`: the pages that Wikipedia cites, and a random sample of the others.

Hashes of URLs that are cited and of URLs that were crawled meet in the shuffle, both of the form
that is equal for two URLs of one page (`stages.urls.match_key`). No text moves. A crawled page
whose URL is cited is a reference; of all others a random sample is taken, each page with the same
chance, by a keyed hash of its id, wherever in the corpus it lies.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import orjson
import pyarrow as pa
import xxhash
from pydantic import Field

from stages import urls as web
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
from stages.documents import PartWriter, part_facts, text_bytes, with_columns
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Port, Record, Settings, ShuffleStage, input_row
from stages.engine.units import WorkUnit, document_units, raw_units
from stages.outcomes import Bad
from stages.reference.columns import lacking
from stages.reference.domains import registered_domain, suffixes_digest
from stages.reference.url_list import listed_urls
from stages.wikipedia.stage import CITED_URLS

REFERENCE, RANDOM = "reference", "random"
"""The values of the column `label`."""

COLUMNS = (
    pa.field("label", pa.string(), nullable=False),
    pa.field("domain", pa.string(), nullable=False),
    pa.field("tool", pa.string(), nullable=False),
)
"""Columns of the pages beyond the document schema: the class, the registered domain (empty where
the page has no URL), and what fetched and extracted the page."""

# What a hash in a run comes from.
_CITED, _CRAWLED, _FETCHED, _OTHER = 0, 1, 2, 3
_PORTS = {"crawl": _CRAWLED, "pages": _FETCHED, "random_pages": _OTHER}
# Of a document, of an article for each URL that it cites, and of a packed list for each URL.
_BYTES_PER_PAGE, _BYTES_PER_CITATION, _BYTES_PER_LINE = 512, 64, 16
_MIN_PARTITIONS = 4
_CHANCES = 1 << 64


class ReferencePagesSettings(Settings):
    max_references: int = Field(
        1_000_000,
        ge=1,
        description="most cited pages that are taken, a random sample of those found. The paper"
        " gives no number; RedPajama fetched 300,000 and used those that passed its filters",
    )
    max_random: int = Field(
        1_000_000,
        ge=1,
        description="most random pages that are taken. The paper gives no number; RedPajama took"
        " about as many as references, the first of each file",
    )
    random_per_reference: float = Field(
        4.0,
        gt=0,
        description="random pages per cited page found, up to max_random. More than one, because"
        " the model needs as many of each length, language and crawl tool as there are references",
    )
    seed: int = Field(0, description="another seed draws other pages")
    partition_memory_mb: int = Field(
        256, ge=1, description="memory of one reducer; it decides the number of partitions"
    )


@dataclass(frozen=True)
class Keys:
    """Per document the hash of its URL's form for matching (0 where it has no URL)."""

    url: U64
    has_url: Bools

    @property
    def distinct(self) -> U64:
        return np.unique(self.url[self.has_url])


def url_hash(url: str) -> int:
    """64 bits that are equal for two URLs of one page."""
    return xxhash.xxh3_64_intdigest((web.match_key(url) or url).encode("utf-8", "replace"))


def chance(key: str | int, seed: int) -> int:
    """A number below 2**64, evenly spread over keys; a page is drawn where it is below a bound."""
    return xxhash.xxh3_64_intdigest(str(key).encode("utf-8", "replace"), seed & (_CHANCES - 1))


def bound(wanted: float, there: int) -> int:
    """The bound under which a share of `wanted / there` of all chances lie."""
    return _CHANCES if wanted >= there else int(wanted / there * _CHANCES)


class Join:
    """Decides one partition of hashes, sorted, and counts the distinct URLs.

    True for crawled (and other random) pages that are cited, and for fetched pages that were not
    crawled as well. Fetched pages are there because they are cited, so they cite their own URL.
    """

    def __init__(self) -> None:
        self.cited = self.found = 0

    def __call__(self, hashes: U64, units: I64, kinds: I64) -> Bools:
        first = first_of_group(hashes)
        group = np.cumsum(first) - 1

        def any_of(*wanted: int) -> Bools:
            return np.asarray(np.bincount(group, weights=np.isin(kinds, wanted)) > 0)

        cited = any_of(_CITED, _FETCHED)
        crawled = any_of(_CRAWLED)
        self.cited = int(cited.sum())
        self.found = int((cited & (crawled | any_of(_FETCHED))).sum())
        return np.where(kinds == _FETCHED, ~crawled[group], cited[group] & (kinds != _CITED))


class ReferencePages(ShuffleStage[ReferencePagesSettings]):
    """What is read: all documents of `crawl`, `pages` and `random_pages`, counted as records.
    What enters are those that are drawn; the others are counted as skipped, by why."""

    name = "reference_pages"
    version = 2
    summary = "pages that Wikipedia cites and a random sample of the others, to train on"
    Settings = ReferencePagesSettings
    produces = "sample"
    ports: ClassVar[dict[str, Port]] = {
        "crawl": Port("documents", "crawled documents: step folders or Parquet files"),
        "wikipedia": Port(
            "documents", "documents of the `wikipedia` stage, with cited_urls", required=False
        ),
        "urls": Port("raw", "lists of cited URLs, one a line, plain or gzip", required=False),
        "pages": Port(
            "documents", "documents of cited pages that were fetched apart", required=False
        ),
        "random_pages": Port(
            "documents", "documents of random pages fetched with the tool of `pages`", False
        ),
    }

    def check(self) -> None:
        if not any(self.step.inputs.get(port) for port in ("wikipedia", "urls", "pages")):
            raise InputError(
                f"{self.step.name}: give --wikipedia, --urls or --pages: nothing says which pages"
                " are cited"
            )

    def models(self) -> dict[str, str]:
        return {"public_suffix_list": suffixes_digest()}

    def units(self) -> list[WorkUnit]:
        """Those whose pages may be written, then those that only name URLs. Raises InputError."""
        facts = {
            port: [part_facts(path) for _, paths in self.documents(port) for path in paths]
            for port in (*_PORTS, "wikipedia")
        }
        if path := lacking([f.path for f in facts["wikipedia"]], [CITED_URLS]):
            raise InputError(
                f"{self.step.name}: {path} has no column {CITED_URLS}: it was not left by"
                " `wikipedia`"
            )
        split = self.layout.split_bytes
        units = [
            replace(unit, extra={"kind": kind})
            for port, kind in _PORTS.items()
            for unit in document_units(facts[port], split_bytes=split)
        ]
        writers = len(units)
        units += [
            replace(unit, extra={"kind": _CITED, "raw": False})
            for unit in document_units(facts["wikipedia"], split_bytes=split)
        ]
        units += [
            replace(unit, extra={"kind": _CITED, "raw": True})
            for unit in raw_units(
                files.glob(self.step.inputs.get("urls", [])),
                split_bytes=split,
                bundle_bytes=self.layout.bundle_bytes,
            )
        ]
        memory = self.settings.partition_memory_mb << 20
        entries = sum(u.size // _bytes_per_url(u) for u in units)
        shared = {
            "partitions": max(_MIN_PARTITIONS, partitions_for(entries, memory)),
            "writers": writers,
            "crawled": sum(rows for fact in facts["crawl"] for rows, _, _ in fact.row_groups),
        }
        return [
            replace(unit, index=i, of=len(units), extra={**unit.extra, **shared})
            for i, unit in enumerate(units)
        ]

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        record = Record(unit.name)
        kind = unit.extra["kind"]
        if kind == _CITED:
            hashes = _distinct(url_hash(u) for u in self._cited(unit, record))
        else:
            hashes = self._keys(unit).distinct
        run = Run(hashes, np.full(len(hashes), kind, dtype=np.int64))
        path = self.scratch(f"run-{unit.name}.bin")
        writers = unit.extra["writers"]
        record.emitted = [
            (key, [writers, *reference])
            for key, reference in emit_run(run, path, unit.index, 0, unit.extra["partitions"])
        ]
        return record

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        """Back to each unit: [cited URLs, those found, where its bits are or nothing].

        Every writing unit hears the counts of every partition, because the share of pages that is
        drawn depends on their sum.
        """
        join = Join()
        writers = values[0][0]
        emitted, _ = decide_partition(
            [v[1:] for v in values], join, self.scratch(f"cited-{key}.bits")
        )
        bits = {unit: where for unit, where in emitted if unit < writers}
        return Record(
            key,
            emitted=[(unit, [join.cited, join.found, bits.get(unit)]) for unit in range(writers)],
        )

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        if unit.extra["kind"] == _CITED:
            return self._damages(unit)
        keys = self._keys(unit)
        hashes = keys.distinct
        bits = collect_bits([v[2] for v in values if v[2] is not None], len(hashes))
        marked = np.zeros(len(keys.url), dtype=np.bool_)
        marked[keys.has_url] = bits[np.searchsorted(hashes, keys.url[keys.has_url])]
        cited, found = sum(v[0] for v in values), sum(v[1] for v in values)
        draw = _Draw(self.settings, unit.extra["kind"], found, unit.extra["crawled"])
        labels: Counter[str] = Counter()
        with PartWriter(self.step.output, unit.part, self.step.name, COLUMNS) as out:
            row = 0
            for batch in self.batches(unit):
                end = row + batch.num_rows
                fates = draw.fates(batch, keys.url[row:end], keys.has_url[row:end], marked[row:end])
                row = end
                out.counts.records += batch.num_rows
                out.counts.skipped.update(f for f in fates if f not in (REFERENCE, RANDOM))
                drawn = [f in (REFERENCE, RANDOM) for f in fates]
                chosen = batch.filter(pa.array(drawn, pa.bool_()))
                mine = [f for f in fates if f in (REFERENCE, RANDOM)]
                out.counts.documents_in += chosen.num_rows
                out.counts.text_bytes_in += text_bytes(chosen.column("text"))
                labels.update(mine)
                out.batch(with_columns(chosen, out.schema, _columns(chosen, mine, unit)))
                reporter.advanced("process", unit.key, out.counts.records, out.counts.text_bytes_in)
        out.counts.other.update({f"label_{name}": n for name, n in labels.items()})
        record = Record(unit.name, counts=out.counts, files=out.files)
        record.extra = {"cited_urls": cited, "found": found}
        return record

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Raises RuntimeError where not every document of the finished steps given was read."""
        read = sum(r.counts.records - r.counts.bad for r in records)
        before = [known for port in _PORTS for known, _ in self.documents(port)]
        due = sum(known.counts.documents_out for known in before if known is not None)
        if all(known is not None for known in before) and read != due:
            raise RuntimeError(
                f"{due} documents were written by the steps before, {read} were read"
            )
        total: Counter[str] = Counter()
        for record in records:
            total.update(record.counts.other)
        join = next((r.extra for r in records if r.extra), {"cited_urls": 0, "found": 0})
        references, others = total[f"label_{REFERENCE}"], total[f"label_{RANDOM}"]
        notes = [
            f"{join['cited_urls']:,} cited URLs, {join['found']:,} of them among {read:,} pages",
            f"drawn: {references:,} references and {others:,} random pages",
        ]
        facts = {**join, "pages_read": read, "references": references, "random": others}
        return [f for r in records for f in r.files], {"join": facts, "notes": notes}

    def _keys(self, unit: WorkUnit) -> Keys:
        urls = [u for b in self.batches(unit, ["url"]) for u in b.column("url").to_pylist()]
        return Keys(
            np.fromiter((url_hash(u) if u else 0 for u in urls), np.uint64, len(urls)),
            np.fromiter((bool(u) for u in urls), np.bool_, len(urls)),
        )

    def _cited(self, unit: WorkUnit, record: Record) -> Iterable[str]:
        """URLs named by a unit; files of lists leave their digest in `record`.

        A list that ends in damage counts as far as it could be read; `_damages` tells the rest.
        """
        if not unit.extra["raw"]:
            for batch in self.batches(unit, [CITED_URLS]):
                yield from batch.column(CITED_URLS).flatten().drop_null().to_pylist()
            return
        damages = []
        for piece in unit.pieces:
            record.inputs.append(input_row(piece.path, whole=True))
            number = 0
            try:
                with files.open_read(piece.path) as stream:
                    for row in listed_urls(stream):
                        number, url = row
                        yield url
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                damages.append([piece.path, f"after line {number}", f"gzip: {error}"])
        files.write_json(self.scratch(f"damages-{unit.name}.json"), damages)

    def _damages(self, unit: WorkUnit) -> Record:
        """Bad records for the damaged lists of a unit, as `emit` met them."""
        if not unit.extra["raw"]:
            return Record(unit.name)
        folder, part = self.step.output, unit.part
        with PartWriter(folder, part, self.step.name, only_leaving=True) as out:
            for path, place, error in files.read_json(self.scratch(f"damages-{unit.name}.json")):
                out.counts.records += 1
                out.outcome(Bad(path, place, error))
        return Record(unit.name, counts=out.counts, files=out.files)


class _Draw:
    """What becomes of a page: its label, or why it is not drawn."""

    def __init__(
        self, settings: ReferencePagesSettings, kind: int, found: int, crawled: int
    ) -> None:
        references = min(found, settings.max_references)
        others = min(settings.random_per_reference * references, settings.max_random)
        self._kind, self._seed = kind, settings.seed
        self._references = bound(settings.max_references, found)
        self._others = bound(others, crawled)

    def fates(self, batch: pa.RecordBatch, hashes: U64, has_url: Bools, marked: Bools) -> list[str]:
        ids = batch.column("id").to_pylist()
        return [
            self._fate(key, url, known, mark)
            for key, url, known, mark in zip(
                ids, hashes.tolist(), has_url.tolist(), marked.tolist(), strict=True
            )
        ]

    def _fate(self, key: str, url: int, has_url: bool, marked: bool) -> str:
        if self._kind == _OTHER:
            return "random_page_is_cited" if marked else RANDOM
        if self._kind == _FETCHED and has_url and not marked:
            return "fetched_page_was_crawled_too"
        if self._kind == _FETCHED or marked:
            drawn = chance(url if has_url else key, self._seed) < self._references
            return REFERENCE if drawn else "reference_not_drawn"
        return RANDOM if chance(key, self._seed) < self._others else "not_drawn"


def _bytes_per_url(unit: WorkUnit) -> int:
    if unit.extra["kind"] != _CITED:
        return _BYTES_PER_PAGE
    return _BYTES_PER_LINE if unit.extra["raw"] else _BYTES_PER_CITATION


def _columns(batch: pa.RecordBatch, labels: list[str], unit: WorkUnit) -> dict[str, Any]:
    where = "crawled" if unit.extra["kind"] == _CRAWLED else "fetched"
    metas = batch.column("meta").to_pylist()
    return {
        "label": labels,
        "domain": [_domain(url) if url else "" for url in batch.column("url").to_pylist()],
        "tool": [f"{where}/{_record_type(meta)}" for meta in metas],
    }


@lru_cache(maxsize=4096)
def _domain(url: str) -> str:
    return registered_domain(url) or ""


def _record_type(meta: str | None) -> str:
    """`conversion` (WET), `response` (WARC) and so on, as `commoncrawl` notes it: the two come from
    different programs that turn HTML to text."""
    value = orjson.loads(meta) if meta else None
    kind = value.get("record_type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else "other"


def _distinct(hashes: Iterable[int]) -> U64:
    return np.unique(np.fromiter(hashes, np.uint64))
