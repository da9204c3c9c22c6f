"""What an audit found, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stages.dedup.audit_statistics import Share


@dataclass(frozen=True)
class Pair:
    """`one` left or was sampled; `other` stays for it, or stays too though it should not."""

    one: str
    other: str
    similarity: float


@dataclass(frozen=True)
class Bin:
    """Pairs of a similarity in [low, high), at the top including 1: how many were looked at, and
    the share (weighted) of which at least one leaves."""

    low: float
    high: float
    pairs: int
    removed: float | None


@dataclass(frozen=True)
class Audit:
    """The findings; shares are estimates for the whole step."""

    step: str
    measure: str
    kept: int
    removed: int
    sampled_kept: int
    sampled_removed: int
    precision: Share
    precision_any: Share
    precision_staying: Share
    recall: Share
    kept_duplicates: Share
    unknown: int
    histogram: list[Bin]
    detection: list[Bin]
    worst_removals: list[Pair]
    worst_misses: list[Pair]


def report(found: Audit) -> str:
    """The findings as lines of text."""
    lines = [
        f"{found.step}: duplicates by {found.measure}",
        f"sample: {found.sampled_removed:,} of {found.removed:,} removed,"
        f" {found.sampled_kept:,} of {found.kept:,} kept; 95 % intervals in brackets",
        "",
        "precision (removed documents that resemble)",
        f"  the document named   {_of(found.precision)}",
        f"  any document         {_of(found.precision_any)}",
        f"  one that stays       {_of(found.precision_staying)}",
        f"recall (pairs of which one leaves)  {_of(found.recall)}",
        f"kept documents with a duplicate that is kept too  {_of(found.kept_duplicates)}",
    ]
    if found.unknown:
        lines.append(f"{found.unknown} named documents are not in the input")
    if found.histogram:
        lines += ["", "similarity of removed documents to those named"]
        lines += [f"  {_range(b)} {b.pairs:8,}" for b in found.histogram]
    if found.detection:
        lines += ["", "pairs met by the sample, and the share of which one leaves"]
        lines += [f"  {_range(b)} {b.pairs:8,}  {b.removed:.3f}" for b in found.detection]
    lines += _listed("worst removals", found.worst_removals)
    lines += _listed("worst misses", found.worst_misses)
    return "\n".join(lines)


def _of(share: Share) -> str:
    if share.value is None or share.effective == share.of:
        return f"{share} of {share.of:,}"
    return f"{share} of {share.of:,} (as good as {share.effective:,.0f} independent ones)"


def _range(row: Bin) -> str:
    return f"{row.low:.2f} .. {row.high:.2f}"


def _listed(title: str, pairs: Sequence[Pair]) -> list[str]:
    if not pairs:
        return []
    return ["", title, *(f"  {p.similarity:.4f}  {p.one}  {p.other}" for p in pairs)]
