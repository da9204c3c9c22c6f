"""Property tests draw the same examples each time, so that what passes here passes elsewhere; the
death of a process of tests is a failure.

`pytest --hypothesis-profile=default` draws others at every run.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.load_profile("same")

_died: list[Any] = []


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    if error:
        _died.append(node)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With no worker left, xdist ends well though tests may not have run."""
    if _died and not exitstatus:
        session.exitstatus = 1
