"""`python -m benchmarks.references`: what the references of a shuffle cost the processes around it.

`line_dedup` on made-up documents, a small file a unit, with so many lines that each unit has some
for each partition: units times partitions pairs meet. They go straight, a reference each, or by
relays (`stages.engine.relay`), which the engine takes from some number on: here each way by itself.
The work on the documents themselves is small, and stands apart.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks import command
from benchmarks.machine import Conditions, machine
from benchmarks.measure import REPO, MeasureError
from benchmarks.sheet import Sheet, show
from benchmarks.stages import Say, WatchedRun, run_watched, to_stderr
from stages.dedup.runs import BYTES_PER_ENTRY
from stages.documents import PartWriter, part_facts
from stages.engine import relay
from stages.engine.step import Step
from stages.outcomes import Document

SHAPES = ((250, 50), (500, 100), (1000, 200), (1000, 400))
"""Units and partitions."""
SECTION = REPO / "docs" / "performance" / "references.md"
_PAGE = REPO / "docs" / "performance.md"
_TITLE = "References of a shuffle"
# The least that `partition_memory_mb` can be. A partition holds so many entries, one for each
# 32 bytes of a unit as `line_dedup` reckons: so much text makes one partition.
_PARTITION_BYTES = (1 << 20) // BYTES_PER_ENTRY * 32
_LINE = 128
_DIGITS = str.maketrans("0123456789", "abcdefghij")


@dataclass(frozen=True)
class Shape:
    """Units and partitions of a step, whether their pairs went straight, and what it took."""

    units: int
    partitions: int
    straight: bool
    run: WatchedRun


def measure(work: str, shapes: Sequence[tuple[int, int]], say: Say) -> list[Shape]:
    """Runs a step for each pair of units and partitions, straight and then, where the engine would
    take them, by relays. Writes below `work`.

    Raises MeasureError, also where a step had other units or partitions than it should.
    """
    found = []
    for units, partitions in shapes:
        given = f"{work}/{units}x{partitions}"
        make(given, units, partitions)
        inputs, settings = {"input": [given]}, {"partition_memory_mb": 1}
        step = Step("references", "line_dedup", f"{given}.out", inputs, settings)
        relayed = relay.planned(units, partitions) is not None
        for straight in (True, False) if relayed else (True,):
            say(f"{units:,} units, {partitions:,} partitions, {_way(straight)}")
            with _pairs_straight() if straight else nullcontext():
                run = run_watched(step)
            met = run.done.get("emit"), run.done.get("reduce")
            if met != (units, partitions):
                raise MeasureError(
                    f"{units} units and {partitions} partitions were to be; {met} were"
                )
            found.append(Shape(units, partitions, straight, run))
            shutil.rmtree(f"{given}.out")
        shutil.rmtree(given)
    return found


def _way(straight: bool) -> str:
    return "straight" if straight else "relays"


@contextmanager
def _pairs_straight() -> Iterator[None]:
    """No relay however many pairs there are; the step runs in a fork of this process."""
    usual = relay.DIRECT
    relay.DIRECT = sys.maxsize
    try:
        yield
    finally:
        relay.DIRECT = usual


def make(folder: str, units: int, partitions: int) -> None:
    """As many files of one document as there are to be units, with text for the partitions."""
    size = int((partitions - 0.5) * _PARTITION_BYTES / units)
    # How much of a file is not text is seen of one.
    lines = size // _LINE
    more = _write(f"{folder}/tried", 0, 1, lines) - lines * _LINE
    shutil.rmtree(f"{folder}/tried")
    for unit in range(units):
        _write(folder, unit, units, max(1, round((size - more) / _LINE)))


def _write(folder: str, unit: int, of: int, lines: int) -> int:
    """The bytes of a unit, as steps reckon. No line is twice in all units."""
    head, rest = _letters(unit), " all of the same length ".ljust(_LINE - 17, ".")
    text = "\n".join(f"{head}{_letters(n)}{rest}" for n in range(lines))
    name = f"part-{unit:05d}-of-{of:05d}.parquet"
    Path(folder).mkdir(parents=True, exist_ok=True)
    with PartWriter(folder, name, "references") as out:
        out.outcome(Document(f"{unit}", text, "commoncrawl", f"made-up#{unit}"))
    return sum(size for _, size, _ in part_facts(f"{folder}/{name}").row_groups)


def _letters(number: int) -> str:
    """Eight letters for a number: digits all count as one in the normal form of a line."""
    return f"{number:08d}".translate(_DIGITS)


def sheet(found: Sequence[Shape]) -> Sheet:
    rows = []
    for shape in found:
        used, run = shape.run.used, shape.run
        rows.append(
            (
                f"{shape.units:,} x {shape.partitions:,}",
                _way(shape.straight),
                f"{run.references:,}",
                *(f"{used[r].peak_rss / 1e6:.0f}" for r in ("runner", "launcher", "worker")),
                f"{run.cpu_s:.1f}",
                f"{run.cpu_outside_units_s:.1f}",
                *(f"{used[role].cpu_s:.1f}" for role in ("runner", "launcher")),
            )
        )
    return Sheet(
        _TITLE,
        (
            "units x\npartitions",
            "way",
            "references",
            "runner\npeak MB",
            "launcher\npeak MB",
            "worker\npeak MB",
            "in units\nCPU s",
            "outside units\nCPU s",
            "of that\nrunner",
            "launcher",
        ),
        tuple(rows),
        (
            "`line_dedup` on made-up documents, one small file a unit, two workers: each unit tells"
            " each partition where its hashes lie, and each partition each unit where its answers"
            " do; these pairs go straight or by relays. References: what met in the runner, there"
            " and back. CPU outside units: of all processes but what units count themselves, so"
            " planning, Beam, what workers do between units, digests and manifest. Memory:"
            " resident, with all that was imported before.",
        ),
    )


def with_section(page: str, title: str, section: str) -> str:
    """A page in Markdown with its section of that title replaced, or put before the plots."""
    start = page.find(f"\n## {title}\n")
    end = page.find("\n## ", start + 1)
    if start < 0:
        start = end = page.find("\n## Plots\n")
    before = page[:start] if start >= 0 else page
    after = page[end:] if end >= 0 else ""
    return f"{before.rstrip()}\n\n{section}{after}"


def main() -> int:
    """Exit codes: those of `benchmarks.command`."""
    parser = command.Parser("benchmarks.references", __doc__)
    parser.add_argument(
        "--shapes",
        nargs="+",
        type=_shape,
        default=SHAPES,
        metavar="UNITSxPARTITIONS",
        help=f"[{' '.join(f'{a}x{b}' for a, b in SHAPES)}]",
    )
    parser.page("the section of docs/performance.md")
    options = parser.parse_args()
    return command.run(lambda: report(options))


def report(options: argparse.Namespace) -> None:
    conditions = Conditions()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        found = sheet(measure(work, options.shapes, to_stderr))
    about = f"{machine()}. {conditions}"
    show([found], about)
    if options.write:
        section = found.markdown() + f"\n{about}\n"
        SECTION.write_text(section, encoding="utf-8")
        page = _PAGE.read_text(encoding="utf-8")
        _PAGE.write_text(with_section(page, _TITLE, section), encoding="utf-8")


_whole: Callable[[str], int] = command.number(1)


def _shape(text: str) -> tuple[int, int]:
    units, _, partitions = text.partition("x")
    return _whole(units), _whole(partitions)


if __name__ == "__main__":
    raise SystemExit(main())
