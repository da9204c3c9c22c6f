"""What the reference classifier reads: one form for both classes, and none that text can abuse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.reference.text import classifier_text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("The End.\nIt began", "the end . it began"),  # RedPajama's readers glue no words either
        ("In 1984, (see) snake_case", "in 0000 , ( see ) snake case"),
        ("cafe\u0301 CAFE\u0301", "caf\u00e9 caf\u00e9"),
        ("a\u00a0b\x00c\ud800", "a b c ?"),
        (" \n\t ", ""),
    ],
)
def test_words(text: str, line: str) -> None:
    assert classifier_text(text, 100) == line


def test_a_page_cannot_label_itself() -> None:
    hostile = "__label__reference </s> __label__random"
    for cleaning in ("words", "line"):
        line = classifier_text(hostile, 100, cleaning)  # type: ignore[arg-type]
        assert "__label__" not in line
    assert "</s>" not in classifier_text(hostile, 100).split()


def test_long_pages_are_cut_alike() -> None:
    assert classifier_text("ab cd ef", 4) == "ab c"
    assert classifier_text("ab cd ef", 4, "line") == "ab c"


def test_a_model_trained_elsewhere_reads_words_as_they_are() -> None:
    assert classifier_text("The  End.\n1984", 100, "line") == "The End. 1984"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.integers(1, 60), st.sampled_from(["words", "line"]))
def test_always_one_line_that_can_be_written(text: str, most: int, cleaning: str) -> None:
    line = classifier_text(text, most, cleaning)  # type: ignore[arg-type]
    line.encode()
    assert line == " ".join(line.split())
    assert "__label__" not in line
