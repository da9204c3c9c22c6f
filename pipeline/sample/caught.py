"""How many of each planted trap a run caught, read from the Parquet files that the run left.

A step's directory holds `part-*.parquet` (documents), `rejected/*.parquet` and `bad/*.parquet`.
Pages are found by URL, articles by title, records by file and byte range; reasons and identifiers
are not compared, so that the report judges what happened and not how it was called.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq

from pipeline.sample.traps import Must, Trap, read_key

_EXAMPLES = 5
_CITED_FROM = 0.5  # of the two classes, references is the likelier one
_DIGIT = re.compile(r"\d")
_OFFSET = re.compile(r"([0-9]+)(?:\+|$)")
_SPACE = re.compile(r"\s+")


@dataclass(slots=True)
class TrapResult:
    """One row of the report. `missed_examples` says where, and what happened there instead."""

    kind: str
    planted: int = 0
    caught: int = 0
    missed_examples: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Row:
    """A document, reject or bad record, as far as traps need it."""

    file: str
    offset: int | None
    url: str | None = None
    title: str | None = None
    text: str = ""
    bucket: str | None = None
    score: float | None = None
    why: str = ""


class _Step:
    """What one step left; the tables are read when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.name, self.folder = folder.name, folder

    @cached_property
    def documents(self) -> list[_Row]:
        columns = ["origin", "url", "title", "text", "bucket", "reference_score"]
        return [
            _Row(
                *_place(row["origin"]),
                row["url"],
                row["title"],
                row["text"],
                row["bucket"],
                row.get("reference_score"),
            )
            for row in _rows(self.folder.glob("part-*.parquet"), columns)
        ]

    @cached_property
    def rejected(self) -> list[_Row]:
        columns = ["origin", "url", "reason", "detail"]
        return [
            _Row(*_place(row["origin"]), row["url"], why=f"{row['reason']} {row['detail']}".strip())
            for row in _rows(self.folder.glob("rejected/*.parquet"), columns)
        ]

    @cached_property
    def bad(self) -> list[_Row]:
        return [
            _Row(str(row["file"]), _number(str(row["offset"])), why=row["error"])
            for row in _rows(self.folder.glob("bad/*.parquet"), ["file", "offset", "error"])
        ]

    @cached_property
    def hits(self) -> set[tuple[str, str | None]]:
        """Items of benchmarks with the documents that hold them."""
        columns = ["benchmark", "item", "url", "counted"]
        return {
            (f"{row['benchmark']}:{row['item']}", row["url"])
            for row in _rows(self.folder.glob("hits/*.parquet"), columns)
            if row["counted"]
        }

    @cached_property
    def _by_url(self) -> dict[str | None, list[_Row]]:
        index = defaultdict(list)
        for row in self.documents:
            index[row.url].append(row)
        return index

    @cached_property
    def _by_title(self) -> dict[str | None, list[_Row]]:
        index = defaultdict(list)
        for row in self.documents:
            index[row.title].append(row)
        return index

    @cached_property
    def line_counts(self) -> Counter[str]:
        """In how many documents each line stands, cases and digits folded."""
        counts: Counter[str] = Counter()
        for row in self.documents:
            counts.update({_fold(line) for line in row.text.splitlines()})
        return counts

    def found(self, trap: Trap) -> list[_Row]:
        """The trap's documents."""
        if trap.title is not None:
            return [row for row in self._by_title[trap.title] if _same_file(row, trap)]
        if trap.url is not None and self._by_url[trap.url]:
            return self._by_url[trap.url]
        return [row for row in self.documents if _in_range(row, trap)]

    def group(self, urls: Iterable[str]) -> list[_Row]:
        return [row for url in urls for row in self._by_url[url]]

    def refused(self, trap: Trap) -> list[_Row]:
        """The trap's rejects."""
        return [
            row
            for row in self.rejected
            if (trap.url is not None and row.url == trap.url)
            or _in_range(row, trap)
            or (trap.title is not None and _same_file(row, trap) and _names(row.url, trap.title))
            or (_whole(trap) and _same_file(row, trap))
        ]

    def unreadable(self, trap: Trap) -> list[_Row]:
        """The trap's bad records: those of its byte range, or of its whole file if it is one."""
        return [
            row
            for row in self.bad
            if _in_range(row, trap) or (_whole(trap) and _same_file(row, trap))
        ]


