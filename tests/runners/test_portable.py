"""Stages through Beam's portable job service, their workers in a second, clean environment.

What a worker unpickles it must be able to import there, from our wheel; what it writes must be the
bytes that the local engine writes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.documents import PartWriter
from stages.outcomes import Document
from tests.data_paths import REPO
from tests.runners import every_stage, services

_LIMIT = 600


@pytest.fixture(scope="module")
def elsewhere(worker_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Options that bring the work to the clean environment."""
    folder = tmp_path_factory.mktemp("services")
    with services.job_service(folder) as jobs, services.worker_pool(worker_python, folder) as pool:
        yield [
            "--runner=PortableRunner", f"--job_endpoint={jobs}", f"--job_server_timeout={_LIMIT}",
            "--environment_type=EXTERNAL", f"--environment_config={pool}",
        ]  # fmt: skip


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=_LIMIT, cwd=REPO
    )
    assert done.returncode == 0, (done.stderr + done.stdout)[-3000:]
    return done.stdout + done.stderr


def test_the_workers_know_only_the_wheel(worker_python: Path) -> None:
    """Otherwise the other tests here would prove nothing of packaging."""
    code = "import stages, tokenizer, pipeline; print(stages.__file__)"
    done = subprocess.run(
        [worker_python, "-c", code], capture_output=True, text=True, cwd="/", check=True
    )
    assert str(worker_python.parents[1]) in done.stdout
    assert str(REPO) not in done.stdout


def wet(folder: Path) -> str:
    from tests.pipeline.small_run import make

    make(folder, pages=20)
    return str(folder / "raw")


def documents(folder: Path) -> str:
    for part in range(2):
        with PartWriter(str(folder), f"part-{part:05d}-of-00002.parquet", "test") as out:
            for i in range(10):
                text = f"only document {'xy'[part]}{chr(97 + i)} has this\na line that all have"
                out.outcome(Document(f"{part}/{i}", text, "commoncrawl", f"f#{i}"))
    return str(folder)


@pytest.mark.parametrize(
    ("stage", "given"),
    [("commoncrawl", wet), ("select", documents), ("line_dedup", documents)],
    ids=["source", "rule", "shuffle"],
)
def test_each_kind_of_stage_gives_the_bytes_of_the_local_engine(
    stage: str, given: object, tmp_path: Path, elsewhere: list[str]
) -> None:
    assert callable(given)
    where = given(tmp_path / "in")
    for name, options in (("local", ["--workers=1"]), ("elsewhere", elsewhere)):
        run("stages", stage, "--input", where, "--output", str(tmp_path / name), *options)
    local = every_stage.digests(tmp_path / "local")
    assert local and every_stage.digests(tmp_path / "elsewhere") == local


@pytest.mark.slow
def test_every_stage_gives_the_bytes_of_the_local_engine(
    raw: Path, tmp_path: Path, elsewhere: list[str]
) -> None:
    recipe = every_stage.write_recipe(tmp_path / "every.yaml", str(raw))
    assert every_stage.stages_left_out(recipe) == set()
    # Documents remember where they came from, so both runs work in the same place.
    work, found = tmp_path / "work", []
    for options in (["--workers=2"], elsewhere):
        run("pipeline", "run", recipe, "--work", str(work), *options)
        found.append((every_stage.digests(work), every_stage.manifest_digests(recipe, work)))
        shutil.rmtree(work)
    (files, steps), (files_elsewhere, steps_elsewhere) = found
    assert len(files) > 100
    assert every_stage.differing(files, files_elsewhere) == []
    assert every_stage.differing(steps, steps_elsewhere) == []
