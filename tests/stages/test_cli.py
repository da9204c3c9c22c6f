"""`python -m stages`: any stage alone, and one clear line for every mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages import registry
from stages.cli import main, parse_value
from stages.engine import files, manifest
from stages.engine.memory import bounds
from stages.engine.step import Layout
from tests.stages.helpers import HANG_GUARD_S, REPO, check_folder, digests, read_rows, toy_input

pytestmark = pytest.mark.usefixtures("toys")


def run(
    capfd: pytest.CaptureFixture[str], *arguments: str | Path, expect: int = 0
) -> tuple[str, str]:
    """(standard output, standard error) of a command that ends with the code expected."""
    code = main([str(a) for a in arguments])
    out, err = capfd.readouterr()
    assert code == expect, (out, err)
    return out, err


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line that says why arguments cannot work."""
    _, err = run(capfd, *arguments, expect=2)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    toy_input(tmp_path, units=2)
    return ["--input", f"{tmp_path}/in", "--output", f"{tmp_path}/out"]


# -- help -----------------------------------------------------------------------------------------


def test_list_names_every_stage(capfd: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capfd, "list")
    names = {line.split()[0] for line in out.splitlines() if line[:2] != "  " and line.strip()}
    assert set(registry.STAGES) <= names


def test_help_shows_settings_with_reasons_and_the_reasons_for_rejection(
    capfd: pytest.CaptureFixture[str],
) -> None:
    out, _ = run(capfd, "line_dedup", "--help")
    assert "--keep none|first" in out
    assert "[default: none]" in " ".join(out.split())
    assert "CCNet" in out
    assert "duplicate_lines:" in out
    for name in Layout.model_fields:
        assert f"--{name.replace('_', '-')}" in out


@pytest.mark.parametrize("arguments", [["--help"], ["select", "--help"]])
def test_help_is_no_failure(capfd: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    out, err = run(capfd, *arguments)
    assert "Usage: python -m stages" in out
    assert err == ""


@pytest.mark.parametrize("name", sorted(registry.STAGES))
def test_every_stage_shows_its_settings_once(capfd: pytest.CaptureFixture[str], name: str) -> None:
    # Two options of one name would hide each other. A setting that is an input too is given so.
    stage = registry.stage_class(name)
    settings = [n for n in stage.Settings.model_fields if n not in stage.ports]
    options = [*stage.ports, *settings, *Layout.model_fields]
    options += ["output", "name", "workers", "worker_memory_mb", "stall_s", "runner", "max_bad"]
    options += ["help"]
    assert len(set(options)) == len(options)
    assert all(field.description for field in stage.Settings.model_fields.values())
    out, _ = run(capfd, name, "--help")
    shown = [line.split()[0] for line in out.splitlines() if line.startswith("  --")]
    assert sorted(shown) == sorted(f"--{o.replace('_', '-')}" for o in options)


# -- mistakes -------------------------------------------------------------------------------------


def test_an_unknown_stage_is_told_with_those_there_are(capfd: pytest.CaptureFixture[str]) -> None:
    err = refused(capfd, "lenguage")
    assert "no stage is called 'lenguage'; there are " in err
    assert "language" in err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--rejekt", "x"], "no setting of toy is called --rejekt"),
        (["stray"], "no setting of toy is called stray"),
        (["--pause-s", "long"], "toy: pause_s: .*valid number.*'long'"),
        (["--how", "badly"], "toy: how: Input should be '', 'exit0'"),
        (["--split-bytes", "0"], "toy: split_bytes: .*greater than or equal to 1"),
        (["--workers", "0"], "Invalid value for '--workers'"),
        (["--workers", "two"], "Invalid value for '--workers'"),
        (["--input", "/nowhere/x"], "toy: no file matches /nowhere/x"),
        (["--input"], "Option '--input' requires an argument"),
        (["--output", "/proc/none/x"], "/proc/none"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_mistakes_are_told_in_one_line(
    capfd: pytest.CaptureFixture[str], given: list[str], more: list[str], message: str
) -> None:
    import re

    err = refused(capfd, "toy", *given, *more)
    assert re.search(message, err), err
    assert not Path(given[3]).exists()


@pytest.mark.parametrize("missing", ["--input", "--output"])
def test_what_is_missing_is_named(
    capfd: pytest.CaptureFixture[str], given: list[str], missing: str
) -> None:
    at = given.index(missing)
    assert f"Missing option '{missing}'" in refused(capfd, "toy", *given[:at], *given[at + 2 :])


def test_an_input_that_is_no_part_is_told(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "x.txt").write_text("no parquet")
    err = refused(capfd, "toy", "--input", tmp_path / "x.txt", "--output", tmp_path / "out")
    assert "x.txt is no readable Parquet file" in err


def test_an_output_that_is_a_file_is_told(
    capfd: pytest.CaptureFixture[str], given: list[str], tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file")
    assert "out" in refused(capfd, "toy", *given)
    assert (tmp_path / "out").read_text() == "a file"


def test_an_output_of_something_else_is_told(
    capfd: pytest.CaptureFixture[str], given: list[str], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    assert "holds files of something else; give another --output" in refused(capfd, "toy", *given)
    assert digests(tmp_path / "out").keys() == {"mine"}


def test_a_corrupted_manifest_is_told(
    capfd: pytest.CaptureFixture[str], given: list[str], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / manifest.NAME).write_text("{")
    assert "out/_MANIFEST.json: not a manifest of this program" in refused(capfd, "toy", *given)


# -- running --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stage_runs_and_is_skipped_when_done(
    capfd: pytest.CaptureFixture[str], given: list[str], tmp_path: Path
) -> None:
    out, err = run(capfd, "toy", *given, "--reject", "text 1", "--workers", "2")
    assert err == ""
    assert "contains 5" in out
    check_folder(tmp_path / "out")
    done = manifest.load(f"{tmp_path}/out")
    assert done is not None
    assert (done.step, done.settings["reject"], done.run["workers"]) == ("toy", "text 1", 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]
    out, _ = run(capfd, "toy", *given, "--reject", "text 1", "--workers", "1")
    assert "done before" in out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DirectRunner"])
def test_beams_local_runners_mean_the_local_engine(
    capfd: pytest.CaptureFixture[str], given: list[str], tmp_path: Path, name: str
) -> None:
    run(capfd, "toy", *given, "--runner", name, "--workers", "1")
    check_folder(tmp_path / "out")
    err = refused(capfd, "toy", *given, "--runner", name, "--temp_location", "x")
    assert "no setting of toy is called --temp_location" in err


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "names"), [("no", ["no"]), ("en,de", ["en", "de"])])
def test_lists_are_typed_as_one_with_commas_or_as_yaml(
    capfd: pytest.CaptureFixture[str],
    given: list[str],
    tmp_path: Path,
    typed: str,
    names: list[str],
) -> None:
    run(capfd, "toy", *given, "--names", typed, "--workers", "1", "--output", f"{tmp_path}/out/")
    assert files.read_json(f"{tmp_path}/out/_MANIFEST.json")["settings"]["names"] == names
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["lose", "kill"])
def test_a_failed_run_ends_with_one(
    capfd: pytest.CaptureFixture[str], given: list[str], tmp_path: Path, how: str
) -> None:
    _, err = run(capfd, "toy", *given, "--how", how, "--on", "u1d0", "--workers", "2", expect=1)
    line = err.splitlines()[-1]
    assert line.startswith("failed: toy: ")
    assert "part-00001-of-00002.parquet" in line
    assert "the same command goes on from there" in line
    assert "Traceback" not in err
    assert not (tmp_path / "out" / manifest.NAME).exists()


