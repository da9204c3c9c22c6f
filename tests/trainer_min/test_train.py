"""Whole runs. The expensive ones are real processes that talk over gloo."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from trainer_min.cli import main

from .conftest import VOCABULARY, Run


def arguments(corpus: Path, out: Path, **changes: object) -> list[str]:
    """Six steps of a debug model with a batch that two processes cannot share evenly."""
    options: dict[str, object] = {
        "corpus": corpus,
        "out": out,
        "model": "debug",
        "seq-len": 32,
        "batch": 5,
        "micro-batch": 2,
        "steps": 6,
        "warmup": 2,
        "threads": 1,
        "device": "cpu",
        "eval-sequences": 3,
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    if "warmup" not in changes:
        options["warmup"] = min(2, int(str(options["steps"])))
    return ["train", *(str(x) for name, v in options.items() for x in (f"--{name}", v))]


def logged(out: Path, kind: str = "step") -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


def column(out: Path, name: str) -> list[Any]:
    return [record[name] for record in logged(out)]


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that others are compared with: one process, no interruption."""
    out = tmp_path_factory.mktemp("whole")
    assert main(arguments(corpus, out)) == 0
    return out


def test_the_loss_starts_at_guessing_and_falls(whole: Path) -> None:
    losses = column(whole, "loss")
    assert losses[0] == pytest.approx(math.log(VOCABULARY), abs=0.1)
    assert losses[-1] < losses[0] - 0.5
    (end,) = logged(whole, "end")
    assert (end["first_loss"], end["last_loss"]) == (losses[0], losses[-1])
    assert sorted(end["held_out"]) == ["books", "c4"]
    assert max(end["held_out"].values()) < losses[0]


