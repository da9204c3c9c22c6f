"""The ledger of a run: what was decided about its data after it began.

Two kinds of entries, both by sequence number: from here on another mixture (`MixtureChange`), and
never train on these (`Quarantine`). The data order is a function of the manifest, the seed and the
mixture changes, so a replay with the same ledger sees the same data. A quarantined sequence keeps
its number and its place; only its labels count for nothing, so an entry shifts nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tokenizer.files import AtomicFile, file_system, read_bytes

FILE_NAME = "ledger.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MixtureChange(_Part):
    """From sequence `from_sequence` on, sources have these shares of training sequences.

    Each source goes on where it was: nothing is repeated and nothing is left out.
    """

    from_sequence: Annotated[int, Field(gt=0)]
    weights: Annotated[dict[str, float], Field(min_length=1)]
    reason: str = ""


class Quarantine(_Part):
    """Sequences `first` to `last`, both included, are not trained on."""

    first: Annotated[int, Field(ge=0)]
    last: Annotated[int, Field(ge=0)]
    reason: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> Quarantine:
        if self.last < self.first:
            raise ValueError(f"quarantine from {self.first} to {self.last} is empty")
        return self


class Ledger(_Part):
    """All entries of a run; mixture changes in the order of their sequence numbers."""

    format: Literal["llama-corpus ledger"] = "llama-corpus ledger"
    format_version: Literal[1] = 1
    mixture: tuple[MixtureChange, ...] = ()
    quarantine: tuple[Quarantine, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Ledger:
        at = [change.from_sequence for change in self.mixture]
        if at != sorted(set(at)):
            raise ValueError("mixture changes must come at rising sequence numbers")
        return self

    def with_change(self, change: MixtureChange) -> Ledger:
        """The ledger with one more mixture change. Raises ValueError if it is not the last."""
        return Ledger(mixture=(*self.mixture, change), quarantine=self.quarantine)

    def with_quarantine(self, entry: Quarantine) -> Ledger:
        """The ledger with one more quarantine; the same entry twice is kept once."""
        entries = sorted({*self.quarantine, entry}, key=lambda q: (q.first, q.last, q.reason))
        return Ledger(mixture=self.mixture, quarantine=tuple(entries))

    def quarantined(
        self, numbers: Sequence[int] | range | npt.NDArray[np.integer]
    ) -> npt.NDArray[np.bool_]:
        """Which of these sequence numbers are not trained on: bool of the shape (m,)."""
        asked = np.asarray(numbers, dtype=np.int64)
        if not self.quarantine:
            return np.zeros(asked.shape, dtype=np.bool_)
        firsts, lasts = _joined(self.quarantine)
        at = np.searchsorted(firsts, asked, side="right") - 1
        return (at >= 0) & (asked <= lasts[np.maximum(at, 0)])

    def before(self, sequence: int) -> Ledger:
        """What the ledger says of the sequences below `sequence`.

        Two ledgers with the same answer gave a run of so many sequences the same data, so this is
        what a checkpoint is compared by.
        """
        kept = [
            Quarantine(first=q.first, last=min(q.last, sequence - 1))
            for q in self.quarantine
            if q.first < sequence
        ]
        firsts, lasts = _joined(kept)
        return Ledger(
            mixture=tuple(
                change.model_copy(update={"reason": ""})
                for change in self.mixture
                if change.from_sequence < sequence
            ),
            quarantine=tuple(
                Quarantine(first=a, last=b)
                for a, b in zip(firsts.tolist(), lasts.tolist(), strict=True)
            ),
        )

    def to_json(self) -> bytes:
        """The bytes of the ledger file; the same ledger gives the same bytes."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the ledger atomically."""
        with AtomicFile(path) as stream:
            stream.write(self.to_json())


EMPTY = Ledger()


def load(path: str | os.PathLike[str]) -> Ledger:
    """Reads a ledger file. Raises ValueError with one line if there is none or it is not one."""
    fs, inner = file_system(path)
    if not fs.isfile(inner):
        raise ValueError(f"{os.fspath(path)}: no such ledger")
    try:
        return Ledger.model_validate_json(read_bytes(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{os.fspath(path)}: {place + ': ' if place else ''}{first['msg']}"
        ) from error


def _joined(
    entries: Sequence[Quarantine],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last numbers of the union of the entries, ascending, without overlaps."""
    spans: list[list[int]] = []
    for entry in sorted(entries, key=lambda q: q.first):
        if spans and entry.first <= spans[-1][1] + 1:
            spans[-1][1] = max(spans[-1][1], entry.last)
        else:
            spans.append([entry.first, entry.last])
    both = np.array(spans, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
