"""What a test asks a reader in another process (JSON), and what that one found (`.npz`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer[Any]]

PAD = 0
"""What OLMo-core fills sequences with; no document holds it."""


@dataclass(frozen=True)
class Request:
    """Shards to read.

    Attributes:
        shards: their paths without the ending.
        separator: the id that ends each document.
        vocab_size: every id is below it.
        seq_len: tokens in a sequence of a trainer.
        scratch: a folder for what a reader writes.
    """

    shards: tuple[str, ...]
    separator: int
    vocab_size: int
    seq_len: int
    scratch: str

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: str) -> Request:
        told = json.loads(Path(path).read_text())
        return cls(**{**told, "shards": tuple(told["shards"])})


class Answer:
    """Lists of stretches of ids by name."""

    def __init__(self) -> None:
        self._arrays: dict[str, Any] = {}

    def add(self, name: str, stretches: Sequence[Ids]) -> None:
        """`stretches`: arrays of shape (n,), each of its own length; or one array of rows."""
        self._arrays[f"{name}.lengths"] = np.array([len(s) for s in stretches], dtype=np.int64)
        self._arrays[f"{name}.ids"] = np.concatenate([np.zeros(0, np.int64), *stretches])

    def get(self, name: str) -> list[Ids]:
        ends = np.cumsum(self._arrays[f"{name}.lengths"])
        return np.split(self._arrays[f"{name}.ids"], ends[:-1]) if len(ends) else []

    def save(self, path: str) -> None:
        np.savez(path, **self._arrays)

    @classmethod
    def load(cls, path: Path) -> Answer:
        answer = cls()
        with np.load(path) as file:
            answer._arrays = dict(file)
        return answer


def answer_all(read: Callable[[Request], Answer]) -> None:
    """Answers the requests named on the command line, each followed by where its answer goes."""
    for request, out in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        read(Request.load(request)).save(out)
