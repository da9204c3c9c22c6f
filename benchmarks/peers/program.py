"""What the programs in the environments of other projects have in common: they run one step on
files, and print what it cost and what it left. Nothing here is imported that is not theirs too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.measure import Cost, costed

Step: TypeAlias = Callable[[], int]
"""A step with everything imported, ready to run; it returns the documents that it read."""
Make: TypeAlias = Callable[..., Step]


@dataclass(frozen=True)
class Run:
    """One run of a step: its cost, its documents, and the bytes (UTF-8) of the texts it left."""

    cost: Cost
    documents_in: int
    documents_out: int
    text_bytes_out: int

    @property
    def work(self) -> tuple[int, int, int]:
        """What repeated runs have in common."""
        return self.documents_in, self.documents_out, self.text_bytes_out


def parse(printed: str) -> tuple[str, Run]:
    """Version and run from what `main` printed last. Raises ValueError."""
    answer = json.loads(printed.splitlines()[-1])
    answer["run"]["cost"] = Cost(**answer["run"]["cost"])
    return answer["version"], Run(**answer["run"])


def main(
    package: str,
    programs: Mapping[str, Make],
    left: Callable[[Path], tuple[int, int]],
    arguments: list[str],
) -> None:
    """Runs the program that the first argument names with the options (JSON) of the second one.

    `left` counts documents and bytes of text in the output; that is not measured.
    """
    name, options = arguments
    given: dict[str, Any] = json.loads(options)
    Path(given["out"]).mkdir(parents=True)
    documents_in, cost = costed(programs[name](**given))
    run = Run(cost, documents_in, *left(Path(given["out"])))
    print(json.dumps({"version": version(package), "run": asdict(run)}))
