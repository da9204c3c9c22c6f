"""`c4_url_dedup`: of the crawls of one URL keep the newest, before any page is cleaned."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import xxhash
from pydantic import Field

from stages.c4.clean import PageSettings, check_page
from stages.c4.url import url_key
from stages.dedup.documents import _KeyDedup, seconds
from stages.dedup.runs import I64, U64, Bools
from stages.outcomes import Reject


class C4UrlDedupSettings(PageSettings):
    """`max_page_chars` and `metadata_prefixes` must be those of `c4_clean`."""

    partition_memory_mb: int = Field(256, ge=1, description="memory of one reducer")


class C4UrlDedup(_KeyDedup[C4UrlDedupSettings]):
    """URL dedup by C4's own normal form of URLs.

    C4 drops pages that are too long, or lack URL, date or text, before it looks for crawls of the
    same URL. Such pages do not compete here (an older crawl that is not too long stays) and go on,
    for `c4_clean` to reject them with their reasons.
    """

    name = "c4_url_dedup"
    summary = "of the crawls of one URL (in C4's normal form) keep the newest valid one"
    Settings = C4UrlDedupSettings
    reason = "duplicate_url"
    reasons = {"duplicate_url": "a newer crawl of the same URL stays"}
    reads = ("url", "created", "text")

    def keys(self, batch: pa.RecordBatch) -> tuple[U64, I64, Bools]:
        urls = batch.column("url").to_pylist()
        times = batch.column("created").to_pylist()
        texts = batch.column("text").to_pylist()
        keys = np.fromiter(
            (xxhash.xxh3_64_intdigest(url_key(u or "").encode()) for u in urls),
            np.uint64,
            len(urls),
        )
        ranks = np.fromiter((seconds(t) for t in times), np.int64, len(times))
        valid = np.fromiter(
            (self._competes(*page) for page in zip(texts, urls, times, strict=True)),
            np.bool_,
            len(urls),
        )
        return keys, ranks, valid

    def _competes(self, text: str, url: str | None, created: str | None) -> bool:
        return not isinstance(check_page(text, url, created, self.settings, _ignore), Reject)


def _ignore(rule: str, lines: int) -> None:
    """Lines are counted by `c4_clean`."""
