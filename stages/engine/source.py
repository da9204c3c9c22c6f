"""Base of the stages that read raw dumps: files in, documents, rejects and bad records out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import pyarrow as pa

from stages.documents import PartWriter
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.step import Port, Record, S, Stage, input_row
from stages.engine.units import Piece, Splitter, WorkUnit, raw_units, whole_file
from stages.outcomes import Bad, Outcome, SourceReader, Tally

_REPORT_EVERY = 64


class SourceStage(Stage[S]):
    """Reads raw files with a `SourceReader`; subclasses name the reader and how files are cut."""

    ports = {"input": Port("raw", "raw files: paths, patterns or folders")}
    columns: ClassVar[tuple[pa.Field, ...]] = ()

    @abstractmethod
    def reader(self) -> SourceReader:
        """A reader with the stage's settings; made once per unit."""

    @property
    def split(self) -> Splitter:
        return whole_file

    def group(self, path: str) -> str:
        """Files of different groups are never bundled into one unit."""
        return ""

    def complete(self, rows: list[dict[str, Any]]) -> None:
        """Fills in the further columns of a batch of documents about to be written."""

    def units(self) -> list[WorkUnit]:
        return raw_units(
            files.glob(self.step.inputs["input"]),
            split_bytes=self.layout.split_bytes,
            bundle_bytes=self.layout.bundle_bytes,
            split=self.split,
            together=self.group,
        )

    def process(self, unit: WorkUnit, reporter: Reporter) -> Record:
        reader, tally = self.reader(), Tally()
        record = Record(unit.name)
        with PartWriter(
            self.step.output, unit.part, self.step.name, self.columns, self.complete
        ) as out:
            for piece in unit.pieces:
                # The stretch at the beginning of a file speaks for its digest.
                record.inputs.append(input_row(piece.path, whole=piece.start == 0))
                for n, outcome in enumerate(_outcomes(reader, piece, tally)):
                    out.outcome(outcome)
                    if n % _REPORT_EVERY == 0:
                        reporter.advanced(
                            "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                        )
        known = out.counts.documents_in + sum(out.counts.skipped.values())
        if tally.records != known:
            raise RuntimeError(f"{tally.records} records found, but {known} accounted for")
        out.counts.records = tally.records
        out.counts.other["raw_bytes"] = sum(piece.size for piece in unit.pieces)
        record.counts, record.files = out.counts, out.files
        return record


def _outcomes(reader: SourceReader, piece: Piece, tally: Tally) -> Iterator[Outcome]:
    """A reader's outcomes; a reader that fails outright makes one bad record of what is left.

    Failures of the machine (memory, the disk or network: an OSError with a number) are raised,
    because they say nothing about the data and another attempt may not meet them.
    """
    due = tally.records
    try:
        with files.open_read(piece.path) as handle:
            for outcome in reader(handle, piece.path, tally, piece.start, piece.end):  # type: ignore[arg-type]
                due += 1
                yield outcome
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if tally.records == due:
            tally.record()  # It failed between records; otherwise the bad one is counted already.
        yield Bad(piece.path, piece.start, f"reader: {type(error).__name__}: {error}")
