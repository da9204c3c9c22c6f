"""Memory is bounded by settings, not by the dump: four times the dump takes no more.

The common reproduction holds a whole site in memory, over 500 GB for the largest one.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stages.stackexchange_dumps import FOOTER, HEADER, answer, question

MIB = 1 << 20
SMALL, LARGE = 3 * MIB, 12 * MIB
BOUNDED = {"spill_mb": 1, "partition_memory_mb": 2}
UNBOUNDED = {"spill_mb": 1000, "partition_memory_mb": 10_000}

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc"
)


def write_dump(folder: Path, size: int) -> None:
    """A dump of `size` bytes, a third of it questions, each answer far from its question."""
    rng = random.Random(7)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randrange(2, 9))) for _ in range(2000)]
    path = folder / "x.example.com" / "Posts.xml"
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8", newline="") as out:
        written, number = out.write(HEADER), 0
        while written < size:
            number += 1
            body = f"<p>{' '.join(rng.choices(words, k=300))}</p>"
            asked = number // 3 + 1
            row = answer(number, asked, number % 40, body) if number % 3 else None
            written += out.write(row or question(10_000_000 + number, body))
        out.write(FOOTER)


def measure(tmp: Path, size: int, settings: dict[str, int]) -> dict[str, int]:
    """Bytes of memory that the step took beyond what its process had before, and its counts."""
    given = tmp / f"in-{size}"
    if not given.exists():
        write_dump(given, size)
    output = tmp / f"out-{size}-{settings['spill_mb']}"
    command = [sys.executable, "-m", "tests.stages.stackexchange_memory", str(given), str(output)]
    # One arena and the system's allocator: what is given back is given back at once.
    allocator = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [*command, json.dumps(settings)],
        env={**os.environ, **allocator, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
    )
    figures: dict[str, int] = json.loads(done.stdout)
    return {**figures, "taken": figures["peak"] - figures["before"]}


def test_redpajama_memory_does_not_grow_with_the_dump(tmp_path: Path) -> None:
    small, large = (measure(tmp_path, size, BOUNDED) for size in (SMALL, LARGE))
    assert large["posts"] > 3.9 * small["posts"] > 6000
    # More partitions take what there is more of.
    assert large["partitions"] > 3 * small["partitions"]
    # Far less than the dump grew: 9 MiB, of which a process in Python holds several times as much.
    assert large["taken"] - small["taken"] < 4 * MIB

    # The measure sees memory: with budgets that hold the whole dump, it grows by more than that.
    held = measure(tmp_path, LARGE, UNBOUNDED)
    assert held["posts"] == large["posts"]
    assert held["taken"] - large["taken"] > LARGE - SMALL
