"""Finding a document in token shards by id, URL or origin, without reading through them.

Every shard has an index of its documents' names. A document's id also decides which shard it is in
(`stages.tokens`), so that an id is looked up in one shard of each source and split.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pipeline.find_document import ID, SIMILAR, Query, in_threads
from pipeline.trace import Place
from stages.engine import manifest as step_manifest
from stages.engine.manifest import ManifestError
from stages.tokens import TokensSettings, order_key, shard_of
from tokenizer.files import join
from tokenizer.manifest import TokensManifest
from tokenizer.shards import ShardReader

_NUMBER = re.compile(r"-(\d{5,})-of-(\d{5,})\.bin$")


def find(
    manifest: TokensManifest, root: str | os.PathLike[str], text: str
) -> list[tuple[str, Place]]:
    """The documents that `text` means, each with how it was found (`find_document.Query.how`).

    A URL that matches without scheme and `www.` alone counts where nothing else does. Raises
    ValueError where a sidecar is missing or damaged.
    """
    # What no UTF-8 can hold (arguments may be any bytes) is in no document either.
    text = text.encode("utf-8", "replace").decode()
    query = Query(text)
    everywhere = range(len(manifest.shards))
    likely = _by_id(manifest, root, text)
    found = [hit for hit in _look(manifest, root, query, likely) if hit[0] == ID]
    if not found:
        found = _look(manifest, root, query, everywhere)
    return [hit for hit in found if hit[0] != SIMILAR] or found


def _by_id(manifest: TokensManifest, root: str | os.PathLike[str], document: str) -> list[int]:
    """Shards that would hold a document of this id; none if how ids were dealt is not known."""
    try:
        done = step_manifest.load(os.fspath(root))
    except ManifestError:
        done = None
    if done is None or done.stage != "tokens":
        return []
    seed = done.settings.get("seed", TokensSettings().seed)
    key, likely = order_key(seed, document), []
    for index, shard in enumerate(manifest.shards):
        number = _NUMBER.search(shard.path)
        if number and int(number[1]) == shard_of(key, int(number[2])):
            likely.append(index)
    return likely


def _look(
    manifest: TokensManifest,
    root: str | os.PathLike[str],
    query: Query,
    shards: Sequence[int],
) -> list[tuple[str, Place]]:
    names = {query.text, query.text.rpartition("/")[2], query.similar or ""} - {""}

    def look(index: int) -> list[tuple[str, Place]]:
        shard = manifest.shards[index]
        found = []
        for span in ShardReader(join(root, shard.path)).find(names):
            how = query.how({"id": span.id, "origin": span.origin or "", "url": span.url})
            if how is not None:
                place = Place(
                    id=span.id,
                    source=shard.source,
                    split=shard.split,
                    shard_index=index,
                    shard=shard.path,
                    first_token=span.first_token,
                    tokens=span.whole,
                    origin=span.origin,
                    url=span.url,
                )
                found.append((how, place))
        return found

    return [hit for hits in in_threads(look, shards) for hit in hits]
