"""Finding single rows in the Parquet files of a run without reading texts.

Only the columns that a test needs are read, of the row groups whose statistics do not rule the
value out, by a thread per core: decompression releases the interpreter's lock.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages import urls as web
from stages.engine import files

T = TypeVar("T")
R = TypeVar("R")

Bounds = tuple[str, str] | None
"""Least and greatest value of a column in a row group; None where they are not known."""

_HOST_PART = re.compile(r"[A-Za-z0-9._~-]+")
_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_MOST_THREADS = 16


@dataclass(frozen=True, order=True)
class Place:
    """Where a row lies: file, row group, row in it."""

    path: str
    group: int
    row: int


@dataclass(frozen=True)
class Hit:
    """A row that passed a test: its place and the values of the columns that the test read."""

    place: Place
    values: dict[str, Any]


class Test(Protocol):
    """What is looked for."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    def possible(self, bounds: Mapping[str, Bounds]) -> bool:
        """False if no row of a row group with these bounds can pass."""
        ...

    def mask(self, table: pa.Table) -> pa.ChunkedArray:
        """Rows that may pass; nulls count as False."""
        ...

    def passes(self, row: Mapping[str, Any]) -> bool:
        """The verdict on one row of the mask."""
        ...


@dataclass(frozen=True)
class Equal:
    """Rows in which `column` (text or bytes) is `value`; `also` columns are read along."""

    column: str
    value: str | bytes
    also: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, *self.also)

    def possible(self, bounds: Mapping[str, Bounds]) -> bool:
        known = bounds.get(self.column)
        if known is None or not isinstance(self.value, str):
            return True
        return known[0] <= self.value <= known[1]

    def mask(self, table: pa.Table) -> pa.ChunkedArray:
        column = table.column(self.column)
        return pc.equal(column, pa.scalar(self.value, column.type))

    def passes(self, row: Mapping[str, Any]) -> bool:
        return True


@dataclass(frozen=True)
class Such:
    """Rows that a function takes; for small tables, since it is called for each row."""

    columns: tuple[str, ...]
    wanted: Callable[[Mapping[str, Any]], bool]

    def possible(self, bounds: Mapping[str, Bounds]) -> bool:
        return True

    def mask(self, table: pa.Table) -> pa.ChunkedArray:
        return pc.is_valid(table.column(0))

    def passes(self, row: Mapping[str, Any]) -> bool:
        return self.wanted(row)


@dataclass(frozen=True)
class SameKey:
    """Rows whose `column` has the same key as `value`, by any function of one text.

    `hint` narrows down which rows the (slow) function is called for.
    """

    column: str
    key: Callable[[str], str]
    value: str
    also: tuple[str, ...] = ()
    hint: UrlHint | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, *self.also)

    def possible(self, bounds: Mapping[str, Bounds]) -> bool:
        return True

    def mask(self, table: pa.Table) -> pa.ChunkedArray:
        column = table.column(self.column)
        return self.hint.mask(column) if self.hint else pc.is_valid(column)

    def passes(self, row: Mapping[str, Any]) -> bool:
        value = row[self.column]
        return value is not None and self.key(value) == self.key(self.value)


