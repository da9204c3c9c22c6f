"""`corpus why` on a terminal or as JSON. Pages are hostile: nothing of them reaches a terminal but
printable characters."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.why_findings import Answer, Finding, Other, RemovedLine, Trail
from stages.documents import ranked

MOST_LINES = 10
_LINE_CHARS = 160
_VALUE_CHARS = 120
_ODD = re.compile(r"[\x00-\x1f\x7f-\uffff\U00010000-\U0010ffff]")
_STYLE = {
    "entered": "cyan",
    "kept": "green",
    "changed": "yellow",
    "rejected": "red",
    "bad": "red",
    "missing": "red",
}
# Shown at the head of a document, or put in words by a note.
_TOLD = frozenset({"url", "title", "created", "language_scores", "cutoffs"})


def safe(text: str, most: int | None = None) -> str:
    """`text` on one line, with all that a terminal might obey (control characters, escapes, marks
    of direction) spelt out as `\\x1b` or `\\u202e`; beyond `most` characters cut with a count."""
    rest = ""
    if most is not None and len(text) > most:
        rest = f" ... (+{len(text) - most:,} characters)"
        text = text[:most]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _spelt(c) for c in text)
    return text + rest


def _spelt(char: str) -> str:
    if char == "\t" or unicodedata.category(char) == "Zs":
        return " "
    return char.encode("unicode_escape").decode()


def to_json(answer: Answer) -> bytes:
    """The answer as indented JSON, in which characters that do not print are escaped."""
    plain = orjson.dumps(answer.to_json(), option=orjson.OPT_INDENT_2).decode()

    def escape(match: re.Match[str]) -> str:
        char = match[0]
        return char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1]

    return _ODD.sub(escape, plain).encode() + b"\n"


def not_found(answer: Answer) -> str:
    """One line: what was looked for, where, and where not."""
    seen = [
        f"{step.step} ({step.documents:,} documents, {step.rejected:,} rejected, {step.bad:,} bad)"
        for step in answer.looked
        if step.state not in ("half done", "to do")
    ]
    waiting = [step.step for step in answer.looked if step.state in ("half done", "to do")]
    line = (
        f"{safe(answer.query, _LINE_CHARS)}: no id, URL or origin of a document and no bad record"
        f" of {safe(answer.work)}; looked in {', '.join(seen) or 'nothing'}"
    )
    return line + (f"; not run yet: {', '.join(waiting)}" if waiting else "")


def show(answer: Answer, console: Console, all_lines: bool = False) -> None:
    """Everything in words; `all_lines`: removed lines in full, else the first of them."""
    several = len(answer.documents)
    if several > 1:
        _say(console, f"{several} documents match:")
        for trail in answer.documents:
            _say(console, f"  {trail.id}  {trail.created or ''}  {trail.summary}")
    for trail in answer.documents:
        if several > 1:
            console.print()
        _show_trail(trail, console, all_lines)
    for bad in answer.bad:
        _say(console, f"bad record of {bad.step}: {bad.file}#{bad.offset}", "bold")
        _say(console, f"  error  {bad.error}", "red")
        if bad.explanation:
            _say(console, f"         {bad.explanation}")
        _say(console, f"  in     {bad.part}")
    if answer.more:
        _say(console, f"and {answer.more:,} more that match")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(safe(text), style), soft_wrap=True)


def _show_trail(trail: Trail, console: Console, all_lines: bool) -> None:
    _say(console, f"{trail.source} document {trail.id} (found by {trail.found_by})", "bold")
    for name in ("title", "url", "origin", "created"):
        if value := getattr(trail, name):
            _say(console, f"  {name:<8} {safe(value, 4 * _LINE_CHARS)}")
    _say(console, f"  {'verdict':<8} {trail.summary}")
    for place in trail.tokens:
        epochs = "" if place.epochs is None else f"; seen {place.epochs:.3g} times in the run"
        seen = epochs if place.split == "train" else "; held out, so never trained on"
        _say(
            console,
            f"  {'tokens':<8} {place.length:,} from token {place.first_token:,} of"
            f" {place.shard} ({place.split}){seen}",
        )
    table = Table("step", "verdict", "bytes", "why, and what it has from here on")
    table.columns[0].no_wrap = table.columns[1].no_wrap = table.columns[2].no_wrap = True
    table.columns[2].justify = "right"
    table.columns[3].overflow = "fold"
    for finding in trail.steps:
        table.add_row(
            Text(safe(finding.step)),
            Text(finding.verdict, _STYLE.get(finding.verdict, "dim")),
            Text(_bytes(finding)),
            Text("\n".join(safe(line) for line in _told(finding))),
        )
    console.print(table)
    for finding in trail.steps:
        if finding.lines is not None:
            _show_lines(finding, console, all_lines)


def _bytes(finding: Finding) -> str:
    before, after = finding.bytes_before, finding.bytes_after
    if before is not None and after is not None and before != after:
        return f"{before:,} to {after:,}"
    known = after if after is not None else before
    return "" if known is None else f"{known:,}"


def _told(finding: Finding) -> Iterator[str]:
    if finding.state in ("changed", "stale") and finding.verdict != "not reached":
        what = "settings are others now" if finding.state == "changed" else "an earlier run's"
        yield f"({finding.state}: {what})"
    if finding.state == "half done":
        yield "(half done)"
    if finding.reason:
        yield finding.reason + (f": {finding.explanation}" if finding.explanation else "")
        if finding.detail:
            yield safe(finding.detail, 4 * _VALUE_CHARS)
    elif finding.detail:
        yield safe(finding.detail, 4 * _VALUE_CHARS)
        if finding.explanation:
            yield finding.explanation
    gained = {
        name: value
        for name, value in finding.gained.items()
        if name not in _TOLD and not (finding.verdict == "entered" and name.startswith("meta."))
    }
    if gained:
        yield ", ".join(f"{name} {_value(value)}" for name, value in gained.items())
    yield from finding.notes
    for check in finding.checks:
        yield (
            f"{'passes' if check.passes else 'fails '} {check.setting} {_value(check.threshold)}:"
            f" has {_value(check.value)}"
        )
    for other in finding.stayed:
        yield f"stays: {_named(other)}"
    if finding.settings:
        shown = ", ".join(f"{name} {_value(value)}" for name, value in finding.settings.items())
        yield f"[{shown}]"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return safe(value, _VALUE_CHARS)
    return safe(orjson.dumps(value).decode(), _VALUE_CHARS)


def _named(other: Other) -> str:
    parts = [other.id, other.url or "", other.created or ""]
    return " ".join(safe(part, _VALUE_CHARS) for part in parts if part)


def _show_lines(finding: Finding, console: Console, all_lines: bool) -> None:
    lines = finding.lines
    assert lines is not None
    reasons = Counter((line.why or "not said").partition(":")[0] for line in lines.removed)
    told = ", ".join(f"{why} {n:,}" for why, n in ranked(reasons))
    _say(
        console,
        f"{finding.step}: {len(lines.removed):,} of {lines.before:,} lines removed"
        + (f" ({told})" if any(line.why for line in lines.removed) else "")
        + (f", {len(lines.added):,} new or rewritten" if lines.added else ""),
        "bold",
    )
    # Blank lines say nothing; they are in the count.
    shown = [line for line in lines.removed if line.text.strip() or all_lines]
    most = len(shown) if all_lines else MOST_LINES
    chars = None if all_lines else _LINE_CHARS
    for line in shown[:most]:
        _say(console, f"-{line.line:>6,} {safe(line.text, chars)}", "red")
        for said in _holders(line):
            _say(console, f"        {said}", "dim")
    for number, text in lines.added[: len(lines.added) if all_lines else MOST_LINES]:
        _say(console, f"+{number:>6,} {safe(text, chars)}", "green")
    hidden = max(0, len(shown) - most) + (0 if all_lines else max(0, len(lines.added) - MOST_LINES))
    if hidden:
        _say(console, f"        ... {hidden:,} more lines (--text shows all)")


def _holders(line: RemovedLine) -> Iterator[str]:
    if line.documents:
        what = "1 other document" if line.documents == 1 else f"{line.documents:,} other documents"
        yield f"{line.why}; in {what}{':' if line.holders else ''}"
        for holder in line.holders:
            yield f"  {_named(holder)}"
    elif line.why and line.text.strip():
        yield line.why
    if line.kept_in:
        yield f"it stays in {_named(line.kept_in)}"
