"""Toy stages and folders for tests of the engine: small, and misbehaving on demand."""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import orjson
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from stages import registry
from stages.documents import SCHEMA, Counts, PartWriter
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.rules import RuleStage
from stages.engine.source import SourceStage
from stages.engine.step import Record, Settings, ShuffleStage, Step
from stages.engine.units import WorkUnit
from stages.outcomes import Bad, Document, Outcome, Reject, Rejected, Skipped, Tally

REPO = Path(__file__).resolve().parents[2]
HANG_GUARD_S = 120


# -- documents ------------------------------------------------------------------------------------


def document(key: str, text: str, **more: Any) -> Document:
    return Document(id=key, text=text, source="toy", origin=f"toy://{key}", **more)


def write_part(
    path: str | Path,
    rows: Sequence[dict[str, Any]],
    columns: Sequence[pa.Field] = (),
    rows_per_group: int = 1 << 20,
) -> str:
    """A Parquet part of documents; `rows` need an id and a text, the rest has defaults."""
    full = [
        {"source": "toy", "origin": f"toy://{row['id']}", **row}  # the row's own values win
        for row in rows
    ]
    table = pa.Table.from_pylist(full, schema=pa.schema([*SCHEMA, *columns]))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows_per_group)
    return str(path)


def write_parts(folder: Path, parts: Sequence[Sequence[dict[str, Any]]]) -> str:
    for i, rows in enumerate(parts):
        write_part(folder / f"part-{i:05d}-of-{len(parts):05d}.parquet", rows)
    return str(folder)


def read_rows(folder: str | Path, which: str = "") -> list[dict[str, Any]]:
    """All rows of a step's parts, in order."""
    found = sorted(Path(folder, which).glob("part-*.parquet"))
    return [row for path in found for row in pq.read_table(path).to_pylist()]


def digests(folder: str | Path) -> dict[str, str]:
    """sha256 of every file below a folder by its path in it; but the manifest, which has times."""
    root = Path(folder)
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.name != "_MANIFEST.json"
    }


def check_folder(folder: str | Path) -> None:
    """What must hold of every finished step: files as listed, rows as counted, nothing left."""
    root = Path(folder)
    manifest = files.read_json(str(root / "_MANIFEST.json"))
    listed = {f["path"]: f for f in manifest["files"]}
    assert {n: f["sha256"] for n, f in listed.items()} == digests(root)
    counts = manifest["counts"]
    for which, name in (("", "documents_out"), ("rejected", "rejected"), ("bad", "bad")):
        assert len(read_rows(root, which)) == counts[name], name
    assert counts["documents_in"] == (counts["documents_out"] + counts["rejected"] + counts["bad"])


# -- a source -------------------------------------------------------------------------------------


class ToyReader:
    """One record a line: `id<TAB>text`, `!reject id`, `!bad`, `!skip`, `!raise`, `!drop`."""

    def __call__(
        self, stream: BinaryIO, path: str, tally: Tally, start: int = 0, end: int | None = None
    ) -> Iterator[Outcome]:
        stream.seek(start)
        offset = start
        if start:
            # A stretch begins behind the first line end at or after the byte before it.
            stream.seek(start - 1)
            offset = start - 1 + len(stream.readline())
        while (end is None or offset < end) and (line := stream.readline()):
            text = line.decode().rstrip("\n")
            tally.record()
            place = offset
            offset += len(line)
            if text.startswith("!reject "):
                yield Rejected(text[8:], f"{path}#{place}", "toy_reason", "because")
            elif text == "!bad":
                yield Bad(path, place, "toy: unreadable")
            elif text == "!skip":
                yield Skipped("header")
            elif text == "!raise":
                raise ValueError("the reader itself failed")
            elif text != "!drop":
                key, _, body = text.partition("\t")
                yield Document(key, body, "toy", f"{path}#{place}")


class ToySourceSettings(Settings):
    cut: bool = Field(False, description="cut large files by bytes")


class ToySource(SourceStage[ToySourceSettings]):
    name = "toy_source"
    summary = "reads lines"
    Settings = ToySourceSettings

    def reader(self) -> ToyReader:
        return ToyReader()

    @property
    def split(self) -> Any:
        from stages.engine.units import byte_stretches, whole_file

        return byte_stretches if self.settings.cut else whole_file


# -- a rule ---------------------------------------------------------------------------------------


class ToySettings(Settings):
    reject: str = Field("", description="documents whose text contains this leave")
    how: Literal[
        "", "exit0", "exit7", "segv", "kill", "raise", "lines", "memory", "system_exit", "lose"
    ] = Field("", description="how to misbehave")
    on: str = Field("", description="id of the document on which to misbehave")
    mark: str = Field("", description="misbehave only while this file is absent; then make it")
    log: str = Field("", description="file that gets a line per unit begun")
    pause_s: float = Field(0.0, description="seconds to wait before each unit is done")
    names: tuple[str, ...] = Field((), description="a list setting")


