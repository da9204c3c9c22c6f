"""Environments and raw data for tests of other engines, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runners import environments, every_stage


@pytest.fixture(scope="session")
def worker_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a clean environment with our wheel."""
    return environments.worker(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw dumps of a small sample."""
    folder = tmp_path_factory.mktemp("every_stage") / "raw"
    every_stage.make_raw(folder)
    return folder
