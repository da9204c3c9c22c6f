"""`wikipedia`: MediaWiki dumps to documents, with the URLs that each article cites."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from stages.engine import files
from stages.engine.source import SourceStage
from stages.engine.units import Splitter
from stages.outcomes import SourceReader
from stages.wikipedia.multistream import split
from stages.wikipedia.reader import REASONS, WikipediaReader
from stages.wikipedia.settings import WikipediaSettings

CITED_URLS = "cited_urls"
"""Column with the external URLs of an article, for the reference classifier."""


class Wikipedia(SourceStage[WikipediaSettings]):
    name = "wikipedia"
    summary = "read MediaWiki dumps; wikitext to text, values in templates kept; cited URLs aside"
    Settings = WikipediaSettings
    reasons = REASONS
    columns: ClassVar[tuple[pa.Field, ...]] = (pa.field(CITED_URLS, pa.list_(pa.string())),)

    def reader(self) -> SourceReader:
        return WikipediaReader(self.settings)

    @property
    def split(self) -> Splitter:
        def at_streams(path: str, size: int, target: int) -> list[tuple[int, int | None]]:
            with files.open_read(path) as stream:
                ranges = split(stream, size, target)  # type: ignore[arg-type]
            return [(start, None if end == size else end) for start, end in ranges]

        return at_streams
