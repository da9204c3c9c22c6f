from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tokenizer import ledger as ledgers
from tokenizer.cli import main
from tokenizer.ledger import Ledger, MixtureChange, Quarantine
from tokenizer.manifest import TokensManifest
from tokenizer.order import DataOrder
from tokenizer.run_data import RunData, load, parse_weights

from .conftest import write_corpus

Out = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A training run's folder over a small corpus."""
    corpus, folder = tmp_path / "corpus", tmp_path / "run"
    corpus.mkdir()
    folder.mkdir()
    write_corpus(corpus, {"a": [[300]], "b": [[90]], "c": [[]]}, {"a": 0.5, "b": 0.5, "c": 0})
    settings = {"corpus": str(corpus), "seq_len": 8, "batch": 4, "steps": 40, "seed": 1}
    (folder / "settings.json").write_text(json.dumps({**settings, "weights": None, "lr": 1.0}))
    return folder


def say(capsys: Out, *arguments: object) -> str:
    code = main(["ledger", *map(str, arguments)])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def refused(capsys: Out, *arguments: object) -> str:
    code = main(["ledger", *map(str, arguments)])
    captured = capsys.readouterr()
    assert code == 2 and captured.err.count("\n") == 1
    return captured.err


def test_quarantine_by_sequences_and_by_steps(run: Path, capsys: Out) -> None:
    out = say(capsys, "quarantine", run, "--first", 9, "--last", 13, "--reason", "spike\x1b[31m")
    assert "not trained on: sequences 9 to 13 (steps 3 to 4): spike\\x1b[31m" in out
    assert "in quarantine: 5 sequences, 5 of them new" in out
    assert "from a checkpoint of step 2 or before" in out
    out = say(capsys, "quarantine", run / "ledger.json", "--step", 4)
    assert "sequences 12 to 15 (step 4)" in out and "7 sequences, 2 of them new" in out
    out = say(capsys, "quarantine", run, "--step", 4)
    assert "7 sequences, 0 of them new" in out
    assert "sequence 0 (step 1)" in say(capsys, "quarantine", run, "--first", 0)
    assert "sequence 39 (step 4, row 9)" in say(
        capsys, "quarantine", run, "--first", 39, "--batch", 10
    )
    assert ledgers.load(run / "ledger.json").quarantine == (
        Quarantine(first=0, last=0),
        Quarantine(first=9, last=13, reason="spike\x1b[31m"),
        Quarantine(first=12, last=15),
        Quarantine(first=39, last=39),
    )
    shown = say(capsys, "show", run)
    assert "0 changes of the mixture, 4 quarantines" in shown and "\x1b" not in shown


def test_a_ledger_of_its_own_needs_a_batch_for_steps(tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "ledger.json"
    assert "--step needs --batch" in refused(capsys, "quarantine", path, "--step", 3)
    assert not path.exists()
    out = say(capsys, "quarantine", path, "--step", 3, "--last-step", 5, "--batch", 10)
    assert ledgers.load(path).quarantine == (Quarantine(first=20, last=49),)
    assert "(steps 3 to 5)" in out
    assert "checkpoint" not in say(capsys, "quarantine", path, "--first", 2)


def test_a_change_of_the_mixture_with_its_epochs(run: Path, capsys: Out) -> None:
    out = say(
        capsys, "mixture", run, "--step", 21, "--weights", "a=0.1,b=0.9", "--reason", "more of b"
    )
    assert "from sequence 80 (step 21) on a=0.1, b=0.9: more of b" in out
    assert "blocks of 10 sequences: a 1, b 9" in out
    assert "from a checkpoint of step 20 or before" in out
    known = Ledger(
        mixture=(MixtureChange(from_sequence=80, weights={"a": 0.1, "b": 0.9}, reason="more of b"),)
    )
    assert ledgers.load(run / "ledger.json") == known
    data = load(run)
    manifest = TokensManifest.load(str(data.corpus))
    before, after = (
        DataOrder(manifest, str(data.corpus), seq_len=8, seed=1, changes=c).epochs_after(160)
        for c in ((), known.mixture)
    )
    for name in "ab":
        assert f"  {name} {after[name]:.2f} ({before[name]:.2f})\n" in out
    assert after["b"] > 4 > after["a"]
    assert "warning: b is seen" in out and "warning: a is seen" not in out
    assert "1 change of the mixture, 0 quarantines" in say(capsys, "show", run)


def test_a_change_may_be_the_last_one_only(run: Path, capsys: Out) -> None:
    say(capsys, "mixture", run, "--sequence", 81, "--weights", "b=1")
    kept = (run / "ledger.json").read_bytes()
    for at in (80, 81):
        err = refused(capsys, "mixture", run, "--sequence", at, "--weights", "a=1")
        assert f"a change at sequence {at} would come before the last one" in err
    assert (run / "ledger.json").read_bytes() == kept
    out = say(capsys, "mixture", run, "--sequence", 82, "--weights", "a=1")
    assert "(step 21, row 2)" in out
    assert [c.from_sequence for c in ledgers.load(run / "ledger.json").mixture] == [81, 82]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("z=1,a=1", "z: no such source in"),
        ("a=1,c=1", "c: .* has no tokens of it"),
        ("a", "not a share per source: 'a'"),
        ("a=1,a=2", "not a share per source"),
        ("a=x", "not a share per source: 'a=x'"),
        ("a=-1", "not a share per source"),
        ("a=nan", "not a share per source"),
        ("a=0", "no source has a weight above 0"),
        ("a=1,b=0.00001", "cannot be held in a block"),
    ],
)
def test_weights_that_cannot_be(run: Path, capsys: Out, weights: str, said: str) -> None:
    err = refused(capsys, "mixture", run, "--step", 5, "--weights", weights)
    assert re.search(said, err)
    assert not (run / "ledger.json").exists()


