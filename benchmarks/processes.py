"""Memory and CPU of the processes of a step, told apart by their place in the tree.

The launching process has a mother below it, this one the runner of a step, which holds what goes
through GroupByKey, this one the mother of its workers (`stages.engine.execute`). With one worker
the runner does the work itself, so it is told from workers with two or more.

Both figures only rise as long as a process lives, and are read every 20 ms: what is missed is what
a process does in its last moment. On Linux; elsewhere all is 0.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROLES = ("launcher", "mother", "runner", "worker mother", "worker")
"""By distance from the launching process; programs that workers start count as workers."""
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """Of all processes of one role: bytes of the largest one, CPU seconds of all together."""

    peak_rss: int = 0
    cpu_s: float = 0.0


class Tree:
    """Looks at a launching process and all below it: `look` is for `benchmarks.measure.in_fork`."""

    def __init__(self) -> None:
        self._depth: dict[int, int] = {}
        self._strangers = {0}
        self._seen: dict[int, Used] = {}

    def look(self, launcher: int) -> None:
        self._depth.setdefault(launcher, 0)
        for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
            if name.isdigit() and int(name) not in self._strangers:
                self._look_at(int(name))

    def _look_at(self, pid: int) -> None:
        stat = _stat(pid)
        if stat is None:
            return
        parent, cpu_s = stat
        if pid not in self._depth:
            if parent in self._strangers:
                self._strangers.add(pid)
            if parent not in self._depth:
                return
            self._depth[pid] = self._depth[parent] + 1
        before = self._seen.get(pid, Used())
        self._seen[pid] = Used(max(before.peak_rss, peak_rss(pid)), max(before.cpu_s, cpu_s))

    def used(self) -> dict[str, Used]:
        """By role; a role without a process has used nothing."""
        of: dict[str, list[Used]] = {role: [] for role in ROLES}
        for pid, used in self._seen.items():
            of[ROLES[min(self._depth[pid], len(ROLES) - 1)]].append(used)
        return {
            role: Used(max((u.peak_rss for u in some), default=0), sum(u.cpu_s for u in some))
            for role, some in of.items()
        }


def peak_rss(pid: int) -> int:
    """Bytes of `VmHWM`; 0 where the process has ended, or there is no such figure."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return 0
    _, found, rest = status.partition(b"\nVmHWM:")
    return int(rest.split(None, 1)[0]) * 1024 if found else 0


def _stat(pid: int) -> tuple[int, float] | None:
    """Parent, and CPU seconds; None where the process has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # Fields from the third on: the second, a name in brackets, may hold anything.
    fields = stat.rpartition(b")")[2].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICK
