"""Fixtures of the engine's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import registry
from stages.engine.execute import Engine, Executor
from tests.stages import helpers


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the toy stages known; executors made after that know them too."""
    helpers.register(lambda name, where: monkeypatch.setitem(registry.STAGES, name, where))


def _executor(workers: int) -> Iterator[Executor]:
    before = dict(registry.STAGES)
    helpers.register()
    with Executor(Engine(workers=workers, stall_s=helpers.HANG_GUARD_S)) as executor:
        registry.STAGES.clear()
        registry.STAGES.update(before)
        yield executor


@pytest.fixture(scope="module")
def one_worker() -> Iterator[Executor]:
    yield from _executor(1)


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Executor]:
    yield from _executor(2)


@pytest.fixture
def toy_folder(toys: None, tmp_path: Path) -> Path:
    """A folder with the toy stages' input, six units, under `in`."""
    helpers.toy_input(tmp_path)
    return tmp_path
