"""`corpus`, and `python -m pipeline`."""

from stages.start import start


def main() -> int:
    """Returns the exit code."""
    return start("pipeline.cli")


if __name__ == "__main__":
    raise SystemExit(main())
