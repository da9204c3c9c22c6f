"""Sources: what a reader found is accounted for, whatever happens to the reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from stages import registry
from stages.documents import Counts
from stages.engine.progress import Reporter
from stages.engine.step import Record, Step
from stages.outcomes import Document, Outcome, Tally
from tests.stages.helpers import ToyReader, ToySource, digests, read_rows, toy_step

pytestmark = pytest.mark.usefixtures("toys")


def source(tmp_path: Path, **more: Any) -> Step:
    return toy_step(tmp_path, "toy_source", inputs={"input": [str(tmp_path / "raw")]}, **more)


def raw(tmp_path: Path, **content: str) -> None:
    (tmp_path / "raw").mkdir()
    for name, text in content.items():
        (tmp_path / "raw" / name).write_text(text)


def process(step: Step) -> tuple[Counts, list[Record]]:
    stage = registry.create(step)
    records = [stage.process(unit, Reporter(None)) for unit in stage.units()]
    counts = Counts()
    for record in records:
        counts.add(record.counts)
    return counts, records


def test_all_outcomes_of_bundled_files_are_written_and_balance(tmp_path: Path) -> None:
    raw(tmp_path, a="a1\tone\n!reject a2\n!skip\n", b="!bad\nb1\ttwo\n")
    counts, records = process(source(tmp_path))
    assert len(records) == 1
    assert [r["id"] for r in read_rows(tmp_path / "out")] == ["a1", "b1"]
    assert (counts.records, counts.documents_in, counts.documents_out) == (5, 4, 2)
    assert (counts.rejected, counts.bad, counts.skipped["header"]) == (1, 1, 1)
    assert counts.imbalance() == ""
    assert [Path(row["path"]).name for row in records[0].inputs] == ["a", "b"]
    assert all(len(row["sha256"]) == 64 for row in records[0].inputs)


def test_a_record_dropped_between_parser_and_outcome_shows(tmp_path: Path) -> None:
    raw(tmp_path, a="a1\tone\n!drop\n")
    with pytest.raises(RuntimeError, match=r"^2 records found, but 1 accounted for$"):
        process(source(tmp_path))


def test_a_reader_that_fails_within_a_record_leaves_one_bad_record(tmp_path: Path) -> None:
    # The reader has counted the record on which it fails.
    raw(tmp_path, a="a1\tone\n!raise\na3\tnever read\n", b="b1\ttwo\n")
    counts, _ = process(source(tmp_path))
    assert [r["id"] for r in read_rows(tmp_path / "out")] == ["a1", "b1"]
    (bad,) = read_rows(tmp_path / "out", "bad")
    assert bad["error"] == "reader: ValueError: the reader itself failed"
    assert bad["file"].endswith("/raw/a")
    assert counts.records == 3
    assert counts.imbalance() == ""


def test_a_reader_that_fails_between_records_leaves_one_bad_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails(ToyReader):
        def __call__(self, stream: BinaryIO, path: str, tally: Tally, *_: Any) -> Iterator[Outcome]:
            yield from super().__call__(stream, path, tally)
            raise EOFError("the archive ends early")

    monkeypatch.setattr(ToySource, "reader", lambda self: Fails())
    raw(tmp_path, a="a1\tone\n")
    counts, _ = process(source(tmp_path))
    assert (counts.records, counts.documents_out, counts.bad) == (2, 1, 1)
    assert counts.imbalance() == ""


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error")])
def test_a_failing_machine_is_not_taken_for_bad_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    class Fails(ToyReader):
        def __call__(self, stream: BinaryIO, path: str, tally: Tally, *_: Any) -> Iterator[Outcome]:
            tally.record()
            yield Document("a", "x", "toy", "o")
            raise error

    monkeypatch.setattr(ToySource, "reader", lambda self: Fails())
    raw(tmp_path, a="a1\tone\n")
    with pytest.raises(type(error)):
        process(source(tmp_path))
    assert digests(tmp_path / "out") == {}


@pytest.mark.parametrize("split", [7, 20, 64])
def test_stretches_of_a_file_give_what_the_whole_gives(tmp_path: Path, split: int) -> None:
    raw(tmp_path, a="".join(f"id{i}\t{'x' * (i % 13)}\n" for i in range(30)))
    process(source(tmp_path, out="whole"))
    cut = source(tmp_path, out="cut", settings={"cut": True}, layout={"split_bytes": split})
    counts, records = process(cut)
    assert len(records) > 1
    assert read_rows(tmp_path / "cut") == read_rows(tmp_path / "whole")
    assert counts.records == 30
    # The digest of a file is taken once, by the unit that has its beginning.
    assert sum("sha256" in row for r in records for row in r.inputs) == 1
