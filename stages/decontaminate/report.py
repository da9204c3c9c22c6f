"""`python -m stages.decontaminate.report STEP_FOLDER...`: contaminated items, by benchmark.

Reads the manifests and `hits/` of one or several `decontaminate` steps (one a source, say) made
with one index. Thresholds may be given anew, since hits below those of the run are stored too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import click
import orjson
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from stages.decontaminate.hit_files import FOLDER, read_hits
from stages.documents import printable
from stages.engine import files, manifest
from stages.engine.console import plain_width
from stages.engine.step import WRONG_PLACE

WORST = 10
EXAMPLES = 3
_SHOWN = 200
"""Characters of a URL or a name; those of documents are of any length and have any character."""


class ReportError(ValueError):
    """Folders that cannot be reported on together; the message is one line."""


@dataclass
class ItemReport:
    """One contaminated item: in how many documents of which sources, and the best examples."""

    benchmark: str
    item: str
    documents: int = 0
    coverage: float = 0.0
    sources: dict[str, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class BenchmarkReport:
    """`whole`: contaminated items of which some document has every n-gram; `by_source`:
    contaminated items (not documents) by source."""

    benchmark: str
    items: int
    testable: int
    contaminated: int = 0
    whole: int = 0
    documents: int = 0
    by_source: dict[str, int] = field(default_factory=dict)
    worst: list[ItemReport] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.contaminated / self.testable if self.testable else 0.0


def merge_hits(
    batches: Iterable[pa.RecordBatch],
    benchmarks: dict[str, dict[str, int]],
    min_ngrams: int | None = None,
    min_coverage: float | None = None,
    worst: int | None = WORST,
    examples: int | None = EXAMPLES,
) -> list[BenchmarkReport]:
    """Reports by benchmark from the hits of any number of steps, in any order.

    Without thresholds the hits that a step counted count. At most `worst` items a benchmark and
    `examples` documents an item are listed, all where None. Memory is by contaminated item and
    document.
    """
    items: dict[tuple[str, str], ItemReport] = {}
    documents: dict[str, set[str]] = {name: set() for name in benchmarks}
    for batch in batches:
        for hit in batch.to_pylist():
            if not _counts(hit, min_ngrams, min_coverage):
                continue
            key = (hit["benchmark"], hit["item"])
            known = items.setdefault(key, ItemReport(*key))
            known.documents += 1
            known.coverage = max(known.coverage, round(hit["coverage"], 4))
            known.sources[hit["source"]] = known.sources.get(hit["source"], 0) + 1
            known.examples.append(_example(hit))
            if examples is not None and len(known.examples) > _SPARE + 2 * examples:
                known.examples = _best(known.examples, examples)
            documents[hit["benchmark"]].add(hit["document"])
    reports = {
        name: BenchmarkReport(name, n["items"], n["testable"]) for name, n in benchmarks.items()
    }
    ranked = sorted(items.values(), key=lambda i: (-i.coverage, -i.documents, i.benchmark, i.item))
    for found in ranked:
        report = reports[found.benchmark]
        found.sources = dict(sorted(found.sources.items()))
        found.examples = _best(found.examples, examples)
        report.contaminated += 1
        report.whole += found.coverage == 1
        for source in found.sources:
            report.by_source[source] = report.by_source.get(source, 0) + 1
        if worst is None or len(report.worst) < worst:
            report.worst.append(found)
    for name, report in reports.items():
        report.documents = len(documents[name])
        report.by_source = dict(sorted(report.by_source.items()))
    return list(reports.values())


def _counts(hit: dict[str, Any], min_ngrams: int | None, min_coverage: float | None) -> bool:
    if min_ngrams is None and min_coverage is None:
        return bool(hit["counted"])
    enough = hit["found"] >= min(min_ngrams or 1, hit["ngrams"])
    return enough and hit["found"] / hit["ngrams"] >= (min_coverage or 0.0)


def _example(hit: dict[str, Any]) -> dict[str, Any]:
    names = ("document", "source", "url", "probe", "found", "ngrams", "start", "end", "snippet")
    return {name: hit[name] for name in names}


_SPARE = 64  # examples beyond those wanted before they are sorted


def _best(examples: list[dict[str, Any]], most: int | None) -> list[dict[str, Any]]:
    """The documents with most of the item."""
    ranked = sorted(examples, key=lambda e: (-e["found"] / e["ngrams"], -e["found"], e["document"]))
    return ranked[:most]


def report(
    folders: Sequence[str],
    min_ngrams: int | None = None,
    min_coverage: float | None = None,
    worst: int | None = WORST,
    examples: int | None = EXAMPLES,
) -> list[BenchmarkReport]:
    """The report of finished `decontaminate` steps. Raises ReportError or ManifestError."""
    paths: list[str] = []
    benchmarks: dict[str, dict[str, int]] = {}
    index = None
    for folder in folders:
        known = manifest.load(folder)
        if known is None or known.stage != "decontaminate":
            raise ReportError(f"{folder}: no finished decontaminate step")
        if index not in (None, known.extra["index"]):
            raise ReportError(f"{folder}: compared with another index than {folders[0]}")
        index, benchmarks = known.extra["index"], known.extra["decontamination"]
        listed = (f["path"] for f in known.files)
        paths += [files.join(folder, p) for p in listed if p.startswith(f"{FOLDER}/")]
    return merge_hits(read_hits(paths), benchmarks, min_ngrams, min_coverage, worst, examples)


def show(reports: Sequence[BenchmarkReport], console: Console) -> None:
    table = Table(title="items of benchmarks found in documents", title_justify="left")
    table.add_column("benchmark")
    for name in ("items", "testable", "found", "%", "found whole", "documents"):
        table.add_column(name, justify="right")
    table.add_column("items by source")
    for r in reports:
        numbers = (r.items, r.testable, r.contaminated, f"{r.share:.2%}", r.whole, r.documents)
        cells = [n if isinstance(n, str) else f"{n:,}" for n in numbers]
        sources = ", ".join(f"{shown(source)} {n:,}" for source, n in r.by_source.items())
        table.add_row(shown(r.benchmark), *cells, sources)
    console.print(table)
    for found in (item for r in reports for item in r.worst):
        sources = ", ".join(f"{shown(source)} {n:,}" for source, n in found.sources.items())
        console.print(
            f"{shown(found.benchmark)}:{shown(found.item)}  {found.coverage:.0%} of it,"
            f" {found.documents:,} documents ({sources})",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        for example in found.examples:
            console.print(
                f"    {shown(example['url'] or example['document'])}"
                f" [{example['start']}:{example['end']}] {printable(example['snippet'])}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )


def shown(text: str) -> str:
    """A name on one line, without signs that move or hide others, and of bounded length."""
    clean = printable(text[: _SHOWN + 1])
    return clean if len(clean) <= _SHOWN else f"{clean[:_SHOWN]}..."


def as_json(reports: Sequence[BenchmarkReport]) -> bytes:
    return orjson.dumps([asdict(r) | {"share": r.share} for r in reports], option=_JSON)


_JSON = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


class _NumberOrAll(click.ParamType):
    """A number of things to list; -1 for `all`."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "all":
            return _ALL
        if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 10:
            return int(value)
        self.fail(f"{str(value)[:_SHOWN]!r} is neither a number nor `all`", param, ctx)


