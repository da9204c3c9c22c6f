from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline import finished_run


@pytest.fixture(scope="session")
def finished_recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The recipe of `finished`; its raw files lie beside it."""
    return finished_run.recipe_file(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def finished(finished_recipe: str) -> Path:
    """The work folder of a finished run of two sources. Do not change it: `finished_run.copied`."""
    work = Path(finished_recipe).parent / "work"
    finished_run.run(finished_recipe, work)
    return work
