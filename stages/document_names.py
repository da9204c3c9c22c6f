"""What a document can be looked up by in the token shards, besides its id.

Names are coarse, so that one question finds what several spellings mean; who asks compares the
document itself (`pipeline.find_document.Query`).
"""

from __future__ import annotations

from stages import urls


def names_of(origin: str | None, url: str | None) -> list[str]:
    """The last part of the origin (a raw file's name and the place in it) and the URL's matching
    key, or the URL as it is where it has none."""
    found = []
    if origin:
        found.append(origin.rpartition("/")[2])
    if url:
        found.append(urls.match_key(url) or url)
    return [name for name in found if name]
