"""All items of all benchmarks, numbered, and the n-grams that count for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.decontaminate.index import PROBES, Postings

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HASHED = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),  # of the items of the file, ascending
        pa.field("item", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("kind", pa.string()),  # null for an item without a probe
        pa.field("words", pa.int32(), nullable=False),
        pa.field("ngram", pa.int32(), nullable=False),
        pa.field("head", pa.uint64()),  # hash of the first words of a probe found as a whole
        pa.field("grams", pa.large_list(pa.uint64()), nullable=False),  # distinct
    ]
)
"""What a unit knows of its items: a row for each probe, or one for an item that has none."""


@dataclass(frozen=True)
class Merged:
    """`table_of`, `probed` and `testable` are by item; `common` n-grams were left out."""

    items: list[str]
    origins: list[str]
    table_of: I64
    probed: Bools
    testable: Bools
    probes: pa.Table
    postings: Postings
    heads: U64
    common: int


def merge(tables: Sequence[pa.Table], most_items: int) -> Merged:
    """Merges tables of `HASHED` rows; n-grams of more than `most_items` items are left out, and so
    are probes without any other."""
    rows = [table.column("row").to_numpy() for table in tables]
    counts = [int(r[-1]) + 1 if len(r) else 0 for r in rows]
    before = np.cumsum([0, *counts])[:-1]
    item_of_row = np.concatenate([r + b for r, b in zip(rows, before, strict=True)])
    whole = pa.concat_tables(tables).combine_chunks()
    # An item's rows follow each other.
    heads = np.flatnonzero(np.concatenate([[True], item_of_row[1:] != item_of_row[:-1]]))
    heads = heads[: len(item_of_row)]
    has_probe = whole.column("kind").is_valid().to_numpy()
    probes = whole.filter(pa.array(has_probe))
    item_of = item_of_row[has_probe]
    probed = np.zeros(len(heads), np.bool_)
    probed[item_of] = True
    postings, ngrams, common = _postings(probes.column("grams"), item_of, most_items)
    live = ngrams > 0
    testable = np.zeros(len(heads), np.bool_)
    testable[item_of[live]] = True
    kept = probes.filter(pa.array(live))
    table = pa.Table.from_arrays(
        [
            pa.array(item_of[live]),
            *(kept.column(name).combine_chunks() for name in ("kind", "words", "ngram")),
            kept.column("head").is_valid().combine_chunks(),
            pa.array(ngrams[live].astype(np.int32)),
        ],
        schema=PROBES,
    )
    named = whole.take(pa.array(heads))
    return Merged(
        items=named.column("item").to_pylist(),
        origins=named.column("origin").to_pylist(),
        table_of=np.repeat(np.arange(len(tables)), counts),
        probed=probed,
        testable=testable,
        probes=table,
        postings=postings,
        heads=np.unique(kept.column("head").drop_null().to_numpy()),
        common=common,
    )


def _postings(lists: pa.ChunkedArray, item_of: I64, most_items: int) -> tuple[Postings, I64, int]:
    """The postings by numbers of the probes that keep an n-gram; n-grams that each of all probes
    keeps; how many were left out."""
    column = lists.combine_chunks()
    grams: U64 = column.flatten().to_numpy()
    probe = np.repeat(np.arange(len(column)), column.value_lengths().to_numpy())
    order = np.lexsort((probe, grams))
    grams, probe = grams[order], probe[order]
    first = np.ones(len(grams), np.bool_)
    first[1:] = grams[1:] != grams[:-1]
    group = np.cumsum(first) - 1
    # Probes are in the order of their items, so an n-gram's items come one after the other.
    items = item_of[probe]
    another = first.copy()
    another[1:] |= items[1:] != items[:-1]
    rare = np.bincount(group[another], minlength=int(first.sum())) <= most_items
    stays = rare[group]
    ngrams = np.bincount(probe[stays], minlength=len(column)).astype(np.int64)
    number = np.cumsum(ngrams > 0) - 1
    starts = np.flatnonzero(first[stays])
    return (
        Postings(
            grams=grams[first & stays],
            starts=np.append(starts, int(stays.sum())).astype(np.int64),
            probes=number[probe[stays]].astype(np.uint32),
        ),
        ngrams,
        int((~rare).sum()),
    )
