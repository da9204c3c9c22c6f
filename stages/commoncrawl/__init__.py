"""CommonCrawl: WET, WARC and ARC files as documents, one outcome for each raw record."""

from stages.commoncrawl.reader import FAULTS, REASONS, CommonCrawlReader
from stages.commoncrawl.settings import Settings

__all__ = ["FAULTS", "REASONS", "CommonCrawlReader", "Settings"]
