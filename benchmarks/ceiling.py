"""How much faster several processes of a plain loop are than one: about what workers can gain.

Virtual cores share caches, memory and sometimes a core, so two of them seldom do twice the work.
"""

from __future__ import annotations

import time
from statistics import median

from benchmarks.line_hashing import invented, line_by_line
from benchmarks.measure import in_fork


def measure(processes: int, repeats: int = 3) -> float:
    """The work that `processes` do in the time in which one does its own, by that of one."""
    texts = invented()
    line_by_line(texts[:10])

    def seconds(n: int) -> float:
        return in_fork(lambda: _wall(texts, n))[0]

    return median(processes * seconds(1) / seconds(processes) for _ in range(repeats))


def _wall(texts: list[str], processes: int) -> float:
    from multiprocessing import get_context

    fork = get_context("fork")
    started = [fork.Process(target=line_by_line, args=(texts,)) for _ in range(processes)]
    start = time.perf_counter()
    for process in started:
        process.start()
    for process in started:
        process.join()
    return time.perf_counter() - start
