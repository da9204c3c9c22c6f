"""Stages that take single lines of a text: for each line why, and which other documents have it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.find_document import Place
from pipeline.why_case import Case
from pipeline.why_findings import Lines, RemovedLine
from pipeline.why_lines import I64, U64, Holders, UnitHashes, holders, locate
from stages.c4.clean import LINE_RULES, CleanSettings, check_page, clean_page
from stages.c4.line_dedup import C4LineDedup, line_digests
from stages.ccnet_text import batch_line_hashes
from stages.dedup.lines import EMPTY_LINE_HASH, LineDedup
from stages.dedup.overlap import Overlap
from stages.engine.units import WorkUnit

BLANK = "blank"
REPEATED = "repeated: the page has it before"
EVERY_COPY = "every copy goes"
KEPT_IN = "kept in the first document"
KEPT_BY_RANK = "kept by the page whose URL has the smallest hash"
OTHER_SOURCE = "in the other source"


def line_dedup(case: Case) -> None:
    """By the hashes that the reader left, or computed where there are none."""
    case.use("keep", "scope")
    if case.before is None or not _took_lines(case, "duplicate_lines"):
        return
    stage = LineDedup(case.step)
    units = stage.units()
    if stage.settings.scope == "file_group" and case.place:
        mine, _ = locate(units, case.place)
        group = units[mine].index // stage.settings.group_files
        units = [u for u in units if u.index // stage.settings.group_files == group]

    def hashes_of(unit: WorkUnit) -> tuple[U64, I64, I64]:
        lines, rows = stage._lines(unit)
        return lines.hashes, lines.document, np.zeros(rows, np.int64)

    hashes, _ = batch_line_hashes([case.before["text"]], stage.settings.variant)
    first = stage.settings.keep == "first"
    _tell(case, hashes, units, hashes_of, case.place, KEPT_IN if first else EVERY_COPY)


def c4_line_dedup(case: Case) -> None:
    if case.before is None or not _took_lines(case, "all_lines_duplicate", "too_few_sentences"):
        return
    stage = C4LineDedup(case.step)

    def hashes_of(unit: WorkUnit) -> tuple[U64, I64, I64]:
        lines = stage._lines(unit)
        return lines.hashes, lines.page, lines.ranks

    digests = line_digests(case.before["text"])
    hashes = np.array([int.from_bytes(d[:8], "little") for d in digests], np.uint64)
    _tell(case, hashes, stage.units(), hashes_of, case.place, KEPT_BY_RANK)


def overlap(case: Case) -> None:
    """Lines that a document lost because the other source has them."""
    if case.before is None or case.after is None or case.finding.lines is None:
        return
    stage = Overlap(case.step)

    def hashes_of(unit: WorkUnit) -> tuple[U64, I64, I64]:
        texts = [t for b in stage.batches(unit, ["text"]) for t in b.column(0).to_pylist()]
        hashes, offsets = batch_line_hashes(texts)
        rows = np.repeat(np.arange(len(texts), dtype=np.int64), np.diff(offsets))
        return hashes, rows, np.zeros(len(texts), np.int64)

    hashes, _ = batch_line_hashes([case.before["text"]])
    _tell(case, hashes, stage._units("against"), hashes_of, None, OTHER_SOURCE)


def _took_lines(case: Case, *reasons: str) -> bool:
    """Whether lines were taken: the text changed, or so little was left that the document left."""
    if case.finding.verdict == "rejected":
        return case.finding.reason in reasons
    return case.finding.lines is not None


def _tell(
    case: Case,
    hashes: U64,
    units: Sequence[WorkUnit],
    hashes_of: UnitHashes,
    own: Place | None,
    shared: str,
) -> None:
    """Says of each removed line why it went. `hashes` are those of all lines of the text before,
    `shared` what is said of lines that other documents have."""
    assert case.before is not None
    lines = case.before["text"].split("\n")
    if case.finding.lines is not None:
        removed = case.finding.lines.removed
    else:
        removed = [RemovedLine(i + 1, line) for i, line in enumerate(lines)]
    wanted = np.array([hashes[r.line - 1] for r in removed], np.uint64)
    if shared != KEPT_BY_RANK:  # C4 takes blank lines for lines like any other.
        wanted = wanted[wanted != EMPTY_LINE_HASH]
    found = holders(wanted, units, hashes_of, own, case.holders)
    first: dict[int, int] = {}
    for i, value in enumerate(hashes.tolist()):
        first.setdefault(value, i + 1)
    gone = []
    for line in removed:
        value = int(hashes[line.line - 1])
        known = found.get(value)
        line.why = _why(known, value, first[value] < line.line, shared)
        if line.why is None:
            continue  # Of a document that left: this line would have stayed.
        if known:
            line.documents, line.holders = known.documents, list(known.first)
            line.kept_in = known.keeper if line.why in (KEPT_IN, KEPT_BY_RANK) else None
        gone.append(line)
    if case.finding.lines is None:
        case.finding.lines = Lines(len(lines), len(lines) - len(gone), gone)
    else:
        unexplained = [r for r in case.finding.lines.removed if r.why is None]
        if unexplained:
            case.finding.notes.append(
                f"{len(unexplained)} removed lines are in no other document that is there now"
            )


def _why(known: Holders | None, value: int, again: bool, shared: str) -> str | None:
    if known and known.documents and (shared in (EVERY_COPY, OTHER_SOURCE) or known.keeper):
        return shared
    if shared != KEPT_BY_RANK and value == EMPTY_LINE_HASH:
        return BLANK
    return REPEATED if again else None


def c4_clean(case: Case) -> None:
    """The rule of C4 that each line broke."""
    if case.before is None or not _took_lines(case, "too_few_sentences"):
        return
    given = {k: v for k, v in case.done.settings.items() if k in CleanSettings.model_fields}
    settings = CleanSettings.model_validate({**given, "min_sentences": 0})
    if case.finding.lines is None:
        lines = case.before["text"].split("\n")
        broken = [RemovedLine(i + 1, line, _rule(line, settings)) for i, line in enumerate(lines)]
        gone = [line for line in broken if line.why is not None]
        case.finding.lines = Lines(len(lines), len(lines) - len(gone), gone)
        return
    for removed in case.finding.lines.removed:
        removed.why = _rule(removed.text, settings)


def _rule(line: str, settings: CleanSettings) -> str | None:
    """Why C4 drops a line, by its rules for whole pages; None where the line passes."""
    broken: list[str] = []

    def count(rule: str, number: int) -> None:
        broken.append(rule)

    if not line.strip():
        return BLANK
    page = check_page(line, "any", "any", settings, count)
    if isinstance(page, str):
        clean_page(page, settings, count, lambda text, limit: 0)
    rules = [rule for rule in broken if rule != "passed"]
    return f"{rules[0]}: {LINE_RULES.get(rules[0], '')}" if rules else None
