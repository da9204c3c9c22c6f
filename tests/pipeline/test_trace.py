"""`corpus trace`: what a step holds and when a document is seen, on a small corpus made here."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import cli, trace_find, trace_run
from pipeline.trace import Data, Seen, sequences, sightings
from stages.document_names import names_of
from stages.documents import PartWriter
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from stages.outcomes import Document
from tokenizer import manifest as manifests
from tokenizer.encode import Encoder
from tokenizer.ledger import EMPTY, Ledger, MixtureChange, Quarantine
from tokenizer.manifest import Shard, Split
from tokenizer.order import DataOrder
from tokenizer.shards import ShardWriter
from tokenizer.train import TokenizerSettings, train_tokenizer

SEQ_LEN, BATCH, STEPS = 8, 7, 20
ESCAPES = ("\x1b", "\x9b", "\u202e", "\x07")
HOSTILE = "\x1b[31mred \x9b2J \u202e evil \x07"
WORDS = ("river", "stone", "bridge", "winter", "garden", "library", "engine", "market", "forest")
# Per source: documents of each train shard, then of the valid shard. `c` ends in a dropped tail.
PLAN: dict[str, list[int]] = {"a": [5, 4, 2], "b": [6, 2], "c": [1, 2, 1]}
WEIGHTS = {"a": 0.5, "b": 0.3, "c": 0.2}


def text_of(source: str, number: int) -> str:
    choose = random.Random(f"{source}{number}")
    words = " ".join(choose.choice(WORDS) for _ in range(choose.randrange(1, 40)))
    return f"  {words}\n{number} {HOSTILE if number == 1 else ''} end"


def url_of(source: str, number: int) -> str:
    return f"https://www.{source}.example/{number}/" + (HOSTILE if number == 1 else "")


def origin_of(source: str, number: int) -> str:
    return f"/raw/{source}/file.gz#{100 * number}"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a tokenizer and shards of three sources, and no step's manifest."""
    folder = tmp_path_factory.mktemp("work") / "tokens"
    folder.mkdir()
    lines = [text_of(source, n) for source in PLAN for n in range(40)]
    train_tokenizer(lines, folder / "tokenizer.model", TokenizerSettings(vocab_size=350))
    encoder = Encoder(folder / "tokenizer.model")
    shards: list[Shard] = []
    for source, counts in PLAN.items():
        number = 0
        for i, count in enumerate(counts):
            split: Split = "valid" if i == len(counts) - 1 else "train"
            name = f"{source}/{split}-{0 if split == 'valid' else i:05d}-of-00002"
            writer = ShardWriter(
                folder / name, vocab_size=encoder.vocab_size, separator_id=encoder.eos_id
            )
            for _ in range(count):
                text = text_of(source, number)
                origin, url = origin_of(source, number), url_of(source, number)
                writer.add(
                    f"{source}-{number}",
                    encoder.encode(text),
                    len(text.encode()),
                    origin=origin,
                    url=url,
                    names=names_of(origin, url),
                )
                number += 1
            shards.append(writer.close().entry(f"{name}.bin", source=source, split=split))
    manifests.build(
        tokenizer_sha256=encoder.model.sha256,
        canary=encoder.canary,
        vocab_size=encoder.vocab_size,
        proportions=WEIGHTS,
        shards=shards,
    ).save(folder)
    return folder.parent


LEDGERS = {
    "plain": EMPTY,
    "changed": Ledger(
        mixture=(
            MixtureChange(from_sequence=17, weights={"a": 1, "b": 8, "c": 1}),
            MixtureChange(from_sequence=60, weights={"a": 1, "b": 1}),
        ),
        quarantine=(Quarantine(first=5, last=9), Quarantine(first=21, last=27)),
    ),
}


def data_of(work: Path, ledger: Ledger = EMPTY, world: int | None = None) -> Data:
    root = work / "tokens"
    order = DataOrder(manifests.load(root), root, seq_len=SEQ_LEN, seed=3, changes=ledger.mixture)
    return Data(order, ledger, BATCH, world, BATCH * STEPS)


