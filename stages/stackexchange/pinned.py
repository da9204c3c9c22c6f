"""What the manifest says of the sites that were read, compared with those that are pinned."""

from __future__ import annotations

from collections.abc import Mapping

from stages.stackexchange.settings import Sites

PAPER_SITES = 28
"""Sites that the paper kept (section 2.1): "the 28 largest websites"."""

_NAMED = 5  # sites that a note names before it only counts them


def site_notes(wanted: Sites, found: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Lines for the manifest's notes.

    `wanted` is the setting `sites`; `found` has `questions` and `answers` of each site that was
    read. Pinned numbers that are not those found are named, the most different first.
    """
    if not wanted:
        if len(found) <= PAPER_SITES:
            return []
        return [
            f"all {len(found)} sites were read, because `sites` is not set; the paper keeps the"
            f" {PAPER_SITES} largest (python -m stages.stackexchange.largest names them)"
        ]
    if not isinstance(wanted, dict):
        return [f"{len(wanted)} sites named, without numbers to compare"]
    posts = {site: _posts(found.get(site, {})) for site in wanted}
    off = [site for site in wanted if posts[site] != wanted[site]]
    same = f"{len(wanted)} sites pinned, {len(wanted) - len(off)} with the posts found"
    if not off:
        return [same]
    off.sort(key=lambda site: (-_change(posts[site], wanted[site]), site))
    named = "; ".join(
        f"{site} has {posts[site]:,}, pinned {wanted[site]:,}" for site in off[:_NAMED]
    )
    more = f"; and {len(off) - _NAMED} more" if len(off) > _NAMED else ""
    return [f"{same}; {named}{more}"]


def _posts(kinds: Mapping[str, int]) -> int:
    return kinds.get("questions", 0) + kinds.get("answers", 0)


def _change(now: int, before: int) -> float:
    """How much a number changed, for its size."""
    return abs(now - before) / max(now, before, 1)
