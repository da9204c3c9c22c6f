"""Pieces of work of a process, one after the other."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

T = TypeVar("T")


class Turns:
    """One piece of work at a time in a process, and always in the same thread.

    A process is a core: units side by side in threads of it would take turns at Python, and their
    memory would add up. Some runners give a process twelve threads. Allocators keep what was freed
    for the thread that freed it, so that units in turns in several threads would take it as often.
    """

    def __init__(self) -> None:
        self._begin()
        # Neither a thread nor who holds a lock lives on in a process that is forked off.
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._thread: futures.ThreadPoolExecutor | None = None

    def run(self, work: Callable[[], T]) -> T:
        if threading.current_thread() is threading.main_thread():
            with self._lock:
                return work()
        with self._lock:
            if self._thread is None:
                self._thread = futures.ThreadPoolExecutor(1, "units")
        return self._thread.submit(work).result()