@pytest.mark.slow
def test_the_module_is_a_command(tmp_path: Path) -> None:
    toy_input(tmp_path, units=1)
    done = subprocess.run(
        f"{sys.executable} -m stages select --buckets null"
        f" --input {tmp_path}/in/*.parquet --output {tmp_path}/out".split(),
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_rows(tmp_path / "out")) == 5


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (tuple[str, ...], "en", ["en"]),
        (tuple[str, ...], "en,de", ["en", "de"]),
        (tuple[str, ...], "en, no", ["en", "no"]),
        (tuple[str, ...] | None, "null", None),
        (tuple[str, ...] | None, "[]", []),
        (tuple[int, ...], "1,2", ["1", "2"]),
        (str, "a,b", "a,b"),
        (str, "007", "007"),
        (str, "123", "123"),
        (str, "1e9", "1e9"),
        (str, "no", "no"),
        (str, "[x", "[x"),
        (str, "", ""),
        (str | None, "null", None),
        (str | None, "12", "12"),
        (int, "1e9", 1e9),
        (float, "0.5", 0.5),
        (bool, "no", "no"),
        (bool, "true", True),
        (dict[str, float], "{en: 1}", {"en": 1}),
        (int, "x", "x"),
    ],
)
def test_values_are_read_as_the_setting_can_take_them(
    annotation: Any, text: str, value: Any
) -> None:
    found = parse_value(annotation, text)
    assert found == value
    assert type(found) is type(value)


def test_the_memory_of_a_worker_decides_units_and_partitions(
    capfd: pytest.CaptureFixture[str], given: list[str], tmp_path: Path
) -> None:
    out = f"{tmp_path}/out"
    run(capfd, "document_dedup", *given, "--worker-memory-mb", "512", "--output", out)
    asked = files.read_json(f"{out}/_MANIFEST.json")["settings"]["partition_memory_mb"]
    assert asked == bounds(512)["partition_mb"]
    line = refused(
        capfd, "document_dedup", *given, "--worker-memory-mb", "511", "--output", f"{out}2"
    )
    assert "511" in line


# -- places ---------------------------------------------------------------------------------------


def test_local_places_may_have_a_protocol(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, given: list[str]
) -> None:
    run(capfd, "toy", *given)
    run(capfd, "toy", "--input", f"file://{tmp_path}/in", "--output", f"file://{tmp_path}/other/")
    check_folder(tmp_path / "other")
    assert not (tmp_path / "other.progress.log").exists()
    assert [r["id"] for r in read_rows(tmp_path / "other")] == [
        r["id"] for r in read_rows(tmp_path / "out")
    ]


def test_a_log_that_cannot_be_written_is_told(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, given: list[str]
) -> None:
    (tmp_path / "out.progress.log").mkdir()
    _, err = run(capfd, "toy", *given, expect=1)
    assert "IsADirectoryError" in err and "out.progress.log" in err
    assert "died" not in err
