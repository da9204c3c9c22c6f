"""Work units: the elements of every pipeline.

A unit is 1 to 10 s of work: a raw file, a stretch of a large one, a bundle of small ones, or a run
of row groups of a part. How input is cut depends on the input and on settings only, never on the
number of workers, because each unit writes one part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stages.documents import PartFacts
from stages.engine import files


@dataclass(frozen=True)
class Piece:
    """A file or a stretch of one: bytes `start` to `end` of a raw file (`end` None: to its end),
    or row groups `start` to `end` of a Parquet part."""

    path: str
    start: int = 0
    end: int | None = None
    size: int = 0

    @property
    def row_groups(self) -> range | None:
        """The row groups of a stretch of a Parquet part; None for all of them."""
        return range(self.start, self.end) if self.end is not None else None


@dataclass(frozen=True)
class WorkUnit:
    """One element. `index` of `of` names its part; `key` is what it is about, for people."""

    index: int
    of: int
    pieces: tuple[Piece, ...]
    key: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def part(self) -> str:
        return f"part-{self.index:05d}-of-{self.of:05d}.parquet"

    @property
    def name(self) -> str:
        return f"{self.index:05d}-of-{self.of:05d}"

    @property
    def size(self) -> int:
        return sum(p.size for p in self.pieces)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> WorkUnit:
        return cls(**{**value, "pieces": tuple(Piece(**p) for p in value["pieces"])})


Splitter = Callable[[str, int, int], Sequence[tuple[int, int | None]]]
"""(path, size, target bytes) -> stretches of the file that readers may take apart."""


def whole_file(path: str, size: int, target: int) -> list[tuple[int, int | None]]:
    return [(0, None)]


def byte_stretches(path: str, size: int, target: int) -> list[tuple[int, int | None]]:
    """Equal stretches of about `target` bytes; the last one is open-ended."""
    n = max(1, round(size / target))
    edges = [size * i // n for i in range(n)]
    return list(zip(edges, [*edges[1:], None], strict=True))


def raw_units(
    paths: Sequence[str],
    *,
    split_bytes: int,
    bundle_bytes: int,
    split: Splitter = whole_file,
    together: Callable[[str], str] | None = None,
) -> list[WorkUnit]:
    """Cuts raw files into units, in the order of `paths`.

    Files over `split_bytes` are cut by `split`; neighbours are bundled while they stay within
    `bundle_bytes`. `together(path)` keeps files of different groups (languages) in different units.
    """
    bundles: list[list[Piece]] = []
    group: str | None = None
    for path in paths:
        size = files.size(path)
        mine = together(path) if together else ""
        if size > split_bytes:
            for start, end in split(path, size, split_bytes):
                bundles.append([Piece(path, start, end, (size if end is None else end) - start)])
            group = None
        elif bundles and group == mine and sum(p.size for p in bundles[-1]) + size <= bundle_bytes:
            bundles[-1].append(Piece(path, 0, None, size))
        else:
            bundles.append([Piece(path, 0, None, size)])
            group = mine
    return number(bundles)


def document_units(parts: Iterable[PartFacts], *, split_bytes: int) -> list[WorkUnit]:
    """One unit per part, or several for a part of more than `split_bytes` (uncompressed)."""
    bundles: list[list[Piece]] = []
    for part in parts:
        start, size = 0, 0
        for i, (_, group_bytes, _) in enumerate(part.row_groups):
            if size and size + group_bytes > split_bytes:
                bundles.append([Piece(part.path, start, i, size)])
                start, size = i, 0
            size += group_bytes
        bundles.append([Piece(part.path, start, len(part.row_groups), size)])
    return number(bundles)


def number(bundles: Sequence[Sequence[Piece]]) -> list[WorkUnit]:
    return [
        WorkUnit(i, len(bundles), tuple(pieces), key=_key(pieces))
        for i, pieces in enumerate(bundles)
    ]


def dealt(units: Sequence[WorkUnit]) -> list[WorkUnit]:
    """Units in the order in which they are dealt to workers: big to small.

    The local runner cuts a stage's input round robin into one static bundle per worker, so this
    order balances the bundles.
    """
    return sorted(units, key=lambda u: (-u.size, u.index))


def _key(pieces: Sequence[Piece]) -> str:
    first = pieces[0]
    where = f" [{first.start}:{first.end if first.end is not None else ''}]" if first.start else ""
    more = f" and {len(pieces) - 1} more" if len(pieces) > 1 else ""
    return f"{first.path}{where}{more}"
