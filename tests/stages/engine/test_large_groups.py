"""Values of a key that a service keeps, and hands over page by page: only to the thread that Beam
calls, as its state handler knows by the thread for which piece of work a page is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import orjson
import pytest

from stages.engine.step import Record
from stages.engine.transforms import _Keyed, _Process
from stages.engine.units import Piece, WorkUnit
from tests.stages.helpers import read_rows, toy_input, toy_step


class Pages:
    """An iterable that only the thread which made it may read."""

    def __init__(self, *values: Any) -> None:
        self._texts = [orjson.dumps(value).decode() for value in values]
        self._thread = threading.get_ident()

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            assert threading.get_ident() == self._thread, "asked for in another thread"
            yield text


class Sum(_Keyed):
    phase = "sum"

    def _done(self, key: str, values: list[Any]) -> Record:
        return Record(key, emitted=[(key, sum(values))])


def called(work: Any, key: Any, *values: Any) -> list[Any]:
    """What a DoFn gives for a key, called as a runner with many threads calls it."""
    work.setup()
    with futures.ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: list(work.process((key, Pages(*values))))).result(20)


@pytest.mark.usefixtures("toys")
def test_of_a_shuffle(tmp_path: Path) -> None:
    toy_input(tmp_path)
    assert called(Sum(toy_step(tmp_path).to_json()), "k", 1, 2, 3) == [("k", "6")]


@pytest.mark.usefixtures("toys")
def test_of_a_unit(tmp_path: Path) -> None:
    toy_input(tmp_path, units=1)
    unit = WorkUnit(0, 1, (Piece(str(tmp_path / "in" / "part-00000-of-00001.parquet")),), "k")
    done = called(_Process(toy_step(tmp_path).to_json()), 0, ["unit", unit.to_json()])
    assert done == ["00000-of-00001"]
    assert len(read_rows(tmp_path / "out")) == 5
