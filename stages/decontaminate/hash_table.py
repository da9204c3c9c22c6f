"""A set of hashes on disk, in numpy files that all workers of a machine map into memory and share.

Two bit filters stand in front of the sorted hashes. They answer for nearly all n-grams of a corpus
that they are not in the set: the first for all but one in sixteen, the second for all but one in
sixteen of those. Only the rest is searched for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stages.engine import files

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

_BITS_PER_HASH = 16
_MIN_BITS, _MAX_BITS = 10, 30


def write_array(folder: str, name: str, array: npt.NDArray[Any]) -> dict[str, Any]:
    """Writes `<name>.npy`; returns its manifest entry."""
    with files.atomic_writer(files.join(folder, f"{name}.npy")) as out:
        np.lib.format.write_array(out, array, version=(1, 0), allow_pickle=False)
    return out.digest.entry(f"{name}.npy", len(array))


def read_array(folder: str, name: str) -> Any:
    """A map of `<name>.npy` in a local folder."""
    return np.asarray(np.load(f"{folder}/{name}.npy", mmap_mode="r", allow_pickle=False))


def write_table(folder: str, name: str, hashes: U64) -> list[dict[str, Any]]:
    """Writes a table of ascending, distinct hashes."""
    bits = max(_MIN_BITS, min(_MAX_BITS, (len(hashes) * _BITS_PER_HASH).bit_length()))
    filters = np.stack([_filter(stretch, bits) for stretch in _stretches(hashes, bits)])
    return [write_array(folder, name, hashes), write_array(folder, f"{name}-filters", filters)]


def _stretches(hashes: U64, bits: int) -> tuple[I64, I64]:
    """The leading bits of hashes, and as many that follow them."""
    shift = np.uint64(64 - bits)
    second = (hashes << np.uint64(bits)) >> shift
    return (hashes >> shift).astype(np.int64), second.astype(np.int64)


def _filter(values: I64, bits: int) -> U8:
    """One bit for each number of `bits` bits: whether it is among `values`."""
    table = np.zeros(1 << (bits - 3), np.uint8)
    np.bitwise_or.at(table, values >> 3, np.uint8(1) << (values & 7).astype(np.uint8))
    return table


class HashTable:
    """The table `name` in a local folder."""

    def __init__(self, folder: str, name: str) -> None:
        self._hashes: U64 = read_array(folder, name)
        first, second = read_array(folder, f"{name}-filters")
        self._first: U8 = first
        self._second: U8 = second
        self._bits = int(len(first) * 8).bit_length() - 1

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, hashes: U64) -> tuple[I64, I64]:
        """Places in `hashes` of those that are in the set, and their numbers in it."""
        maybe = _passing(self._first, (hashes >> np.uint64(64 - self._bits)).view(np.int64))
        left = hashes[maybe]
        passing = _passing(self._second, _stretches(left, self._bits)[1])
        maybe, left = maybe[passing], left[passing]
        numbers = np.searchsorted(self._hashes, left)
        numbers = np.minimum(numbers, len(self._hashes) - 1)
        found = self._hashes[numbers] == left
        return maybe[found], numbers[found]


def _passing(table: U8, values: I64) -> I64:
    bits = table[values >> 3] >> (values & 7).astype(np.uint8)
    return np.flatnonzero(bits & 1)