class ToyRule:
    reads = ("id", "text")
    writes = ("length",)

    def __init__(self, settings: ToySettings) -> None:
        self._s = settings

    def __call__(self, key: str, text: str) -> tuple[int] | Reject:
        if self._s.reject and self._s.reject in text:
            return Reject("contains", f"contains {self._s.reject}")
        if text.startswith("raise"):
            raise ValueError(f"cannot judge\n{text}")
        return (len(text),)


def misbehave(how: str) -> None:
    if how in ("exit0", "exit7"):
        os._exit(int(how[4:]))
    if how == "segv":
        faulthandler.disable()  # pytest's own would print all threads
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "raise":
        raise ValueError("the unit failed")
    if how == "lines":
        raise ValueError("the unit failed\nTraceback: a second line\n\nand a third one")
    if how == "memory":
        raise MemoryError
    if how == "system_exit":
        raise SystemExit(5)


class Toy(RuleStage[ToySettings]):
    name = "toy"
    summary = "measures texts, and fails on demand"
    Settings = ToySettings
    columns = (pa.field("length", pa.int32()),)
    reasons = {"contains": "contains what it must not"}

    def rule(self) -> ToyRule:
        return ToyRule(self.settings)

    def process(self, unit: WorkUnit, reporter: Reporter) -> Record:
        s = self.settings
        if s.log:
            with open(s.log, "a") as log:
                log.write(f"{unit.name} {os.getpid()}\n")
        if s.pause_s:
            time.sleep(s.pause_s)
        due = s.how and s.on in self._ids(unit)
        if due and s.mark:
            due = not os.path.exists(s.mark)
            Path(s.mark).touch()
        if due:
            misbehave(s.how)
        record = super().process(unit, reporter)
        if due and s.how == "lose":
            record.counts.documents_out -= 1
        return record

    def _ids(self, unit: WorkUnit) -> set[str]:
        return {key for p in unit.pieces for key in pq.read_table(p.path)["id"].to_pylist()}


def register(put: Any = registry.STAGES.__setitem__) -> None:
    put("toy", f"{__name__}:Toy")
    put("toy_source", f"{__name__}:ToySource")


def toy_step(tmp: Path, stage: str = "toy", out: str = "out", **more: Any) -> Step:
    """A step that reads `tmp/in` (or `tmp/raw`) and writes `tmp/<out>`."""
    given = {"progress": str(tmp / f".{out}.progress"), "inputs": {"input": [str(tmp / "in")]}}
    return Step(**{"name": stage, "stage": stage, "output": str(tmp / out), **given, **more})


def toy_input(tmp: Path, units: int = 6, documents: int = 5) -> str:
    """A folder of parts, one unit each, document ids `u<unit>d<number>`."""
    return write_parts(
        tmp / "in",
        [
            [
                {"id": f"u{u}d{d}", "text": f"text {u} {d} " + "x" * (u + d)}
                for d in range(documents)
            ]
            for u in range(units)
        ],
    )


def shuffle(step: Step) -> dict[str, Any]:
    """Runs a shuffle stage's phases in plain Python: what a runner does, without a runner.

    Returns the sum of the units' counts.
    """
    stage = registry.create(step)
    assert isinstance(stage, ShuffleStage)
    quiet = Reporter(None)
    units = stage.units()
    keyed: dict[str, list[Any]] = {}
    for unit in reversed(units):
        for key, value in stage.emit(unit, quiet).emitted:
            keyed.setdefault(key, []).append(value)
    back: dict[int, list[Any]] = {unit.index: [] for unit in units}
    for key, values in keyed.items():
        for index, value in stage.reduce(key, sorted(values, key=orjson.dumps), quiet).emitted:
            back[index].append(value)
    counts = Counts()
    for unit in units:
        values = sorted(back[unit.index], key=orjson.dumps)
        record = stage.process_with(unit, values, quiet)
        assert record.counts.imbalance() == ""
        counts.add(record.counts)
    return counts.to_json()


def write_documents(
    folder: str | Path, part: str, outcomes: Sequence[Outcome], **more: Any
) -> PartWriter:
    with PartWriter(str(folder), part, "test", **more) as out:
        for outcome in outcomes:
            out.outcome(outcome)
    return out


def alive(pid: int) -> bool:
    """Whether a process runs still (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ended(pid: int) -> int:
    """The wait status of a child of this process, when it has ended.

    One that hangs is aborted, and all below it, so that each prints where it was (pytest's
    faulthandler goes along into forked processes).
    """
    end = time.monotonic() + HANG_GUARD_S
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        if time.monotonic() > end:
            break
        time.sleep(0.02)
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    # Stopped from the top, so that none reacts to a death below it; aborted from the bottom, as
    # those below are killed along with those above.
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.suspend()
    for member in reversed(family):
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGABRT)
            member.resume()
            time.sleep(0.5)
    os.waitpid(pid, 0)
    raise AssertionError(f"it hangs, with processes {[p.pid for p in family]}")


def gone(pids: Sequence[int]) -> bool:
    """Waits until all are gone, at most the hang guard."""
    end = time.monotonic() + HANG_GUARD_S
    while any(alive(p) for p in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
