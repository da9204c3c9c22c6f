"""What `benchmarks.tokenise` found: costs, ids that differ, and the table of both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measure import Cost, Spread
from benchmarks.sheet import Sheet
from stages.tokens import TokensSettings

STAGE = "tokens"
JUDGE = "sentencepiece"
"""The program whose ids are what the model means."""
TITLES = {
    STAGE: "stage `tokens`, one worker",
    JUDGE: "SentencePiece, `ndarray.tofile`",
    "gigatoken": "gigatoken, `ndarray.tofile`",
    "hugging_face": "Hugging Face tokenizers, `ndarray.tofile`",
    "datatrove": "datatrove `DocumentTokenizer`",
}
SYMBOL = "a control symbol is written out in the text"
_SYMBOLS = re.compile(r"</?s>|<unk>")


def has_symbol(text: str) -> bool:
    """Whether a text holds what Hugging Face's format reads as a piece of its own."""
    return _SYMBOLS.search(text) is not None


@dataclass
class Measured:
    """Runs of one program; `fixed` is its cost on four short pages.

    `different`: how many documents are not as the judge wrote them, by reason.
    """

    costs: list[Cost] = field(default_factory=list)
    fixed: Cost | None = None
    documents: int = 0
    tokens: int = 0
    different: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """All programs on the same documents; `left_out` says why some are not there.

    `written_out`: documents in whose text a control symbol is written out.
    """

    data: str
    tokenizer: str
    documents: int
    text_bytes: int
    written_out: int
    measured: Mapping[str, Measured]
    left_out: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "rates": {
                name: {
                    "text_mb_per_cpu_s": asdict(self.rate(name, self.text_bytes / 1e6)),
                    "tokens_per_cpu_s": asdict(self.rate(name, m.tokens)),
                    "text_mb_per_wall_s": asdict(self.rate(name, self.text_bytes / 1e6, "wall_s")),
                }
                for name, m in self.measured.items()
            }
        }

    def rate(self, name: str, work: float, seconds: str = "cpu_s") -> Spread:
        """Work by second: median, smallest and largest."""
        costs = self.measured[name].costs
        return Spread.of([work / max(getattr(cost, seconds), 1e-3) for cost in costs])


def check(
    measured: Mapping[str, Measured], texts: Sequence[str], ids: Mapping[str, list[bytes]]
) -> None:
    """Counts documents and tokens, and documents that are not as the judge wrote them.

    Programs order documents each in its own way, so those of equal ids are paired off.
    """
    for name, m in measured.items():
        m.documents, m.tokens = len(ids[name]), sum(map(len, ids[name])) // 2
        left, different = Counter(ids[name]), Counter[str]()
        for text, expected in zip(texts, ids[JUDGE], strict=True):
            if left[expected]:
                left[expected] -= 1
            elif has_symbol(text):
                different[SYMBOL] += 1
            else:
                different["no reason known" if text else "no text"] += 1
        if m.documents > len(texts):
            different["more documents than there are"] = m.documents - len(texts)
        m.different = dict(different)


def table(found: Comparison) -> Sheet:
    rows = []
    for name, m in found.measured.items():
        fixed = f"{m.fixed.cpu_s:.2f}" if m.fixed else ""
        rows.append(
            (
                TITLES[name],
                _spread(found.rate(name, found.text_bytes / 1e6), 1),
                _spread(found.rate(name, m.tokens / 1e3)),
                _spread(found.rate(name, found.text_bytes / 1e6, "wall_s"), 1),
                _spread(Spread.of([c.cpu_s for c in m.costs]), 2),
                _spread(Spread.of([c.wall_s for c in m.costs]), 2),
                fixed,
                f"{max(c.peak_rss for c in m.costs) / 1e6:.0f}",
                f"{sum(m.different.values()):,}",
            )
        )
    differences = [
        f"{TITLES[name]}: {m.documents:,} documents, {m.tokens:,} tokens; differing: "
        + "; ".join(f"{n:,} ({why})" for why, n in sorted(m.different.items()))
        + "."
        for name, m in found.measured.items()
        if m.different
    ]
    if found.written_out:
        differences.append(
            f"A control symbol (as `</s>`) is written out in the text of {found.written_out:,}"
            " documents. It stays text for SentencePiece and for the stage; a `tokenizer.json`"
            " makes it the symbol itself, which then stands inside a document."
        )
    return Sheet(
        "Text to token files",
        (
            "program",
            "MB/s/core",
            "1000 tokens\n/s/core",
            "MB/s\nwall",
            "CPU s",
            "wall s",
            "fixed\nCPU s",
            "peak MB",
            "documents\nthat differ",
        ),
        tuple(rows),
        (
            "MB: text in UTF-8. By CPU seconds of all threads and children, reading and writing"
            " included, imports not: medians, with the smallest and largest. Every program has one"
            " thread. Fixed: the CPU of the same run on four short pages, included in the other"
            " figures.",
            "Documents that differ: those to which SentencePiece gives other ids, all documents"
            " compared.",
            *differences,
            "What they do: the stage splits off held-out documents, shuffles all documents"
            " globally, writes payload, index, document table and name index, checks every id,"
            " compares documents of each input file with SentencePiece"
            f" ({TokensSettings().verify_share:.1%} of its text), and takes digests of what it"
            " reads and writes. datatrove's step shuffles the documents of its one file and writes"
            " payload and index. The three plain loops write payload and document ends, in the"
            " order of the input.",
            *(f"{TITLES[name]} is not there: {why}." for name, why in found.left_out.items()),
        ),
    )


def _spread(s: Spread, digits: int = 0) -> str:
    if s.low == s.high:
        return f"{s.median:,.{digits}f}"
    return f"{s.median:,.{digits}f} ({s.low:,.{digits}f}-{s.high:,.{digits}f})"


def page(sheet: Sheet, about: str) -> str:
    return (
        "# Throughput of tokenisation\n\nWritten by `python -m benchmarks.tokenise --write`.\n\n"
        f"{about}\n\n{sheet.markdown()}"
    )
