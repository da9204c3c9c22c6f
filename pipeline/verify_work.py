"""Runs the pieces of work of `corpus verify` on all cores, a few ahead of what is awaited."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import ProcessPoolExecutor
from typing import Protocol, TypeVar

R = TypeVar("R", covariant=True)

# Below this much to read, starting processes takes longer than what they would save.
_PROCESSES_FROM = 256 << 20


class Task(Protocol[R]):
    """A piece of work: plain data that can be sent to another process, called there. `size` is what
    it reads, in bytes; of two tasks the bigger one begins first."""

    @property
    def size(self) -> int: ...

    @property
    def __call__(self) -> Callable[[], R]: ...


Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


def run(
    tasks: Sequence[Task[R]], workers: int | None = None, progress: Progress | None = None
) -> Iterator[tuple[int, R]]:
    """Place in `tasks` and result of each, as they end. Few results are in memory at a time."""
    workers = workers or len(os.sched_getaffinity(0))
    total, done = sum(task.size for task in tasks), 0
    order = iter(sorted(range(len(tasks)), key=lambda i: (-tasks[i].size, i)))
    running: dict[Future[R], int] = {}
    with _executor(workers, total) as pool:
        while True:
            while len(running) < 2 * workers and (i := next(order, None)) is not None:
                running[pool.submit(call, tasks[i])] = i
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                i = running.pop(future)
                done += tasks[i].size
                if progress is not None:
                    progress(done, total)
                yield i, future.result()


def call(task: Task[R]) -> R:
    return task()


def _executor(workers: int, total: int) -> Executor:
    if workers == 1 or total < _PROCESSES_FROM:
        # Hashing and Parquet release the interpreter's lock, so threads use all cores, mostly.
        return ThreadPoolExecutor(workers)
    # Not forked from here: threads of Arrow and of the progress display are running.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver"))
