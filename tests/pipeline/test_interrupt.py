"""Whoever stops the command is told what stays, whatever it was doing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import cli
from tests.data_paths import REPO


def test_ctrl_c_in_a_run_is_told_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.running, "run", stopped)
    monkeypatch.setattr(sys, "argv", ["corpus", "run", "sample", "--work", str(tmp_path)])
    assert cli.main() == 1
    assert capsys.readouterr().err.endswith(
        "stopped; finished units are kept, the same command goes on\n"
    )


@pytest.mark.parametrize("package", ["pipeline", "stages"])
def test_ctrl_c_while_modules_are_read(package: str) -> None:
    # The module that the command imports first sends the signal to its own process.
    program = (
        "import os, runpy, signal, sys\n"
        # What is started in the background may have been told to ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Ahead:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == '{package}.cli':\n"
        f"            os.kill(os.getpid(), {int(signal.SIGINT)})\n"
        "sys.meta_path.insert(0, Ahead())\n"
        f"runpy.run_module('{package}', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (1, "stopped\n")
