"""`python -m stages.stackexchange.largest`: the largest sites, as settings for a recipe.

The paper keeps "the 28 largest websites" and names neither them nor the measure; the list of the
common reproduction was never published either. Here the size of a site is its number of questions
and answers. The list comes out of the dumps themselves (`--input`), or, where they are not at hand,
out of the list of sites that older releases of the dumps have beside them (`--list Sites.xml`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

import typer
import yaml

from stages.engine import files
from stages.outcomes import Bad, Tally
from stages.stackexchange.pinned import PAPER_SITES
from stages.stackexchange.post import Post
from stages.stackexchange.reader import PostReader, scan
from stages.stackexchange.rows import Broken, RowError, attributes
from stages.stackexchange.settings import StackExchangeSettings
from stages.stackexchange.sites import site_of


def posts_by_site(
    paths: Iterable[str], settings: StackExchangeSettings
) -> tuple[Counter[str], int]:
    """Questions and answers per site, and the number of rows or stretches that could not be read.

    Streams each dump; memory is bounded by a row. A site whose dump is given twice counts once, by
    the larger copy. Raises OSError.
    """
    read = PostReader(settings)
    found: Counter[str] = Counter()
    broken = 0
    for path in paths:
        site = site_of(path)
        if not site:
            continue
        posts = 0
        with files.open_read(path) as stream:
            # What the stage takes for posts, so that it finds the number that is pinned.
            for row in read(stream, path, Tally()):  # type: ignore[arg-type]
                posts += isinstance(row, Post)
                broken += isinstance(row, Bad)
        found[site] = max(found[site], posts)
    return found, broken


def listed_posts(path: str, settings: StackExchangeSettings) -> tuple[Counter[str], int]:
    """As `posts_by_site`, by a Sites.xml: `Url`, `TotalQuestions` and `TotalAnswers` of its rows.

    A site is named by the host of its URL, as its dump is. Raises OSError.
    """
    found: Counter[str] = Counter()
    broken = 0
    with files.open_read(path) as stream:
        for row in scan(stream, path, Tally(), settings):  # type: ignore[arg-type]
            try:
                if isinstance(row, Broken):
                    raise RowError(row.error)
                # The end of the list stands behind its last row; no value has a bare `<`.
                site, posts = _listed(attributes(row.data.partition(b"</sites")[0]))
            except (RowError, KeyError, ValueError):
                broken += 1
                continue
            found[site] = max(found[site], posts)
    return found, broken


def _listed(row: dict[str, str]) -> tuple[str, int]:
    host = urlsplit(row["Url"]).hostname
    questions, answers = int(row["TotalQuestions"]), int(row["TotalAnswers"])
    if not host or questions < 0 or answers < 0:
        raise ValueError("no site")
    return host, questions + answers


def largest(counts: Counter[str], top: int) -> dict[str, int]:
    """The `top` sites with the most posts, most first; at equal numbers by name."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:top])


def as_recipe(counts: Counter[str], top: int) -> str:
    """The entry of a recipe's `stages:` that pins the largest sites, with a comment on how many
    posts they hold and which site comes next."""
    kept = largest(counts, top)
    after = list(largest(counts, top + 1).items())[len(kept) :]
    lines = [
        f"# {len(kept)} of {len(counts)} sites, {sum(kept.values()):,} of"
        f" {sum(counts.values()):,} questions and answers",
        *(f"# the next one: {site}, {posts:,}" for site, posts in after),
    ]
    entry = yaml.safe_dump([{"stackexchange": {"sites": kept}}], sort_keys=False)
    return "\n".join(lines) + "\n" + entry


def main(
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="dumps: paths, patterns or folders (repeatable)"),
    ] = None,
    sites: Annotated[
        str | None,
        typer.Option("--list", help="a Sites.xml, which has the numbers of all sites"),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="how many sites")] = PAPER_SITES,
) -> None:
    """Print the largest sites with their numbers of questions and answers, to paste in a recipe."""
    if bool(inputs) == bool(sites):
        _fail("give either --input or --list")
    settings = StackExchangeSettings()
    try:
        if sites:
            counts, broken = listed_posts(sites, settings)
        else:
            counts, broken = posts_by_site(files.glob(inputs or []), settings)
    except OSError as error:
        _fail(str(error))
    if not counts:
        _fail(f"no site with its numbers in {sites}" if sites else "no dump of posts in the input")
    print(as_recipe(counts, top), end="")
    if broken:
        print(f"warning: {broken} unreadable rows or stretches", file=sys.stderr)


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(main)
