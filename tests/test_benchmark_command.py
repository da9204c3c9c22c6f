"""The main programs end with the exit code that says how it went, and with one line."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import command
from benchmarks.measure import MeasureError

MODULES = [
    "benchmarks.__main__",
    "benchmarks.ccnet_path",
    "benchmarks.dealing",
    "benchmarks.encoders",
    "benchmarks.hotspots.__main__",
    "benchmarks.latex_differential",
    "benchmarks.loss_curve",
    "benchmarks.peers.__main__",
    "benchmarks.references",
    "benchmarks.tokenise",
    "benchmarks.trace_startup",
    "benchmarks.warc_readers",
]


def raises(error: BaseException) -> Callable[[], int]:
    def call() -> int:
        raise error

    return call


@pytest.mark.parametrize(
    ("call", "code", "told"),
    [
        (lambda: None, 0, ""),
        (lambda: 1, 1, ""),
        (raises(FileNotFoundError("no data")), 2, "error: no data\n"),
        (raises(MeasureError("it broke")), 1, "failed: it broke\n"),
        (raises(KeyboardInterrupt()), 1, "stopped\n"),
    ],
)
def test_exit_codes(
    call: Callable[[], int], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(call) == code
    assert capsys.readouterr().err == told


def test_further_failures_are_those_named() -> None:
    assert command.run(raises(KeyError("a")), KeyError) == 1
    with pytest.raises(KeyError):
        command.run(raises(KeyError("a")))


def test_numbers_have_a_least() -> None:
    parser = command.Parser("benchmarks.some", "Some.")
    parser.repeats(3, "of each")
    assert parser.parse_args([]).repeats == 3
    assert parser.parse_args(["--repeats", "1"]).repeats == 1
    for wrong in ("0", "x"):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(["--repeats", wrong])
        assert ended.value.code == 2


def test_folder_of_raw_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLAMA_CORPUS_DATA", str(tmp_path))
    parser = command.Parser("benchmarks.some", None)
    parser.raw_data()

    def folder(*arguments: str) -> Path | None:
        options: argparse.Namespace = parser.parse_args(arguments)
        return command.folder_of(options)

    assert folder() == tmp_path
    assert folder("--data", "other") == Path("other")
    assert folder("--data", "other", "--sample") is None


@pytest.mark.parametrize("module", MODULES)
def test_every_program_tells_its_options(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(module).main
    monkeypatch.setattr("sys.argv", ["some", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m {module.removesuffix('.__main__')} [-h]")


@pytest.mark.parametrize("module", ["benchmarks", "benchmarks.tokenise", "benchmarks.peers"])
def test_a_folder_without_data_is_told_in_one_line(
    module: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = module if module == "benchmarks.tokenise" else f"{module}.__main__"
    main = importlib.import_module(name).main
    monkeypatch.setattr("sys.argv", ["some", "--data", str(tmp_path)])
    assert main() == 2
    captured = capsys.readouterr()
    assert captured.err == f"error: {tmp_path}: no WET file (*.wet.gz)\n"
    assert captured.out == ""
