"""Live progress: workers append one line per event to a local file, the command line tails it.

A line is far shorter than a pipe buffer and written by one `write` on an O_APPEND file, so lines
of several processes never mix. On a remote runner only the launching machine writes it: the job's
state and counters.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

_EVERY_SECONDS = 0.5


class Reporter:
    """What a worker says about its units. `path` None: says nothing."""

    def __init__(self, path: str | None) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) if path else None
        self._last = 0.0
        self._lock = threading.Lock()

    def _say(self, **event: object) -> None:
        if self._fd is not None:
            said = {"pid": os.getpid(), "t": round(time.monotonic(), 3), **event}
            os.write(self._fd, orjson.dumps(said) + b"\n")

    def started(self, phase: str, unit: str) -> None:
        self._say(e="started", phase=phase, unit=unit)

    def advanced(self, phase: str, unit: str, documents: int, size: int) -> None:
        """Cumulative figures of a running unit; at most two lines a second."""
        now = time.monotonic()
        if now - self._last >= _EVERY_SECONDS:
            self._last = now
            self._say(e="advanced", phase=phase, unit=unit, documents=documents, bytes=size)

    def finished(self, phase: str, unit: str, documents: int, size: int) -> None:
        self._say(e="finished", phase=phase, unit=unit, documents=documents, bytes=size)

    def due(self, phase: str, n: int) -> None:
        """How many pieces of work a phase has, finished ones of an earlier attempt included."""
        self._say(e="due", phase=phase, n=n)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@dataclass
class Progress:
    """The state that a progress file tells; `state` and `job` are a remote runner's words.

    `began`: when each running unit was begun; `first`: when the first of all was (seconds of the
    machine's monotonic clock, which all processes share). `due`: how many pieces of work a phase
    has, once its runner has said so; `said`: how many lines each process has written.
    """

    running: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    documents: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    began: dict[tuple[str, str], float] = field(default_factory=dict)
    first: float | None = None
    due: dict[str, int] = field(default_factory=dict)
    said: Counter[int] = field(default_factory=Counter)
    state: str = ""
    job: str = ""
    _offset: int = 0
    _rest: bytes = b""

    def read(self, path: str) -> None:
        """Takes in what was appended since the last call."""
        if not os.path.exists(path):
            return
        with open(path, "rb") as f:
            f.seek(self._offset)
            data = self._rest + f.read()
            self._offset = f.tell()
        *lines, self._rest = data.split(b"\n")
        for line in lines:
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                # The disk was full, or another run writes here: figures suffer, not the work.
                continue
            self._take(event)

    def _told_by_runner(self, event: dict[str, Any]) -> None:
        """Totals of a job elsewhere: its counters are named `<phase>.<figure>`."""
        self.state, self.job = event["state"], event["job"]
        figures = {"units": self.done, "documents": self.documents, "bytes": self.size}
        for name, total in event["counters"].items():
            phase, _, figure = name.partition(".")
            if figure in figures:
                figures[figure][phase] = total

    def _take(self, event: dict[str, Any]) -> None:
        if event["e"] == "runner":
            self._told_by_runner(event)
            return
        self.said[int(str(event.get("pid", 0)))] += 1
        if event["e"] == "due":
            self.due[str(event["phase"])] = int(str(event["n"]))
            return
        phase, unit = str(event["phase"]), str(event["unit"])
        key = (phase, unit)
        if event["e"] == "started":
            self.running[key] = (int(str(event["pid"])), 0, 0)
            self.began[key] = float(event.get("t", 0.0))
            self.first = self.began[key] if self.first is None else self.first
        elif event["e"] == "advanced":
            pid = int(str(event["pid"]))
            self.running[key] = (pid, int(str(event["documents"])), int(str(event["bytes"])))
        else:
            self.running.pop(key, None)
            self.began.pop(key, None)
            self.done[phase] = self.done.get(phase, 0) + 1
            self.documents[phase] = self.documents.get(phase, 0) + int(str(event["documents"]))
            self.size[phase] = self.size.get(phase, 0) + int(str(event["bytes"]))

    def live(self, phase: str) -> tuple[int, int]:
        """(documents, bytes) of finished and running units of a phase."""
        running = [v for (p, _), v in self.running.items() if p == phase]
        return (
            self.documents.get(phase, 0) + sum(v[1] for v in running),
            self.size.get(phase, 0) + sum(v[2] for v in running),
        )

    def longest(self, now: float) -> tuple[str, float] | None:
        """The unit that is in work the longest, and for how many seconds."""
        if not self.began:
            return None
        (_, unit), since = min(self.began.items(), key=lambda item: (item[1], item[0]))
        return unit, max(0.0, now - since)

    def pids(self) -> set[int]:
        """Processes that have a unit in work."""
        return {pid for pid, _, _ in self.running.values()}

    def units_of(self, pid: int) -> Iterator[str]:
        """Units that a process had begun and not finished."""
        return (unit for (_, unit), v in self.running.items() if v[0] == pid)
