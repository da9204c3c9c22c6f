"""Paths that no file system here can reach: one line that says what to install, and exit code 2."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fsspec.registry import known_implementations

from pipeline import cli
from stages import cli as stages_cli
from stages.engine.options import place_problem

WHAT = "Install absent_package to access Nowhere"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nowhere://` is as `gs://` is without gcsfs."""
    entry = {"class": "absent_package.NowhereFileSystem", "err": WHAT}
    monkeypatch.setitem(known_implementations, "nowhere", entry)


def refused(capfd: pytest.CaptureFixture[str], code: int) -> str:
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    return err


@pytest.mark.parametrize(
    ("place", "what"),
    [("nowhere://bucket/x", WHAT), ("foo://x", "Protocol not known: foo")],
)
@pytest.mark.parametrize(
    "command",
    [
        "plan sample --work {}",
        "run sample --work {}",
        "status {}",
        "report {}",
        "verify {}",
        "why {} some-id",
        "curve sample --work {}",
    ],
)
def test_a_work_folder(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    place: str,
    what: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["corpus", *command.format(place).split()])
    assert refused(capfd, cli.main()) == f"error: {place}: {what}\n"


@pytest.mark.parametrize(
    "command", ["plan nowhere://x/recipe.yaml", "purge {} --ids nowhere://x/ids"]
)
def test_places_that_nothing_checks_beforehand(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["corpus", *command.format(tmp_path).split()])
    assert refused(capfd, cli.main()) == f"error: {WHAT}\n"


def test_an_input_of_a_plan(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = "plan sample --set generate=null --set sources.c4.input=[nowhere://b/c4] --work"
    monkeypatch.setattr(sys, "argv", ["corpus", *given.split(), str(tmp_path)])
    assert refused(capfd, cli.main()) == f"error: c4: nowhere://b/c4: {WHAT}\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--input nowhere://b/x --output {}/out", f"nowhere://b/x: {WHAT}"),
        ("--input {} --output nowhere://b/x", f"nowhere://b/x: {WHAT}"),
        ("--input foo://x --output {}/out", "foo://x: Protocol not known: foo"),
    ],
)
def test_inputs_and_outputs_of_one_stage(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, options: str, told: str
) -> None:
    code = stages_cli.main(["select", *options.format(tmp_path).split()])
    assert refused(capfd, code) == f"error: select: {told}\n"


@pytest.mark.parametrize("error", [ImportError("of a package of ours"), ValueError("a mistake")])
def test_other_errors_of_these_kinds_are_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch, error: ImportError | ValueError
) -> None:
    def fail(*_: object) -> None:
        raise error

    assert place_problem(error) == ""
    monkeypatch.setattr(stages_cli, "_run", fail)
    with pytest.raises(type(error)):
        stages_cli.main(["select", "--input", "x", "--output", "y"])
    monkeypatch.setattr(cli.running, "run", fail)
    monkeypatch.setattr(sys, "argv", ["corpus", "run", "sample", "--work", "x"])
    with pytest.raises(type(error)):
        cli.main()
