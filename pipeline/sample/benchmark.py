"""Evaluation sets of the sample, and one item of them planted in each source.

The questions were written for this project and are in nobody's benchmark, so that decontamination
finds what was planted and no more. `benchmark_mmlu.txt` has a line an item under the heading of its
subject (question, four choices, letter), `benchmark_gsm8k.txt` the question and its steps.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

from pipeline.sample.content_traps import Planted, plain_page
from pipeline.sample.mediawiki import WikiPage
from pipeline.sample.texts import LanguageText
from pipeline.sample.traps import Must, Trap

FOLDER = "benchmarks"
KIND = "benchmark item in a document"
SOURCES = ("arxiv", "books", "c4", "commoncrawl", "github", "stackexchange", "wikipedia")

_HERE = Path(__file__).parent
_LETTERS = "ABCD"
_CALCULATION = re.compile("<<[^<>]*>>")  # the calculator's notes, in no copy that people write


@dataclass(frozen=True, slots=True)
class Item:
    """`name` is what decontamination calls it: file and row. `choices` is empty in GSM8K."""

    benchmark: str
    name: str
    question: str
    choices: tuple[str, ...]
    answer: str

    @property
    def key(self) -> str:
        return f"{self.benchmark}:{self.name}"

    def lines(self) -> list[str]:
        """The question, then lettered choices (MMLU) or the lines of the solution (GSM8K)."""
        if not self.choices:
            return [self.question, *_CALCULATION.sub("", self.answer).split("\n")[:-1]]
        lettered = zip(_LETTERS, self.choices, strict=True)
        return [self.question, *(f"{letter}) {choice}" for letter, choice in lettered)]


@cache
def items() -> tuple[Item, ...]:
    """All items, MMLU's first, each benchmark in the order of its files."""
    found: list[Item] = []
    subject, row = "", 0
    for line in (_HERE / "benchmark_mmlu.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            subject, row = line[2:], 0
        elif line:
            question, *choices, letter = line.split(" | ")
            found.append(Item("mmlu", f"{subject}_test#{row}", question, tuple(choices), letter))
            row += 1
    lines = (_HERE / "benchmark_gsm8k.txt").read_text(encoding="utf-8").splitlines()
    for row, line in enumerate(lines):
        question, *steps = line.split(" | ")
        parts = [step.split("=") for step in steps]
        solution = [f"{sum_} = <<{sum_}={result}>>{result}" for sum_, result in parts]
        answer = "\n".join([*solution, f"#### {parts[-1][1]}"])
        found.append(Item("gsm8k", f"test#{row}", question, (), answer))
    return tuple(found)


def item_texts() -> dict[str, str]:
    """The question of every item by its key, such as `gsm8k:test#7`."""
    return {item.key: item.question for item in items()}


def write(out: Path) -> None:
    """Writes `out/benchmarks/mmlu/test/*_test.csv` (without a header, as published) and
    `out/benchmarks/gsm8k/test.jsonl`."""
    tables: dict[str, list[str]] = {}
    for item in items():
        if item.benchmark == "mmlu":
            row = io.StringIO()
            csv.writer(row, lineterminator="\n").writerow(
                [item.question, *item.choices, item.answer]
            )
            path, line = f"mmlu/test/{item.name.split('#')[0]}.csv", row.getvalue()
        else:
            value = {"question": item.question, "answer": item.answer}
            path, line = "gsm8k/test.jsonl", json.dumps(value) + "\n"
        tables.setdefault(path, []).append(line)
    for path, lines in tables.items():
        target = out / FOLDER / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(lines), encoding="utf-8", newline="")


def planted(source: str, seed: int) -> Item:
    """The item that stands in a document of `source`: another one in each source."""
    chosen = Random(f"{seed}/benchmark").sample(items(), len(SOURCES))
    return chosen[SOURCES.index(source)]


@dataclass(frozen=True, slots=True)
class Place:
    """A document with an item: its raw file, below the sample's folder, and its URL."""

    file: str
    url: str


def trap(source: str, seed: int, place: Place) -> Trap:
    """The item of `source` is in the document at `place`; decontamination must say so."""
    return Trap(
        kind=KIND,
        must=Must.ITEM_FOUND,
        steps=(f"{source}.decontaminate",),
        file=place.file,
        url=place.url,
        any_of=(planted(source, seed).key,),
    )


def web_page(text: LanguageText, seed: int) -> Planted:
    """A page of the crawl with its item in capitals, a line each for question and choices."""
    page = plain_page("benchmark", "quiz", text, Random(f"{seed}/benchmark/web"))
    question, *rest = planted("commoncrawl", seed).lines()
    body = (*page.body[:4], question.upper(), *rest, *page.body[4:])
    page = replace(page, body=body)
    return Planted((page,), (trap("commoncrawl", seed, Place("", page.url)),))


def article(text: LanguageText, seed: int) -> tuple[WikiPage, list[Trap]]:
    """An article with its item in wikitext: a link, emphasis, a note and a comment in it."""
    rng = Random(f"{seed}/benchmark/wikipedia")
    question, *rest = planted("wikipedia", seed).lines()
    first, second, third, *words = question.split(" ")
    marked = [f"'''{first}'''", f"[[{second}]]<ref>a note</ref>", f"{third}<!-- remark -->", *words]
    lines = "<br />\n".join([" ".join(marked), *rest])
    title = "Zelmar quiz"
    page = WikiPage(title, f"{text.paragraph(rng)}\n\n{lines}\n\n{text.paragraph(rng)}")
    url = f"https://en.wikipedia.org/wiki/{title.replace(' ', '_')}"
    return page, [trap("wikipedia", seed, Place("", url))]
