"""`python -m stages.books.evaluate`: precision and recall of `book_dedup` on known pairs.

The truth is the overlap of all pairs of books, each counted exactly: of the documents given (for
example the editions of a Gutenberg mirror, as the `books` stage wrote them), and of pairs made from
them for every overlap from 85 to 95 %, in three ways:

    block      a stretch of the book is replaced by another book's words
    scattered  single words all over the book are replaced
    inside     the book, with a stretch replaced, is part of a text five times as long
               (containment only)

What the stage finds is compared with it: a *found* pair is one that the stage verified.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import click
import orjson

from stages.books.dedup import BookDedup, BookDedupSettings, Pair, decide
from stages.dedup.set_overlap import set_overlap
from stages.dedup.shingles import shingles, word_hashes, words
from stages.documents import PartWriter, read_batches
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.step import Step
from stages.outcomes import Document

_WORDS = 6_000  # of a made-up book: about twenty printed pages, enough for 16 probes
_EDGES = (0.0, 0.5, 0.85, 0.88, 0.9, 0.92, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Judged:
    """Two books, how much they overlap by the measure, and whether the stage found that."""

    first: str
    second: str
    overlap: float
    found: bool


def made_pairs(
    books: Sequence[list[str]], count: int, settings: BookDedupSettings, rng: Random
) -> Iterable[tuple[str, str]]:
    """Pairs of texts of `_WORDS` words and about 85 to 95 % overlap, from the words of books."""
    kinds = ("block", "scattered", "inside")[: 3 if settings.measure == "containment" else 2]
    for i in range(count):
        share = 0.85 + 0.1 * (i / max(1, count - 1))
        if settings.measure == "jaccard":
            share = 2 * share / (1 + share)
        book, other = rng.sample(range(len(books)), 2)
        base, foreign = _stretch(books[book], rng), _stretch(books[other], rng, 5)
        kept = round(len(base) * share)
        kind = kinds[i % len(kinds)]
        if kind == "block":
            changed = base[:kept] + foreign[: len(base) - kept]
        elif kind == "scattered":
            changed = list(base)
            edits = round(len(base) * (1 - share) / settings.words)
            for place in rng.sample(range(len(base)), edits):
                changed[place] = f"{changed[place]}x"
        else:
            changed = foreign[: 2 * _WORDS] + base[:kept] + foreign[2 * _WORDS :]
        yield " ".join(base), " ".join(changed)


def _stretch(book: list[str], rng: Random, times: int = 1) -> list[str]:
    wanted = min(len(book), _WORDS * times)
    start = rng.randrange(len(book) - wanted + 1)
    return book[start : start + wanted]


def evaluate(
    texts: dict[str, str], settings: BookDedupSettings
) -> tuple[list[Judged], dict[str, str]]:
    """All pairs of the texts, and what leaves -> what stays, by the stage's own phases."""
    with tempfile.TemporaryDirectory() as folder:
        part = "part-00000-of-00001.parquet"
        with PartWriter(f"{folder}/in", part, "evaluate") as out:
            for id_, text in texts.items():
                out.outcome(Document(id_, text, "books", f"evaluate#{id_}"))
        pairs = _found(folder, settings)
    found = {(p.first.id, p.second.id) for p in pairs}
    sets = {i: shingles(word_hashes(t), settings.words) for i, t in texts.items()}
    judged = []
    for a, b in itertools.combinations(texts, 2):
        overlap = set_overlap(sets[a], sets[b]).by(settings.measure)
        judged.append(Judged(a, b, overlap, (a, b) in found or (b, a) in found))
    return judged, {e.id: kept.id for e, kept in decide(pairs, settings).items()}


def _found(folder: str, settings: BookDedupSettings) -> list[Pair]:
    """The pairs that emit and reduce find, run here one after the other."""
    step = Step(
        name="book_dedup",
        stage="book_dedup",
        output=f"{folder}/out",
        inputs={"input": [f"{folder}/in/*.parquet"]},
        settings=settings.model_dump(),
        layout={"split_bytes": 1 << 20},
    )
    stage, quiet = BookDedup(step), Reporter(None)
    stage.check()
    files.make_dirs(stage.scratch())
    keyed: dict[str, list[Any]] = {}
    for unit in stage.units():
        for key, value in stage.emit(unit, quiet).emitted:
            keyed.setdefault(key, []).append(value)
    paths = {
        path
        for key, values in keyed.items()
        for _, path in stage.reduce(key, sorted(values, key=orjson.dumps), quiet).emitted
    }
    return [Pair.from_json(row) for path in sorted(paths) for row in files.read_json(path)]


def report(judged: Sequence[Judged], leaving: dict[str, str], threshold: float) -> str:
    """A table by overlap, then precision and recall of pairs and of decisions."""
    lines = [f"{'overlap':>14} {'pairs':>7} {'found':>7}"]
    for low, high in itertools.pairwise(_EDGES):
        mine = [j for j in judged if low < j.overlap <= high or j.overlap == low == 0]
        lines.append(f"{low:6.2f} .. {high:4.2f} {len(mine):7} {sum(j.found for j in mine):7}")
    true = [j for j in judged if j.overlap > threshold]
    found = [j for j in judged if j.found]
    right = sum(j.found for j in true)
    lines.append(f"pairs: precision {_share(right, len(found))}, recall {_share(right, len(true))}")
    duplicates = {i for j in true for i in (j.first, j.second)}
    left = [j for j in true if j.first not in leaving and j.second not in leaving]
    lines.append(
        f"books: {len(leaving)} leave, of {len(duplicates)} that overlap with another;"
        f" {sum(i not in duplicates for i in leaving)} of them do not;"
        f" {len(left)} duplicate pairs stay"
    )
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.4f} ({part} of {whole})" if whole else f"none of {whole}"


@click.command(help=__doc__)
@click.option("--input", "inputs", multiple=True, required=True, help="documents: Parquet parts")
@click.option("--made", default=60, show_default=True, help="pairs to make from them")
@click.option("--seed", default=0, show_default=True, help="of the made pairs")
@click.option("--measure", default="containment", type=click.Choice(["containment", "jaccard"]))
def main(inputs: tuple[str, ...], made: int, seed: int, measure: str) -> None:
    settings = BookDedupSettings.model_validate({"measure": measure})
    patterns = [f"{p}/part-*.parquet" if files.is_dir(p) else p for p in inputs]
    texts: dict[str, str] = {}
    for path in files.glob(patterns):
        for batch in read_batches(path, ["id", "text"]):
            rows = zip(*(batch.column(c).to_pylist() for c in ("id", "text")), strict=True)
            texts.update(rows)
    click.echo(f"{len(texts)} documents, all pairs by {measure}")
    click.echo(report(*evaluate(texts, settings), settings.threshold))
    long = [w for w in (words(t) for t in texts.values()) if len(w) > 5 * _WORDS]
    if made and len(long) > 1:
        made_texts: dict[str, str] = {}
        for i, (a, b) in enumerate(made_pairs(long, made, settings, Random(seed))):
            made_texts |= {f"made/{i}a": a, f"made/{i}b": b}
        click.echo(f"\n{made} made pairs of {_WORDS} words, all pairs by {measure}")
        click.echo(report(*evaluate(made_texts, settings), settings.threshold))


if __name__ == "__main__":
    sys.exit(main())