def documents() -> list[str]:
    return [f"{source}-{n}" for source, counts in PLAN.items() for n in range(sum(counts))]


def held_out() -> set[str]:
    return {f"{s}-{n}" for s, c in PLAN.items() for n in range(sum(c[:-1]), sum(c))}


# -- forward --------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2, 3, 5, 9])
def test_every_step_covers_its_sequences_once_over_the_ranks(work: Path, world: int) -> None:
    data, seen = data_of(work, world=world), []
    for step in range(1, STEPS + 1):
        for rank in range(world):
            for one in sequences(data, data.slots(data.numbers(step, rank))):
                assert (one.step, one.rank) == (step, rank)
                assert one.row is not None and one.sequence == (step - 1) * BATCH + one.row
                assert data.numbers(step, row=one.row) == [one.sequence]
                seen.append(one.sequence)
    assert seen == list(range(BATCH * STEPS))


def test_a_window_is_its_documents_one_after_the_other_with_their_text(work: Path) -> None:
    data, encoder = data_of(work), Encoder(work / "tokens" / "tokenizer.model")
    ids = {
        f"{s}-{n}": [*encoder.encode(text_of(s, n)).tolist(), encoder.eos_id]
        for s, counts in PLAN.items()
        for n in range(sum(counts))
    }
    cut = joined = 0
    for one in sequences(data, data.slots(range(60)), encoder):
        tokens = data.order.tokens(one.sequence).tolist()
        assert len(tokens) == SEQ_LEN + 1
        at = 0
        for part in one.documents:
            assert part.at == at and part.whole == len(ids[part.id])
            own = ids[part.id][part.position : part.position + part.tokens]
            assert tokens[at : at + part.tokens] == own
            at += part.tokens
            source, number = part.id.split("-")
            assert part.origin == origin_of(source, int(number))
            assert part.url == url_of(source, int(number))
            assert source == one.source and part.shard.startswith(f"{source}/train-")
            assert part.text is not None
            if part.tokens == part.whole:
                assert part.text == text_of(source, int(number))
            if number != "1":  # Bytes of a character may be cut there.
                before = encoder.decode(ids[part.id][: part.position])
                upto = encoder.decode([i for i in [*ids[part.id][: part.position], *own] if i != 2])
                assert upto == before + part.text
            cut += part.position > 0
        assert at == SEQ_LEN + 1
        joined += len(one.documents) > 1
    assert cut > 20 and joined > 10


def test_what_a_trainer_reads_has_the_digest(work: Path) -> None:
    torch_data = pytest.importorskip("trainer_min.data", reason="the trainer needs torch")
    for ledger in LEDGERS.values():
        for world in (1, 2, 3, 5):
            data = data_of(work, ledger, world)
            for step in (1, 2, 4, 9):
                shares = [data.numbers(step, rank) for rank in range(world)]
                total = sum(
                    torch_data.read(data.order, range(n[0], n[-1] + 1), BATCH, ledger).digest
                    for n in shares
                )
                assert data.digest(step) == f"{total % (1 << 64):016x}"


# -- the inverse ----------------------------------------------------------------------------------


def by_forward_trace(data: Data) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = defaultdict(list)
    for one in sequences(data, data.slots(range(data.sequences or 0))):
        for p in one.documents:
            found[p.id].append(
                Seen(
                    *(one.sequence, one.step, one.row, one.rank, one.epoch, one.window),
                    *(p.at, p.tokens, p.position, one.quarantined),
                )
            )
    return found


@pytest.mark.parametrize("name", LEDGERS)
def test_the_inverse_lists_exactly_what_forward_trace_shows(work: Path, name: str) -> None:
    data = data_of(work, LEDGERS[name], world=3)
    forward = by_forward_trace(data)
    root = work / "tokens"
    epochs, tails, quarantined = set(), 0, 0
    for document in documents():
        ((how, place),) = trace_find.find(data.order.manifest, root, document)
        assert how == "id"
        found = sightings(data, place)
        assert list(found.seen) == forward.get(document, [])
        if document in held_out():
            assert place.split == "valid" and not found.seen and found.weighted
        else:
            assert found.seen or found.dropped
        epochs |= {s.epoch for s in found.seen}
        quarantined += sum(s.quarantined for s in found.seen)
        tails += found.dropped
        assert found.never == 0
    assert set(forward) <= set(documents()) - held_out() and len(epochs) > 3
    assert tails == sum(data.order.dropped_tokens.values()) > 0
    assert (quarantined > 0) == bool(LEDGERS[name].quarantine)


