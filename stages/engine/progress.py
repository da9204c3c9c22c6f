"""Live progress: workers append one line per event to a local file, the command line tails it.

A line is far shorter than a pipe buffer and written by one `write` on an O_APPEND file, so lines
of several processes never mix. On a remote runner there is no such file; its metrics serve there.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

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
            os.write(self._fd, orjson.dumps({"pid": os.getpid(), **event}) + b"\n")

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

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@dataclass
class Progress:
    """The state that a progress file tells."""

    running: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    documents: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
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

    def _take(self, event: dict[str, object]) -> None:
        phase, unit = str(event["phase"]), str(event["unit"])
        key = (phase, unit)
        if event["e"] == "started":
            self.running[key] = (int(str(event["pid"])), 0, 0)
        elif event["e"] == "advanced":
            pid = int(str(event["pid"]))
            self.running[key] = (pid, int(str(event["documents"])), int(str(event["bytes"])))
        else:
            self.running.pop(key, None)
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

    def units_of(self, pid: int) -> Iterator[str]:
        """Units that a process had begun and not finished."""
        return (unit for (_, unit), v in self.running.items() if v[0] == pid)
