"""`commoncrawl`: WET, WARC and ARC files to documents, with the hashes of their lines."""

from __future__ import annotations

from typing import Any, ClassVar

import pyarrow as pa

from stages.ccnet_text import batch_line_hashes
from stages.commoncrawl.reader import REASONS, CommonCrawlReader
from stages.commoncrawl.settings import Settings
from stages.dedup.lines import LINE_HASHES
from stages.engine.source import SourceStage
from stages.engine.units import Splitter, byte_stretches
from stages.outcomes import SourceReader


class CommonCrawl(SourceStage[Settings]):
    name = "commoncrawl"
    summary = "read WET, WARC and ARC files; HTML to text; hashes of all lines"
    Settings = Settings
    reasons = REASONS
    columns: ClassVar[tuple[pa.Field, ...]] = (pa.field(LINE_HASHES, pa.large_binary()),)

    def reader(self) -> SourceReader:
        return CommonCrawlReader(self.settings)

    @property
    def split(self) -> Splitter:
        return byte_stretches

    def warm(self) -> None:
        batch_line_hashes(("",))

    def complete(self, rows: list[dict[str, Any]]) -> None:
        hashes, offsets = batch_line_hashes([row["text"] for row in rows])
        data = hashes.astype("<u8", copy=False).tobytes()
        for i, row in enumerate(rows):
            row[LINE_HASHES] = data[8 * int(offsets[i]) : 8 * int(offsets[i + 1])]
