"""How much memory worker processes take, and what one number bounds.

`worker_memory_mb` decides, where a recipe does not: how large a partition of a shuffle may get, how
much text a unit of work holds, and the sorting memory of lmplz. It is a bound for what a worker
has of its own: files that it maps (models) are shared and can be dropped by the system.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from typing import Any

MIB = 1 << 20
# Measured, of memory that is a process's own: Python, Beam, pyarrow and the tables of a stage; and
# a batch of documents (16 MiB of text) as Arrow, as strings, cut in lines and hashed.
PROCESS_MB, BATCH_MB = 150, 200
LEAST_MB = 512
# What a unit's hashes take for each byte of its text, and the files that it holds open.
_BYTES_PER_UNIT_BYTE = 3
_EVERY_SECONDS = 0.5


def bounds(worker_memory_mb: int) -> dict[str, int]:
    """`partition_mb` for a reducer, `unit_mb` of text in a unit, `sort_mb` of lmplz."""
    given = max(worker_memory_mb, LEAST_MB)
    unit = (given - PROCESS_MB - BATCH_MB) // _BYTES_PER_UNIT_BYTE
    return {
        # A reducer reads no text; beside its partition it has what it answers.
        "partition_mb": (given - PROCESS_MB) * 3 // 4,
        "unit_mb": min(64, unit),
        "sort_mb": given - PROCESS_MB,
    }


def private(pid: int) -> int:
    """Bytes of memory of a process that are its own (not files that it maps); 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            for line in status:
                if line.startswith(b"RssAnon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


class MemoryWatch:
    """Kills a worker that takes more than it is allowed, before the kernel kills any process.

    `limit`: bytes; 0 watches nothing. `killed`: by pid, the bytes that it had.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.killed: dict[int, int] = {}
        self._last = 0.0

    def look(self, pids: Iterable[int]) -> None:
        now = time.monotonic()
        if not self.limit or now - self._last < _EVERY_SECONDS:
            return
        self._last = now
        for pid in set(pids) - self.killed.keys():
            used = private(pid)
            if used > self.limit:
                self.killed[pid] = used
                os.kill(pid, signal.SIGKILL)

    def taken(self, pid: int) -> tuple[int, int] | None:
        """(bytes that it had, bytes allowed) of a process that was killed for them."""
        return (self.killed[pid], self.limit) if pid in self.killed else None


def bounded(
    stage_fields: Iterable[str],
    settings: dict[str, Any],
    layout: dict[str, Any],
    worker_memory_mb: int | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and layout of a step with what the bound decides filled in where nothing is given.

    `stage_fields`: the settings that the stage has.
    """
    if worker_memory_mb is None:
        return settings, layout
    mine = bounds(worker_memory_mb)
    decided: dict[str, Any] = {}
    if "partition_memory_mb" in stage_fields:
        decided["partition_memory_mb"] = mine["partition_mb"]
    if "memory" in stage_fields:  # of language_model: what lmplz sorts in
        decided["memory"] = f"{mine['sort_mb']}M"
    return {**decided, **settings}, {"split_bytes": mine["unit_mb"] * MIB, **layout}
