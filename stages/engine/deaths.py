"""What is done when a worker process dies: the same again, perhaps with fewer workers, or an end.

A death says little: a library crashed, the kernel wanted memory, somebody killed it. Work is the
same at every attempt, so what is bound to happen again is found by trying again. Only where memory
may have been the cause do fewer workers help.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Sequence

from stages.engine.units import WorkUnit

MOST_PER_UNIT = 2
NO_UNIT = ""
WORKER, RUNNER, MOTHER = "a worker", "the runner", "the process that starts workers"
"""Who may die: one that does units, the one that deals them out (alone, it does them too), and the
one that workers are forked from."""


class Deaths:
    """The deaths of one step.

    `workers`: how many the next attempt has. `final`: whether the last death ends the step.
    `again`: units (their keys) that died for want of memory, and come first in the next attempt.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.final = False
        self.again: set[str] = set()
        self._most = workers
        self._advice = ""
        self._of: Counter[str] = Counter()
        self._for_memory: Counter[int] = Counter()

    @property
    def any(self) -> bool:
        """Whether a process has died already."""
        return bool(self._of)

    def add(
        self,
        unit: str,
        status: int,
        *,
        taken: tuple[int, int] | None = None,
        stalled: str = "",
        short: bool | None = None,
        alone: bool = False,
        workers: int | None = None,
    ) -> str:
        """Takes in a death and decides what follows; returns what happened, for people.

        `status` is the wait status. `taken`: the bytes that the worker had and those that it was
        allowed, where it was killed for that; `stalled`: why, where it was for doing nothing.
        `short`: whether memory was short on this machine (None: not known). `alone`: whether no
        other unit was in work beside it. `workers`: how many the attempt had (it may have had no
        use for all).
        """
        self._of[unit] += 1
        self.final = self._of[unit] >= MOST_PER_UNIT
        if stalled:
            return stalled
        if taken is not None:
            used, allowed = (n / (1 << 20) for n in taken)
            self._advice = "; allow more, or cut smaller units (split_bytes)"
            return f"{used:,.0f} MiB of memory, worker_memory_mb allows {allowed:,.0f}"
        if not os.WIFSIGNALED(status):
            return f"exit code {os.waitstatus_to_exitcode(status)}"
        number = signal.Signals(os.WTERMSIG(status))
        # The kernel ends a process in the one way, programs that forestall it begin with the other.
        if not (number == signal.SIGKILL and short is not False) and not (
            number == signal.SIGTERM and short
        ):
            return f"signal {number.name}"
        self._fewer(unit, alone, workers or self.workers)
        return f"signal {number.name}, {'' if short else 'often '}for want of memory"

    def _fewer(self, unit: str, alone: bool, workers: int) -> None:
        # The kernel kills the largest process when memory ends; fewer at a time may do, so a unit
        # has had its chances only when it died with no other beside it.
        self.final = self.final and alone
        self.again.add(unit)
        self._for_memory[self.workers] += 1
        fewer = max(1, workers // 2)
        # So many were too many before, with another unit: they are for the rest of the step.
        if self.workers == self._most and self._for_memory[self._most] >= MOST_PER_UNIT:
            self._most = fewer
        self.workers = fewer

    def chosen(self, due: Sequence[WorkUnit]) -> list[WorkUnit]:
        """What the next attempt does of the units that are due: those that died for want of memory,
        and beside them so much of the others as the other workers can do meanwhile."""
        first = [u for u in due if u.key in self.again]
        if not first:
            return list(due)
        room = (self.workers - 1) * sum(u.size for u in first)
        chosen = set()
        for unit in due:
            if unit.key not in self.again and unit.size <= room:
                chosen.add(unit.index)
                room -= unit.size
        return [u for u in due if u.key in self.again or u.index in chosen]

    def over(self) -> None:
        """The units that died are done: all workers are there again."""
        self.again.clear()
        self.workers = self._most

    def told(self, unit: str, cause: str, who: str = WORKER) -> str:
        """What a step that ends so says."""
        times = f" {self._of[unit]} times"
        return f"{who} died ({cause}){times}{place(unit, who)}{self._advice}"


def place(unit: str, who: str = WORKER) -> str:
    """Where a process died, as a part of a sentence; empty where units do not say it."""
    if unit != NO_UNIT:
        return f" on {unit}"
    return " before it began a unit" if who == WORKER else ""
