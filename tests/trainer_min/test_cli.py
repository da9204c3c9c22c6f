from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainer_min.cli import main, settings_from
from trainer_min.config import PRESETS, TrainSettings

GIVEN = ["--corpus", "nowhere", "--out", "out"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["dance"], "dance"),
        (["train"], "--corpus is needed; --out is needed"),
        (["train", *GIVEN, "--model", "8B"], "unknown model '8B'"),
        (["train", *GIVEN, "--batch", "0"], "--batch 0"),
        (["train", *GIVEN, "--steps", "many"], "--steps many"),
        (["train", *GIVEN, "--seq-len"], "--seq-len"),
        (["train", *GIVEN, "--sequence", "3"], "--sequence"),
        (["train", *GIVEN, "--preset", "huge"], "huge"),
        (["train", *GIVEN, "--weights", "c4"], "--weights: not a share per source: 'c4'"),
        (["train", *GIVEN, "--device", "tpu"], "--device tpu"),
        (["train", *GIVEN], "nowhere: no token manifest here"),
    ],
)
def test_wrong_arguments_get_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("trainer_min: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for name in TrainSettings.model_fields:
        assert "--" + name.replace("_", "-") in printed


def test_every_setting_says_why() -> None:
    assert all(field.description for field in TrainSettings.model_fields.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_and_options_win_over_them(preset: str) -> None:
    options = {"preset": preset, "corpus": "c", "out": "o", "steps": "7"}
    settings = settings_from(options)
    assert settings.steps == 7
    assert settings.batch == PRESETS[preset]["batch"]


def test_only_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert main(["train"]) == 2
    assert capsys.readouterr().err == ""


def test_the_room_knows_neither_beam_nor_the_pipeline() -> None:
    code = (
        "import sys, trainer_min.cli, trainer_min.train\n"
        "print([m for m in ('apache_beam', 'stages', 'pipeline') if m in sys.modules])"
    )
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=repository, check=True
    )
    assert done.stdout.strip() == "[]"