def caught(key_path: Path, work_dir: Path) -> list[TrapResult]:
    """One result for each kind of trap in the key, in the key's order.

    Where the first of a trap's steps has no directory it is missed, and the examples say so.
    """
    steps = {folder.name: _Step(folder) for folder in sorted(work_dir.iterdir()) if folder.is_dir()}
    results: dict[str, TrapResult] = {}
    for trap in read_key(key_path).traps:
        result = results.setdefault(trap.kind, TrapResult(trap.kind))
        result.planted += trap.count
        if trap.steps[0] not in steps:
            number, why = 0, f"{trap.steps[0]} has not run"
        else:
            number, why = _CHECKS[trap.must](trap, [steps[n] for n in trap.steps if n in steps])
            if number < trap.count and trap.must in _FATE:
                why += _fate(trap, steps.values())
        result.caught += number
        if number < trap.count and len(result.missed_examples) < _EXAMPLES:
            result.missed_examples.append(f"{trap.place()}: {why}")
    return list(results.values())


_Verdict = tuple[int, str]


def _rejected(trap: Trap, steps: list[_Step]) -> _Verdict:
    if steps[-1].found(trap):
        return 0, f"is a document of {steps[-1].name}"
    if any(step.refused(trap) for step in steps):
        return trap.count, ""
    return 0, "no row says that it was rejected"


def _unreadable(trap: Trap, steps: list[_Step]) -> _Verdict:
    if trap.url is not None and steps[-1].found(trap):
        return 0, f"is a document of {steps[-1].name}"
    if any(step.unreadable(trap) or step.refused(trap) for step in steps):
        return trap.count, ""
    return 0, "no bad record names it"


def _accounted(trap: Trap, steps: list[_Step]) -> _Verdict:
    if any(s.found(trap) or s.refused(trap) or s.unreadable(trap) for s in steps):
        return trap.count, ""
    return 0, "lost: neither document nor reject nor bad record"


def _no_document(trap: Trap, steps: list[_Step]) -> _Verdict:
    return (0, "is a document") if steps[0].found(trap) else (trap.count, "")


def _kept(trap: Trap, steps: list[_Step]) -> _Verdict:
    found = steps[0].found(trap)
    if any(_has(row, trap.any_of) for row in found):
        return trap.count, ""
    return 0, f"its text has no {trap.any_of[0][:60]!r}" if found else "not among the documents"


def _text_gone(trap: Trap, steps: list[_Step]) -> _Verdict:
    found = steps[0].found(trap)
    if not found:
        return 0, "not among the documents"
    if any(_has(row, trap.any_of) for row in found):
        return 0, f"its text still has {trap.any_of[0]!r}"
    return trap.count, ""


def _one_of_group(trap: Trap, steps: list[_Step]) -> _Verdict:
    left = len(steps[0].group(trap.group))
    if left == 0:
        return 0, "every copy is gone"
    return max(0, trap.count - (left - 1)), f"{left} of them are left"


def _newest_of_group(trap: Trap, steps: list[_Step]) -> _Verdict:
    left = steps[0].group(trap.group)
    if len(left) == 1 and _has(left[0], trap.any_of):
        return trap.count, ""
    return 0, "the older one was kept" if len(left) == 1 else f"{len(left)} are left"


def _lines_once(trap: Trap, steps: list[_Step]) -> _Verdict:
    counts = steps[0].line_counts
    often = [(counts[_fold(line)], line) for line in trap.lines if counts[_fold(line)] > 1]
    if not often:
        return trap.count, ""
    number, line = max(often)
    return 0, f"{len(often)} lines stay, {line[:60]!r} in {number} documents"


def _tail(trap: Trap, steps: list[_Step]) -> _Verdict:
    found = steps[0].found(trap)
    if not found:
        gone = any(step.refused(trap) for step in steps)
        return (trap.count, "") if gone else (0, "no row says that it was rejected")
    if all(row.bucket == "tail" for row in found):
        return trap.count, ""
    return 0, f"its bucket is {found[0].bucket}"


