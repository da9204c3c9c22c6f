"""`python -m benchmarks.peers`: the stages beside the same steps of datatrove and text-dedup.

    python -m benchmarks.peers [--data FOLDER] [--files N] [--repeats N] [--json FILE] [--write]

Each project runs in an environment of its own (`tests.peers.environments`). What cannot be had, or
fails, is told and does not stop the others.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks import command, data
from benchmarks.machine import Conditions, machine
from benchmarks.measure import REPO
from benchmarks.peers.comparisons import COMPARISONS
from benchmarks.peers.measuring import measure
from benchmarks.peers.report import differences, failures, page, sheet
from benchmarks.sheet import show

_PAGE = REPO / "docs" / "peers.md"


def main() -> int:
    """Exit codes: those of `benchmarks.command`; 1 also where all comparisons failed."""
    names = [comparison.name for comparison in COMPARISONS]
    parser = command.Parser("benchmarks.peers", __doc__)
    parser.raw_data()
    parser.add_argument(
        "--files", type=command.number(1), default=4, help="WET files to read at most [4]"
    )
    parser.repeats(3, "of each program")
    parser.add_argument("--steps", nargs="+", choices=names, default=names, help="[all]")
    parser.json()
    parser.page("docs/peers.md")
    options = parser.parse_args()

    def work() -> int:
        conditions = Conditions()
        chosen = [comparison for comparison in COMPARISONS if comparison.name in options.steps]
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as below:
            raw = data.find(command.folder_of(options), Path(below))
            found = measure(raw, Path(below), options.repeats, options.files, chosen)
        about = f"{machine()}. {found.data}. {found.repeats} repetitions in turns. {conditions}"
        show([sheet(found)], about)
        print("", *differences(found), *failures(found), sep="\n", flush=True)
        if options.json:
            options.json.write_text(json.dumps({"about": about, **asdict(found)}, indent=1) + "\n")
        if options.write:
            _PAGE.write_text(page(found, about), encoding="utf-8")
        return 1 if all(row.error for row in found.rows) else 0

    return command.run(work)


if __name__ == "__main__":
    raise SystemExit(main())
