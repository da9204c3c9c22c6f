"""`hits/`: one Parquet row for each item found in a document, beside a step's documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.decontaminate.hits import Hit
from stages.documents import TableFile, printable
from stages.engine import files

FOLDER = "hits"
HITS = pa.schema(
    [
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("document", pa.string(), nullable=False),  # its id
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("probe", pa.string(), nullable=False),  # the form of the item that was found
        pa.field("found", pa.int32(), nullable=False),  # distinct n-grams of it in the document
        pa.field("ngrams", pa.int32(), nullable=False),  # that it has
        pa.field("coverage", pa.float32(), nullable=False),  # found / ngrams
        pa.field("start", pa.int64(), nullable=False),  # characters of the text that was read
        pa.field("end", pa.int64(), nullable=False),
        pa.field("counted", pa.bool_(), nullable=False),  # passes the thresholds
        pa.field("snippet", pa.string(), nullable=False),
    ]
)

_SNIPPET = 160  # characters, from both ends of the place


class HitWriter:
    """Writes the hits of a part; there is a file only if there is a hit."""

    def __init__(self, folder: str, part: str) -> None:
        self._folder, self._name = folder, f"{FOLDER}/{part}"
        self._table: TableFile | None = None
        self.files: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> HitWriter:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._table is None:
            return
        if error is None:
            self.files.append({**self._table.close(), "path": self._name})
        else:
            self._table.abort(error)

    def write(
        self, batch: pa.RecordBatch, row: int, items: Sequence[Hit], counted: Sequence[Hit]
    ) -> None:
        """The hits of the document at `row`, of which those `counted` pass the thresholds."""
        if self._table is None:
            self._table = TableFile(files.join(self._folder, self._name), HITS)
        document, source, url, text = (
            batch.column(name)[row].as_py() for name in ("id", "source", "url", "text")
        )
        passing = {(h.benchmark, h.item) for h in counted}
        rows = [
            {
                "benchmark": h.benchmark,
                "item": h.item,
                "document": document,
                "source": source,
                "url": url,
                "probe": h.probe,
                "found": h.found,
                "ngrams": h.ngrams,
                "coverage": h.coverage,
                "start": h.start,
                "end": h.end,
                "counted": (h.benchmark, h.item) in passing,
                "snippet": snippet(text, h.start, h.end),
            }
            for h in items
        ]
        self._table.write(pa.RecordBatch.from_pylist(rows, schema=HITS))
        self.counts.update(f"hits_{h.benchmark}" for h in items)
        self.counts.update({f"documents_{h.benchmark}" for h in counted})


def snippet(text: str, start: int, end: int) -> str:
    """The text of a place on one line; of a long one its beginning and its end."""
    if end - start > 2 * _SNIPPET:
        shown = f"{text[start : start + _SNIPPET]} ... {text[end - _SNIPPET : end]}"
    else:
        shown = text[start:end]
    return printable(" ".join(shown.split()))


def read_hits(
    paths: Iterable[str], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with files.open_read(path) as stream:
            yield from pq.ParquetFile(stream).iter_batches(columns=columns)


def totals(
    paths: Iterable[str], benchmarks: dict[str, dict[str, int]], counts: Counter[str]
) -> dict[str, dict[str, int]]:
    """Per benchmark: its items, and how many of them were found in how many documents."""
    found: dict[str, set[str]] = {name: set() for name in benchmarks}
    for batch in read_hits(paths, ["benchmark", "item", "counted"]):
        counted = batch.filter(batch.column("counted"))
        names = (counted.column(c).to_pylist() for c in ("benchmark", "item"))
        for benchmark, item in zip(*names, strict=True):
            found[benchmark].add(item)
    return {
        name: {
            **known,
            "contaminated_items": len(found[name]),
            "documents": counts[f"documents_{name}"],
            "hits": counts[f"hits_{name}"],
        }
        for name, known in benchmarks.items()
    }