def test_epochs_instead_of_a_run(work: Path) -> None:
    """Each token of a document is a label once an epoch (but for the first of a stream)."""
    plain = data_of(work)
    data = Data(plain.order)
    ((_, place),) = trace_find.find(data.order.manifest, work / "tokens", "b-2")
    found = sightings(data, place, epochs=3)
    assert {s.epoch for s in found.seen} == {0, 1, 2}
    assert {(s.step, s.row, s.rank) for s in found.seen} == {(None, None, None)}
    labels = [
        (s.epoch, s.position + i) for s in found.seen for i in range(s.tokens) if s.at + i > 0
    ]
    assert sorted(labels) == [(e, i) for e in range(3) for i in range(place.tokens)]
    with pytest.raises(ValueError, match="say --epochs"):
        sightings(data, place)


def test_windows_that_a_change_leaves_out_never_come(work: Path) -> None:
    data = data_of(work, LEDGERS["changed"])
    ((_, place),) = trace_find.find(data.order.manifest, work / "tokens", "c-0")
    found = sightings(data, place, epochs=5)
    windows = data.order.windows_of(place.shard_index, place.first_token, place.tokens)
    assert found.never > 0 and len(found.seen) + found.never == 5 * len(windows)
    assert all(s.sequence < 60 for s in found.seen)


def test_a_source_without_weight_is_not_seen(work: Path) -> None:
    root = work / "tokens"
    manifest = manifests.load(root)
    data = Data(DataOrder(manifest, root, seq_len=8, seed=0, weights={"a": 1}), sequences=50)
    ((_, place),) = trace_find.find(manifest, root, "b-0")
    found = sightings(data, place)
    assert not found.weighted and found.seen == ()


# -- finding documents ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("a-3", "id"),
        (origin_of("a", 3), "origin"),
        ("file.gz#300", "origin"),
        ("https://www.a.example/3/", "url"),
        ("HTTPS://WWW.A.example:443/x/../3/#top", "normalised url"),
        ("http://a.example/3", "url without scheme and www"),
        ("a.example/3", "url without scheme and www"),
    ],
)
def test_a_document_has_many_names(work: Path, text: str, how: str) -> None:
    found = trace_find.find(manifests.load(work), work / "tokens", text)
    assert ("a-3", how) in [(place.id, by) for by, place in found]
    if text.startswith("file"):
        assert {place.id for _, place in found} == {"a-3", "b-3", "c-3"}
    else:
        assert len(found) == 1


@pytest.mark.parametrize("text", ["", "a-", "a-33", "a.example", "/", "x\udc80", "a" * 5000])
def test_what_is_not_there_is_not_found(work: Path, text: str) -> None:
    assert trace_find.find(manifests.load(work), work / "tokens", text) == []


