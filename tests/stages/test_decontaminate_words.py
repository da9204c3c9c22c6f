"""Words in normal form, and the hashes of their n-grams."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.decontaminate.grams import GramHasher
from stages.decontaminate.words import NormalForm, words

FORM = NormalForm("separates")
GPT3 = NormalForm("deleted")


def plain(text: str, form: NormalForm = FORM) -> list[str]:
    """The words themselves, by their places in the normal form."""
    normal = form(text)
    found = words(normal)
    return [normal[a:b].decode() for a, b in zip(found.starts, found.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat, the DOG.", "the cat the dog"),
        ("two\nlines\r\n\tand\u00a0blanks", "two lines and blanks"),
        ("Don’t / don't / dont", "dont dont dont"),
        ("na\u00efve caf\u0065\u0301 Stra\u00dfe", "naive cafe strasse"),
        ("\ufb01ne \uff21\uff22\uff23 x\u00b2", "fine abc x2"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("well-known\u2014and_so", "well known and so"),
        ("**bold** `code` > quote # note", "bold code quote note"),
        (r"\emph{very} small $\frac{1}{2}$", "very small 1 2"),
        ("a line\\\\next one", "a line next one"),
        ("\u6f22\u5b57kana \u30ab\u30ca", "\u6f22 \u5b57 kana \u30ab \u30ca"),
        ("\u0e01\u0e32", "\u0e01 \u0e32"),
        ("\u03a3\u0391\u03a3 \u0130", "\u03c3\u03b1\u03c3 i"),
        ("", ""),
        (" .,;\x00\x01", ""),
    ],
)
def test_the_words_of_a_text(text: str, expected: str) -> None:
    assert plain(text) == expected.split()


def test_punctuation_may_be_deleted_as_gpt3_does() -> None:
    assert plain("Well-known, isn't it? $80,000", GPT3) == ["wellknown", "isnt", "it", "80000"]


def test_a_word_of_another_script_keeps_its_vowel_signs() -> None:
    assert len(plain("\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e")) == 2


_TEXT = st.text(max_size=60)


@settings(max_examples=200, deadline=None)
@given(_TEXT, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_the_form_of_unicode_makes_no_difference(text: str, form: str) -> None:
    assert plain(unicodedata.normalize(form, text)) == plain(text)  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(_TEXT)
def test_places_lead_back_to_the_characters(text: str) -> None:
    """Each word's own stretch of the text has that word and no other."""
    found = words(FORM(text))
    starts, ends = FORM.origins(text, found.starts), FORM.origins(text, found.ends - 1) + 1
    for word, start, end in zip(plain(text), starts, ends, strict=True):
        # A character may stand for several words (a ligature with blanks in it).
        assert word in plain(text[start:end])


def test_equal_words_have_equal_hashes_and_others_do_not() -> None:
    """Of up to 64 bytes; the eight-byte reads of short words must not see what follows them."""
    texts = [b"a", b"aa", b"ab", b"abcdefgh", b"abcdefghi", b"x" * 63, b"x" * 64, b"x" * 65]
    alone = [int(words(t).hashes[0]) for t in texts]
    assert len(set(alone)) == len(texts)
    for before, after in ((b"zz ", b" zz"), (b"", b""), (b"q\n", b"\x01w")):
        for text, expected in zip(texts, alone, strict=True):
            found = words(before + text + after).hashes
            assert int(found[1 if before else 0]) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 15))
def test_grams_are_equal_where_their_words_are(numbers: list[int], n: int) -> None:
    hasher = GramHasher()
    values = words(b" ".join(b"word%d" % i for i in numbers)).hashes
    grams = hasher.grams(hasher.sums(values), n)
    expected = [tuple(numbers[i : i + n]) for i in range(len(numbers) - n + 1)]
    assert len(grams) == len(expected)
    for i, one in enumerate(expected):
        for j, other in enumerate(expected):
            assert (grams[i] == grams[j]) == (one == other)


def test_grams_do_not_depend_on_what_was_hashed_before() -> None:
    values = words(b"one two three four five").hashes
    used = GramHasher()
    used.sums(np.arange(5000, dtype=np.uint64))
    fresh = GramHasher()
    assert np.array_equal(used.grams(used.sums(values), 3), fresh.grams(fresh.sums(values), 3))
