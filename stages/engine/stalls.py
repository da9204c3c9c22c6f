"""Notices processes of a local step that no longer do anything: says so, and ends them at last.

A process that is stopped, or hangs in a read that never ends or in a library's deadlock, does not
die, so the step would wait for it for ever. Signs of life, of a process or of any below it, are a
line about a unit, CPU time, and bytes read or written. One that has given none for `limit` seconds
is killed: a worker's unit is then done again as after any death, and a process between ends the
step.
"""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil

from stages.engine.progress import Progress

# Beam's sampler of states takes 0.01 of a core in a worker that only waits (measured), so CPU is a
# sign of life from this share on: of one look, for one that has just begun again, or of all since
# the last sign, where a tick of the clock (10 ms) more or less must not count.
_SHARE_OF_LOOK, _SHARE, _TICKS = 0.25, 0.03, 0.05
# Bytes by read and write; a worker that waits moves none (measured).
_MOVED = 64 << 10
# Seconds: between looks; until a warning, of one that is stopped and of one that only does nothing;
# and for a process that was killed to be gone.
_EVERY, _SAY_STOPPED, _SAY_QUIET, _GRACE = 5.0, 30.0, 300.0, 30.0
_LOCKS = "/proc/locks"


@dataclass
class _Account:
    """What is known of a process with all below it: figures at its last sign of life, and for how
    long, in seconds, it has given none (`quiet`) and was seen stopped."""

    cpu: float
    moved: int
    said: int
    cpu_before: float
    quiet: float = 0.0
    stopped: float | None = None
    warned: set[str] = field(default_factory=set)

    def take(self, cpu: float, moved: int, said: int, seconds: float) -> None:
        self.quiet += seconds
        # A process that ended takes its figures along, which is a sign of life, too.
        now, since = abs(cpu - self.cpu_before), abs(cpu - self.cpu)
        self.cpu_before = cpu
        if (
            said != self.said
            or abs(moved - self.moved) >= _MOVED
            or now > max(_SHARE_OF_LOOK * seconds, _TICKS)
            or since > _SHARE * self.quiet + _TICKS
        ):
            self.alive(cpu, moved, said)

    def alive(self, cpu: float, moved: int, said: int) -> None:
        self.cpu, self.moved, self.said = cpu, moved, said
        self.quiet = 0.0
        self.warned.discard("quiet")


@dataclass(frozen=True)
class _Process:
    parent: int
    depth: int
    name: str
    status: str
    cpu: float
    moved: int


