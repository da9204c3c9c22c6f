"""`python -m benchmarks.peers`: the stages beside the same steps of datatrove and text-dedup.

    python -m benchmarks.peers [--data FOLDER] [--files N] [--repeats N] [--json FILE] [--write]

Each project runs in an environment of its own (`tests.peers.environments`). What cannot be had, or
fails, is told and does not stop the others.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks import data, sheets
from benchmarks.__main__ import show
from benchmarks.measure import REPO, MeasureError
from benchmarks.peers.comparisons import COMPARISONS
from benchmarks.peers.measuring import measure
from benchmarks.peers.report import differences, failures, page, sheet

_PAGE = REPO / "docs" / "peers.md"


def main() -> int:
    """Exit codes: 0 done, 1 a stage or all of the others failed, 2 bad arguments or data."""
    names = [comparison.name for comparison in COMPARISONS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with WET files [as python -m benchmarks]")
    parser.add_argument("--sample", action="store_true", help="the embedded sample in any case")
    parser.add_argument("--files", type=int, default=4, help="WET files to read at most [4]")
    parser.add_argument("--repeats", type=int, default=3, help="of each program [3]")
    parser.add_argument("--steps", nargs="+", choices=names, default=names, help="[all]")
    parser.add_argument("--json", type=Path, help="also write all figures into this file")
    parser.add_argument("--write", action="store_true", help="also write docs/peers.md")
    options = parser.parse_args()
    if min(options.repeats, options.files) < 1:
        parser.error("at least one repetition and one file")
    logging.getLogger().setLevel(logging.ERROR)
    load, started = os.getloadavg()[0], time.perf_counter()
    chosen = [comparison for comparison in COMPARISONS if comparison.name in options.steps]
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        folder = None if options.sample else options.data or data.default_folder()
        try:
            raw = data.find(folder, Path(work))
            found = measure(raw, Path(work), options.repeats, options.files, chosen)
        except FileNotFoundError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except MeasureError as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 1
    about = (
        f"{sheets.machine()}. {found.data}. {found.repeats} repetitions in turns."
        f" {sheets.load(load)}. It took {time.perf_counter() - started:.0f} s."
    )
    show([sheet(found)], about)
    print("", *differences(found), *failures(found), sep="\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"about": about, **asdict(found)}, indent=1) + "\n")
    if options.write:
        _PAGE.write_text(page(found, about), encoding="utf-8")
    return 1 if all(row.error for row in found.rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
