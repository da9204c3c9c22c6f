"""Runs one floor:

    python -m benchmarks.floors NAME '{"argument": value, ...}'

prints what it went through and what that cost, as JSON.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

from benchmarks.floors import FLOORS
from benchmarks.measure import as_json, costed


def main(arguments: list[str]) -> None:
    name, options = arguments
    for module in ("numpy", "pyarrow.compute", "pyarrow.parquet"):
        import_module(module)  # for the functions that the floors share
    run = FLOORS[name][0](**json.loads(options))
    work, cost = costed(run)
    print(as_json(work, cost))


if __name__ == "__main__":
    main(sys.argv[1:])
