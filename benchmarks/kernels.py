"""The kernels alone, on texts in memory: line hashes and languages, beside the plain loops."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.line_hashing import line_by_line
from benchmarks.measure import in_fork
from stages import ccnet_text
from stages.ccnet_text import batch_line_hashes
from stages.language.rule import LanguageRule
from stages.language.settings import LanguageSettings

_SLICE = 512


@dataclass
class Kernel:
    """CPU seconds of each repetition, by way; the first way is the plain loop. `differ`: answers
    that are not those of the loop, of `answers`."""

    name: str
    text_bytes: int
    answers: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    differ: dict[str, int] = field(default_factory=dict)

    def ratio(self, way: str) -> float:
        """How many times as much CPU the loop takes, the median of the repetitions."""
        loop = next(iter(self.seconds.values()))
        return statistics.median(a / b for a, b in zip(loop, self.seconds[way], strict=True))


def measure(commoncrawl: str, line_dedup: str, repeats: int) -> list[Kernel]:
    """Both kernels on the documents of the folders of these two steps. Raises MeasureError."""
    return [
        in_fork(lambda: _hashes(_texts(commoncrawl), repeats))[0],
        in_fork(lambda: _languages(_texts(line_dedup), repeats))[0],
    ]


def _hashes(texts: list[str], repeats: int) -> Kernel:
    def batches() -> Any:
        return np.concatenate([batch_line_hashes(some)[0] for some in _slices(texts)])

    def plainly() -> Any:
        compiled, ccnet_text.hash_texts = ccnet_text.hash_texts, None  # type: ignore[assignment]
        try:
            return batches()
        finally:
            ccnet_text.hash_texts = compiled

    ways: dict[str, Callable[[], Any]] = {
        "re and hashlib, line by line": lambda: line_by_line(texts),
        "numpy and hashlib, in batches": plainly,
    }
    if ccnet_text.hash_texts is not None:
        ways["compiled, in batches"] = batches
    batch_line_hashes(texts[:1])
    return _compared("line hashes", texts, ways, repeats, lambda a, b: int((a != b).sum()))


def _languages(texts: list[str], repeats: int) -> Kernel:
    probing = LanguageRule()
    whole = LanguageRule(LanguageSettings(probe_chars=0))

    def together(rule: LanguageRule) -> Any:
        return [verdict for some in _slices(texts) for verdict in rule.judge(some)]

    ways: dict[str, Callable[[], Any]] = {
        "fastText, each whole text": lambda: [whole(text) for text in texts],
        "fastText, beginnings first": lambda: [probing(text) for text in texts],
        "in batches, each whole text": lambda: together(whole),
        "in batches, beginnings first (as the stage)": lambda: together(probing),
    }
    for rule in (probing, whole):
        rule.judge(texts[:1])

    def differing(some: Any, others: Any) -> int:
        return sum(_decision(a) != _decision(b) for a, b in zip(some, others, strict=True))

    return _compared("languages", texts, ways, repeats, differing)


def _decision(verdict: Any) -> Any:
    """The language, or the reason to reject; not the score."""
    return verdict[0] if isinstance(verdict, tuple) else verdict.reason


def _compared(
    name: str,
    texts: list[str],
    ways: dict[str, Callable[[], Any]],
    repeats: int,
    differing: Callable[[Any, Any], int],
) -> Kernel:
    found = Kernel(name, sum(len(text.encode()) for text in texts), 0)
    first: Any = None
    for _ in range(repeats):
        for way, call in ways.items():
            start = time.process_time()
            answers = call()
            found.seconds.setdefault(way, []).append(time.process_time() - start)
            first = answers if first is None else first
            found.differ[way] = differing(first, answers)
            found.answers = len(answers)
    return found


def _slices(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[i : i + _SLICE] for i in range(0, len(texts), _SLICE)]


def _texts(folder: str) -> list[str]:
    return [
        text
        for path in sorted(Path(folder).glob("part-*.parquet"))
        for text in pq.read_table(path, columns=["text"])["text"].to_pylist()
    ]
