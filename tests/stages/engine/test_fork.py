"""What a process that steps are run from leaves to the processes below it."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.engine.execute import Engine, Executor
from stages.engine.pool import fork
from stages.engine.run import run_step
from tests.stages.helpers import check_folder, ended, toy_input, toy_step


class Native:
    """As an object of a native library: it must be finalised in the process that made it."""

    def __init__(self) -> None:
        self._pid, self._self = os.getpid(), self

    def __del__(self) -> None:
        if os.getpid() != self._pid:
            os._exit(99)


@pytest.fixture
def garbage() -> Iterator[None]:
    """Garbage that only a collection finds, and that ends any other process which finalises it."""
    gc.collect()
    gc.disable()
    Native()
    yield
    gc.enable()
    gc.collect()


def collects() -> int:
    gc.collect()
    return 0 if gc.isenabled() else 1


def status_of(child: int) -> int:
    if child == 0:
        status = 2
        try:
            status = collects()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(ended(child))


def test_a_fork_leaves_the_garbage_of_its_parent_alone(garbage: None) -> None:
    gc.enable()
    assert status_of(fork()) == 0
    assert gc.isenabled()


def test_that_garbage_would_end_another_process(garbage: None) -> None:
    gc.enable()
    assert status_of(os.fork()) == 99


@pytest.mark.slow
@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("workers", [1, 2])
def test_steps_run_below_a_process_with_such_garbage(
    tmp_path: Path, garbage: None, workers: int
) -> None:
    toy_input(tmp_path)
    with Executor(Engine(workers=workers)) as executor:
        run_step(toy_step(tmp_path), executor)
    check_folder(tmp_path / "out")