class StallWatch:
    """Watches what is below `root`, the mother of a step's runner.

    `limit`: seconds; 0 for no end, only words. `pool`: the runner has workers of its own, behind
    their mother. `say` gets the warnings. `ended`: by pid, why a worker was killed; `failed`: why
    the step cannot go on; `given_up`: even the last that was killed does not end.
    """

    def __init__(
        self, limit: float, root: int, pool: bool, say: Callable[[str], None] | None = None
    ) -> None:
        self.limit = limit or float("inf")
        self.ended: dict[int, str] = {}
        self.failed = ""
        self.given_up = False
        self._root, self._pool = root, pool
        self._say = say or (lambda _: None)
        self._every = min(_EVERY, self.limit / 20)
        self._grace = min(_GRACE, self.limit)
        self._last: float | None = None
        self._accounts: dict[int, _Account] = {}
        # Who is killed next if the one before does not end, and for how long it has had time.
        self._next: list[int] = []
        self._waited = 0.0

    def look(self, progress: Progress) -> None:
        """Looks if it is time. Only time in which looks came counts: while this process itself is
        stopped, or the machine asleep, nobody else is to blame."""
        now = time.monotonic()
        if self._last is not None and now - self._last < self._every:
            return
        seconds = 0.0 if self._last is None else min(now - self._last, 2 * self._every)
        self._last = now
        self.see(_family(self._root), progress, seconds)

    def see(self, family: dict[int, _Process], progress: Progress, seconds: float) -> None:
        """Takes in what the processes are after some more seconds, and acts."""
        self._count(family, progress, seconds)
        if self.ended or self.failed:
            self._insist(family, seconds)
            return
        for pid, process in family.items():
            self._warn(pid, process, family, progress)
        self._judge(family, progress)

    def _count(self, family: dict[int, _Process], progress: Progress, seconds: float) -> None:
        below = {pid: [pid] for pid in family}
        for pid in sorted(family, key=lambda pid: -family[pid].depth):
            if (parent := family[pid].parent) in below:
                below[parent] += below[pid]
        for gone in self._accounts.keys() - family.keys():
            del self._accounts[gone]
        for pid, process in family.items():
            cpu = sum(family[p].cpu for p in below[pid])
            moved = sum(family[p].moved for p in below[pid])
            said = sum(progress.said[p] for p in below[pid])
            account = self._accounts.setdefault(pid, _Account(cpu, moved, said, cpu))
            account.take(cpu, moved, said, seconds)
            if any(family[p].status == psutil.STATUS_TRACING_STOP for p in below[pid]):
                account.alive(cpu, moved, said)  # Somebody looks at it with a debugger.
            if process.status != psutil.STATUS_STOPPED:
                account.stopped = None
                account.warned.discard("stopped")
            else:
                account.stopped = 0.0 if account.stopped is None else account.stopped + seconds

    def _is_worker(self, process: _Process) -> bool:
        return process.depth == (3 if self._pool else 1)

    def _is_between(self, process: _Process) -> bool:
        return process.depth < (3 if self._pool else 1)

    def _warn(
        self, pid: int, process: _Process, family: dict[int, _Process], progress: Progress
    ) -> None:
        account = self._accounts[pid]
        end = f"after {self.limit:g} s it is killed" if self.limit != float("inf") else ""
        if account.stopped is not None:
            if account.stopped < min(_SAY_STOPPED, self.limit / 4):
                return
            kind, told = "stopped", f"is stopped (T) since {account.stopped:.0f} s"
            end = f"`kill -CONT {pid}` has it go on{', ' if end else ''}{end}"
        elif pid in progress.pids() and account.quiet >= min(_SAY_QUIET, self.limit / 2):
            kind = "quiet"
            told = f"({_state(pid, process)}) has done nothing for {account.quiet:.0f} s"
        else:
            return
        if kind in account.warned:
            return
        account.warned.add(kind)
        if kind == "quiet" and _waits_for_lock(pid):
            end = "it waits for a lock of another process"
        unit = _unit(pid, family, progress)
        self._say(
            f"{self._who(pid, process)} {told}{f' on {unit}' if unit else ''}"
            f"{'; ' if end else ''}{end}"
        )

    def _who(self, pid: int, process: _Process) -> str:
        if self._is_worker(process):
            return f"worker {pid}"
        if self._is_between(process):
            return f"process {pid}, which hands out work,"
        return f"{process.name}, process {pid} of a worker,"

    def _judge(self, family: dict[int, _Process], progress: Progress) -> None:
        at_end = {
            pid: process
            for pid, process in family.items()
            if self._accounts[pid].quiet >= self.limit
        }
        stopped = psutil.STATUS_STOPPED
        for pid, process in at_end.items():
            if self._is_between(process) and process.status == stopped:
                self.failed = f"{self._who(pid, process)} was stopped (T) and did nothing for"
                self.failed += f" {self._accounts[pid].quiet:.0f} s, so it was killed"
                self._kill(pid, family)
                return
        if any(self._is_between(p) and p.status == stopped for p in family.values()):
            return  # It would not even learn of a death.
        busy = progress.pids() & family.keys()
        for pid, process in at_end.items():
            idle = process.status != stopped and pid not in busy
            if idle or not self._is_worker(process) or _waits_for_lock(pid):
                continue
            quiet = self._accounts[pid].quiet
            state = _state(pid, process)
            self.ended[pid] = f"killed after {quiet:.0f} s without a sign of life, state {state}"
            self._kill(pid, family)
            return
        if busy or self._root not in at_end or any(map(_waits_for_lock, family)):
            return
        runners = [pid for pid, p in family.items() if p.depth == 1]
        if any(pid not in at_end for pid in runners):
            return
        # With no runner it is the mother herself that hangs, on her way to one.
        pid = next(iter(runners), self._root)
        self.failed = f"nothing was done for {self._accounts[pid].quiet:.0f} s, with no unit"
        self.failed += f" in work; process {pid}, which hands out work, was killed"
        self._kill(pid, family)

    def _kill(self, pid: int, family: dict[int, _Process]) -> None:
        """Kills a process; those above it follow if even that does not end it."""
        chain = [pid]
        while (parent := family[chain[-1]].parent) in family:
            chain.append(parent)
        self._next = [p for p in chain[1:] if family[p].depth <= 1]
        self._waited = 0.0
        _end(pid)

    def _insist(self, family: dict[int, _Process], seconds: float) -> None:
        self._waited += seconds
        if self._waited < self._grace:
            return
        if not self._next:
            self.given_up = True
            return
        for pid in self.ended if not self.failed else ():
            self.failed = (
                f"worker {pid} does not end even when it is killed"
                f" (state {_state(pid, family[pid])})"
                if pid in family
                else f"nobody took notice of the end of worker {pid} (it was {self.ended[pid]})"
            )
        self._waited = 0.0
        _end(self._next.pop(0))


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _family(root: int) -> dict[int, _Process]:
    """The living processes from `root` down, those above before those below."""
    family: dict[int, _Process] = {}
    try:
        top = psutil.Process(root)
        # In this order parents come before their children.
        members = [top, *top.children(recursive=True)]
    except psutil.Error:
        return {}
    for member in members:
        try:
            with member.oneshot():
                status, parent = member.status(), member.ppid()
                times = member.cpu_times()
                name = member.name()
        except psutil.Error:
            continue
        if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            continue
        if member.pid != root and parent not in family:
            continue
        depth = 0 if member.pid == root else family[parent].depth + 1
        cpu = sum(getattr(times, kind, 0.0) for kind in _CPU)
        family[member.pid] = _Process(parent, depth, name, status, cpu, _moved(member))
    return family