_ALL = -1


@click.command(help="Print which items of benchmarks were found, and the worst of them.")
@click.argument("folders", nargs=-1, required=True, metavar="STEP_FOLDER...")
@click.option("--json", "json_wanted", is_flag=True, help="as JSON, with all items and documents")
@click.option(
    "--min-ngrams",
    type=click.IntRange(min=1),
    help="n-grams that an item needs [default: the run's]",
)
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 1),
    help="share of an item's n-grams [default: the run's]",
)
@click.option(
    "--worst",
    type=_NumberOrAll(),
    help=f"items to list for each benchmark [default: {WORST}, as JSON all]",
)
@click.option(
    "--documents",
    type=_NumberOrAll(),
    help=f"documents to list for each item [default: {EXAMPLES}, as JSON all]",
)
def command(
    folders: Sequence[str],
    json_wanted: bool,
    min_ngrams: int | None,
    min_coverage: float | None,
    worst: int | None,
    documents: int | None,
) -> None:
    items = _limit(worst, None if json_wanted else WORST)
    examples = _limit(documents, None if json_wanted else EXAMPLES)
    found = report(folders, min_ngrams, min_coverage, items, examples)
    if json_wanted:
        sys.stdout.buffer.write(as_json(found))
    else:
        show(found, plain_width(Console()))


def _limit(given: int | None, default: int | None) -> int | None:
    if given is None:
        return default
    return None if given == _ALL else given


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 2, and one line on stderr, where the command or a folder is at fault."""
    try:
        command.main(
            args=list(sys.argv[1:] if arguments is None else arguments),
            prog_name="python -m stages.decontaminate.report",
            standalone_mode=False,
        )
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        print(f"error: {error.format_message()}", file=sys.stderr)
        return 2
    except (ReportError, manifest.ManifestError, *WRONG_PLACE) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
