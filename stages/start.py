"""How the commands start: Ctrl-C ends them with a word even while modules are read."""

import sys
from importlib import import_module


def start(module: str) -> int:
    """Imports a module and runs its `main`; returns the exit code."""
    try:
        code: int = import_module(module).main()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1
    return code
