"""Prints as JSON which requirements of a package, and of all that it needs, do not hold here.

python -m tests.peers.requirements NAME
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement


def unmet(name: str) -> list[str]:
    """One line a requirement that does not hold; extras that were not asked for do not count."""
    found: list[str] = []
    todo, seen = [Requirement(name)], set[tuple[str, tuple[str, ...]]]()
    while todo:
        wanted = todo.pop()
        key = (wanted.name.lower(), tuple(sorted(wanted.extras)))
        if key in seen:
            continue
        seen.add(key)
        try:
            here = distribution(wanted.name)
        except PackageNotFoundError:
            found.append(f"{wanted}: not there")
            continue
        for line in here.requires or []:
            needed = Requirement(line)
            extras = wanted.extras or {""}
            if needed.marker and not any(needed.marker.evaluate({"extra": e}) for e in extras):
                continue
            try:
                version = distribution(needed.name).version
            except PackageNotFoundError:
                found.append(f"{here.name} needs {needed}, which is not there")
                continue
            if not needed.specifier.contains(version, prereleases=True):
                found.append(f"{here.name} needs {needed}, there is {version}")
            todo.append(needed)
    return sorted(set(found))


if __name__ == "__main__":
    print(json.dumps(unmet(sys.argv[1])))
