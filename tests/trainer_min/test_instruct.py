from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tokenizer.encode import Encoder
from tokenizer.manifest import TokensManifest
from tokenizer.order import DataOrder
from tokenizer.shards import ShardReader
from trainer_min.cli import main
from trainer_min.data import IGNORED, read
from trainer_min.instruct import encoded

from .test_train import arguments, column

ROWS = [
    {"prompt": f"the answer {i}?", "response": f"the sun {'ABCD'[i % 4]} and moon {i}."}
    for i in range(80)
]


def command(folder: Path, spoken: Path, *more: str) -> list[str]:
    given = {"--input": folder / "rows.jsonl", "--out": folder / "tuned"}
    given["--tokenizer"] = spoken / "tokenizer.model"
    return ["instruct", *(str(x) for pair in given.items() for x in pair), *more]


def put(folder: Path, rows: list[object]) -> None:
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    (folder / "rows.jsonl").write_text(text)


@pytest.fixture(scope="module")
def tuned(spoken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instruct")
    put(folder, list(ROWS))
    assert main(command(folder, spoken, "--valid-share", "0.1")) == 0
    return folder / "tuned"


def test_only_the_response_and_its_separator_are_labels(tuned: Path, spoken: Path) -> None:
    encoder = Encoder(spoken / "tokenizer.model", "sentencepiece")
    manifest = TokensManifest.load(tuned)
    seen = set()
    for shard in manifest.shards:
        reader = ShardReader(str(tuned / shard.path), vocab_size=manifest.vocab_size)
        mask = np.fromfile(tuned / shard.path.replace(".bin", ".mask"), dtype=np.uint8)
        assert len(mask) == shard.tokens
        for row in reader.documents.to_pylist():
            place = slice(row["first_token"], row["first_token"] + row["length"])
            ids, labels = reader.memmap[place], mask[place] == 1
            learnt = encoder.decode(ids[labels][:-1].tolist())
            asked = ROWS[int(row["id"].removeprefix("line-")) - 1]
            assert learnt.strip() == asked["response"]
            assert ids[-1] == encoder.eos_id and labels[-1]
            seen.add(row["id"])
    assert len(seen) == len(ROWS)


def test_the_train_loop_learns_labels_alone(tuned: Path) -> None:
    """Where a token is no label its target is ignored; the inputs are all there."""
    manifest = TokensManifest.load(tuned)
    order = DataOrder(manifest, tuned, seq_len=32, seed=0)
    ((_, shard),) = manifest.select("instructions")
    mask = np.fromfile(tuned / shard.path.replace(".bin", ".mask"), dtype=np.uint8)
    batch = read(order, range(6), 6)
    for row, g in enumerate(range(6)):
        start = order.slot(g).window * 32
        wanted = np.where(mask[start + 1 : start + 33] == 1, order.tokens(g)[1:], IGNORED)
        assert batch.labels[row].tolist() == wanted.tolist()
        assert batch.inputs[row].tolist() == order.tokens(g)[:-1].tolist()


def test_fine_tuning_begins_with_a_model(tuned: Path, spoken: Path, tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    assert main(arguments(spoken, base, steps=20, seq_len=64, batch=4)) == 0
    given = {"init_from": base / "checkpoints" / "step-00000020", "steps": 15, "seq_len": 64}
    assert main([*arguments(tuned, out, **given), "--verify-shards"]) == 0
    losses = column(out, "loss")
    assert losses[-1] < losses[0]
    assert all(a <= b for a, b in zip(losses, column(out, "loss_max"), strict=True)), (
        "by the labels of a sequence, not by its length"
    )
    other = tmp_path / "other"
    assert main(arguments(tuned, other, **(given | {"init_from": base, "steps": 1}))) == 0
    assert column(other, "loss")[0] == pytest.approx(losses[0]), "a run stands for its newest"
    assert main(arguments(tuned, tmp_path / "x", **(given | {"init_from": tuned}))) == 2


def test_bad_lines_are_told_and_counted(
    spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad: list[object] = [
        "{no json",
        '["a list"]',
        {"prompt": "x"},
        {"prompt": "x", "response": " "},
        {"prompt": "x", "response": 5},
        '{"prompt": "x", "response": "\\ud800"}',
        "[" * 100_000,
    ]
    put(tmp_path, [ROWS[0], *bad, "", ROWS[1]])
    assert main(command(tmp_path, spoken)) == 0
    said = capsys.readouterr()
    assert "9 examples read = 2 to train on + 0 held out + 7 bad" in said.out
    assert [line.split(":")[1].strip() for line in said.err.splitlines() if line] == [
        f"line {n}" for n in range(2, 9)
    ]
    assert main(command(tmp_path, spoken)) == 2, "it is not empty any more"
    (tmp_path / "none").mkdir()
    put(tmp_path / "none", bad)
    assert main(command(tmp_path / "none", spoken)) == 1
    assert "no usable example" in capsys.readouterr().err
    assert main(command(tmp_path / "absent", spoken)) == 2


def test_a_damaged_mask_is_refused(
    spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, list(ROWS))
    assert main(command(tmp_path, spoken)) == 0
    (path,) = (tmp_path / "tuned").glob("**/*.mask")
    content = path.read_bytes()
    path.write_bytes(bytes([1 - content[0]]) + content[1:])
    given = [*arguments(tmp_path / "tuned", tmp_path / "out", steps=1), "--verify-shards"]
    assert main(given) == 2
    assert "mask instructions/train-00000-of-00001.mask: manifest sha256" in capsys.readouterr().err
    path.write_bytes(content[:-1])
    assert main(given) == 2
    path.unlink()
    assert main(given) == 2
    assert "file missing" in capsys.readouterr().err


def test_the_same_file_gives_the_same_bytes(tuned: Path, spoken: Path, tmp_path: Path) -> None:
    put(tmp_path, list(ROWS))
    assert main(command(tmp_path, spoken, "--valid-share", "0.1")) == 0
    for path in sorted(p for p in tuned.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "tuned" / path.relative_to(tuned)).read_bytes()


def test_a_piece_across_the_joint_is_a_label(spoken: Path) -> None:
    """Joined without anything, "the" and "sun" may share no piece, but ids still line up."""
    encoder = Encoder(spoken / "tokenizer.model", "sentencepiece")
    for prompt, response, joint in (("an", "d sun", ""), ("x", "y", "\n"), ("", "sun", "")):
        ids, labels = encoded(encoder, prompt, response, joint)
        first = int(np.argmax(labels))
        assert encoder.decode(ids.tolist()) == prompt + joint + response
        kept = encoder.decode(ids[:first].tolist())
        assert (prompt + joint).startswith(kept)
        assert labels[-1] == 1 and len(labels) == len(ids) + 1
