"""How a run ends when it does not end well; the command turns each into an exit code."""

from __future__ import annotations


class RefusedError(Exception):
    """Settings, corpus or checkpoint do not fit together; nothing was changed. Exit code 2."""


class RunError(Exception):
    """A run that had started cannot go on; what was committed is safe. Exit code 1."""


class StoppedError(Exception):
    """A signal asked the run to end; it has saved a checkpoint. Exit code 143 (128 + SIGTERM)."""