@dataclass(frozen=True)
class UrlHint:
    """What every spelling of a URL with a given key contains, as far as a fast test can tell: its
    host, and the longest piece of its path or query that has one spelling only."""

    host: str
    piece: str

    @classmethod
    def of(cls, match_key: str) -> UrlHint:
        host, _, rest = match_key.partition("/")
        pieces = [p for part in _ESCAPE.split(rest) for p in _HOST_PART.findall(part)]
        # A path of dots may be written with others in between.
        pieces = [p for p in pieces if p.strip(".")]
        return cls(host.partition(":")[0].strip("[]"), max(pieces, key=len, default=""))

    def mask(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        odd = pc.invert(pc.string_is_ascii(column))  # A host outside ASCII is spelt in two ways.
        host = pc.or_(pc.match_substring(column, self.host, ignore_case=True), odd)
        if not self.piece:
            return host
        escaped = pc.match_substring(column, "%")
        piece = pc.or_(pc.match_substring(column, self.piece), escaped)
        return pc.and_(host, piece)


ID, ORIGIN, URL = "id", "origin", "url"
NORMAL, SIMILAR = "normalised url", "url without scheme and www"


class Query:
    """A document as somebody names it: its id, origin or URL.

    `how` says by which of these a row is meant. An origin may lack its first folders
    (`part-00000.warc.wet.gz#512`). URLs match in their normal form; where nothing else is found,
    also without scheme and `www.` (see `stages.urls`).
    """

    columns = ("id", "origin", "url")

    def __init__(self, text: str) -> None:
        self.text = text
        self.normal = web.normalise(text)
        host = text.partition("/")[0]
        bare = "." in host and not text.startswith("/") and ":" not in host
        self.similar = web.match_key(text if self.normal or not bare else f"http://{text}")
        self._hint = UrlHint.of(self.similar) if self.similar else None
        # Ids of CommonCrawl are hexadecimal: no ending of an origin, which spares that column.
        self._ending = f"/{text.lstrip('/')}" if any(c in text for c in "#/.") else None

    def possible(self, bounds: Mapping[str, Bounds]) -> bool:
        if self._hint or self._ending:
            return True
        known = [bounds.get(name) for name in ("id", "origin")]
        return any(b is None or b[0] <= self.text <= b[1] for b in known)

    def mask(self, table: pa.Table) -> pa.ChunkedArray:
        found = pc.or_kleene(
            pc.equal(table.column("id"), self.text), pc.equal(table.column("origin"), self.text)
        )
        if "url" in table.column_names:
            url = table.column("url")
            found = pc.or_kleene(found, pc.equal(url, self.text))
            if self._hint:
                found = pc.or_kleene(found, self._hint.mask(url))
        if self._ending:
            found = pc.or_kleene(found, pc.ends_with(table.column("origin"), self._ending))
        return found

    def passes(self, row: Mapping[str, Any]) -> bool:
        return self.how(row) is not None

    def how(self, row: Mapping[str, Any]) -> str | None:
        """By what the row is meant: one of the constants above; None if it is not."""
        if row["id"] == self.text:
            return ID
        if row["origin"] == self.text or (self._ending and row["origin"].endswith(self._ending)):
            return ORIGIN
        url = row.get("url")
        if url is None:
            return None
        if url == self.text:
            return URL
        if self.normal is not None and web.normalise(url) == self.normal:
            return NORMAL
        if self.similar is not None and web.match_key(url) == self.similar:
            return SIMILAR
        return None

    def is_bad(self, row: Mapping[str, Any]) -> bool:
        """Whether a bad record is meant: by file, `file#offset`, or the id that it would have."""
        whole = f"{row['file']}#{row['offset']}"
        if self.text in (row["file"], whole):
            return True
        if self._ending and (row["file"].endswith(self._ending) or whole.endswith(self._ending)):
            return True
        return bool(row["offset"] == self.text and not self.text.isdigit())


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`work` of each item, in the order of the items."""
    threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def scan(paths: Sequence[str], test: Test) -> list[Hit]:
    """All rows that pass, in the order of the files. Raises OSError if a file is damaged."""
    return [
        hit for found in in_threads(lambda p: list(_scan_file(p, test)), paths) for hit in found
    ]


def _scan_file(path: str, test: Test) -> Iterator[Hit]:
    with _parquet(path) as parquet:
        names = [c for c in test.columns if c in parquet.schema_arrow.names]
        indexes = {parquet.metadata.schema.column(i).path: i for i in range(len(parquet.schema))}
        for group in range(parquet.num_row_groups):
            facts = parquet.metadata.row_group(group)
            if not test.possible({n: _bounds(facts.column(indexes[n])) for n in names}):
                continue
            table = parquet.read_row_group(group, columns=names, use_threads=False)
            mask = pc.fill_null(test.mask(table), False)
            for row in pc.indices_nonzero(mask).to_pylist():
                values = {n: table.column(n)[row].as_py() for n in names}
                if test.passes(values):
                    yield Hit(Place(path, group, row), values)


def _bounds(column: Any) -> Bounds:
    known = column.statistics if column.is_stats_set else None
    if known is None or not known.has_min_max or not isinstance(known.min, str):
        return None
    return known.min, known.max


def read_row(place: Place) -> dict[str, Any]:
    """A whole row. Raises OSError if the file is damaged."""
    with _parquet(place.path) as parquet:
        table = parquet.read_row_group(place.group, use_threads=True)
        row: dict[str, Any] = table.slice(place.row, 1).to_pylist()[0]
        return row


def rows_per_group(path: str) -> list[int]:
    with _parquet(path) as parquet:
        meta = parquet.metadata
        return [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]


@contextmanager
def _parquet(path: str) -> Iterator[pq.ParquetFile]:
    """Opens a Parquet file; damage found while it is read becomes an OSError that names it."""
    with files.open_read(path) as handle:
        try:
            yield pq.ParquetFile(handle, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise OSError(f"{path} is no readable Parquet file: {error}") from error
