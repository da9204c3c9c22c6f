"""CCNet's path here beside the plain loop over documents: CPU seconds, and who decides otherwise.

python -m benchmarks.ccnet_path [--files 4] [--repeats 3]
"""

from __future__ import annotations

import math
import re
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from benchmarks import command, data
from benchmarks.cases import LANGUAGE, Case, cases
from benchmarks.ccnet_loop import MIN_CHARS
from benchmarks.measure import Cost, in_fork, in_new_process
from benchmarks.stages import Say, import_everything, run_stage, to_stderr
from stages.engine.step import Step
from stages.language.model import model_path

STEPS = ("commoncrawl", "line_dedup", "language", "perplexity")
"""The steps that CCNet's program has too; it knows no dedup of URLs and of whole documents."""
_AGAIN = ("parse again", "hash again")
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")


@dataclass
class CcnetPath:
    """CPU seconds of each repetition. `steps`: of each step here; `kinds`: of the loop by kind of
    work; `fixed`: of all steps here with next to no data."""

    documents: int
    text_bytes: int
    loop: list[float] = field(default_factory=list)
    kinds: list[dict[str, float]] = field(default_factory=list)
    steps: list[dict[str, float]] = field(default_factory=list)
    fixed: float = 0.0
    differ: dict[str, int] = field(default_factory=dict)
    decided: int = 0

    @property
    def here(self) -> list[float]:
        return [sum(run.values()) for run in self.steps]

    @property
    def ratios(self) -> list[float]:
        """How many times as much CPU the loop takes."""
        return [loop / here for loop, here in zip(self.loop, self.here, strict=True)]

    @property
    def ratios_once(self) -> list[float]:
        """The same for a loop that keeps texts and hashes of its first pass."""
        return [
            (loop - sum(kinds[kind] for kind in _AGAIN)) / here
            for loop, kinds, here in zip(self.loop, self.kinds, self.here, strict=True)
        ]


def path_cases(wet: Sequence[str], work: str, models: str) -> list[Step]:
    """The steps with the settings that are CCNet's, one after another."""
    steps, before = [], list(wet)
    for name in STEPS:
        inputs = {"input": before}
        if name == "perplexity":
            inputs["models"] = [models]
        steps.append(Step(name, name, f"{work}/{name}", inputs, {}))
        before = [f"{work}/{name}"]
    return steps


def measure(
    wet: Sequence[str], tiny: Sequence[str], models: str, work: str, repeats: int, say: Say
) -> CcnetPath:
    """Both ways in turns. `models` is the folder of a `language_model` step."""
    found = CcnetPath(0, 0)
    out = f"{work}/loop"
    options = {
        "wet": list(wet),
        "models": models,
        "language": LANGUAGE,
        "model": str(model_path()),
        "out": out,
    }
    for i in range(repeats):
        say(f"CCNet's path: {i + 1} of {repeats}")
        shutil.rmtree(out, ignore_errors=True)
        answer = in_new_process("benchmarks.ccnet_loop", orjson.dumps(options).decode())
        found.documents, found.text_bytes = answer["documents"], answer["text_bytes"]
        found.loop.append(Cost(**answer["cost"]).cpu_s)
        found.kinds.append(answer["seconds"])
        found.steps.append(
            {s.name: run_stage(s).cost.cpu_s for s in path_cases(wet, f"{work}/here", models)}
        )
    # In a fork, for what this process holds is counted as memory of all that it forks later.
    found.differ = in_fork(lambda: differing(f"{work}/here/{STEPS[-1]}", out))[0]
    found.decided = sum(pq.read_metadata(path).num_rows for path in _parts(out))
    for step in path_cases(tiny, f"{work}/tiny", models):
        found.fixed += min(run_stage(step).cost.cpu_s for _ in range(2))
    return found


def differing(here: str, loop: str) -> dict[str, int]:
    """Documents about which the steps here and the loop decide otherwise, by what differs."""
    mine, theirs = _decisions(here), _decisions(loop)
    both = mine.keys() & theirs.keys()
    counts = {
        "kept here alone": len(mine.keys() - both),
        "kept by the loop alone": len(theirs.keys() - both),
    }
    for name in ("text", "language", "bucket"):
        counts[name] = sum(mine[key][name] != theirs[key][name] for key in both)
    counts["perplexity"] = sum(
        not _close(mine[key]["perplexity"], theirs[key]["perplexity"]) for key in both
    )
    return counts


def _close(some: float | None, other: float | None) -> bool:
    if some is None or other is None:
        return some is other
    return math.isclose(some, other, rel_tol=1e-6)


def _decisions(folder: str) -> dict[str, dict[str, Any]]:
    names = ["id", "text", "language", "perplexity", "bucket"]
    found = {}
    for path in _parts(folder):
        for row in pq.read_table(path, columns=names).to_pylist():
            match = _UUID.search(row["id"].lower())
            assert match is not None, row["id"]
            found[match[0].replace("-", "")] = row
    return found


def _parts(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.parquet"))


def text(found: CcnetPath) -> str:
    """The figures as lines for a terminal."""
    mb = found.text_bytes / 1e6
    loop, here = statistics.median(found.loop), statistics.median(found.here)
    kinds = {k: statistics.median(r[k] for r in found.kinds) for k in found.kinds[0]}
    steps = {k: statistics.median(r[k] for r in found.steps) for k in found.steps[0]}
    return "\n".join(
        [
            f"{found.documents:,} documents of {MIN_CHARS} characters or more, {mb:.1f} MB",
            f"loop: {loop:.2f} CPU s, {mb / loop:.2f} MB/s/core: "
            + ", ".join(f"{name} {seconds:.2f}" for name, seconds in kinds.items()),
            f"here: {here:.2f} CPU s, {mb / here:.2f} MB/s/core (fixed {found.fixed:.2f}): "
            + ", ".join(f"{name} {seconds:.2f}" for name, seconds in steps.items()),
            f"ratio {statistics.median(found.ratios):.2f}; to a loop that parses and hashes once"
            f" {statistics.median(found.ratios_once):.2f}",
            f"of {found.decided:,} documents kept by the loop differ: "
            + ", ".join(f"{name} {n}" for name, n in found.differ.items()),
        ]
    )


def main() -> int:
    """Exit codes: those of `benchmarks.command`."""
    parser = command.Parser("benchmarks.ccnet_path", __doc__)
    parser.add_argument("--files", type=command.number(1), default=8, help="WET files [8]")
    parser.repeats(3, "of each way, in turns")
    parser.add_argument("--models", help="folder of a language_model step [trained here]")
    options = parser.parse_args()

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as below:
            raw = data.find(data.default_folder(), Path(below))
            import_everything()
            models = options.models or _models(cases(raw, f"{below}/models", large=False))
            tiny = data.tiny(raw, Path(below, "raw")).wet.small
            wet = raw.wet.large[: options.files]
            print(text(measure(wet, tiny, models, below, options.repeats, to_stderr)))

    return command.run(work)


def _models(found: Sequence[Case]) -> str:
    """Runs the steps up to `language_model`; its folder."""
    for case in found:
        run_stage(case.step)
        if case.name == "language_model":
            return case.step.output
    raise ValueError("no step trains language models")


if __name__ == "__main__":
    raise SystemExit(main())