def test_sources_without_a_held_out_loss_are_named(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six documents of 60 tokens and a separator each are held out of either source."""
    assert main(arguments(corpus, tmp_path / "short", steps=1, seq_len=365)) == 0
    assert "no held-out loss" not in capsys.readouterr().out
    assert main(arguments(corpus, tmp_path / "long", steps=1, seq_len=366)) == 0
    said = capsys.readouterr().out
    for source in ("books", "c4"):
        assert (
            f"no held-out loss of {source}: it has 366 held-out tokens, one sequence and the label"
            " after it are 367"
        ) in said
    assert logged(tmp_path / "long", "end")[0]["held_out"] == {}
    assert main(arguments(corpus, tmp_path / "off", steps=1, seq_len=366, eval_sequences=0)) == 0
    assert "no held-out loss" not in capsys.readouterr().out


def test_another_number_of_processes_same_data_same_losses(
    corpus: Path, whole: Path, tmp_path: Path, run: Run
) -> None:
    """Two processes with shares of 2 and 3, stopped after half; one process does the rest."""
    done = run(*arguments(corpus, tmp_path, stop_at=3), processes=2)
    assert done.returncode == 0, done.stderr
    assert "2 processes on cpu" in done.stdout
    assert len(logged(tmp_path)) == 3
    assert main(arguments(corpus, tmp_path, resume="auto")) == 0
    assert column(tmp_path, "step") == [1, 2, 3, 4, 5, 6]
    assert column(tmp_path, "digest") == column(whole, "digest")
    assert column(tmp_path, "loss") == pytest.approx(column(whole, "loss"), rel=1e-4)
    assert column(tmp_path, "grad_norm") == pytest.approx(column(whole, "grad_norm"), rel=1e-3)
    (there,), (here,) = logged(tmp_path, "end"), logged(whole, "end")
    assert there["held_out"] == pytest.approx(here["held_out"], rel=1e-4)


def test_resumed_by_one_process_from_one_process_is_bit_exact(
    corpus: Path, whole: Path, tmp_path: Path
) -> None:
    assert main(arguments(corpus, tmp_path, stop_at=2)) == 0
    assert main(arguments(corpus, tmp_path, resume="auto")) == 0
    assert column(tmp_path, "loss") == column(whole, "loss")
    assert column(tmp_path, "grad_norm") == column(whole, "grad_norm")


def test_steps_after_the_checkpoint_are_done_again_and_logged_once(
    corpus: Path, whole: Path, tmp_path: Path
) -> None:
    """A kill leaves steps beyond the checkpoint, half a line, and half a checkpoint."""
    assert main(arguments(corpus, tmp_path, stop_at=2)) == 0
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"kind": "step", "step": 3, "loss": 9.0}\n{"kind": "st')
    (tmp_path / "checkpoints" / "step-00000006.part").mkdir()
    (tmp_path / "checkpoints" / "step-00000006.part" / "__0_0.safetensors").write_bytes(b"half")
    assert main(arguments(corpus, tmp_path, resume="auto")) == 0
    assert column(tmp_path, "step") == [1, 2, 3, 4, 5, 6]
    assert column(tmp_path, "loss") == column(whole, "loss")


def test_a_finished_run_is_left_as_it_is(corpus: Path, tmp_path: Path) -> None:
    assert main(arguments(corpus, tmp_path, steps=2)) == 0
    before = logged(tmp_path)
    assert main(arguments(corpus, tmp_path, steps=2, resume="auto")) == 0
    assert logged(tmp_path) == before
    assert len(logged(tmp_path, "end")) == 1


@pytest.mark.parametrize("micro_batch", [1, 5])
def test_micro_batches_do_not_change_the_result(
    corpus: Path, whole: Path, tmp_path: Path, micro_batch: int
) -> None:
    changes = {"micro_batch": micro_batch, "stop_at": 3}
    assert main([*arguments(corpus, tmp_path, **changes), "--no-sync-every-micro-batch"]) == 0
    assert column(tmp_path, "loss") == pytest.approx(column(whole, "loss")[:3], rel=1e-5)


@pytest.mark.parametrize("mode", ["linear", "full"])
def test_recomputation_does_not_change_the_result(
    corpus: Path, whole: Path, tmp_path: Path, mode: str
) -> None:
    assert main(arguments(corpus, tmp_path, activation_checkpoint=mode, stop_at=3)) == 0
    assert column(tmp_path, "loss") == pytest.approx(column(whole, "loss")[:3], rel=1e-6)


def test_another_run_in_the_same_folder_is_refused(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(corpus, tmp_path, steps=1)) == 0
    log = (tmp_path / "log.jsonl").read_bytes()
    assert main(arguments(corpus, tmp_path, steps=1)) == 2
    assert "--resume auto" in capsys.readouterr().err
    assert main(arguments(corpus, tmp_path, steps=1, resume="auto", seed=1, lr=0.1)) == 2
    said = capsys.readouterr().err
    assert "seed: checkpoint 0, this run 1" in said
    assert "lr: checkpoint 0.003, this run 0.1" in said
    assert (tmp_path / "log.jsonl").read_bytes() == log


def test_another_corpus_is_refused(
    corpus: Path, own_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(arguments(corpus, out, steps=1)) == 0
    path = own_corpus / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"tokenizer_sha256": "0" * 64}))
    assert main(arguments(own_corpus, out, steps=1, resume="auto")) == 2
    assert "tokenizer: checkpoint" in capsys.readouterr().err


def test_a_corpus_that_does_not_fit_is_refused_with_the_difference(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(corpus, tmp_path / "out", model="7B", weights="arxiv=1")) == 2
    said = capsys.readouterr().err
    assert "vocabulary: corpus 300, model 32000" in said
    assert "source arxiv: asked for, corpus has books, c4" in said
    assert not (tmp_path / "out").exists()


def test_pocket_tts_262_a_loss_that_is_not_finite_stops_before_it_does_harm(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first update is too large; what follows is skipped, not saved, and ends the run."""
    wild = {"lr": 1e30, "warmup": 0, "save_every": 1, "keep": 9, "max_skips": 2}
    assert main(arguments(corpus, tmp_path, **wild)) == 1
    said = capsys.readouterr().err
    assert "3 updates in a row were left out" in said
    assert "step-00000001 is whole" in said
    assert column(tmp_path, "skipped") == [False, True, True, True]
    assert len(logged(tmp_path, "spike")) == 3


def test_damage_in_one_process_s_share_stops_all(
    own_corpus: Path, tmp_path: Path, run: Run
) -> None:
    """The last of the sequences is the second process's; the first would wait for it."""
    for path in own_corpus.glob("c4/train-*.bin"):
        path.write_bytes(b"\xff" * path.stat().st_size)
    done = run(*arguments(own_corpus, tmp_path / "out"), "--no-verify-shards", processes=2)
    assert done.returncode == 1
    assert "trainer_min: step 1: " in done.stderr
    assert "outside the vocabulary" in done.stderr
    assert "[rank" not in done.stderr  # no process ended with a traceback


def test_old_checkpoints_go_the_newest_stay(corpus: Path, tmp_path: Path) -> None:
    assert main(arguments(corpus, tmp_path, steps=4, save_every=1, keep=2)) == 0
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["latest", "step-00000003", "step-00000004"]
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step-00000004\n"


def test_a_damaged_checkpoint_is_no_silent_start(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(corpus, tmp_path, steps=2, stop_at=1)) == 0
    (data,) = (tmp_path / "checkpoints").glob("step-*/*.safetensors")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    assert main(arguments(corpus, tmp_path, steps=2, resume="auto")) == 2
    assert "not a complete checkpoint" in capsys.readouterr().err
    (tmp_path / "checkpoints" / "step-00000001" / "run.json").unlink()
    assert main(arguments(corpus, tmp_path, steps=2, resume="auto")) == 2
    assert "not a complete checkpoint" in capsys.readouterr().err