def test_a_source_of_the_corpus_is_checked_where_it_is_known(run: Path, capsys: Out) -> None:
    path = run.parent / "free.json"
    out = say(capsys, "mixture", path, "--sequence", 5, "--weights", "z=1")
    assert "from sequence 5 on z=1" in out and "epochs" not in out
    corpus = ("--corpus", run.parent / "corpus")
    more = ("--sequence", 6, "--weights", "b=1")
    assert "no source 'z'" in refused(
        capsys, "mixture", path, *more, *corpus, "--seq-len", 8, "--batch", 4, "--steps", 9
    )
    path.unlink()
    out = say(capsys, "mixture", path, *more, *corpus)
    assert "epochs are not told without --seq-len, --batch and --steps" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("quarantine", "{}"), "--first (and --last), or --step"),
        (("quarantine", "{}", "--first", 1, "--step", 1), "--first (and --last), or --step"),
        (("quarantine", "{}", "--first", 5, "--last", 4), "the last one comes before the first"),
        (("quarantine", "{}", "--step", 5, "--last", 4), "--last goes with --first"),
        (("quarantine", "{}", "--step", 5, "--last-step", 4), "the last one comes before"),
        (("quarantine", "{}", "--first", -1), "--first"),
        (("mixture", "{}", "--weights", "a=1"), "--sequence or --step, please"),
        (("mixture", "{}", "--weights", "a=1", "--step", 1), "--step"),
        (("show", "{}"), "no such ledger"),
        (("show", "/nowhere/at/all.json"), "no such folder"),
    ],
)
def test_wrong_arguments(run: Path, capsys: Out, arguments: tuple[object, ...], said: str) -> None:
    assert said in refused(capsys, *(str(a).replace("{}", str(run)) for a in arguments))


def test_a_damaged_ledger_is_left_alone(run: Path, capsys: Out) -> None:
    (run / "ledger.json").write_text('{"format": "another"}')
    assert "ledger.json: format" in refused(capsys, "quarantine", run, "--step", 1)
    assert (run / "ledger.json").read_text() == '{"format": "another"}'


def test_what_a_run_was_told(run: Path, tmp_path: Path) -> None:
    told = load(run)
    assert (told.seq_len, told.batch, told.steps, told.seed) == (8, 4, 40, 1)
    assert told.sequences == 160 and told.mixture() is None and told.read_ledger() == ledgers.EMPTY
    assert parse_weights(" a = 0.5 ,b=2") == {"a": 0.5, "b": 2.0}
    named = RunData(seq_len=8, weights="a=1", ledger=str(tmp_path / "none.json"))
    assert named.sequences is None and named.mixture() == {"a": 1.0}
    with pytest.raises(ValueError, match="no such ledger"):
        named.read_ledger(run)
    (run / "settings.json").write_text('{"seq_len": 8, "batch": 0}')
    with pytest.raises(ValueError, match=r"settings\.json: batch: "):
        load(run)
    with pytest.raises(ValueError, match="no training run here"):
        load(tmp_path)
