"""What is told of the machine that was measured."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

# Load average below which a machine counts as idle.
_QUIET = 0.5


class Conditions:
    """Begins with the measurement; as text: the load before it, and how long it has taken."""

    def __init__(self) -> None:
        self._load, self._started = os.getloadavg()[0], time.perf_counter()

    def __str__(self) -> str:
        return f"{load(self._load)}. It took {time.perf_counter() - self._started:.0f} s."


def load(average: float) -> str:
    """What the load of the machine before the first measurement means for the figures."""
    if average < _QUIET:
        return f"Load average before: {average:.1f}"
    return (
        f"Load average before: {average:.1f}, so others used the cores: wall seconds and the"
        " gain by workers are worth little, CPU seconds are somewhat too high"
    )


def machine() -> str:
    """Number of cores, class of CPU, Python: no names, no paths."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores ({cpu_class()}), Python {platform.python_version()}"


def cpu_class() -> str:
    """`x86_64, AMD EPYC`: architecture and family, without the model's number."""
    family = ""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        words = re.sub(r"\(\w+\)", "", found[1]).split() if found else []
        named = [w for w in words if w.isalpha() and w not in ("CPU", "Processor")]
        family = " ".join(named[:3])
    except OSError:
        pass
    return f"{platform.machine()}{f', {family}' if family else ''}"
