"""A threshold changed after a finished run: what runs again, and what does not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.engine import manifest
from stages.engine.manifest import Manifest
from tests.pipeline import small_run
from tests.stages.helpers import digests

SELECT = "sources.commoncrawl.stages.select."
BEFORE = ["commoncrawl", "commoncrawl.language", "commoncrawl.perplexity"]
AFTER = ["commoncrawl.select", "tokenizer", "tokens"]


@dataclass
class Finished:
    recipe: str
    work: Path

    def again(self, *changes: str) -> list[str]:
        """Runs with changes; the names of the steps that ran."""
        found = small_run.run(self.recipe, str(self.work), changes)
        return [name for name, result in found.items() if not result.skipped]

    def manifests(self, names: Sequence[str]) -> list[Manifest]:
        found = [manifest.load(str(self.work / name)) for name in names]
        return [m for m in found if m is not None]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("late")
    finished = Finished(small_run.make(folder), folder / "work")
    assert finished.again() == BEFORE + AFTER
    assert finished.again() == []
    return finished


@pytest.fixture
def finished(first: Finished) -> Iterator[Finished]:
    """The run in its own place, since step inputs are known by their path; restored afterwards."""
    kept = first.work.with_name("kept")
    shutil.copytree(first.work, kept)
    yield first
    shutil.rmtree(first.work)
    kept.rename(first.work)


@pytest.mark.parametrize(
    "change", ["buckets=[head]", "max_perplexity=20", "min_chars=200", "languages=[en]"]
)
def test_a_threshold_runs_selection_and_what_follows(finished: Finished, change: str) -> None:
    before = finished.manifests(BEFORE)
    files_before = {name: digests(finished.work / name) for name in BEFORE}
    tokens_before = finished.manifests(["tokens"])[0]

    assert finished.again(SELECT + change) == AFTER
    after = finished.manifests(BEFORE)
    assert [m.fingerprint for m in after] == [m.fingerprint for m in before]
    assert [m.run for m in after] == [m.run for m in before]  # not even touched
    assert {name: digests(finished.work / name) for name in BEFORE} == files_before
    (tokens_now,) = finished.manifests(["tokens"])
    assert tokens_now.fingerprint != tokens_before.fingerprint
    assert finished.again(SELECT + change) == []


def test_the_tokenizer_stays_where_the_recipe_names_a_ready_one(finished: Finished) -> None:
    ready = finished.work.with_name("ready.model")
    shutil.copy(finished.work / "tokenizer" / "tokenizer.model", ready)
    pinned = f"tokenizer.path={ready}"
    assert finished.again(pinned) == ["tokens"]
    assert finished.again(pinned, SELECT + "buckets=[head]") == ["commoncrawl.select", "tokens"]


def test_going_back_gives_the_same_bytes(finished: Finished) -> None:
    names = [*BEFORE, *AFTER]
    before = {name: digests(finished.work / name) for name in names}
    assert finished.again(SELECT + "buckets=[head]") == AFTER
    assert digests(finished.work / "commoncrawl.select") != before["commoncrawl.select"]
    assert finished.again() == AFTER
    assert {name: digests(finished.work / name) for name in names} == before


def test_a_profile_is_late_bound_as_its_thresholds_are(finished: Finished) -> None:
    # Nothing here has a reference score, which `redpajama` cuts on.
    changes = [SELECT + "profile=redpajama", SELECT + "min_reference_score=null"]
    assert finished.again(*changes) == AFTER
    (select,) = finished.manifests(["commoncrawl.select"])
    assert select.settings["profile"] == "redpajama"
    assert select.settings["languages"] == ["en"]
    assert select.settings["min_language_score"] == 0.495
