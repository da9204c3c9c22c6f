"""What goes wrong in long runs: spikes, numbers that are not finite, signals, full disks."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tokenizer.encode import Encoder
from tokenizer.ledger import Ledger, MixtureChange, Quarantine
from tokenizer.manifest import TokensManifest
from tokenizer.order import DataOrder
from tokenizer.train import TokenizerSettings, train_tokenizer
from trainer_min import checkpoint, log, train
from trainer_min.cli import main
from trainer_min.watch import WINDOW, Watch

from .conftest import Run, lines
from .test_train import arguments, column, logged


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    assert main(arguments(corpus, out)) == 0
    return out


def plant(monkeypatch: pytest.MonkeyPatch, value: float, call: int) -> None:
    """The `call`-th micro-batch's losses become `value` times themselves."""
    real, calls = train.sequence_losses, [0]

    def losses(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
        calls[0] += 1
        found: Tensor = real(model, inputs, labels)
        return found * value if calls[0] == call else found

    monkeypatch.setattr(train, "sequence_losses", losses)


def test_verl_1506_one_bad_step_is_left_out_and_blamed(
    corpus: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, math.nan, call=7)  # the first of three micro-batches of step 3
    assert main(arguments(corpus, tmp_path)) == 0
    assert column(tmp_path, "skipped") == [False, False, True, False, False, False]
    assert column(tmp_path, "loss")[:2] == column(whole, "loss")[:2]
    assert all(math.isfinite(loss) for loss in column(tmp_path, "loss")[3:])
    (spike,) = logged(tmp_path, "spike")
    assert spike["step"] == 3 and spike["why"] == "loss nan"
    order = DataOrder(TokensManifest.load(corpus), corpus, seq_len=32, seed=0)
    blamed = spike["sequences"]
    assert [entry["sequence"] for entry in blamed][:2] == [10, 11], "the planted rows come first"
    for entry in blamed:
        documents = [part.id for _, part in order.documents(entry["sequence"])]
        assert entry["documents"] == documents
        assert entry["source"] == order.slot(entry["sequence"]).source


def test_a_spike_is_told_and_skipped_unless_told_otherwise(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer_min.watch._FEWEST", 3)
    for name, flags, skipped in (("told", ["--no-skip-spikes"], False), ("skipped", [], True)):
        with monkeypatch.context() as patch:
            plant(patch, 1000.0, call=13)
            assert main([*arguments(corpus, tmp_path / name, lr=1e-5), *flags]) == 0
        assert [r["step"] for r in logged(tmp_path / name, "spike")] == [5]
        assert column(tmp_path / name, "skipped")[4] is skipped


def test_spikes_are_judged_by_the_last_steps_alone() -> None:
    watch = Watch(6.0)
    assert [watch.judge(1.0 + i % 2 / 10, 1.0 + i % 3 / 10) for i in range(40)] == [None] * 40
    assert "loss 3 is over" in str(watch.judge(3.0, 1.0))
    assert "grad_norm 9 is over" in str(watch.judge(1.0, 9.0))
    assert watch.judge(math.inf, 1.0) == "loss inf"
    assert watch.judge(1.0, math.nan) == "grad_norm nan"
    again = Watch(6.0, json.loads(json.dumps(watch.state())))
    assert again.state() == watch.state()
    told = [watch.judge(3.0, 1.0) is not None for _ in range(WINDOW)]
    assert told[0] and not told[-1], "a level that lasts is ordinary after a while"
    assert len(watch.state()["loss"]) == WINDOW


@pytest.mark.slow
def test_quarantined_sequences_are_not_trained_on(
    corpus: Path, whole: Path, tmp_path: Path, run: Run
) -> None:
    """Nothing else moves: the steps before are the same, and so on two processes."""
    ledger = Ledger(
        quarantine=(Quarantine(first=11, last=12), Quarantine(first=20, last=24, reason="a step"))
    )
    ledger.save(tmp_path / "ledger.json")
    one, two = tmp_path / "one", tmp_path / "two"
    given = {"ledger": tmp_path / "ledger.json"}
    assert main(arguments(corpus, one, **given)) == 0
    assert column(one, "loss")[:2] == column(whole, "loss")[:2]
    assert column(one, "skipped") == [False, False, False, False, True, False]
    digests, undisturbed = column(one, "digest"), column(whole, "digest")
    assert [a == b for a, b in zip(digests, undisturbed, strict=True)] == [
        *(True, True, False, True, False, True)
    ]
    order = DataOrder(TokensManifest.load(corpus), corpus, seq_len=32, seed=0)
    assert int(digests[2], 16) == sum(order.digest(g) for g in (10, 13, 14)) % 2**64
    done = run(*arguments(corpus, two, **given), processes=2)
    assert done.returncode == 0, done.stderr
    assert column(two, "digest") == digests
    assert column(two, "loss") == pytest.approx(column(one, "loss"), rel=1e-4)


def test_a_mixture_change_ahead_goes_on_one_behind_is_refused(
    corpus: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(corpus, tmp_path, stop_at=2)) == 0
    change = MixtureChange(from_sequence=13, weights={"books": 1.0})
    Ledger(mixture=(change,)).save(tmp_path / "ledger.json")
    assert main(arguments(corpus, tmp_path, resume="auto", stop_at=4)) == 0
    digests = column(tmp_path, "digest")
    assert digests[:2] == column(whole, "digest")[:2]
    order = DataOrder(TokensManifest.load(corpus), corpus, seq_len=32, seed=0, changes=(change,))
    assert {order.slot(g).source for g in range(13, 30)} == {"books"}
    assert int(digests[3], 16) == sum(order.digest(g) for g in range(15, 20)) % 2**64
    Ledger(mixture=(MixtureChange(from_sequence=12, weights={"c4": 1.0}),)).save(
        tmp_path / "ledger.json"
    )
    assert main(arguments(corpus, tmp_path, resume="auto")) == 2
    assert "ledger: it says something else about the 4 steps" in capsys.readouterr().err
    (tmp_path / "ledger.json").write_text("{")
    assert main(arguments(corpus, tmp_path, resume="auto")) == 2


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_fast_llm_241_a_signal_saves_and_ends(
    corpus: Path, whole: Path, tmp_path: Path, processes: int
) -> None:
    """SIGTERM in the middle: the checkpoint is of a later step than the one that was due."""
    out = tmp_path / "run"
    module = ["-m", "trainer_min"]
    if processes > 1:
        launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        module = ["-m", *launcher, *module]
    started = subprocess.Popen(
        [sys.executable, *module, *arguments(corpus, out, steps=5000, warmup=0, lr=1e-4)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        cwd=Path(__file__).resolve().parents[2],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        for _ in range(600):
            if (out / "log.jsonl").exists() and len(logged(out)) >= 3:
                break
            time.sleep(0.1)
        started.send_signal(signal.SIGTERM)
        _, said = started.communicate(timeout=60)
    finally:
        started.kill()
    assert "asked to stop by a signal" in said
    if processes == 1:
        assert started.returncode == 143
    found = checkpoint.newest(out / "checkpoints")
    assert found is not None
    assert checkpoint.read(found).step == len(logged(out)) >= 3


def test_fms_fsdp_a_full_disk_stops_the_run_loudly(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = shutil.disk_usage(tmp_path)
    full = [False]
    monkeypatch.setattr(
        "trainer_min.checkpoint.shutil.disk_usage",
        lambda _: usage._replace(free=1000 if full[0] else usage.free),
    )
    assert main(arguments(corpus, tmp_path / "ran", stop_at=1)) == 0
    full[0] = True
    assert main(arguments(corpus, tmp_path / "new")) == 2
    assert "two checkpoints do not fit" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main(arguments(corpus, tmp_path / "ran", resume="auto")) == 1
    said = capsys.readouterr().err
    assert "are needed, 0.00 GB are free" in said and "step-00000001 is whole" in said


@pytest.mark.slow
def test_a_write_that_fails_in_the_background_stops_all(
    corpus: Path, tmp_path: Path, run: Run
) -> None:
    """A file lies where the second checkpoint's folder should be made."""
    out = tmp_path / "out"
    (out / "checkpoints").mkdir(parents=True)
    (out / "checkpoints" / "step-00000004.part").write_text("in the way")
    (out / "checkpoints").chmod(0o755)
    script = (
        "import shutil, sys; real = shutil.rmtree\n"
        "shutil.rmtree = lambda p, **k: None if str(p).endswith('4.part') else real(p, **k)\n"
        "from trainer_min.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    (tmp_path / "main.py").write_text(script)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc_per_node", "2", str(tmp_path / "main.py")),
            *arguments(corpus, out, save_every=2),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        },
    )
    assert done.returncode == 1
    assert "the checkpoint could not be written" in done.stderr
    assert "step-00000002 is whole" in done.stderr
    assert (out / "checkpoints" / "latest").read_text() == "step-00000002\n"


def test_lerobot_4009_a_checkpoint_cut_short_is_no_checkpoint(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(corpus, tmp_path, steps=2)) == 0
    found = checkpoint.newest(tmp_path / "checkpoints")
    assert found is not None
    (data,) = found.glob("*.safetensors")
    whole_bytes = data.read_bytes()
    data.write_bytes(whole_bytes[:-1])
    assert main(arguments(corpus, tmp_path, steps=2, resume="auto")) == 2
    assert f"has {len(whole_bytes) - 1} bytes of {len(whole_bytes)}" in capsys.readouterr().err
    data.write_bytes(whole_bytes)
    (found / "shard-00009-model-00001-of-00001.safetensors").write_bytes(whole_bytes)
    assert main(arguments(corpus, tmp_path, steps=2, resume="auto")) == 2
    assert "holds other files" in capsys.readouterr().err


def test_damage_in_a_checkpoint_is_found_before_anything_is_loaded(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(corpus, tmp_path, steps=2, stop_at=1)) == 0
    found = checkpoint.newest(tmp_path / "checkpoints")
    assert found is not None
    resume = arguments(corpus, tmp_path, steps=2, resume="auto")
    (data,) = found.glob("*.safetensors")
    whole_bytes = data.read_bytes()
    for place in (20, len(whole_bytes) // 2, len(whole_bytes) - 1):
        flipped = bytearray(whole_bytes)
        flipped[place] ^= 1
        data.write_bytes(flipped)
        assert main(resume) == 2
        assert f"{data.name} is damaged" in capsys.readouterr().err
    data.write_bytes(whole_bytes)
    facts = found / "run.json"
    said = facts.read_text()
    facts.write_text(said.replace('"step": 1', '"step": 0', 1))
    assert main(resume) == 2
    assert "run.json was changed" in capsys.readouterr().err
    facts.write_text(said)
    for name in ("../../elsewhere", "step-1", "\\xff"):
        (tmp_path / "checkpoints" / "latest").write_text(name)
        assert main(resume) == 2
        assert "is no name of a checkpoint" in capsys.readouterr().err
    (tmp_path / "checkpoints" / "latest").write_text(found.name)
    assert main(resume) == 0


def test_what_is_being_saved_is_finished_when_the_run_ends_badly(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The checkpoint of step 2 is still being written when step 3 ends the run."""
    real = checkpoint._sum_mine

    def slow(partial: Path, rank: int) -> None:
        time.sleep(1.0)
        real(partial, rank)

    monkeypatch.setattr(checkpoint, "_sum_mine", slow)
    plant(monkeypatch, math.nan, call=7)
    assert main(arguments(corpus, tmp_path, save_every=2, max_skips=0)) == 1
    assert "step-00000002 is whole" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_ends_the_run_with_a_word(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = log.RunLog.step

    def full(self: log.RunLog, facts: Any, *, last: bool) -> None:
        if facts["step"] == 4:
            self._stream.close()
            self._stream = open("/dev/full", "w", buffering=1)  # noqa: SIM115
        real(self, facts, last=last)

    monkeypatch.setattr(log.RunLog, "step", full)
    assert main(arguments(corpus, tmp_path, save_every=2)) == 1
    said = capsys.readouterr().err
    assert "No space left" in said and "step-00000004 is whole" in said


def test_the_tokenizer_beside_the_shards_must_be_theirs(
    spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "tokens"
    shutil.copytree(spoken, own)
    content = (own / "tokenizer.model").read_bytes()
    (own / "tokenizer.model").write_bytes(content + b"\x00")
    assert main(arguments(own, tmp_path / "out", steps=1)) == 2
    assert "tokenizer: manifest sha256" in capsys.readouterr().err
    assert main(arguments(spoken, tmp_path / "base", steps=1)) == 0
    train_tokenizer(lines(700)[50:], own / "tokenizer.model", TokenizerSettings(vocab_size=320))
    manifest = json.loads((own / "manifest.json").read_text())
    manifest["tokenizer_sha256"] = Encoder(own / "tokenizer.model").model.sha256
    (own / "manifest.json").write_text(json.dumps(manifest))
    given = {"steps": 1, "init_from": tmp_path / "base"}
    assert main(arguments(own, tmp_path / "out", **given)) == 2
    assert "does not fit this run" in capsys.readouterr().err


def test_small_corpora_are_hashed_before_the_first_step(
    own_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(own_corpus.glob("c4/train-*.bin"))
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert main(arguments(own_corpus, tmp_path / "out", steps=1)) == 2
    assert "file" in capsys.readouterr().err
    assert main([*arguments(own_corpus, tmp_path / "out", steps=1), "--no-verify-shards"]) == 0


def test_nothing_in_a_checkpoint_is_pickled(corpus: Path, tmp_path: Path) -> None:
    assert main(arguments(corpus, tmp_path, steps=1)) == 0
    found = checkpoint.newest(tmp_path / "checkpoints")
    assert found is not None
    assert {path.suffix for path in found.iterdir()} == {".json", ".safetensors"}


def test_weights_that_are_not_finite_are_not_saved(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *arguments: Any) -> None:
        real(self, *arguments)
        with torch.no_grad():
            next(iter(self.param_groups[0]["params"])).to_local()[0, 0] = math.nan

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    assert main(arguments(corpus, tmp_path, stop_at=1)) == 1
    said = capsys.readouterr().err
    assert "weights or moments are not finite" in said and "there is no checkpoint yet" in said
    assert not (tmp_path / "checkpoints" / "latest").exists()


def test_milestones_stay(corpus: Path, tmp_path: Path) -> None:
    given = {"save_every": 1, "keep": 1, "keep_every": 2}
    assert main([*arguments(corpus, tmp_path, **given), "--no-background-save"]) == 0
    names = sorted(p.name for p in (tmp_path / "checkpoints").glob("step-*"))
    assert names == ["step-00000002", "step-00000004", "step-00000006"]


@pytest.mark.slow
def test_two_copies_of_two_processes_each(
    corpus: Path, whole: Path, tmp_path: Path, run: Run
) -> None:
    """HSDP: the same data and losses; one process goes on from its checkpoint."""
    done = run(*arguments(corpus, tmp_path, stop_at=3, replicas=2), processes=4)
    assert done.returncode == 0, done.stderr
    assert "4 processes on cpu in 2 copies" in done.stdout
    assert main(arguments(corpus, tmp_path, resume="auto")) == 0
    assert column(tmp_path, "digest") == column(whole, "digest")
    assert column(tmp_path, "loss") == pytest.approx(column(whole, "loss"), rel=1e-4)
    assert column(tmp_path, "grad_norm") == pytest.approx(column(whole, "grad_norm"), rel=1e-3)
    refused = run(*arguments(corpus, tmp_path / "x", replicas=2))
    assert refused.returncode == 2 and "cannot be divided" in refused.stderr


def test_weights_to_begin_with(corpus: Path, whole: Path, tmp_path: Path) -> None:
    found = checkpoint.newest(whole / "checkpoints")
    assert main(arguments(corpus, tmp_path, steps=1, init_from=found, warmup=0, lr=1e-9)) == 0
    assert column(tmp_path, "loss")[0] < column(whole, "loss")[0] - 0.5


def test_the_log_has_what_one_asks_at_night(corpus: Path, tmp_path: Path) -> None:
    given = {"steps": 2, "eval_every": 1}
    assert main(arguments(corpus, tmp_path, **given)) == 0
    for record in logged(tmp_path):
        assert record["loss"] <= record["loss_max"]
        assert 0 <= record["data_wait"] < 1 and record["memory_gb"] > 0
        assert record["mfu"] is None, "a CPU has no entry in the table of peaks"
    evaluations = logged(tmp_path, "eval")
    assert [record["step"] for record in evaluations] == [1, 2]
    manifest = TokensManifest.load(corpus)
    for record in evaluations:
        for source, loss in record["held_out"].items():
            facts = manifest.sources[source]
            bits = loss / math.log(2) * facts.valid_tokens / facts.valid_text_bytes
            assert record["bits_per_byte"][source] == pytest.approx(bits)
