from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tokenizer.cli import main

from .conftest import some_lines, write_corpus


def test_train_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("\n".join(some_lines(1500)), encoding="utf-8")
    out = tmp_path / "a.model"
    assert main(["train", str(tmp_path / "*.txt"), "-o", str(out), "--vocab-size", "600"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert out.is_file() and info["vocab_size"] == 600 and info["lines"] == 1500


def test_train_on_a_share_by_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("\n".join(some_lines(1500)), encoding="utf-8")
    arguments = ["train", str(tmp_path / "a.txt"), "-o", str(tmp_path / "m"), "--rate", "0.5"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert 650 < json.loads(captured.out)["lines"] < 850
    assert captured.err.startswith("note: the text allows")


def test_encode_and_decode_give_the_text_back(
    model_path: Path,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "  ka lo\n\n1234 </s> é\u4e16 \0\t"
    (tmp_path / "text").write_bytes(text.encode())
    assert main(["encode", "-m", str(model_path), str(tmp_path / "text")]) == 0
    sys.stdout.flush()
    ids = capfdbinary.readouterr().out
    assert ids.count(b"\n") == 1
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ids)))
    assert main(["decode", "-m", str(model_path)]) == 0
    assert capfdbinary.readouterr().out == text.encode()


def test_lines_and_pieces(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("ka\n\nlo\n")
    command = ["encode", "-m", str(model_path), str(tmp_path / "text"), "--lines", "--pieces"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [["\u2581ka"], [], ["\u2581lo"]]


def test_inspect_a_model(model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model_path)]) == 0
    out = capsys.readouterr().out
    assert "1,000 pieces, bpe" in out and "split_digits" in out and "canary" in out


def test_inspect_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path, {"books": [[9, 30], [25]]})
    assert main(["inspect", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "books/train-00000-of-00002.bin" in out and "good" in out and "2.23" in out
    shard = tmp_path / "books/train-00000-of-00002.bin"
    assert main(["inspect", str(shard)]) == 0
    out = capsys.readouterr().out
    assert "tokens      41" in out and "books/train-00000-of-00002.bin/1" in out
    shard.write_bytes(b"\0\0" + shard.read_bytes()[2:])
    assert main(["inspect", "--no-check", str(tmp_path / "manifest.json")]) == 0
    assert "not checked" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "manifest.json")]) == 1
    captured = capsys.readouterr()
    assert "wrong" in captured.out and "the sha256 is not the manifest's" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command"),
        (["inspect"], "Missing argument"),
        (["inspect", "--colour"], "No such option"),
        (["inspect", "{dir}"], "no token manifest here"),
        (["inspect", "{dir}/none.model"], "No such file"),
        (["inspect", "{dir}/none.bin"], "No such file"),
        (["inspect", "{dir}/text"], "not a SentencePiece model"),
        (["encode", "-m", "{dir}/text"], "not a SentencePiece model"),
        (["encode", "-m", "{model}", "{dir}/none"], "no such file"),
        (["encode", "-m", "{model}", "{dir}/latin"], "byte 1 is not UTF-8"),
        (["decode", "-m", "{model}", "{dir}/text"], "line 1: invalid literal"),
        (["decode", "-m", "{model}", "{dir}/ids"], "line 2: id 70000 is outside the vocabulary"),
        (["train", "{dir}/none*", "-o", "{dir}/x"], "no such file"),
        (["train", "{dir}/text", "-o", "{dir}/x", "--vocab-size", "3"], "--vocab-size: Input"),
        (["train", "{dir}/text", "-o", "{dir}/x", "--vocab-size", "a"], "Invalid value"),
        (["train", "{dir}/text", "-o", "{dir}/x", "--long-lines", "no"], "--long-lines: Input"),
        (["train", "{dir}/text", "-o", "{dir}/x", "--rate", "2"], "sample rate 2.0"),
        (["train", "{dir}/empty", "-o", "{dir}/x"], "no text to train"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path,
    model_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "text").write_text("some text\n")
    (tmp_path / "latin").write_bytes(b"a\xe9b")
    (tmp_path / "ids").write_text("5 6\n70000\n")
    (tmp_path / "empty").write_text("")
    filled = [a.format(dir=tmp_path, model=model_path) for a in arguments]
    assert main(filled) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_as_a_module() -> None:
    command = [sys.executable, "-m", "tokenizer"]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert all(name in shown.stdout for name in ("train", "encode", "decode", "inspect"))


def test_neither_beam_nor_other_rooms_are_imported() -> None:
    code = (
        "import sys, pkgutil, importlib, tokenizer\n"
        "for m in pkgutil.iter_modules(tokenizer.__path__):\n"
        "    if m.name != '__main__': importlib.import_module('tokenizer.' + m.name)\n"
        "bad = {'apache_beam', 'torch', 'stages', 'pipeline', 'trainer_min'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