_CPU = ("user", "system", "children_user", "children_system")


def _moved(process: psutil.Process) -> int:
    try:
        io = process.io_counters()
    except (psutil.Error, AttributeError, NotImplementedError):
        return 0
    # What the storage gave also counts pages of mapped files, and of memory that was swapped out.
    return sum(getattr(io, kind, 0) for kind in ("read_chars", "write_chars", "read_bytes"))


def _unit(pid: int, family: dict[int, _Process], progress: Progress) -> str:
    """The unit that a process, or the worker above it, has in work."""
    while pid in family:
        if unit := next(progress.units_of(pid), ""):
            return unit
        pid = family[pid].parent
    return ""


def _state(pid: int, process: _Process) -> str:
    """The letter of a process's state: D if any thread of it is in a call that cannot be
    interrupted (the state of a process is that of its first thread, which does no unit)."""
    if process.status == psutil.STATUS_STOPPED:
        return "T"
    return "D" if "D" in _states_of_threads(pid) else "S"


def _states_of_threads(pid: int) -> Iterator[str]:
    for path in glob.iglob(f"/proc/{pid}/task/*/stat"):
        with contextlib.suppress(OSError), open(path) as stat:
            yield stat.read().rpartition(")")[2].split()[0]


def _waits_for_lock(pid: int) -> bool:
    """Whether a process waits for a file that another has locked, as for a model that it copies;
    its holder is the one to look at."""
    try:
        with open(_LOCKS) as locks:
            return any("->" in line and str(pid) in line.split() for line in locks)
    except OSError:
        return False
