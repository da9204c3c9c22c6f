"""`corpus`, and `python -m pipeline`: Ctrl-C ends it with a word even while modules are read."""

import sys


def main() -> int:
    """Returns the exit code."""
    try:
        from pipeline.cli import main as run

        return run()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
