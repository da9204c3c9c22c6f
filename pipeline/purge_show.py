"""`corpus purge` in a terminal: what went, from where, and what still holds it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from pipeline.purge import Purged

_PLACES = 20


def show(done: Purged, dry_run: bool, console: Console) -> None:
    if done.finished is not None:
        n = done.finished["documents"]
        console.print(f"an interrupted purge of {n:,} documents was finished", highlight=False)
    found = done.found
    if found.documents:
        console.print(_documents(done, dry_run))
    for name in found.unknown:
        console.print(
            f"not in this corpus: {name}" + ("" if dry_run else " (it is on the list now)"),
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
    if done.changes is not None:
        _changes(done, console)
    _raw(done, console)
    if done.problems is not None:
        for problem in done.problems:
            console.print(str(problem), style="red", highlight=False, soft_wrap=True)
        if not done.problems:
            console.print(
                "looked for by id, URL, text and tokens in every step's files and every shard:"
                " nothing is left",
                highlight=False,
                soft_wrap=True,
            )


def _documents(done: Purged, dry_run: bool) -> Table:
    title = "Would be purged" if dry_run else "Purged"
    table = Table(title=f"{title}: {len(done.found.documents):,} documents", title_justify="left")
    for name in ("document", "why", "in the steps", "shards"):
        table.add_column(name, overflow="fold")
    of = {i: [s for s, ids in done.shards.items() if i in ids] for i in done.found.documents}
    for name, document in sorted(done.found.documents.items()):
        why = "asked for" if document.copy_of is None else f"same text as {document.copy_of}"
        if name in done.again:
            why += ", on the list before"
        steps = ", ".join(
            step if kind == "documents" else f"{step} ({kind})"
            for step, kind in document.steps.items()
        )
        table.add_row(name, why, steps, ", ".join(of[name]))
    return table


def _changes(done: Purged, console: Console) -> None:
    changes = done.changes
    assert changes is not None
    parts = sum(changes.parts.values())
    console.print(
        f"{parts:,} files of {len(changes.parts):,} steps written anew,"
        f" {changes.manifests:,} manifests",
        highlight=False,
    )
    for step, n in changes.models.items():
        console.print(
            f"{step}: stays as it is, though {n:,} of the documents that it was made of are gone",
            highlight=False,
            soft_wrap=True,
        )
    if changes.shards is not None:
        for name, source in changes.shards.manifest.sources.items():
            if source.proportion and not source.tokens:
                console.print(
                    f"{name} has no tokens left: give it weight 0 to train",
                    style="yellow",
                    highlight=False,
                )


def _raw(done: Purged, console: Console) -> None:
    places = sorted({o for d in done.found.documents.values() for o in d.origins})
    if not places:
        return
    console.print("raw files hold it still, at (and checkpoints may have learnt from it):")
    for place in places[:_PLACES]:
        console.print(f"  {place}", highlight=False, soft_wrap=True)
    if len(places) > _PLACES:
        console.print(f"  and {len(places) - _PLACES:,} more, all in purged.jsonl")
