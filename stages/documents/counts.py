"""What became of documents, so that none is lost silently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar


def ranked(counted: Counter[str]) -> list[tuple[str, int]]:
    """The most common first, and of equals the first by name, however they were counted."""
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


@dataclass
class Counts:
    """What became of one unit's (or one stage's) documents.

    `records` counts what the parser met; `documents_in` those of them that are documents by kind.
    """

    records: int = 0
    documents_in: int = 0
    documents_out: int = 0
    rejected: int = 0
    bad: int = 0
    text_bytes_in: int = 0
    text_bytes_out: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)

    _COUNTERS: ClassVar[tuple[str, ...]] = ("reasons", "errors", "skipped", "languages", "other")

    def add(self, more: Counts) -> None:
        for name, value in vars(more).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    def to_json(self) -> dict[str, Any]:
        return {
            k: dict(sorted(v.items())) if isinstance(v, Counter) else v
            for k, v in vars(self).items()
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Counts:
        counts = cls()
        for name, number in value.items():
            setattr(counts, name, Counter(number) if name in cls._COUNTERS else number)
        return counts

    def imbalance(self) -> str:
        """Empty when every document is accounted for, else one line that says what is missing."""
        left = self.documents_out + self.rejected + self.bad
        if self.documents_in != left:
            return (
                f"{self.documents_in} documents in, but {self.documents_out} out"
                f" + {self.rejected} rejected + {self.bad} bad = {left}"
            )
        known = self.documents_in + sum(self.skipped.values())
        if self.records and self.records != known:
            return f"{self.records} records found, but {known} accounted for"
        return ""
