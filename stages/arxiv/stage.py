"""`arxiv`: bulk source archives of arXiv to documents."""

from __future__ import annotations

from stages.arxiv.reader import REASONS, ArxivReader
from stages.arxiv.settings import ArxivSettings
from stages.arxiv.tar import split
from stages.engine import files
from stages.engine.source import SourceStage
from stages.engine.units import Splitter
from stages.outcomes import SourceReader


class Arxiv(SourceStage[ArxivSettings]):
    name = "arxiv"
    summary = "read arXiv's source archives; LaTeX with the authors' macros expanded in place"
    Settings = ArxivSettings
    reasons = REASONS

    def reader(self) -> SourceReader:
        return ArxivReader(self.settings)

    @property
    def split(self) -> Splitter:
        def at_members(path: str, size: int, target: int) -> list[tuple[int, int | None]]:
            if not path.lower().endswith(".tar"):
                return [(0, None)]
            with files.open_read(path) as stream:
                ranges = split(stream, size, target)  # type: ignore[arg-type]
            return [(start, None if end == size else end) for start, end in ranges]

        return at_members
