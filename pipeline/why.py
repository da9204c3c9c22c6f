"""`corpus why`: one document's verdict at every step of its source, from the run's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from pipeline import plan, report
from pipeline.find_document import SIMILAR, Equal, Hit, Place, Query, Such, read_row, scan
from pipeline.why_case import Case, parts
from pipeline.why_findings import (
    Answer,
    BadRecord,
    Finding,
    Looked,
    State,
    TokenPlace,
    Trail,
)
from pipeline.why_lines import difference
from pipeline.why_stages import explain, fault
from stages import registry
from stages.engine import files
from stages.engine.manifest import Manifest
from stages.engine.step import STATE, Step, plain
from tokenizer.manifest import TokensManifest

MOST_DOCUMENTS = 50
"""Documents that are told of if a query matches more; the rest is counted."""

HOLDERS = 3
_BAD = ("file", "offset", "error")
_SCORES = ("language_score", "perplexity", "bucket", "reference_score")
_DESCRIPTIVE = ("language", "title", "url", "created", "license")
# Columns that say who a document is or carry its bulk; their changes are told of elsewhere.
_SILENT = frozenset({"text", "meta", "origin"})


class Run:
    """A work folder: its steps by source, what each finished one left, and how current that is.

    Raises RecipeError (no run has begun there), ManifestError.
    """

    def __init__(self, work: str) -> None:
        self.work = work
        self.recipe, steps = report.of_work(work)
        self._done = {step.name: done for step, done in steps}
        self._digests = {s.output: done.digest if done else None for s, done in steps}
        by_name = {step.name: step for step, _ in steps}
        self.chains: dict[str, list[Step]] = {
            name: [by_name[step] for step in plan.source_steps(self.recipe, name)]
            for name in self.recipe.sources
        }
        self.tokens_step = by_name[plan.TOKENS]
        self.states: dict[str, State] = {step.name: self._state(step) for step, _ in steps}

    def done(self, step: Step) -> Manifest | None:
        return self._done[step.name]

    def tokens(self) -> TokensManifest | None:
        return report.tokens_of(self.work) if self.done(self.tokens_step) else None

    def _state(self, step: Step) -> State:
        """By manifests alone: models and raw files are not read, unlike in `corpus status`."""
        done = self.done(step)
        if done is None:
            return "half done" if files.exists(files.join(step.output, STATE)) else "to do"
        read = {(row["port"], row["digest"]) for row in done.inputs if "digest" in row}
        for port, where in ((p, w) for p, paths in step.inputs.items() for w in paths):
            if where in self._digests and (port, self._digests[where]) not in read:
                return "stale"
        settings = registry.stage_class(step.stage).Settings
        try:
            now = plain(settings.model_validate(step.settings))
        except ValidationError:
            return "changed"
        same = all(now[name] == value for name, value in done.settings.items() if name in now)
        return "done" if same else "changed"

    def paths(self, step: Step, which: str = "") -> list[str]:
        """Parts of a step: documents, `rejected` or `bad`; none where it is not done."""
        done = self.done(step)
        return parts(done, step.output, which) if done else []

    def looked(self, step: Step) -> Looked:
        done = self.done(step)
        counts = (
            (done.counts.documents_out, done.counts.rejected, done.counts.bad)
            if done
            else (0, 0, 0)
        )
        return Looked(step.name, self.states[step.name], *counts)


def why(work: str, text: str, holders: int = HOLDERS) -> Answer:
    """Everything about the documents and bad records that `text` means: an id, a URL, an origin,
    or `file#offset` of a raw record.

    At most `holders` other documents are named for a line. Raises RecipeError, ManifestError, and
    OSError where files of the run are damaged or gone.
    """
    # What no UTF-8 can hold (arguments may be any bytes) is in no document either.
    text = text.encode("utf-8", "replace").decode()
    run, query = Run(work), Query(text)
    readers = [chain[0] for chain in run.chains.values()]
    found, bad = _search(run, query, readers)
    looked = [run.looked(step) for step in readers]
    if not found and not bad:
        # A stage may give documents another id, so one may be known to later steps only.
        later = [step for chain in run.chains.values() for step in reversed(chain[1:])]
        looked += [run.looked(step) for step in later]
        found, bad = _search(run, query, later)
    trails = [
        _trail(run, source, hit, str(query.how(hit.values)), holders)
        for source, hit in found[:MOST_DOCUMENTS]
    ]
    records = [
        BadRecord(
            step.name,
            step.stage,
            hit.values["file"],
            hit.values["offset"],
            hit.values["error"],
            fault(step.stage, hit.values["error"]),
            hit.place.path,
        )
        for step, hit in bad[:MOST_DOCUMENTS]
    ]
    more = max(0, len(found) - MOST_DOCUMENTS) + max(0, len(bad) - MOST_DOCUMENTS)
    return Answer(text, work, trails, records, more, looked)


def _search(
    run: Run, query: Query, steps: Sequence[Step]
) -> tuple[list[tuple[str, Hit]], list[tuple[Step, Hit]]]:
    """Documents (with the name of their source in the recipe) and bad records that are meant."""
    source_of = {step.name: name for name, chain in run.chains.items() for step in chain}
    found: dict[tuple[str, str, str], Hit] = {}
    bad: list[tuple[Step, Hit]] = []
    for step in steps:
        for which in ("", "rejected"):
            for hit in scan(run.paths(step, which), query):
                key = (source_of[step.name], hit.values["origin"], hit.values["id"])
                found.setdefault(key, hit)
        bad += [(step, hit) for hit in scan(run.paths(step, "bad"), Such(_BAD, query.is_bad))]
    hits = [(key[0], hit) for key, hit in found.items()]
    exact = [(source, hit) for source, hit in hits if query.how(hit.values) != SIMILAR]
    return exact or hits, bad


# -- one document ---------------------------------------------------------------------------------


def _trail(run: Run, source: str, hit: Hit, found_by: str, holders: int) -> Trail:
    chain = run.chains[source]
    id_, origin = hit.values["id"], hit.values["origin"]
    # The id that the reader gave may not be the one that was asked for.
    known = {"id": id_, "origin": origin}
    facts: dict[str, Any] = {"url": hit.values.get("url")}
    findings: list[Finding] = []
    before: dict[str, Any] | None = None
    before_place: Place | None = None
    over = ""
    for i, step in enumerate(chain):
        finding = Finding(step.name, step.stage, run.states[step.name], "not reached")
        findings.append(finding)
        done = run.done(step)
        if over or done is None:
            finding.verdict = "not run" if done is None and over != "left" else "not reached"
            over = over or "not run"
            continue
        after, place = _meet(run, step, known, finding, first=i == 0)
        if finding.verdict == "missing":
            over = "left"
            continue
        if after is not None:
            known["id"] = after["id"]
            facts |= {k: after[k] for k in ("url", "title", "created") if after.get(k)}
        _compare(finding, before, after)
        case = Case(step, done, finding, before, after, before_place, chain[i + 1 :], holders)
        explain(case)
        before, before_place = after, place
        if after is None:
            over = "left"
    tokens: list[TokenPlace] = []
    findings.append(_encoded(run, known["id"], before if not over else None, over, tokens))
    return Trail(
        id=known["id"],
        source=source,
        origin=origin,
        url=facts.get("url"),
        title=facts.get("title"),
        created=facts.get("created"),
        found_by=found_by,
        in_corpus=bool(tokens),
        summary=_summary(findings, tokens),
        steps=findings,
        tokens=tokens,
    )


def _meet(
    run: Run, step: Step, known: Mapping[str, str], finding: Finding, first: bool
) -> tuple[dict[str, Any] | None, Place | None]:
    """Finds the document in what a step wrote, sets verdict and reason; its row if it goes on."""
    for column in ("origin", "id"):
        also = ("id",) if column == "origin" else ("origin",)
        hits = [
            (which, hit)
            for which in ("", "rejected")
            for hit in scan(run.paths(step, which), Equal(column, known[column], also))
        ]
        # Several documents may have one origin (the parts of a record), and a stage may rename.
        same = [h for h in hits if h[1].values["id"] == known["id"]] or hits
        if same:
            which, hit = same[0]
            finding.part = hit.place.path
            row = read_row(hit.place)
            if which == "":
                finding.verdict = "entered" if first else "kept"
                return row, hit.place
            stage = registry.stage_class(step.stage)
            finding.verdict, finding.reason = "rejected", row["reason"]
            finding.explanation = stage.reasons.get(row["reason"])
            finding.detail = row["detail"] or None
            return None, None

    def is_bad(row: Mapping[str, Any]) -> bool:
        return row["offset"] == known["id"] or f"{row['file']}#{row['offset']}" == known["origin"]

    for hit in scan(run.paths(step, "bad"), Such(_BAD, is_bad)):
        finding.verdict, finding.part = "bad", hit.place.path
        finding.detail = hit.values["error"]
        finding.explanation = fault(step.stage, hit.values["error"])
        return None, None
    finding.verdict = "missing"
    return None, None


def _compare(
    finding: Finding, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> None:
    """Sizes, difference of the texts, and values that the step gave."""
    if before is not None:
        finding.bytes_before = len(before["text"].encode())
    if after is None:
        return
    finding.bytes_after = len(after["text"].encode())
    if before is not None and before["text"] != after["text"]:
        finding.verdict = "changed"
        finding.lines = difference(before["text"], after["text"])
    old = before or {}
    order = [*_DESCRIPTIVE, *_SCORES]
    for name in sorted(after, key=lambda n: (order.index(n) if n in order else len(order), n)):
        value = after[name]
        plain_value = isinstance(value, str | int | float | bool)
        if name not in _SILENT and plain_value and value != old.get(name):
            if before is None and name in ("id", "source"):
                continue
            finding.gained[name] = _number(value)
    old_meta, new_meta = _meta(old), _meta(after)
    for name, value in new_meta.items():
        if value != old_meta.get(name):
            finding.gained[f"meta.{name}"] = value


def _meta(row: Mapping[str, Any]) -> dict[str, Any]:
    value = orjson.loads(row.get("meta") or "{}")
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> Any:
    """Scores are stored as float32: the shortest number that is stored so."""
    if isinstance(value, float) and float(np.float32(value)) == value:
        return float(str(np.float32(value)))
    return value


def _encoded(
    run: Run, id_: str, row: Mapping[str, Any] | None, over: str, tokens: list[TokenPlace]
) -> Finding:
    """Looks the document up in the token shards and adds the places to `tokens`."""
    step, known = run.tokens_step, run.tokens()
    finding = Finding(step.name, step.stage, run.states[step.name], "not reached")
    if row is None or known is None:
        finding.verdict = "not run" if known is None and over != "left" else "not reached"
        return finding
    sidecars = {
        files.join(step.output, s.path.removesuffix(".bin") + ".docs.parquet"): s
        for s in known.shards
        if s.source == row["source"]
    }
    for hit in scan(list(sidecars), Equal("id", id_, ("first_token", "length"))):
        shard = sidecars[hit.place.path]
        epochs = known.sources[shard.source].implied_epochs if shard.split == "train" else 0.0
        first, length = hit.values["first_token"], hit.values["length"]
        tokens.append(TokenPlace(shard.path, shard.split, first, length, epochs))
        finding.part = finding.part or hit.place.path
    finding.bytes_before = len(row["text"].encode())
    if tokens:
        finding.verdict, finding.bytes_after = "kept", finding.bytes_before
    else:
        _meet(run, step, {"id": id_, "origin": row["origin"]}, finding, first=False)
    return finding


def _summary(findings: Sequence[Finding], tokens: Sequence[TokenPlace]) -> str:
    for finding in findings:
        if finding.verdict == "missing":
            why = "; it was made from other output of the steps before"
            return f"in no file of {finding.step}{why if finding.state == 'stale' else ''}"
        if finding.verdict in ("rejected", "bad"):
            reason = finding.reason or (finding.detail or "").partition(":")[0]
            return f"{finding.verdict} by {finding.step}: {reason}"
        if finding.verdict == "not run":
            return f"kept so far; {finding.step} is not run yet"
    first = tokens[0]
    return f"in the corpus, {first.length:,} tokens of {first.shard} ({first.split})"
