"""`corpus recalibration`: from the step's own report, nothing computed anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import recalibration
from stages.engine import manifest
from stages.engine.step import InputError
from tests.pipeline import small_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("recalibration")
    recipe_file = small_run.make(folder, pages=60)
    small_run.run(recipe_file, str(folder / "work"))
    return recipe_file, str(folder / "work")


def shown(step: str, report: dict[str, object]) -> str:
    console = Console(width=220)
    with console.capture() as capture:
        recalibration.show(step, report, console)
    return capture.get()


def test_the_report_of_a_run(run: tuple[str, str]) -> None:
    found = recalibration.reports(small_run.steps(*run))
    (report,) = found.values()
    assert report["percentiles"] == [30.0, 60.0] and report["cutoffs"] == "recalibrated"
    english = report["languages"]["en"]
    text = shown("commoncrawl.perplexity", report)
    low, high = english["recalibrated"]
    assert f"{low:,.1f} / {high:,.1f}" in text
    assert "340 / 520" in text and f"{low - 340:+,.1f}" in text
    assert "100/0/0" in text  # by CCNet's cutoffs, made for other models, all is head
    assert "too few documents" in text


def test_languages_without_documents_and_hostile_names_are_shown() -> None:
    empty = {
        "documents": 0, "cutoffs": None, "recalibrated": None, "published": [340.0, 520.0],
        "shift": None, "ratio": None, "shares": {}, "intervals": None, "stable": False,
    }  # fmt: skip
    report = {"cutoffs": "published", "percentiles": [30, 60], "languages": {"e\x1b[2Jn": empty}}
    text = shown("p", report)
    assert "\x1b" not in text and "340 / 520" in text and "in force: published" in text


def test_a_run_without_a_finished_perplexity_step(tmp_path: Path) -> None:
    plan = small_run.steps(small_run.make(tmp_path / "new"), str(tmp_path / "work"))
    with pytest.raises(InputError, match="no perplexity step has been finished"):
        recalibration.reports(plan)


def test_a_step_of_an_earlier_version_has_no_report(
    run: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = manifest.load

    def earlier(folder: str) -> manifest.Manifest | None:
        known = load(folder)
        return None if known is None else replace(known, version=1)

    monkeypatch.setattr(manifest, "load", earlier)
    with pytest.raises(InputError, match="perplexity was made by an earlier version"):
        recalibration.reports(small_run.steps(*run))
