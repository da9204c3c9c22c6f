"""A look into a benchmark's files before anything runs: do they hold items that can be looked for?

A misspelt field or an empty file would switch a benchmark off and leave the others as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from stages.decontaminate.benchmarks import Benchmark, Item, read_items
from stages.documents import printable
from stages.engine import files
from stages.outcomes import Bad, Tally

_ROWS = 100
"""A field that so many first rows of a file do not have is taken for a misspelt one."""
_SHOWN = 600


def fault(
    paths: Sequence[str], benchmark: Benchmark, is_testable: Callable[[Item], bool]
) -> str | None:
    """Why files of a benchmark are of no use, on one line; None where there is no reason to stop.

    Reads the first items of each file, and all of them up to the first testable one.
    """
    reasons: Counter[str] = Counter()
    examples: dict[str, str] = {}
    testable = False
    for path in paths:
        own: Counter[str] = Counter()
        items = 0
        with files.open_read(path) as stream:
            for number, outcome in enumerate(read_items(stream, path, benchmark, Tally())):
                if number >= _ROWS and not items and _is_field(own):
                    break
                if isinstance(outcome, Bad):
                    reason = outcome.error.partition(":")[0]
                    own[reason] += 1
                    examples.setdefault(reason, f"{path}: {outcome.error}")
                elif isinstance(outcome, Item):
                    items += 1
                    testable = testable or is_testable(outcome)
                    if not testable:
                        own["too_short"] += 1
                if testable and items:
                    break
        if not items and _is_field(own):
            return _cut(examples["field"])
        reasons += own
    if testable:
        return None
    if not reasons:
        return _cut(f"there is no item in {paths[0]}" + _more(len(paths) - 1))
    ((reason, count),) = reasons.most_common(1)
    if reason == "too_short":
        return f"no item can be looked for: {count:,} are too short (`min_tokens`)"
    return _cut(f"no item can be looked for; {count:,} rows like {examples[reason]}")


def _is_field(reasons: Counter[str]) -> bool:
    return bool(reasons) and reasons.most_common(1)[0][0] == "field"


def _more(files: int) -> str:
    return f" and {files} more files" if files else ""


def _cut(text: str) -> str:
    return printable(text[:_SHOWN])
