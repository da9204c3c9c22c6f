"""What is done when a worker process dies: the same again, perhaps with fewer workers, or an end.

A death says little: a library crashed, the kernel wanted memory, somebody killed it. Work is the
same at every attempt, so what is bound to happen again is found by trying again.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

MOST_PER_UNIT = 2
NO_UNIT = "(no unit was begun)"


class Deaths:
    """The deaths of one step.

    `workers`: how many the next attempt has. `final`: whether the last death ends the step.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.final = False
        self._advice = ""
        self._of: Counter[str] = Counter()

    def add(self, unit: str, status: int, taken: tuple[int, int] | None = None) -> str:
        """Takes in a death and decides what follows; returns what happened, for people.

        `status` is the wait status. `taken`: the bytes that the worker had and those that it was
        allowed, where it was killed for that.
        """
        self._of[unit] += 1
        self.final = self._of[unit] >= MOST_PER_UNIT
        if taken is not None:
            used, allowed = (n / (1 << 20) for n in taken)
            self._advice = "; allow more, or cut smaller units (split_bytes)"
            return f"{used:,.0f} MiB of memory, worker_memory_mb allows {allowed:,.0f}"
        if not os.WIFSIGNALED(status):
            return f"exit code {os.waitstatus_to_exitcode(status)}"
        number = signal.Signals(os.WTERMSIG(status))
        if number != signal.SIGKILL:
            return f"signal {number.name}"
        # The kernel kills the largest process when memory ends; fewer at a time may do, so a unit
        # has had its chances only when it died with no other beside it.
        self.final = self.final and self.workers == 1
        self.workers = max(1, self.workers // 2)
        return "signal SIGKILL, often for want of memory"

    def told(self, unit: str, cause: str) -> str:
        """What a step that ends so says."""
        told = f"a worker died ({cause}) {self._of[unit]} times on {unit}"
        return told + self._advice
