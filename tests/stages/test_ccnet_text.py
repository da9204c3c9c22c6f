from __future__ import annotations

import re
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import ccnet_text, character_map
from stages.ccnet_text import (
    batch_line_hashes,
    line_hash,
    line_hashes,
    normalise_for_language_model,
    normalise_line,
)
from stages.character_map import CharacterMap

# Characters that one of the rules treats in a way of its own, and some that none does.
AWKWARD = (
    "\n\t\r\x00\x1c\x85\x9f\xa0 aZ09.,!-_"
    "éÉñŐßẞİıǅΣσςΑΆ\u0301\u0308\u0345йЙї"
    "１９٣५\U0001d7ce"
    "，。、„”“«»」「《》´∶：？！（）；–—．～’…━〈〉\u2329【】％►‘‚¿"
    "한각\u1100漢字\ufa0f\U0002f800\U000e0101"
    "\u302e\u302f\U0001d165\U0001d16e\u1b44\u200d\ud800\udfff😀K"
)
awkward_text = st.text(alphabet=st.one_of(st.sampled_from(AWKWARD), st.characters()), max_size=40)


@pytest.mark.parametrize(
    ("line", "cc_net", "paper"),
    [
        ("  Hello, World! 123 ", "hello, world! 000", "hello world 000"),
        ("Café à la CRÈME", "café à la crème", "cafe a la creme"),
        ("Cafe\u0301", "cafe\u0301", "cafe"),
        ("Йод", "йод", "иод"),
        ("「你好」，世界。", "你好世界", "你好世界"),
        ("“a” – ‘b’ … c", "a  ‘b  c", "a  b  c"),
        ("٣ और ५", "0 और 0", "0 और 0"),
        ("a\tb\x00c\x85d\x7fe", "abcde", "abcde"),
        ("\u00a0x\u00a0y\u3000", "x\u00a0y", "x\u00a0y"),
        ("ΟΔΟΣ ΣΟΦΟΣ", "οδος σοφος", "οδος σοφος"),
        ("\r", "", ""),
        ("", "", ""),
        ("$10 + 5 = £15", "$00 + 0 = £00", "$00 + 0 = £00"),
    ],
)
def test_normalised_lines_of_program_and_paper(line: str, cc_net: str, paper: str) -> None:
    assert normalise_line(line, "cc_net") == cc_net
    assert normalise_line(line, "paper") == paper


def test_white_space_behind_a_removed_mark_stays_in_the_program() -> None:
    assert normalise_line("» next", "cc_net") == " next"
    assert normalise_line("» next", "paper") == "next"


def test_every_mark_of_the_programs_table_goes_from_lines() -> None:
    marks = "，。、„”“«»」「《》´∶：？！（）；–—．～’…━〈〉【】％►"
    assert len(marks) == 33
    assert normalise_line(f"a{marks}b") == "ab"


def test_full_width_one_is_a_digit_not_a_quotation_mark() -> None:
    assert normalise_line("１２") == "00"
    assert normalise_line("１２", "paper") == "00"
    assert normalise_for_language_model("１２") == "00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # One line, and the words on both sides of a newline glued, as cc_net was seen to do.
        ("Hello world.\nSecond line", "hello world.second line"),
        ("  Crème Brûlée  ", "creme brulee"),
        ("Ёлка й", "елка и"),
        ("in 1984, 42%", "in 0000, 00%"),
        ("„so“ – sagt’ er…", '"so" - sagt\' er...'),
        ("《文》，字。", '"文",字.'),
        ("a—b．c", "a - b. c"),
        ("\u2329x\u232a", "<x>"),
        ("각", "\u1100\u1161\u11a8"),
        ("a\tb\x85c\u00a0d", "abc\u00a0d"),
        ("\n \n", ""),
    ],
)
def test_text_for_the_language_model(text: str, expected: str) -> None:
    assert normalise_for_language_model(text) == expected


def test_hash_is_the_little_endian_head_of_sha1() -> None:
    # SHA-1 of "hello world" begins 2aae6c35c94fcfb4, that of nothing da39a3ee5e6b4b0d.
    assert line_hash(" Hello WORLD\r") == 0xB4CF4FC9356CAE2A
    assert line_hash("") == 0x0D4B6B5EEEA339DA


def test_lines_end_at_newlines_only() -> None:
    hashes = line_hashes("hello\u2028world\r\n\x85\nhello\x0cworld")
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == [
        line_hash("hello\u2028world"),
        0x0D4B6B5EEEA339DA,
        line_hash("helloworld"),
    ]


def test_offsets_give_each_document_its_lines() -> None:
    hashes, offsets = batch_line_hashes(["a\nb", "", "c\n"])
    assert offsets.dtype == np.int64
    assert offsets.tolist() == [0, 2, 3, 5]
    assert hashes.tolist() == [line_hash(line) for line in ["a", "b", "", "c", ""]]
    nothing, start = batch_line_hashes([])
    assert nothing.tolist() == [] and start.tolist() == [0]


def test_batches_longer_than_a_slice() -> None:
    lines = [f"Zeile {'é' * (i % 3)} {i // 7}" for i in range(9000)]
    letters = [f"line {i:b}".replace("0", "o").replace("1", "l") for i in range(9000)]
    hashes, _ = batch_line_hashes(["\n".join(lines), "\n".join(letters)])
    assert hashes.tolist() == [line_hash(line) for line in lines + letters]
    assert len(set(hashes[9000:].tolist())) == 9000


