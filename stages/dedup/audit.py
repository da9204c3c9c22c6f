"""Audits a finished dedup step: exact similarities of a sample say how right its removals are.

    python -m stages.dedup.audit work/commoncrawl.fuzzy_dedup --sample 500

For `fuzzy_dedup`, `book_dedup`, `document_dedup` and `url_dedup`, each by its own measure.

- precision: of sampled removed documents, those that resemble the document named in their detail;
  any document; one that stays.
- recall: all partners of sampled kept and removed documents in the whole input of the step are
  found by comparing with every document. A pair is missed if both stay.

Memory is bounded by the sample. Reads the input of the step three times, one of them in full.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
import orjson
import pyarrow.parquet as pq

from stages import registry
from stages.dedup import audit_measures
from stages.dedup.audit_measures import AUDITED, Measure
from stages.dedup.audit_report import Audit, Bin, Pair, report
from stages.dedup.audit_scan import Lowest, Partners, Sample, sets_of
from stages.dedup.audit_statistics import Cluster, simple, weighted
from stages.dedup.set_overlap import set_overlap
from stages.documents import read_batches
from stages.engine import files, manifest
from stages.engine.manifest import Manifest, ManifestError

_KEPT = re.compile(r"^kept: (.+?); ")
_BELOW = 0.3  # how far below the threshold partners are counted, to show how detection falls off
_BINS = 20
_SHOWN = 5


class AuditError(Exception):
    """The step cannot be audited; the message is one line."""


@dataclass(frozen=True)
class _Findings:
    """One sampled document with its partners."""

    id: str
    leaves: bool
    weight: float
    partners: Partners


def audit(folder: str, sample: int = 500, seed: int = 0) -> Audit:
    """Raises AuditError; OSError or ArrowInvalid for damaged files."""
    done, measure, reasons = _step(folder)
    paths = _input_parts(done, folder)
    staying, leaving = _sampled(done, folder, reasons, sample, seed)
    kept, removed = [id_ for id_, _ in staying.chosen()], leaving.chosen()
    named = {id_: match[1] for id_, detail in removed if (match := _KEPT.match(detail))}
    sets = sets_of(paths, {*kept, *(i for i, _ in removed), *named.values()}, measure)
    if absent := sorted({*kept, *(i for i, _ in removed)} - set(sets)):
        raise AuditError(f"{absent[0]} is not in the input of the step; was that made again?")
    named_pairs = [
        Pair(one, other, set_overlap(sets[one], sets[other]).by(measure.overlap))
        for one, other in named.items()
        if other in sets
    ]
    chosen = Sample({i: sets[i] for i in [*kept, *(i for i, _ in removed)]})
    del sets
    least = max(0.0, measure.threshold - _BELOW)
    partners = chosen.partners(paths, measure, least, seed)
    gone = _left(done, folder, {i for p in partners.values() for i in p.found})
    findings = [
        *(_Findings(i, False, staying.passed / len(kept), partners[i]) for i in kept),
        *(_Findings(i, True, leaving.passed / len(removed), partners[i]) for i, _ in removed),
    ]
    by_named = [measure.alike(p.similarity) for p in named_pairs]
    alike = {f.id: _alike(f.partners, measure) for f in findings}
    removals = [f for f in findings if f.leaves]
    misses = [
        Pair(f.id, other, f.partners.found[other])
        for f in findings
        if not f.leaves
        for other in alike[f.id]
        if other not in gone
    ]
    return Audit(
        step=done.step,
        measure=measure.wanted(),
        kept=staying.passed,
        removed=leaving.passed,
        sampled_kept=len(kept),
        sampled_removed=len(removed),
        precision=simple(sum(by_named), len(by_named)),
        precision_any=simple(sum(bool(alike[f.id]) for f in removals), len(removals)),
        precision_staying=simple(
            sum(any(o not in gone for o in alike[f.id]) for f in removals), len(removals)
        ),
        recall=weighted([_cluster(f, alike[f.id], gone) for f in findings]),
        kept_duplicates=simple(len({p.one for p in misses}), len(kept)),
        unknown=len(named) - len(named_pairs),
        histogram=_histogram(named_pairs),
        detection=_detection(findings, least, gone),
        worst_removals=sorted(
            (p for p in named_pairs if not measure.alike(p.similarity)),
            key=lambda p: (p.similarity, p.one),
        )[:_SHOWN],
        worst_misses=_worst(misses),
    )


# -- what the step did ----------------------------------------------------------------------------


def _step(folder: str) -> tuple[Manifest, Measure, set[str]]:
    try:
        done = manifest.load(folder)
    except ManifestError as error:
        raise AuditError(str(error)) from error
    if done is None:
        raise AuditError(f"{folder}: no finished step (it has no {manifest.NAME})")
    measure = audit_measures.of_step(done.stage, done.settings)
    if measure is None:
        raise AuditError(f"{folder}: made by {done.stage}; audited are {', '.join(AUDITED)}")
    return done, measure, set(registry.stage_class(done.stage).reasons)


def _input_parts(done: Manifest, folder: str) -> list[str]:
    """All parts that the step read, of all its inputs."""
    paths: list[str] = []
    for row in done.inputs:
        where = row["path"]
        if "digest" not in row:
            if not files.exists(where) or files.size(where) != row["size"]:
                raise AuditError(f"{where}: the step read it, and it is gone or changed")
            paths.append(where)
            continue
        before = manifest.load(where)
        if before is None or before.digest != row["digest"]:
            raise AuditError(f"{where}: the step before {folder} is gone or was made again")
        paths += before.documents(where)
    return [p for p in paths if _holds_documents(p)]


def _holds_documents(path: str) -> bool:
    """Folders given as they are may have rejected documents below them."""
    if not path.endswith(".parquet"):
        return False
    with files.open_read(path) as handle:
        return "text" in pq.read_schema(handle).names


def _sampled(
    done: Manifest, folder: str, reasons: set[str], sample: int, seed: int
) -> tuple[Lowest, Lowest]:
    """Samples of the documents that stay, and of those that left for a reason of the stage."""
    staying, leaving = Lowest(sample, seed), Lowest(sample, seed)
    for path in done.documents(folder):
        for batch in read_batches(path, ["id"]):
            for id_ in batch.column("id").to_pylist():
                staying.add(id_)
    for path in _rejected(done, folder):
        for batch in read_batches(path, ["id", "reason", "detail"]):
            columns = (batch.column(c).to_pylist() for c in ("id", "reason", "detail"))
            for id_, reason, detail in zip(*columns, strict=True):
                if reason in reasons:
                    leaving.add(id_, detail)
    return staying, leaving


def _rejected(done: Manifest, folder: str) -> list[str]:
    return [files.join(folder, f["path"]) for f in done.files if f["path"].startswith("rejected/")]


def _left(done: Manifest, folder: str, ids: set[str]) -> set[str]:
    """Those of some documents that left."""
    return {
        id_
        for path in _rejected(done, folder)
        for batch in read_batches(path, ["id"])
        for id_ in batch.column("id").to_pylist()
        if id_ in ids
    }


# -- figures --------------------------------------------------------------------------------------


def _alike(partners: Partners, measure: Measure) -> list[str]:
    return [i for i, similarity in partners.found.items() if measure.alike(similarity)]


def _cluster(finding: _Findings, partners: Sequence[str], gone: set[str]) -> Cluster:
    right = len(partners) if finding.leaves else sum(i in gone for i in partners)
    return Cluster(right, len(partners), finding.weight * _scale(finding.partners))


def _scale(partners: Partners) -> float:
    """How many partners each of those that are held stands for."""
    return partners.total / len(partners.found) if partners.found else 1.0


def _worst(misses: Sequence[Pair]) -> list[Pair]:
    once = {tuple(sorted((p.one, p.other))): p for p in reversed(misses)}
    return sorted(once.values(), key=lambda p: (-p.similarity, p.one, p.other))[:_SHOWN]


def _bin(similarity: float) -> int:
    return min(_BINS - 1, int(similarity * _BINS + 1e-9))


def _histogram(pairs: Sequence[Pair]) -> list[Bin]:
    bins = sorted({_bin(p.similarity) for p in pairs})
    counts = [sum(_bin(p.similarity) == b for p in pairs) for b in bins]
    return [Bin(b / _BINS, (b + 1) / _BINS, n, None) for b, n in zip(bins, counts, strict=True)]


def _detection(findings: Sequence[_Findings], least: float, gone: set[str]) -> list[Bin]:
    """By similarity: pairs from the sample, and the share of which at least one leaves."""
    rows: list[Bin] = []
    for b in range(_bin(least), _BINS):
        clusters = []
        for f in findings:
            mine = [i for i, s in f.partners.found.items() if _bin(s) == b]
            clusters.append(_cluster(f, mine, gone))
        share = weighted(clusters)
        if share.of:
            rows.append(Bin(b / _BINS, (b + 1) / _BINS, share.of, share.value))
    return rows


# -- command line ---------------------------------------------------------------------------------


@click.command(help=__doc__)
@click.argument("folder")
@click.option("--sample", default=500, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="of the sample")
@click.option("--json", "as_json", is_flag=True, help="print the findings as JSON")
def main(folder: str, sample: int, seed: int, as_json: bool) -> None:
    try:
        found = audit(folder, sample, seed)
    except (AuditError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    if as_json:
        values: dict[str, Any] = asdict(found)
        click.echo(orjson.dumps(values, option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(report(found))


if __name__ == "__main__":
    main()
