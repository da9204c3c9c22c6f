from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenizer.manifest import TokensManifest
from trainer_min.bench import write_corpus
from trainer_min.cli import main

from .conftest import Run

SMALL = ["bench", "--model", "debug", "--seq-len", "16", "--steps", "2", "--warm", "1"]


def test_the_made_up_corpus_is_large_enough(tmp_path: Path) -> None:
    manifest = TokensManifest.load(write_corpus(tmp_path / "x", 5000, 300))
    assert 5000 <= manifest.sources["made"].tokens < 6000


@pytest.mark.slow
def test_one_command_prints_all_ways(run: Run) -> None:
    # On a new machine a compiler is at work for a minute or two.
    done = run(*SMALL, "--device", "cpu", "--micro-batch", "2", "--json", limit_s=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["what"] for row in found["rows"]] == ["trainer", "trainer, compiled", "plain loop"]
    assert all(row["tokens_per_s"] > 0 and row["mfu"] is None for row in found["rows"])


def test_no_steps_are_no_measurement() -> None:
    assert main([*SMALL, "--steps", "0"]) == 2


@pytest.mark.slow
def test_two_processes(run: Run) -> None:
    done = run(*SMALL, "--device", "cpu", "--micro-batch", "1", processes=2)
    assert done.returncode == 0, done.stderr
    assert "debug on 2 x cpu" in done.stdout and "plain loop" not in done.stdout
