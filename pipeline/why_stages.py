"""What single stages have to say about their verdict: a function per stage, by its name.

A stage that is not here is told of from its files alone: verdict, reason, new values, difference
of the texts. Functions add to the `Finding`; they read what the step read and wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import orjson

from pipeline import why_line_stages
from pipeline.find_document import Equal, SameKey, UrlHint, read_row, scan
from pipeline.why_case import Case
from pipeline.why_findings import Check, Other
from stages import registry
from stages import urls as web
from stages.c4.url import url_key
from stages.dedup.lines import LINE_HASHES
from stages.dedup.overlap import url_match_key
from stages.engine import files
from stages.engine.step import plain
from stages.perplexity.stage import CUTOFFS_FILE
from stages.select import OFF, SelectRule, SelectSettings, lifted

_OTHER = ("id", "url", "created")
# How details name the document that stays: by id, or by origin (StackExchange).
_KEPT = re.compile(r"kept: (.+?)(?:;|$)")
_FIRST = re.compile(r"the first is (.+)$")


def explain(case: Case) -> None:
    """What can be told of any stage, then what this one has to say."""
    finding = case.finding
    stage = registry.stage_class(case.step.stage)
    words = set(re.findall(r"\w+", finding.explanation or ""))
    defaults = stage.Settings.model_validate({}) if _has_defaults(stage.Settings) else None
    for name, value in case.done.settings.items():
        changed = defaults is not None and plain(getattr(defaults, name, value)) != value
        if name in words or changed:
            finding.settings[name] = value
    _name_the_one_that_stayed(case)
    if case.step.stage in EXPLAIN:
        EXPLAIN[case.step.stage](case)


def _has_defaults(settings: Any) -> bool:
    return not any(f.is_required() for f in settings.model_fields.values())


def _name_the_one_that_stayed(case: Case) -> None:
    detail = case.finding.detail or ""
    for pattern, column in ((_KEPT, "id"), (_FIRST, "origin")):
        if case.finding.verdict == "rejected" and (match := pattern.search(detail)):
            key = match[1].strip()
            hits = scan(case.written(), Equal(column, key, tuple(c for c in _OTHER if c != column)))
            others = [other(h.values) for h in hits]
            case.finding.stayed += others or [Other(key)]


def other(row: Mapping[str, Any]) -> Other:
    return Other(row["id"], row.get("url"), row.get("created"))


Explain = Callable[[Case], None]


# -- dedup by a key -------------------------------------------------------------------------------


def _normal(url: str) -> str:
    return web.normalise(url) or url


def url_dedup(case: Case) -> None:
    """The crawl that stays, or the crawls for which this one stayed."""
    case.use("keep")
    url = (case.before or {}).get("url")
    if not url:
        if case.finding.verdict != "rejected":
            case.finding.notes.append("it has no URL, so nothing to compare")
        return
    key = web.match_key(url)
    test = SameKey("url", _normal, url, ("id", "created"), UrlHint.of(key) if key else None)
    if case.finding.verdict == "rejected":
        case.finding.stayed += [other(h.values) for h in scan(case.written(), test)]
        return
    test = SameKey("url", _normal, url, ("id",), test.hint)
    hits = scan(case.left(), test)
    if hits:
        named = ", ".join(h.values["id"] for h in hits[: case.holders])
        more = f" and {len(hits) - case.holders} more" if len(hits) > case.holders else ""
        what = "another crawl" if len(hits) == 1 else f"{len(hits)} other crawls"
        case.finding.notes.append(f"stayed for {what} of its URL: {named}{more}")


def c4_url_dedup(case: Case) -> None:
    url = (case.before or {}).get("url")
    if case.finding.verdict == "rejected" and url:
        test = SameKey("url", url_key, url, ("id", "created"))
        case.finding.stayed += [other(h.values) for h in scan(case.written(), test)]


def document_dedup(case: Case) -> None:
    """The document with the same text, by the line hashes where the reader left them."""
    if case.finding.verdict != "rejected" or case.before is None:
        return
    text = case.before["text"]
    hashes = case.before.get(LINE_HASHES)
    if not isinstance(hashes, bytes):
        hits = scan(case.written(), Equal("text", text, _OTHER))
        case.finding.stayed += [other(h.values) for h in hits]
        return
    for hit in scan(case.written(), Equal(LINE_HASHES, hashes, _OTHER)):
        # Line hashes are of normalised lines; the text itself decides.
        if read_row(hit.place)["text"] == text:
            case.finding.stayed.append(other(hit.values))


def overlap(case: Case) -> None:
    """The documents of the other source with the same URL or text."""
    case.use("remove")
    row = case.before or {}
    meta = orjson.loads((case.after or {}).get("meta") or "{}")
    marks = meta.get("overlap", []) if isinstance(meta, dict) else []
    detail = case.finding.detail or ""
    found: dict[str, Other] = {}
    against = case.documents("against")
    url = row.get("url")
    if url and ("url" in marks or "url" in detail.partition(";")[0]):
        key = web.match_key(url)
        hint = UrlHint.of(key) if key else None
        test = SameKey("url", url_match_key, url, ("id", "created"), hint)
        found |= {h.values["id"]: other(h.values) for h in scan(against, test)}
    if "text" in marks or "text" in detail.partition(";")[0]:
        test_text = Equal("text", row["text"], _OTHER)
        found |= {h.values["id"]: other(h.values) for h in scan(against, test_text)}
    case.finding.stayed += found.values()
    if found and case.finding.verdict != "rejected":
        case.finding.notes.append("the other source has it too; both stay")
    why_line_stages.overlap(case)


# -- scores ---------------------------------------------------------------------------------------


def language(case: Case) -> None:
    case.use("threshold", "languages")
    table = (case.after or {}).get("language_scores")
    if table:
        scores = list(orjson.loads(table).items())
        others = ", ".join(f"{code} {score:g}" for code, score in scores[1:])
        case.finding.notes.append(f"next to it: {others}" if others else "no other language")


def perplexity(case: Case) -> None:
    case.use("cutoffs", "percentiles")
    if case.after is None:
        return
    code = case.after.get("language")
    table = files.read_json(files.join(case.step.output, CUTOFFS_FILE))
    entry = table.get(code) or {}
    if case.after.get("perplexity") is None:
        case.finding.notes.append(f"no language model for {code}, so no perplexity and no bucket")
    elif not entry.get("cutoffs"):
        case.finding.notes.append(f"no cutoffs for {code}, so no bucket")
    else:
        low, high = entry["cutoffs"]
        number = entry.get("documents", 0)
        case.finding.gained["cutoffs"] = [low, high]
        case.finding.notes.append(
            f"{code}: head below {low:g}, middle below {high:g}, then tail"
            f" ({case.done.settings.get('cutoffs')}, {number:,} documents scored)"
        )


def reference(case: Case) -> None:
    """The threshold that a later `select` compares the score with."""
    if case.after is not None and case.after.get("reference_score") is None:
        case.finding.notes.append("no reference score: no classifier, or no words in the text")
    wanted = [s for s in case.later if s.stage == "select"]
    for step in wanted:
        threshold = SelectSettings.model_validate(step.settings).min_reference_score
        case.finding.notes.append(
            f"{step.name} asks for {threshold:g} or more"
            if threshold is not None
            else f"{step.name} has no min_reference_score: nothing is cut on it"
        )


_COLUMN = {
    "languages": "language",
    "min_language_score": "language_score",
    "buckets": "bucket",
    "max_perplexity": "perplexity",
    "min_reference_score": "reference_score",
}


def select(case: Case) -> None:
    """Each threshold that is on, asked alone."""
    row = case.before
    if row is None:
        return
    settings = SelectSettings.model_validate(case.done.settings)
    scores = [row.get(c) for c in SelectRule.reads[1:]]
    for name, off in OFF.items():
        if (threshold := case.done.settings.get(name, off)) == off:
            continue
        rule = SelectRule(lifted(settings, set(OFF) - {name}))
        passes = rule.verdict(len(row["text"]), *scores) is None
        value = row.get(_COLUMN[name]) if name in _COLUMN else len(row["text"])
        case.finding.checks.append(Check(name, threshold, value, passes))
        case.finding.settings.pop(name, None)


EXPLAIN: dict[str, Explain] = {
    "url_dedup": url_dedup,
    "c4_url_dedup": c4_url_dedup,
    "document_dedup": document_dedup,
    "overlap": overlap,
    "line_dedup": why_line_stages.line_dedup,
    "c4_line_dedup": why_line_stages.c4_line_dedup,
    "c4_clean": why_line_stages.c4_clean,
    "language": language,
    "perplexity": perplexity,
    "reference": reference,
    "select": select,
}
"""By the name of the stage."""


FAULTS = {
    "commoncrawl": "stages.commoncrawl.reader",
    "c4": "stages.c4.reader",
}
"""Modules whose `FAULTS` explain the words with which errors of bad records begin."""


def fault(stage: str, error: str) -> str | None:
    word = error.partition(":")[0]
    if stage not in FAULTS:
        return None
    known: dict[str, str] = import_module(FAULTS[stage]).FAULTS
    return known.get(word)
