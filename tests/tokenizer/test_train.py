from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenizer.encode import Encoder
from tokenizer.files import read_bytes
from tokenizer.model import ModelFile
from tokenizer.train import TokenizerSettings, _Lines, split_line, train_tokenizer

from .conftest import some_lines

SMALL = TokenizerSettings(vocab_size=600)


def test_trained_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """Also where lines are drawn at random, since the draw has a fixed seed."""
    for number, chosen in enumerate((SMALL, SMALL.model_copy(update={"input_sentence_size": 800}))):
        one = train_tokenizer(some_lines(1500), tmp_path / "one", chosen)
        two = train_tokenizer(iter(some_lines(1500)), tmp_path / "two", chosen)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        assert one.sha256 == two.sha256 == hashlib.sha256(read_bytes(one.path)).hexdigest()
        assert bool(number) == any("drawn at random" in note for note in one.notes)


def test_what_came_out(tmp_path: Path) -> None:
    info = train_tokenizer(some_lines(1500), tmp_path / "m", SMALL)
    assert info.vocab_size == info.requested_vocab_size == 600 and info.notes == ()
    assert info.lines == info.trained_lines == 1500
    assert info.trained_bytes == sum(len(line.encode()) for line in some_lines(1500))
    encoder = Encoder(info.path)
    assert encoder.canary == info.canary and encoder.model.sha256 == info.sha256
    assert encoder.pieces(encoder.encode("2023 10"))[-7:] == [
        "2",
        "0",
        "2",
        "3",
        "\u2581",
        "1",
        "0",
    ]


def test_documents_are_split_in_lines(tmp_path: Path) -> None:
    lines = some_lines(1500)
    document = train_tokenizer(
        ["\n".join(lines[:700]), "\n".join(lines[700:])], tmp_path / "a", SMALL
    )
    apart = train_tokenizer(lines, tmp_path / "b", SMALL)
    assert document.sha256 == apart.sha256 and document.lines == 1500


def test_whitespace_runs_are_pieces_and_nothing_else_crosses_a_space(encoder: Encoder) -> None:
    pieces = encoder.model.text_pieces
    assert "\u2581\u2581" in pieces and "\u2581\u2581\u2581\u2581" in pieces
    assert not any("\u2581" in piece.lstrip("\u2581") for piece in pieces)


def test_a_small_corpus_gets_what_it_allows_and_is_told(tmp_path: Path) -> None:
    info = train_tokenizer(some_lines(50), tmp_path / "m")
    assert info.requested_vocab_size == 32_000 and 300 < info.vocab_size < 32_000
    assert info.notes[0] == f"the text allows {info.vocab_size} pieces of the 32000 asked for"
    assert ModelFile.load(info.path).vocab_size == info.vocab_size
    with pytest.raises(ValueError, match=f"gives {info.vocab_size} pieces at most, not 32000"):
        train_tokenizer(some_lines(50), tmp_path / "no", TokenizerSettings(require_vocab_size=True))
    assert not (tmp_path / "no").exists()


def test_every_line_is_accounted_for(tmp_path: Path) -> None:
    odd = ["", "x" * 5000, "a\u2585b", "\ud800", "", "tab\there", "nul\0here"]
    for mode in ("skip", "split"):
        chosen = TokenizerSettings.model_validate({"vocab_size": 600, "long_lines": mode})
        info = train_tokenizer([*some_lines(1500), *odd], tmp_path / mode, chosen)
        assert info.lines == 1507
        assert (info.empty_lines, info.reserved_lines, info.invalid_lines) == (2, 1, 1)
        assert (info.long_lines, info.long_bytes) == (1, 5000)
        assert info.trained_lines == 1502 + (mode == "split")
        assert any(f"longer than 4192 bytes were {mode}" in note for note in info.notes)
        assert any("U+2585" in note for note in info.notes)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("ab \n\né東\U0001f999\u2585\ud800"), max_size=20), max_size=6),
    st.sampled_from([16, 24, 40, 80]),
    st.sampled_from(["skip", "split"]),
)
def test_texts_give_the_lines_and_counts_of_their_lines(
    texts: list[str], limit: int, mode: str
) -> None:
    update = {"max_sentence_length": limit, "long_lines": mode}
    chosen = SMALL.model_copy(update=update)
    whole = _Lines(texts, chosen)
    apart = _Lines((), chosen)
    expected = [part for text in texts for line in text.split("\n") for part in apart._admit(line)]
    assert list(whole) == expected

    def counts(lines: _Lines) -> dict[str, object]:
        return {name: n for name, n in vars(lines).items() if not name.startswith("_")}

    assert counts(whole) == counts(apart)


def test_long_lines_are_learnt_from_when_split(tmp_path: Path) -> None:
    long = " ".join(["wxyzwxyz"] * 2000)
    found = {}
    for mode in ("skip", "split"):
        chosen = TokenizerSettings.model_validate({"vocab_size": 600, "long_lines": mode})
        info = train_tokenizer([*some_lines(1500), long], tmp_path / mode, chosen)
        found[mode] = "\u2581wxyzwxyz" in ModelFile.load(info.path).pieces
    assert found == {"skip": False, "split": True}


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("ab  é東\U0001f999"), min_size=1, max_size=60), st.integers(4, 20))
@example("aaaa   aé", 4)
def test_split_lines_lose_nothing_but_the_space_at_a_cut(line: str, limit: int) -> None:
    parts = list(split_line(line.encode(), limit))
    assert all(0 < len(part.encode()) <= limit for part in parts)
    assert "".join(parts).replace(" ", "") == line.replace(" ", "")
    assert re.fullmatch(" ?".join(map(re.escape, parts)) + " ?", line)


@pytest.mark.parametrize("lines", [[], [""], ["\ud800"], ["\u2585"]])
def test_no_text(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(ValueError, match="no text to train a tokenizer on"):
        train_tokenizer(lines, tmp_path / "m", SMALL)


def test_a_vocabulary_below_the_alphabet(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vocab_size 262 is too small") as caught:
        train_tokenizer(some_lines(100), tmp_path / "m", TokenizerSettings(vocab_size=262))
    assert "\n" not in str(caught.value)


def test_an_error_of_the_reader_is_not_lost(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield from some_lines(100)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        train_tokenizer(lines(), tmp_path / "m", SMALL)
    assert not (tmp_path / "m").exists()


def test_missing_digits_are_told(tmp_path: Path) -> None:
    lines = ["".join(c for c in line if c not in "78") for line in some_lines(1500)]
    info = train_tokenizer(lines, tmp_path / "m", SMALL)
    assert info.notes == ("digits 7, 8 are not in the text and become bytes",)


def test_settings_say_why() -> None:
    assert all(field.description for field in TokenizerSettings.model_fields.values())
    with pytest.raises(ValueError, match="vocab_size"):
        TokenizerSettings(vocab_size=70_000)
