"""Wikipedia: MediaWiki dumps to documents (LLaMA paper, section 2.1).

See docs/sources/wikipedia.md.

`WikipediaReader` reads a dump or a part of one; `split` cuts a dump into such parts.
"""

from stages.wikipedia.articles import REASONS
from stages.wikipedia.multistream import index_offsets, split, stream_offsets
from stages.wikipedia.reader import ERRORS, WikipediaReader
from stages.wikipedia.settings import WikipediaSettings

__all__ = [
    "ERRORS",
    "REASONS",
    "WikipediaReader",
    "WikipediaSettings",
    "index_offsets",
    "split",
    "stream_offsets",
]
