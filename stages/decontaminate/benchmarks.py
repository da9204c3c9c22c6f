"""Evaluation sets as files: their layouts, their items, and the texts of an item to look for.

A *probe* is one form in which an item may stand in a document: its question alone, the question
with lettered choices, the fields as they stand in the benchmark's own file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import IO, Any, BinaryIO, Literal, TypeAlias

import orjson
from pydantic import Field, field_validator, model_validator

from stages.decontaminate.fields import text_at
from stages.decontaminate.rows import (
    GZIP_ERRORS,
    JsonRows,
    Lines,
    RowError,
    check_open_quote,
    resume_at,
    unpacked,
)
from stages.engine.step import Settings
from stages.outcomes import Bad, Skipped, Tally

Layout = Literal["mmlu", "gsm8k", "jsonl", "csv"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ANSWERS = frozenset("ABCD0123")
_MMLU_COLUMNS = 6
_CALCULATION = re.compile(r"<<[^<>]*>>")


class Benchmark(Settings):
    """One evaluation set."""

    layout: Layout = Field(
        description="`mmlu`: csv of question, four choices, answer, with a header row or without;"
        " `gsm8k`: JSON lines with question and answer; `jsonl`, `csv`: any other, by `fields`"
    )
    path: tuple[str, ...] | None = Field(
        None,
        description="which of the input files are its own: files, folders or patterns, whole or the"
        " end of a path (`mmlu/test/*.csv`); null: those in a folder, or of a name, like its own",
    )
    fields: tuple[str, ...] = Field(
        (),
        description="for `jsonl` and `csv`: keys or columns with text, the question first; nested"
        " ones as paths (`question.stem`, `choices.text`, also of a list of objects); of a csv"
        " without a header row the numbers of columns, from 0",
    )
    header: bool = Field(True, description="for `csv`: the first row names the columns")
    ngram: int | None = Field(
        None,
        ge=4,
        le=50,
        description="words of an n-gram for this benchmark; null: the index's. GPT-3 takes the 5th"
        " percentile of a benchmark's item lengths, but 8 at least and 13 at most",
    )

    @field_validator("path", "fields", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fields_where_needed(self) -> Benchmark:
        if (self.layout in ("jsonl", "csv")) != bool(self.fields):
            needs = "needs" if not self.fields else "does not take"
            raise ValueError(f"layout {self.layout} {needs} `fields`")
        if self.layout == "csv" and not self.header and not all(f.isdigit() for f in self.fields):
            raise ValueError("without a header row, `fields` are numbers of columns, from 0")
        return self

    def owns(self, name: str, path: str) -> bool:
        """Whether a file is this benchmark's, which is called `name`."""
        if self.path is None:
            *folders, file = path.lower().split("/")
            return name.lower() in (*folders, file.partition(".")[0])
        return any(_matches(path, pattern.rstrip("/")) for pattern in self.path)


def _matches(path: str, pattern: str) -> bool:
    return any(
        fnmatchcase(path, f"{before}{pattern}{after}")
        for before in ("", "*/")
        for after in ("", "/*")
    )


