"""`python -m stages.stackexchange.largest`: the largest sites of a set of dumps, for a recipe.

The paper keeps "the 28 largest websites" and names neither them nor the measure; the list of the
common reproduction was never published either. Here the size of a site is its number of questions
and answers, and the list comes out of the dumps themselves, to be pinned in a recipe.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import typer
import yaml

from stages.engine import files
from stages.outcomes import Tally
from stages.stackexchange.post import PostError, kind_of
from stages.stackexchange.reader import scan
from stages.stackexchange.rows import Broken, RowError, attributes
from stages.stackexchange.settings import StackExchangeSettings
from stages.stackexchange.sites import site_of

PAPER_SITES = 28


def posts_by_site(
    paths: Iterable[str], settings: StackExchangeSettings
) -> tuple[Counter[str], int]:
    """Questions and answers per site, and the number of rows or stretches that could not be read.

    Streams each dump; memory is bounded by a row. A site whose dump is given twice counts once, by
    the larger copy.
    """
    found: Counter[str] = Counter()
    broken = 0
    for path in paths:
        site = site_of(path)
        if not site:
            continue
        posts = 0
        with files.open_read(path) as stream:
            for row in scan(stream, path, Tally(), settings):  # type: ignore[arg-type]
                try:
                    kind = "" if isinstance(row, Broken) else kind_of(attributes(row.data))
                except (RowError, PostError):
                    kind = ""
                posts += kind in ("question", "answer")
                broken += not kind
        found[site] = max(found[site], posts)
    return found, broken


def largest(counts: Counter[str], top: int) -> dict[str, int]:
    """The `top` sites with the most posts, most first; at equal numbers by name."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:top])


def main(
    inputs: Annotated[
        list[str], typer.Option("--input", help="dumps: paths, patterns or folders (repeatable)")
    ],
    top: Annotated[int, typer.Option(min=1, help="how many sites")] = PAPER_SITES,
) -> None:
    """Print the largest sites with their numbers of questions and answers, as recipe settings."""
    try:
        counts, broken = posts_by_site(files.glob(inputs), StackExchangeSettings())
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    if not counts:
        print("error: no dump of posts in the input", file=sys.stderr)
        raise typer.Exit(2)
    kept = largest(counts, top)
    print(f"# {len(kept)} of {len(counts)} sites, {sum(kept.values()):,} of", end=" ")
    print(f"{sum(counts.values()):,} questions and answers")
    print(yaml.safe_dump({"sites": kept}, sort_keys=False, allow_unicode=True), end="")
    if broken:
        print(f"warning: {broken} unreadable rows or stretches", file=sys.stderr)


if __name__ == "__main__":
    typer.run(main)
