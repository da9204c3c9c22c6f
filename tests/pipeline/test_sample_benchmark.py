"""The sample's own evaluation sets, and the items planted in its sources."""

from __future__ import annotations

import ast
import operator
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.sample import benchmark
from pipeline.sample.caught import caught
from pipeline.sample.traps import Key, Must, write_key
from stages.decontaminate.benchmarks import Benchmark, Item, read_items
from stages.decontaminate.words import NormalForm, words
from stages.outcomes import Tally

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
PLACE = benchmark.Place("f", "u")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample")
    benchmark.write(out)
    return out / benchmark.FOLDER


def read(folder: Path, pattern: str, layout: Any) -> dict[str, str]:
    """Questions by the item's name, as the stage reads them."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob(pattern)):
        with path.open("rb") as stream:
            for outcome in read_items(stream, str(path), Benchmark(layout=layout), Tally()):
                assert isinstance(outcome, Item), outcome
                found[f"{layout}:{path.stem}#{outcome.row}"] = outcome.probes[0].text
    return found


def test_the_files_hold_what_the_items_say(folder: Path) -> None:
    mmlu, gsm8k = read(folder, "mmlu/test/*.csv", "mmlu"), read(folder, "gsm8k/*.jsonl", "gsm8k")
    assert (len(mmlu), len(gsm8k)) == (40, 40)
    assert mmlu | gsm8k == benchmark.item_texts()


def test_every_question_is_long_enough_to_be_found_and_none_is_there_twice() -> None:
    form = NormalForm("separates")
    questions = [item.question for item in benchmark.items()]
    assert min(len(words(form(q)).hashes) for q in questions) >= 13
    assert len(set(questions)) == len(questions)
    letters = Counter(item.answer for item in benchmark.items() if item.choices)
    assert set(letters) == set("ABCD") and max(letters.values()) <= 12


def value(expression: ast.expr) -> float:
    if isinstance(expression, ast.Constant):
        assert isinstance(expression.value, int)
        return expression.value
    assert isinstance(expression, ast.BinOp)
    result: float = _OPERATORS[type(expression.op)](value(expression.left), value(expression.right))
    return result


def test_the_solutions_are_right() -> None:
    for item in benchmark.items():
        if item.benchmark == "gsm8k":
            steps = re.findall(r"<<(.+?)=(\d+)>>", item.answer)
            for sum_, result in steps:
                assert value(ast.parse(sum_, mode="eval").body) == int(result), item.name
            assert item.answer.endswith(f"#### {steps[-1][1]}")


@pytest.mark.parametrize("seed", range(5))
def test_each_source_has_an_item_of_its_own(seed: int) -> None:
    keys = [benchmark.planted(source, seed).key for source in benchmark.SOURCES]
    assert len(set(keys)) == 7
    traps = [benchmark.trap(source, seed, PLACE) for source in benchmark.SOURCES]
    assert [t.any_of for t in traps] == [(key,) for key in keys]
    assert {t.must for t in traps} == {Must.ITEM_FOUND}
    assert traps[0].steps == ("arxiv.decontaminate",)


def test_copies_that_people_write_have_no_calculators_notes() -> None:
    item = next(i for i in benchmark.items() if i.benchmark == "gsm8k")
    assert "<<" in item.answer
    assert not any("<<" in line or "####" in line for line in item.lines())


def test_an_item_is_found_in_its_own_document_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "arxiv.decontaminate" / "hits"
    folder.mkdir(parents=True)
    rows = [("mmlu", "a#1", "u", True), ("mmlu", "a#2", "v", True), ("mmlu", "a#3", "u", False)]
    names = ("benchmark", "item", "url", "counted")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    pq.write_table(table, folder / "part-00000.parquet")
    trap = benchmark.trap("arxiv", 0, PLACE)
    traps = tuple(trap.model_copy(update={"any_of": (f"mmlu:a#{i}",)}) for i in (1, 2, 3))
    write_key(tmp_path / "KEY.json", Key(seed=0, traps=traps))
    (result,) = caught(tmp_path / "KEY.json", tmp_path / "work")
    assert (result.planted, result.caught) == (3, 1)
    assert result.missed_examples == [
        "u: mmlu:a#2 was found in v",
        "u: mmlu:a#3 was found in no document",
    ]