@dataclass(frozen=True, slots=True)
class Probe:
    """One text to look for."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """Row `row` of a file, from 0, blank lines and header not counted."""

    row: int
    probes: tuple[Probe, ...]


ItemOutcome: TypeAlias = Item | Bad | Skipped
Columns: TypeAlias = Sequence[str] | None
"""Names from the header row of a csv; None without one."""


def read_items(
    stream: BinaryIO | IO[bytes], path: str, benchmark: Benchmark, tally: Tally
) -> Iterator[ItemOutcome]:
    """The items of one file in order; a damaged row is a bad record, and counts as a row.

    The file may be gzip; offsets of bad records are those in the unpacked file.
    """
    lines = Lines(unpacked(stream))
    is_csv = benchmark.layout in ("mmlu", "csv")
    reader: Iterator[Any] = csv.reader(lines) if is_csv else JsonRows(lines)
    probes = _PROBES[benchmark.layout]
    columns: list[str] | None = None
    first, row = True, 0
    while True:
        lines.begin()
        try:
            value = next(reader)
            if value == []:
                tally.record()
                yield Skipped("blank line")
                continue
            _storable(value)
            if len(lines.taken) > 1:
                known = partial(_is_row, benchmark, columns)
                check_open_quote(lines.taken, known if benchmark.layout == "mmlu" else None)
            is_header = first and _is_header(value, benchmark)
            first = False
            if is_header:
                tally.record()
                columns = [str(name).strip() for name in value]
                yield Skipped("header")
                continue
            item = Item(row, tuple(probes(value, columns, benchmark.fields)))
        except StopIteration:
            return
        except GZIP_ERRORS as error:
            tally.record()
            yield Bad(path, lines.start, f"gzip: {error}")
            return
        except (RowError, csv.Error, UnicodeError, orjson.JSONDecodeError) as error:
            tally.record()
            kind = "" if isinstance(error, RowError) else f"{_kind_of(error)}: "
            yield Bad(path, lines.start, f"{kind}{error}")
            if is_csv:
                lines.give_back(resume_at(lines.taken, partial(_is_row, benchmark, columns)))
        else:
            tally.record()
            yield item
        first = False
        row += 1


def _is_row(benchmark: Benchmark, columns: Columns, row: list[str]) -> bool:
    """Whether cells can be a row of this benchmark."""
    if benchmark.layout == "mmlu":
        return len(row) == _MMLU_COLUMNS and row[-1].strip() in _ANSWERS
    if columns is not None:
        return len(row) == len(columns)
    # Where the header row is damaged nothing says what a row is.
    return not benchmark.header and len(row) > max(map(int, benchmark.fields))


def _kind_of(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "utf-8"
    return "csv" if isinstance(error, csv.Error) else "json"


def _storable(value: Any) -> None:
    """Raises UnicodeEncodeError where a row of csv is not UTF-8."""
    if isinstance(value, list):
        for cell in value:
            cell.encode()


def _is_header(value: Any, benchmark: Benchmark) -> bool:
    if benchmark.layout == "mmlu":
        return bool(value[0].strip().lower() == "question" and value[-1].strip() not in _ANSWERS)
    return benchmark.layout == "csv" and benchmark.header


def _mmlu(row: Sequence[str], columns: Columns, fields: Sequence[str]) -> Iterator[Probe]:
    if len(row) != _MMLU_COLUMNS:
        raise RowError(f"columns: {len(row)} where {_MMLU_COLUMNS} were expected")
    question, *choices, answer = row
    if answer.strip() not in _ANSWERS:
        raise RowError(f"answer: {answer[:40]!r} where a letter or a number was expected")
    return _question(question, choices)


def _question(question: str, choices: Sequence[str]) -> Iterator[Probe]:
    lettered = [f"{letter}. {c}" for letter, c in zip(_LETTERS, choices, strict=False)]
    yield Probe("question", question)
    yield Probe("lettered", "\n".join([question, *lettered]))
    yield Probe("bare", "\n".join([question, *choices]))


def _gsm8k(row: Any, columns: Columns, fields: Sequence[str]) -> Iterator[Probe]:
    question, answer = (text_at(row, name) for name in ("question", "answer"))
    if isinstance(question, list) or isinstance(answer, list):
        raise RowError("field: a list where a text was expected")
    yield Probe("question", question)
    # The calculator's notes stand in no copy that people wrote.
    yield Probe("answer", _CALCULATION.sub("", answer))


def _csv(row: Sequence[str], columns: Columns, fields: Sequence[str]) -> Iterator[Probe]:
    names = columns if columns is not None else [str(i) for i in range(len(row))]
    if len(row) != len(names):
        raise RowError(f"columns: {len(row)} where {len(names)} were expected")
    return _fields(dict(zip(names, row, strict=True)), columns, fields)


def _fields(row: Any, columns: Columns, fields: Sequence[str]) -> Iterator[Probe]:
    values = {name: text_at(row, name) for name in fields}
    texts = {k: "\n".join(v) if isinstance(v, list) else v for k, v in values.items()}
    for name, text in texts.items():
        yield Probe(name, text)
    if len(texts) > 1:
        yield Probe("bare", "\n".join(texts.values()))
    choices = [v for v in values.values() if isinstance(v, list)]
    if choices and not isinstance(values[fields[0]], list):
        yield Probe("lettered", list(_question(texts[fields[0]], choices[0]))[1].text)


_PROBES: dict[Layout, Callable[[Any, Columns, Sequence[str]], Iterator[Probe]]] = {
    "mmlu": _mmlu,
    "gsm8k": _gsm8k,
    "jsonl": _fields,
    "csv": _csv,
}
