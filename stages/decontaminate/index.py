"""The index of benchmarks: sorted n-gram hashes, and which probes of which items have them.

An item too short for an n-gram is found as a whole. So that each length of such items does not cost
a pass over the corpus, their first words (`head_words`) are a table of their own, and lengths are
tried only where a head is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stages.decontaminate.hash_table import HashTable, read_array, write_array, write_table
from stages.decontaminate.words import Punctuation
from stages.documents import TableFile
from stages.engine import files

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

ABOUT = "index.json"
FORMAT = 1
ITEMS = pa.schema(
    [
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("testable", pa.bool_(), nullable=False),
    ]
)
PROBES = pa.schema(
    [
        pa.field("item", pa.int64(), nullable=False),  # row of the items
        pa.field("kind", pa.string(), nullable=False),
        pa.field("words", pa.int32(), nullable=False),
        pa.field("ngram", pa.int32(), nullable=False),  # words of its n-grams
        pa.field("whole", pa.bool_(), nullable=False),  # found as a whole only
        pa.field("ngrams", pa.int32(), nullable=False),  # distinct ones that count
    ]
)


@dataclass(frozen=True)
class Postings:
    """`grams` ascending and distinct; those of probes `probes[starts[i]:starts[i + 1]]` have the
    i-th."""

    grams: U64
    starts: I64
    probes: U32


def write_index(
    folder: str,
    postings: Postings,
    heads: U64,
    items: pa.Table,
    probes: pa.Table,
    about: dict[str, Any],
) -> list[dict[str, Any]]:
    """Writes the files of an index; returns their manifest entries."""
    listed = [
        *write_table(folder, "grams", postings.grams),
        write_array(folder, "starts", postings.starts),
        write_array(folder, "postings", postings.probes),
        *write_table(folder, "heads", heads),
    ]
    for name, table in (("items", items), ("probes", probes)):
        with TableFile(files.join(folder, f"{name}.parquet"), table.schema) as file:
            for batch in table.to_batches():
                file.write(batch)
            listed.append({**file.close(), "path": f"{name}.parquet"})
    digest = files.digest_of([entry["sha256"] for entry in listed])
    about = {"format": FORMAT, "digest": digest, **about}
    files.write_json(files.join(folder, ABOUT), about)
    return [*listed, files.entry(folder, ABOUT)]


class Index:
    """An index in a folder, local or remote (then copied to this machine once).

    `lengths` are the n of n-grams; `whole_lengths` the numbers of words of items found as a whole.
    Raises ValueError if the folder holds no index of this format.
    """

    def __init__(self, folder: str) -> None:
        about = files.read_json(files.join(folder, ABOUT))
        if not isinstance(about, dict) or "format" not in about:
            raise ValueError(f"{folder}: {ABOUT} is not that of a decontamination_index")
        if about.get("format") != FORMAT:
            raise ValueError(f"{folder}: index format {about.get('format')}, not {FORMAT}")
        try:
            self.digest: str = about["digest"]
            self.punctuation: Punctuation = about["punctuation"]
            self.lengths: tuple[int, ...] = tuple(about["lengths"])
            self.head_words: int = about["head_words"]
            self.whole_lengths: tuple[int, ...] = tuple(about["whole_lengths"])
            self.benchmarks: dict[str, dict[str, int]] = about["benchmarks"]
        except KeyError as error:
            raise ValueError(f"{folder}: {ABOUT} has no {error}") from error
        local = files.local_folder(folder)

        self.grams = HashTable(local, "grams")
        self.heads = HashTable(local, "heads")
        self._starts: I64 = read_array(local, "starts")
        self._postings: U32 = read_array(local, "postings")
        items = pq.read_table(f"{local}/items.parquet")
        probes = pq.read_table(f"{local}/probes.parquet")
        self._benchmarks = items.column("benchmark").combine_chunks()
        self._items = items.column("item").combine_chunks()
        self._kinds = probes.column("kind").combine_chunks()
        self.item_of: I64 = probes.column("item").to_numpy()
        self.ngrams_of: npt.NDArray[np.int32] = probes.column("ngrams").to_numpy()

    def probes_of(self, grams: I64) -> tuple[I64, I64]:
        """(place in `grams`, probe) for every probe that has one of the numbered n-grams."""
        starts = self._starts[grams]
        counts = self._starts[grams + 1] - starts
        place = np.repeat(np.arange(len(grams)), counts)
        within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
        return place, self._postings[starts[place] + within].astype(np.int64)

    def item(self, number: int) -> tuple[str, str]:
        """Benchmark and name of an item."""
        return self._benchmarks[number].as_py(), self._items[number].as_py()

    def kind(self, probe: int) -> str:
        value: str = self._kinds[probe].as_py()
        return value
