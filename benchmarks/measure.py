"""CPU seconds, wall seconds and peak memory of a call, each in a process of its own."""

from __future__ import annotations

import gc
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

REPO = Path(__file__).resolve().parents[1]
_LOOK_EVERY_SECONDS = 0.02
_FORK = multiprocessing.get_context("fork")


class MeasureError(RuntimeError):
    """What was to be measured failed; the message holds its traceback."""


@dataclass(frozen=True)
class Cost:
    """Seconds; `peak_rss` in bytes is that of the largest process, children included."""

    cpu_s: float
    wall_s: float
    peak_rss: int


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of repeated measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def peak_rss() -> int:
    """Bytes. `VmHWM` where there is one: `ru_maxrss` of a process that was started by another one
    begins with the memory of that one."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    try:
        status = Path("/proc/self/status").read_text()
        (line,) = [x for x in status.splitlines() if x.startswith("VmHWM:")]
        return max(int(line.split()[1]) * 1024, children)
    except (OSError, ValueError):
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return max(own if sys.platform == "darwin" else own * 1024, children)


def costed(call: Callable[[], T]) -> tuple[T, Cost]:
    """Runs `call` in this process; CPU seconds are those of all its threads and children."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    value = call()
    return value, Cost(_cpu_seconds() - cpu, time.perf_counter() - wall, peak_rss())


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def in_fork(call: Callable[[], T], look: Callable[[int], None] | None = None) -> tuple[T, Cost]:
    """Runs `call` in a fork of this process, which has its imports already. Raises MeasureError.

    `look` gets the pid of the fork again and again while it runs.
    """
    here, there = _FORK.Pipe()
    process = _FORK.Process(target=_answer, args=(there, call))
    gc.collect()  # Garbage of this process is not the fork's to finalise.
    process.start()
    there.close()
    while look is not None and not here.poll(_LOOK_EVERY_SECONDS):
        look(process.pid or 0)
    try:
        value, cost, error = here.recv()
    except EOFError:
        value, cost, error = None, None, "the process ended without an answer"
    process.join()
    if error is not None:
        raise MeasureError(error)
    return value, cost


def _answer(pipe: Connection, call: Callable[[], Any]) -> None:
    gc.freeze()  # Nor are objects from before its to look through again and again.
    try:
        pipe.send((*costed(call), None))
    except BaseException:  # noqa: BLE001 - it is raised again in the process that asked
        pipe.send((None, None, traceback.format_exc()))


def in_new_process(module: str, *arguments: str) -> dict[str, Any]:
    """Runs `python -m module arguments...`; what it prints last is JSON. Raises MeasureError."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MeasureError(f"{module} {arguments[0]}: {done.stderr[-4000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def as_json(work: Any, cost: Cost) -> str:
    return json.dumps({**asdict(work), "cost": asdict(cost)})