def test_an_id_is_looked_up_in_one_shard_of_each_split(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the tokens stage deals documents; all shards are opened for other names alone."""
    with PartWriter(str(tmp_path / "in"), "part-00000-of-00001.parquet", "t") as out:
        for i in range(90):
            url = f"http://{i}.example/"
            out.outcome(Document(f"d{i}", text_of("a", i), "a", f"/raw/f#{i}", url=url))
    run_step(
        Step(
            "tokens",
            "tokens",
            str(tmp_path / "tokens"),
            {"input": [str(tmp_path / "in")], "tokenizer": [str(work / "tokens")]},
            {"valid_share": 0.3, "shard_tokens": 700, "seed": 5},
        )
    )
    manifest = manifests.load(tmp_path)
    splits = [s.split for s in manifest.shards]
    assert splits.count("train") > 3 and splits.count("valid") > 1
    opened: list[str] = []
    real = trace_find.ShardReader
    monkeypatch.setattr(
        trace_find, "ShardReader", lambda path: (opened.append(path), real(path))[1]
    )
    for i in range(90):
        opened.clear()
        ((how, place),) = trace_find.find(manifest, tmp_path / "tokens", f"d{i}")
        assert (how, place.id, place.url) == ("id", f"d{i}", f"http://{i}.example/")
        assert 1 <= len(opened) <= 2
    opened.clear()
    assert len(trace_find.find(manifest, tmp_path / "tokens", "http://7.example")) == 1
    assert len(set(opened)) == len(manifest.shards)


# -- the command ----------------------------------------------------------------------------------


class Command:
    """Runs `corpus trace` in this process."""

    def __init__(self, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.work, self.monkeypatch, self.capsys = work, monkeypatch, capsys

    def __call__(self, *arguments: object, where: object = None) -> tuple[int, str, str]:
        words = ["corpus", "trace", str(where or self.work), *map(str, arguments)]
        self.monkeypatch.setattr(sys, "argv", words)
        code = cli.main()
        out, err = self.capsys.readouterr()
        assert not [c for c in ESCAPES if c in out + err]
        return code, out, err

    def json(self, *arguments: object) -> dict[str, Any]:
        code, out, _ = self(*arguments, "--json")
        assert code == 0 and out.isascii()
        return dict(json.loads(out))


@pytest.fixture
def corpus(work: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Command:
    return Command(work, monkeypatch, capfd)


def run_folder(
    folder: Path,
    work: Path,
    ledger: Ledger = EMPTY,
    steps: int = 10,
    more: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """A training run's folder as the trainer leaves it after so many steps, in two parts."""
    folder.mkdir(parents=True)
    settings = {"corpus": str(work), "seq_len": SEQ_LEN, "batch": BATCH, "steps": STEPS}
    settings |= {"seed": 3, "weights": None, "ledger": None, "lr": 0.1}
    (folder / "settings.json").write_text(json.dumps(settings))
    if ledger != EMPTY:
        ledger.save(folder / "ledger.json")
    data = data_of(work, ledger)
    facts = {"corpus": sha_of(work), "order_version": 1}
    records: list[Mapping[str, Any]] = [{"kind": "run", "step": 0, "processes": 2, **facts}]
    for step in range(1, steps + 1):
        if step == 6:
            records.append({"kind": "run", "step": 5, "processes": 3, **facts})
        records += [r for r in more if r["step"] == step]
        digest = data.digest(step)
        loss = float("nan") if step == 2 else 2.5
        records.append({"kind": "step", "step": step, "loss": loss, "digest": digest})
    lines = "".join(json.dumps(r) + "\n" for r in records)
    (folder / "log.jsonl").write_text(lines + '{"kind": "step", "st')
    return folder


def sha_of(work: Path) -> str:
    return hashlib.sha256(manifests.load(work).to_json()).hexdigest()


def test_a_step_of_a_run(corpus: Command, work: Path, tmp_path: Path) -> None:
    spike = {
        "kind": "spike",
        "step": 7,
        "why": "the loss is 9 sigma up",
        "sequences": [{"sequence": 43, "loss": 9.25, "documents": []}],
    }
    run = run_folder(tmp_path / "run", work, LEDGERS["changed"], more=[spike])
    code, out, err = corpus("--step", 7, "--train", run)
    assert code == 0 and out.count("sequence 4") >= BATCH
    assert f"digest {data_of(work, LEDGERS['changed']).digest(7)} as logged, loss 2.5000" in out
    assert "3 processes" in out and "spike at this step: the loss is 9 sigma up" in out
    assert "blamed for the spike, loss 9.2500" in out
    assert "look-ups" in err and "µs each" in err
    code, out, _ = corpus("--step", 4, "--train", run)
    assert code == 0 and out.count("QUARANTINED") == 7 and "2 processes" in out
    _, out, _ = corpus("--step", 7, "--train", run, "--row", 0)
    assert "of the spike also sequence 43, loss 9.2500" in out
    code, out, _ = corpus("--step", 12, "--train", run)
    assert code == 0 and "not in a log" in out


def test_text_is_shown_without_what_a_terminal_obeys(corpus: Command, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", corpus.work)
    text = ""
    for step in range(1, 11):
        code, out, _ = corpus("--step", step, "--train", run, "--text")
        assert code == 0
        text += out
    assert "\\x1b" in text and "\\u202e" in text and "\\x07" in text
    assert "    | " in text and "river" in text


def test_a_digest_that_is_not_the_logged_one_is_loud(
    corpus: Command, work: Path, tmp_path: Path
) -> None:
    run = run_folder(tmp_path / "run", work)
    LEDGERS["changed"].save(run / "ledger.json")
    code, out, err = corpus("--step", 4, "--train", run)
    assert code == 1 and "IS NOT THE LOGGED" in out and "failed: step 4 has the digest" in err
    log = run / "log.jsonl"
    log.write_text(log.read_text().replace(sha_of(work), "0" * 64))
    _, _, err = corpus("--step", 1, "--train", run)
    assert "warning: the corpus is not the one" in err


def test_the_newest_run_of_the_work_folder(corpus: Command, work: Path, tmp_path: Path) -> None:
    code, _, err = corpus("--step", 1)
    assert code == 2 and "no training run in" in err
    with pytest.raises(InputError, match="no training run"):
        trace_run.newest(str(work), str(work / "tokens"))
    (tmp_path / "tokens").symlink_to(work / "tokens")
    for name, when in (("x", 200), ("y", 100)):
        run_folder(tmp_path / "train" / name, work)
        os.utime(tmp_path / "train" / name / "log.jsonl", (when, when))
    _, out, _ = corpus("--step", 1, where=tmp_path)
    assert f"run {tmp_path}/train/x" in out
    _, out, _ = corpus("--step", 1, where=tmp_path / "tokens")
    assert f"run {tmp_path}/train/x" in out


def test_options_stand_for_a_run(corpus: Command, work: Path) -> None:
    told = ("--seq-len", SEQ_LEN, "--batch", BATCH, "--seed", 3)
    facts = corpus.json("--step", 3, *told, "--rank", 1, "--world", 3)
    data = data_of(work, world=3)
    assert [s["sequence"] for s in facts["sequences"]] == data.numbers(3, 1)
    assert facts["digest"] == data.digest(3) and facts["logged_digest"] is None
    (one,) = corpus.json("--sequence", 30, *told)["sequences"]
    assert (one["step"], one["row"]) == (5, 2) and "text" in one["documents"][0]
    weighted = corpus.json("--sequence", 30, *told, "--weights", "b=1")
    assert weighted["sequences"][0]["source"] == "b"


def test_a_ledger_may_be_named(corpus: Command, work: Path, tmp_path: Path) -> None:
    LEDGERS["changed"].save(tmp_path / "l.json")
    told = ("--seq-len", SEQ_LEN, "--batch", BATCH, "--seed", 3, "--ledger", tmp_path / "l.json")
    facts = corpus.json("--step", 4, *told)
    assert all(s["quarantined"] for s in facts["sequences"])
    assert len(facts["ledger"]["mixture"]) == 2


def test_a_document_of_a_run(corpus: Command, work: Path, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", work, LEDGERS["changed"])
    data = data_of(work, LEDGERS["changed"], world=2)
    facts = corpus.json("--document", "http://a.example/2", "--train", run, "--world", 2)
    (document,) = facts["documents"]
    assert facts["last_step_done"] == 10 and document["kind"] == "train"
    want = by_forward_trace(data)["a-2"]
    assert [Seen(**seen) for seen in document["seen"]] == want
    code, out, err = corpus("--document", "a-1", "--train", run)
    assert code == 0 and "to come" in out and "quarantined" in out and "\\x1b" in out
    assert "of them up to step 10, the last in the log" in out
    assert "window to sequence" in err and "found in" in err
    _, out, _ = corpus("--document", "a-10", "--train", run)
    assert "never trained on: held out (valid)" in out
    _, out, _ = corpus("--document", "c-2", "--train", run)
    assert "dropped tail" in out
    _, out, _ = corpus("--document", "a-2", "--train", run, "--epochs", 9)
    assert "after the run" in out
    code, out, err = corpus("--document", "\x1bnobody", "--train", run)
    assert (code, out) == (1, "") and err.startswith("not found: \\x1bnobody: no id, URL")


TOLD = ("--seq-len", 8, "--batch", 7)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (TOLD, "one of --step, --sequence and --document"),
        ((*TOLD, "--step", 1, "--sequence", 1), "one of --step, --sequence and --document"),
        ((*TOLD, "--step", 0), "--step"),
        ((*TOLD, "--step", "x"), "--step"),
        ((*TOLD, "--step", 1, "--row", 7), "row 7 is not of the step, which has rows 0 to 6"),
        ((*TOLD, "--step", 1, "--rank", 0), "--world"),
        ((*TOLD, "--step", 1, "--rank", 2, "--world", 2), "rank 2 is not below 2"),
        ((*TOLD, "--step", 1, "--rank", 1, "--world", 2, "--row", 0), "which has rows 3 to 6"),
        ((*TOLD, "--step", 1, "--rank", 0, "--world", 9, "--row", 0), "has rows none"),
        ((*TOLD, "--sequence", 1, "--rank", 0), "--rank goes with --step"),
        ((*TOLD, "--document", "a-1"), "say --epochs"),
        ((*TOLD, "--document", "a-1", "--text"), "--text goes with"),
        ((*TOLD, "--step", 1, "--epochs", 1), "--epochs goes with --document"),
        ((*TOLD, "--step", 1, "--weights", "a"), "not a share per source"),
        ((*TOLD, "--step", 1, "--weights", "z=1"), "no source 'z'"),
        ((*TOLD, "--step", 1, "--ledger", "/nowhere.json"), "no such ledger"),
        ((*TOLD, "--step", 1, "--train", "/nowhere"), "--train already says"),
        (("--step", 1, "--train", "/nowhere"), "no training run here"),
        (("--step", 1, "--batch", 7), "--batch needs --seq-len"),
        (("--step", 1, "--seq-len", 8), "--batch"),
        (("--step", 1, "--seq-len", 100_000), "one sequence needs 100001"),
    ],
)
def test_wrong_questions_get_one_line(corpus: Command, arguments: Any, said: str) -> None:
    code, out, err = corpus(*arguments)
    assert (code, out) == (2, "") and err.count("\n") == 1 and said in err


def test_no_corpus(corpus: Command, tmp_path: Path) -> None:
    code, _, err = corpus("--step", 1, where=tmp_path)
    assert code == 2 and "no token manifest here" in err and err.count("\n") == 1


def test_steps_beyond_the_run_and_damaged_runs(corpus: Command, work: Path, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", work)
    code, _, err = corpus("--step", STEPS + 1, "--train", run)
    assert code == 2 and "the run ends with step 20" in err
    code, _, err = corpus("--sequence", BATCH * STEPS, "--train", run)
    assert code == 2 and "the run ends with 139" in err
    (run / "log.jsonl").write_text("nonsense\n")
    code, _, err = corpus("--step", 1, "--train", run)
    assert code == 2 and "line 1 is no record" in err
    (run / "ledger.json").write_text("{")
    code, _, err = corpus("--step", 1, "--train", run)
    assert code == 2 and "ledger.json" in err
    (run / "settings.json").write_text('{"seq_len": 0}')
    code, _, err = corpus("--step", 1, "--train", run)
    assert code == 2 and "settings.json: seq_len" in err


def test_damaged_shards_are_a_failure(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    shutil.copytree(work / "tokens", tmp_path / "tokens")
    for path in (tmp_path / "tokens").glob("*/*.docs.parquet"):
        path.write_bytes(b"PAR1")
    corpus = Command(tmp_path, monkeypatch, capfd)
    for question in (("--step", 1, *TOLD), ("--document", "a-1", *TOLD, "--epochs", 1)):
        code, out, err = corpus(*question)
        assert (code, out) == (1, "") and err.count("\n") == 1 and "document sidecar" in err
