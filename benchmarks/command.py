"""What the main programs share: options, exit codes, and an error told in one line.

Exit codes: 0 done, 1 something that was to be measured failed, 2 bad arguments or data.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import MeasureError


def number(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number of at least so much."""

    def count(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return count


class Parser(argparse.ArgumentParser):
    """Of one module; the methods add options that several have."""

    def __init__(self, module: str, about: str | None) -> None:
        super().__init__(prog=f"python -m {module}", description=about)

    def raw_data(self, what: str = "folder with WET files [as python -m benchmarks]") -> None:
        self.add_argument("--data", type=Path, help=what)
        self.add_argument("--sample", action="store_true", help="the embedded sample in any case")

    def repeats(self, default: int, what: str, name: str = "--repeats") -> None:
        self.add_argument(name, type=number(1), default=default, help=f"{what} [{default}]")

    def page(self, path: str) -> None:
        self.add_argument("--write", action="store_true", help=f"also write {path}")

    def json(self) -> None:
        self.add_argument("--json", type=Path, help="also write all figures into this file")


def folder_of(options: argparse.Namespace) -> Path | None:
    """The folder with raw data that `Parser.raw_data` gave; None for the embedded sample."""
    if options.sample:
        return None
    from benchmarks.data import default_folder  # not for programs that time their own start

    given: Path | None = options.data
    return given or default_folder()


def run(call: Callable[[], int | None], *failures: type[Exception]) -> int:
    """The exit code of a program that does `call`; its own code, if it has one, counts.

    Data that is not there (FileNotFoundError) is 2; MeasureError, `failures` and Ctrl-C are 1.
    """
    logging.getLogger().setLevel(logging.ERROR)
    failed: tuple[type[Exception], ...] = (MeasureError, *failures)
    try:
        return call() or 0
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except failed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1
