"""Runs a StackExchange step in this process alone and prints its peak of resident memory.

    python -m tests.stages.stackexchange_memory INPUT OUTPUT SETTINGS_JSON

Prints JSON: `before` (bytes resident before the step), `peak` (bytes, of the whole process),
`partitions`, `posts` and `documents`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import psutil

from stages import registry
from stages.engine.progress import Reporter
from stages.engine.step import Record, ShuffleStage, Step


def peak() -> int:
    """Bytes; the kernel's mark of this process's own memory, which a fork does not inherit."""
    with open("/proc/self/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["VmHWM"].split()[0]) * 1024


def main(given: str, output: str, settings: str) -> None:
    step = Step("se", "stackexchange", output, {"input": [given]}, json.loads(settings))
    stage = registry.create(step)
    assert isinstance(stage, ShuffleStage)
    quiet = Reporter(None)
    before = psutil.Process().memory_info().rss
    records: list[Record] = []
    keyed: dict[str, list[Any]] = {}
    for unit in stage.units():
        records.append(stage.emit(unit, quiet))
        for key, value in records[-1].emitted:
            keyed.setdefault(key, []).append(value)
        records[-1].emitted = []
    records += [stage.reduce(key, values, quiet) for key, values in keyed.items()]
    stage.finish(records)
    figures = {
        "before": before,
        "peak": peak(),
        "partitions": len(keyed),
        "posts": sum(r.counts.other["posts"] for r in records),
        "documents": sum(r.counts.documents_out for r in records),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
