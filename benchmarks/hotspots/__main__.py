"""`python -m benchmarks.hotspots`: the hottest functions of four kernels, beside the plain way.

Decontamination, book dedup, LaTeX and wikitext on fixed slices of real data in memory. Each plain
way is the straightforward program for the same answers.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import command, data
from benchmarks.hotspots import measure, sheet
from benchmarks.sheet import show


def main() -> int:
    """Exit codes: those of `benchmarks.command`; 1 also where answers differ."""
    parser = command.Parser("benchmarks.hotspots", __doc__)
    parser.add_argument("--data", type=Path, help="folder with books, arxiv, eval, wikipedia")
    parser.repeats(5, "of each way")
    options = parser.parse_args()

    def work() -> int:
        folder = options.data or data.default_folder()
        if folder is None:
            raise FileNotFoundError("name a folder with data")
        found = measure(options.repeats, folder)
        show([sheet(found)], width=160)
        return int(any(spot.differ for spot in found))

    return command.run(work)


if __name__ == "__main__":
    raise SystemExit(main())
