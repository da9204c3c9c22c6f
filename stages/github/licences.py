"""The licence of each repository of the BigQuery export."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
import xxhash

from stages.github.expressions import joined


class Licences:
    """Repository name -> licence, 12 bytes a repository: 40 MB for the 3.3 million of the export.

    Names are held as 64-bit hashes; the chance that any two of 3.3 million collide is 3e-7. A
    repository with several rows has all their licences, so one that is not kept decides.
    """

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        """`rows`: (repository name, licence), in any order."""
        names: dict[str, int] = {}
        keys, codes = array("Q"), array("I")
        for repository, licence in rows:
            keys.append(_key(repository))
            codes.append(names.setdefault(licence.strip().lower(), len(names)))
        self._names = list(names)
        raw = np.frombuffer(keys, np.uint64) if keys else np.empty(0, np.uint64)
        code = np.frombuffer(codes, np.uint32) if codes else np.empty(0, np.uint32)
        order = np.lexsort((code, raw))
        self._keys, self._codes = raw[order], code[order]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, repository: str) -> str | None:
        key = np.uint64(_key(repository))
        start = int(np.searchsorted(self._keys, key, side="left"))
        end = start
        found: set[str] = set()
        while end < len(self._keys) and self._keys[end] == key:
            found.add(self._names[self._codes[end]])
            end += 1
        return joined(found)


def _key(repository: str) -> int:
    return xxhash.xxh3_64_intdigest(repository.encode("utf-8", "surrogatepass"))