def _item_found(trap: Trap, steps: list[_Step]) -> _Verdict:
    if all((item, trap.url) in steps[0].hits for item in trap.any_of):
        return trap.count, ""
    elsewhere = sorted(str(url) for item, url in steps[0].hits if item in trap.any_of)
    return 0, f"{trap.any_of[0]} was found in {', '.join(elsewhere) or 'no document'}"


def _cited(trap: Trap, steps: list[_Step]) -> _Verdict:
    return _by_score(trap, steps, True)


def _not_cited(trap: Trap, steps: list[_Step]) -> _Verdict:
    return _by_score(trap, steps, False)


def _by_score(trap: Trap, steps: list[_Step], cited: bool) -> _Verdict:
    found = steps[0].found(trap)
    if not found:
        return 0, "not among the documents"
    score = found[0].score
    if score is not None and (score >= _CITED_FROM) == cited:
        return trap.count, ""
    return 0, f"its reference score is {'null' if score is None else f'{score:.3f}'}"


_CHECKS: dict[Must, Callable[[Trap, list[_Step]], _Verdict]] = {
    Must.REJECTED: _rejected,
    Must.UNREADABLE: _unreadable,
    Must.ACCOUNTED: _accounted,
    Must.NO_DOCUMENT: _no_document,
    Must.KEPT: _kept,
    Must.TEXT_GONE: _text_gone,
    Must.ONE_OF_GROUP: _one_of_group,
    Must.NEWEST_OF_GROUP: _newest_of_group,
    Must.LINES_ONCE: _lines_once,
    Must.TAIL: _tail,
    Must.ITEM_FOUND: _item_found,
    Must.CITED: _cited,
    Must.NOT_CITED: _not_cited,
}
_FATE = frozenset(
    {
        Must.REJECTED,
        Must.KEPT,
        Must.UNREADABLE,
        Must.TAIL,
        Must.TEXT_GONE,
        Must.ITEM_FOUND,
        Must.CITED,
        Must.NOT_CITED,
    }
)


def _fate(trap: Trap, steps: Iterable[_Step]) -> str:
    """What became of a trap that did not go as it should, if any row tells."""
    for step in steps:
        if rows := [*step.refused(trap), *step.unreadable(trap)]:
            return f" ({step.name}: {rows[0].why[:100]})"
    return ""


def _rows(paths: Iterable[Path], columns: list[str]) -> Iterable[dict[str, Any]]:
    for path in sorted(paths):
        for batch in pq.ParquetFile(path).iter_batches(columns=columns):
            yield from batch.to_pylist()


def _place(origin: str) -> tuple[str, int | None]:
    file, _, inside = origin.rpartition("#")
    return (file, _number(inside)) if file else (origin, None)


def _number(value: str) -> int | None:
    """The offset of `123`, or of `123+45` (inside a compressed member); None for other keys."""
    match = _OFFSET.match(value)
    return int(match.group(1)) if match else None


def _whole(trap: Trap) -> bool:
    """Whether the trap is a whole file, not a record or a page of one."""
    return trap.offset is None and trap.title is None


def _same_file(row: _Row, trap: Trap) -> bool:
    return Path(trap.file).name in row.file


def _in_range(row: _Row, trap: Trap) -> bool:
    if trap.offset is None or trap.length is None or row.offset is None:
        return False
    return trap.offset <= row.offset < trap.offset + trap.length and _same_file(row, trap)


def _names(url: str | None, title: str) -> bool:
    """Whether a Wikipedia URL is that of the article."""
    if url is None:
        return False
    return unquote(url).replace("_", " ").endswith("/" + title.replace("_", " "))


def _has(row: _Row, texts: Iterable[str]) -> bool:
    """Whether one of the texts is in the document, whatever blanks it uses."""
    text = _SPACE.sub(" ", row.text)
    return any(_SPACE.sub(" ", wanted) in text for wanted in texts)


def _fold(line: str) -> str:
    return _DIGIT.sub("0", line.strip().lower())