@settings(max_examples=150, deadline=None)
@given(st.lists(awkward_text, max_size=6), st.sampled_from(["cc_net", "paper"]))
def test_batch_hashes_equal_line_by_line_hashes(texts: list[str], variant: str) -> None:
    hashes, offsets = batch_line_hashes(texts, variant)  # type: ignore[arg-type]
    expected = [line_hash(line, variant) for text in texts for line in text.split("\n")]  # type: ignore[arg-type]
    assert hashes.tolist() == expected
    assert offsets.tolist() == np.cumsum([0] + [t.count("\n") + 1 for t in texts]).tolist()


def plain_language_model_text(text: str) -> str:
    """The steps of the docstring, one after the other over the whole text."""
    text = unicodedata.normalize("NFD", text.strip().lower())
    text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    text = re.sub(r"\d", "0", text)
    for old, new in zip("„”“«»」「《》", '"' * 9, strict=True):
        text = text.replace(old, new)
    for old, new in zip(
        "，。、´∶：？！（）；–～’━〈〉【】％►", ",.,'::?!();-~'-<>[]%-", strict=True
    ):
        text = text.replace(old, new)
    text = text.replace("—", " - ").replace("．", ". ").replace("…", "...")
    text = re.sub("[\x00-\x1f\x7f-\x9f]", "", text)
    return re.sub("[\ud800-\udfff]", "?", text)


@settings(max_examples=200, deadline=None)
@given(awkward_text)
def test_language_model_text_equals_the_plain_steps(text: str) -> None:
    assert normalise_for_language_model(text) == plain_language_model_text(text)


def test_no_character_beyond_the_tabled_blocks_is_changed_by_unicode() -> None:
    tabled = {code for block in character_map._TABLED for code in block}
    others = "".join(chr(code) for code in range(sys.maxunicode + 1) if code not in tabled)
    assert others.lower() == others
    assert unicodedata.normalize("NFD", others) == others
    assert {unicodedata.category(c) for c in others} <= {"Lo", "Co", "Cn"}


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="abcdeéΣ😀", max_size=30))
def test_character_map_keeps_deletes_replaces_and_expands(text: str) -> None:
    values = {"a": "", "b": "BB", "c": "é", "é": "xyz", "😀": ""}
    assert SMALL_MAP(text) == "".join(values.get(c, c) for c in text.replace("Σ", "[b]"))


SMALL_MAP = CharacterMap(
    lambda c: {"a": "", "b": "BB", "c": "é", "é": "xyz", "😀": ""}.get(c, c),
    contextual="Σ",
    prepare=lambda text: text.replace("Σ", "[b]"),
)


# -- compiled and plain ---------------------------------------------------------------------------

needs_compiled = pytest.mark.skipif(
    ccnet_text.hash_texts is None, reason="stages._line_hashes was not built (no C compiler)"
)


def both_ways(texts: list[str]) -> list[list[int]]:
    """Hashes by the compiled code and by numpy."""
    compiled, _ = batch_line_hashes(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ccnet_text, "hash_texts", None)
        plain, _ = batch_line_hashes(texts)
    return [compiled.tolist(), plain.tolist()]


@needs_compiled
@settings(max_examples=150, deadline=None)
@given(st.lists(awkward_text, max_size=4))
def test_compiled_hashes_are_the_plain_ones(texts: list[str]) -> None:
    compiled, plain = both_ways(texts)
    assert compiled == plain
    assert compiled == [line_hash(line) for text in texts for line in text.split("\n")]


@needs_compiled
def test_compiled_sha1_is_right_at_every_length_of_its_blocks() -> None:
    lines = ["x" * n for n in range(200)] + ["é" * n for n in range(100)] + ["x" * 100_000]
    compiled, plain = both_ways(["\n".join(lines)])
    assert compiled == plain == [line_hash(line) for line in lines]


@needs_compiled
def test_compiled_code_meets_every_character() -> None:
    text = "\n".join(f"a{chr(code)}b" for code in range(sys.maxunicode + 1))
    compiled, plain = both_ways([text])
    # One line more: one of the characters is the newline.
    assert len(compiled) == sys.maxunicode + 2
    assert compiled == plain


@needs_compiled
def test_compiled_code_refuses_what_is_no_table_and_no_text() -> None:
    from stages._line_hashes import hash_texts

    table, bounds, pool = ccnet_text._line_map("cc_net").arrays()
    with pytest.raises(ValueError, match="no sound table"):
        hash_texts(["a"], table[:-1].copy(), bounds, pool, line_hash)
    wrong = table.copy()
    wrong[97] = 0x110001 + len(bounds) - 1
    with pytest.raises(ValueError, match="no sound table"):
        hash_texts(["a"], wrong, bounds, pool, line_hash)
    wrong[97] = 0x110001
    backwards = bounds.copy()
    backwards[0] = backwards[1] + 1
    with pytest.raises(ValueError, match="no sound table"):
        hash_texts(["a"], wrong, backwards, pool, line_hash)
    with pytest.raises(TypeError, match="strings"):
        hash_texts([b"a"], table, bounds, pool, line_hash)  # type: ignore[list-item]
    with pytest.raises(ZeroDivisionError):
        hash_texts(["aΣ"], table, bounds, pool, lambda line: 1 // 0)
