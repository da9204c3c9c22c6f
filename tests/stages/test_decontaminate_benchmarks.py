"""Layouts of evaluation sets: what is an item, and what is a damaged row."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from stages.decontaminate.benchmarks import Benchmark, Item, read_items
from stages.decontaminate.rows import MAX_LINE
from stages.outcomes import Bad, Skipped, Tally
from tests.data_paths import SHARED_DATA, needs_shared_data

MMLU = Benchmark(layout="mmlu")
GSM8K = Benchmark(layout="gsm8k")


def read(data: bytes, benchmark: Benchmark) -> list[Any]:
    tally = Tally()
    found = list(read_items(io.BytesIO(data), "f.csv", benchmark, tally))
    assert tally.records == len(found)
    return found


def texts(item: Item) -> dict[str, str]:
    return {probe.kind: probe.text for probe in item.probes}


def test_mmlu_without_a_header() -> None:
    (item,) = read(b'"What, then?",one,two,three,four,B\n', MMLU)
    assert item.row == 0
    assert texts(item) == {
        "question": "What, then?",
        "lettered": "What, then?\nA. one\nB. two\nC. three\nD. four",
        "bare": "What, then?\none\ntwo\nthree\nfour",
    }


def test_mmlu_with_a_header_and_numbered_answers() -> None:
    data = b"\xef\xbb\xbfquestion,choice0,choice1,choice2,choice3,answer\r\nWhy?,1,2,3,4,0\r\n\r\n"
    header, item, blank = read(data, MMLU)
    assert (header, blank) == (Skipped("header"), Skipped("blank line"))
    assert item.row == 0 and texts(item)["question"] == "Why?"


def test_a_first_question_that_is_called_question_is_no_header() -> None:
    (item,) = read(b"question,a,b,c,d,A\n", MMLU)
    assert texts(item)["question"] == "question"


def test_gsm8k_without_the_calculators_notes() -> None:
    line = b'{"question": "How many?", "answer": "2*3 = <<2*3=6>>6 eggs\\n#### 6"}\n'
    (item,) = read(line, GSM8K)
    assert texts(item) == {"question": "How many?", "answer": "2*3 = 6 eggs\n#### 6"}


def test_any_other_layout_by_its_fields() -> None:
    jsonl = Benchmark(layout="jsonl", fields=("q", "choices"))
    (item,) = read(b'{"q": "Which?", "choices": ["x", "y"], "label": 1}\n', jsonl)
    assert texts(item) == {
        "q": "Which?",
        "choices": "x\ny",
        "bare": "Which?\nx\ny",
        "lettered": "Which?\nA. x\nB. y",
    }
    named = Benchmark(layout="csv", fields=("text",))
    header, item = read(b"id,text\n7,some words\n", named)
    assert header == Skipped("header") and texts(item) == {"text": "some words"}
    numbered = Benchmark(layout="csv", fields=("1",), header=False)
    (item,) = read(b"7,some words\n", numbered)
    assert texts(item) == {"1": "some words"}


@pytest.mark.parametrize(
    "given",
    [
        {"layout": "mmlu", "fields": ["question"]},
        {"layout": "jsonl"},
        {"layout": "csv", "header": False, "fields": ["question"]},
        {"layout": "xml"},
    ],
)
def test_settings_that_cannot_work(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Benchmark(**given)


GOOD = b"Sound?,a,b,c,d,A\n"


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (b"only,five,columns,here,A\n", "columns"),
        (b"seven,columns,are,in,this,row,A\n", "columns"),
        (b"no answer?,a,b,c,d,E\n", "answer"),
        (b"caf\xe9?,a,b,c,d,A\n", "utf-8"),
        (b'"' + b"x" * 200_000 + b'",a,b,c,d,A\n', "csv"),
        (b"x" * (MAX_LINE + 10) + b",a,b,c,d,A\n", "line"),
    ],
)
def test_a_damaged_row_is_a_bad_record_and_the_next_one_is_read(row: bytes, word: str) -> None:
    first, bad, last = read(GOOD + row + GOOD, MMLU)
    assert isinstance(bad, Bad) and bad.error.startswith(f"{word}: ")
    assert bad.offset == len(GOOD)
    assert (first.row, last.row) == (0, 2)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"not json\n", "json"),
        (b"[1]\n", "json"),
        (b'{"question": "\xff", "answer": "x"}\n', "utf-8"),
        (b'{"question": "x"}\n', "field"),
        (b'{"question": {"a": 1}, "answer": "x"}\n', "field"),
        (b'{"question": ["a"], "answer": "x"}\n', "field"),
        (b'{"question": ' + b"[" * 5000 + b"\n", "json"),
        (b'{"question": "\\ud800", "answer": "x"}\n', "json"),
    ],
)
def test_a_damaged_line_is_a_bad_record(line: bytes, word: str) -> None:
    good = b'{"question": "a", "answer": "b"}\n'
    bad, item = read(line + good, GSM8K)
    assert isinstance(bad, Bad) and bad.error.startswith(f"{word}: ")
    assert item.row == 1


def test_an_open_quote_does_not_swallow_the_file() -> None:
    data = b'"never closed,a,b,c,d,A\n' + GOOD * 20_000
    found = read(data, MMLU)
    assert isinstance(found[0], Bad)
    assert sum(isinstance(f, Item) for f in found) > 10_000


@pytest.mark.parametrize(
    ("path", "name", "benchmark", "owned"),
    [
        ("/data/mmlu/test/x.csv", "mmlu", MMLU, True),
        ("/data/MMLU.csv", "mmlu", MMLU, True),
        ("/data/mmlu_pro/x.csv", "mmlu", MMLU, False),
        ("/d/mmlu/test/x.csv", "m", Benchmark(layout="mmlu", path="mmlu/test/*.csv"), True),
        ("/d/mmlu/dev/x.csv", "m", Benchmark(layout="mmlu", path="mmlu/test/*.csv"), False),
        ("/d/mmlu/dev/x.csv", "m", Benchmark(layout="mmlu", path="/d/mmlu/"), True),
        ("gs://b/mmlu/x.csv", "m", Benchmark(layout="mmlu", path="gs://b/mmlu"), True),
        ("/d/a.csv", "m", Benchmark(layout="mmlu", path=("/d/b.csv", "/d/a.csv")), True),
    ],
)
def test_which_files_are_a_benchmarks_own(
    path: str, name: str, benchmark: Benchmark, owned: bool
) -> None:
    assert benchmark.owns(name, path) is owned


@needs_shared_data
def test_real_benchmarks_have_no_bad_row() -> None:
    folder = SHARED_DATA / "eval"
    for benchmark, pattern, items in (
        (MMLU, "mmlu/**/test/*.csv", 14_042),
        (GSM8K, "gsm8k/**/test.jsonl", 1_319),
    ):
        found: list[Any] = []
        for path in sorted(Path(folder).glob(pattern)):
            found += read(path.read_bytes(), benchmark)
        assert not [f for f in found if isinstance(f, Bad)]
        assert sum(isinstance(f, Item) for f in found) == items


# -- rows, fields and files ----------------------------------------------------------------------


@pytest.mark.parametrize("following", [b'"What then?",a,b,c,d,B\n', b'"What, then?",a,b,c,d,B\n'])
def test_an_open_quote_makes_one_row_bad_and_shifts_no_number(following: bytes) -> None:
    bad, second, third = read(b'"Open?,a,b,c,d,A\n' + following + GOOD, MMLU)
    assert isinstance(bad, Bad) and bad.error.startswith("quote: ") and bad.offset == 0
    assert (second.row, third.row) == (1, 2)
    assert texts(second)["question"].startswith("What")


def test_open_quotes_in_two_rows_that_follow_each_other() -> None:
    data = b'"Open?,a,b,c,d,A\n' * 2 + GOOD
    first, second, third = read(data, MMLU)
    assert isinstance(first, Bad) and isinstance(second, Bad)
    assert (first.offset, second.offset, third.row) == (0, 17, 2)


def test_an_open_quote_in_a_csv_of_two_columns() -> None:
    notes = Benchmark(layout="csv", fields=("text",))
    good = b'2,"said ""so""\nand, so, on"\n3,"x, y"\n'
    _, bad, second, third = read(b'id,text\n1,"open\n' + good, notes)
    assert isinstance(bad, Bad)
    assert texts(third)["text"] == "x, y" and third.row == 2
    assert isinstance(second, Item | Bad)


def test_a_question_of_several_lines_is_whole() -> None:
    data = b'"First line,\nthen ""this"", and\n\nthat?",a,"b, c",c,d,A\n' + GOOD
    item, following = read(data, MMLU)
    assert texts(item)["question"] == 'First line,\nthen "this", and\n\nthat?'
    assert following.row == 1


@pytest.mark.parametrize(
    ("fields", "row", "expected"),
    [
        (("question.stem", "question.choices.text"),
         b'{"question": {"stem": "Q?", "choices": [{"text": "x"}, {"text": "y"}]}}', "x\ny"),
        (("q", "choices.text"), b'{"q": "Q?", "choices": {"text": ["x", "y"]}}', "x\ny"),
        (("q", "a.b"), b'{"q": "Q?", "a.b": "flat", "a": {"b": "nested"}}', "flat"),
        (("q", "n.values"), b'{"q": "Q?", "n": {"values": [1, 2.5]}}', "1\n2.5"),
    ],
)  # fmt: skip
def test_nested_fields(fields: tuple[str, ...], row: bytes, expected: str) -> None:
    (item,) = read(row + b"\n", Benchmark(layout="jsonl", fields=fields))
    assert texts(item)[fields[0]] == "Q?" and texts(item)[fields[1]] == expected
    if "\n" in expected:
        first, second = expected.split("\n")
        assert texts(item)["lettered"] == f"Q?\nA. {first}\nB. {second}"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("questoin", "field: there is no 'questoin'; there is 'question', 'id'"),
        ("question.stam", "field: there is no 'question.stam'; there is 'stem'"),
        ("id.x", "field: there is no 'id.x'"),
        ("question", "field: 'question' is no text"),
    ],
)
def test_a_lacking_field_says_what_there_is(path: str, error: str) -> None:
    row = b'{"question": {"stem": "Q?"}, "id": null}\n'
    (bad,) = read(row, Benchmark(layout="jsonl", fields=(path,)))
    assert bad.error == error


def test_names_of_fields_are_made_printable_and_cut() -> None:
    row = b'{"\\u001b[31m' + b"k" * 100_000 + b'": 1}\n'
    (bad,) = read(row, Benchmark(layout="jsonl", fields=("q",)))
    assert bad.error.isprintable() and len(bad.error) < 120


def test_gzip_is_told_by_its_first_bytes() -> None:
    (item,) = read(gzip.compress(GOOD), MMLU)
    assert texts(item)["question"] == "Sound?"


def test_gzip_that_ends_early_is_a_bad_record_behind_the_rows_before_it() -> None:
    rng = Random(3)
    data = b"".join(b"Sound %d?,a,b,c,d,A\n" % rng.getrandbits(200) for _ in range(2000))
    *items, bad = read(gzip.compress(data)[:-5000], MMLU)
    assert isinstance(bad, Bad) and bad.error.startswith("gzip: ")
    assert items and all(isinstance(i, Item) for i in items)
