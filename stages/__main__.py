"""`python -m stages`."""

from stages.start import start


def main() -> int:
    """Returns the exit code."""
    return start("stages.cli")


if __name__ == "__main__":
    raise SystemExit(main())
