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
# Programs that kill before the kernel does begin where this share of memory is left (earlyoom's
# default); what was seen so long ago still tells of a death now.
_LOW, _RECENT_SECONDS = 0.1, 2.0


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
    """Bytes of memory of a process that are not files that it maps; 0 if it is gone. What it has
    from the process that forked it, and neither has changed, is counted."""
    return _kilobytes(f"/proc/{pid}/status", b"RssAnon:") * 1024


def own(pid: int) -> int:
    """As `private`, but what is shared with other processes counts in parts; dearer to ask."""
    return _kilobytes(f"/proc/{pid}/smaps_rollup", b"Pss_Anon:") * 1024 or private(pid)


def _kilobytes(path: str, name: bytes) -> int:
    try:
        with open(path, "rb") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
    except OSError:
        return 0


def oom_kills() -> int | None:
    """Processes that the kernel has killed for want of memory since it started, in whichever
    container; None where it does not tell."""
    try:
        with open("/proc/vmstat", "rb") as stat:
            return next((int(x.split()[1]) for x in stat if x.startswith(b"oom_kill ")), None)
    except OSError:
        return None


def share_available() -> float | None:
    """The share of this machine's memory that can be had; None where that is not told."""
    try:
        with open("/proc/meminfo", "rb") as info:
            told = {line.split(b":")[0]: int(line.split()[1]) for line in info}
        return told[b"MemAvailable"] / told[b"MemTotal"]
    except (OSError, KeyError):
        return None


class MemoryWatch:
    """Kills a worker that takes more than it is allowed, before the kernel kills any process.

    `limit`: bytes; 0 kills nothing. `killed`: by pid, the bytes that it had.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.killed: dict[int, int] = {}
        self._last = 0.0
        self._kills = oom_kills()
        self._low: float | None = None

    def look(self, pids: Iterable[int]) -> None:
        now = time.monotonic()
        if now - self._last < _EVERY_SECONDS:
            return
        self._last = now
        available = share_available()
        if available is not None and available < _LOW:
            self._low = now
        if not self.limit:
            return
        for pid in set(pids) - self.killed.keys():
            used = private(pid)
            if used > self.limit and (used := own(pid)) > self.limit:
                self.killed[pid] = used
                os.kill(pid, signal.SIGKILL)

    def taken(self, pid: int) -> tuple[int, int] | None:
        """(bytes that it had, bytes allowed) of a process that was killed for them."""
        return (self.killed[pid], self.limit) if pid in self.killed else None

    def short(self) -> bool | None:
        """Whether a process that was killed just now may have been so for want of memory: the
        kernel has killed some since this watch began, or little was left. None: nobody knows."""
        if self._low is not None and time.monotonic() - self._low < _RECENT_SECONDS:
            return True
        kills = oom_kills()
        return None if kills is None or self._kills is None else kills > self._kills


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
