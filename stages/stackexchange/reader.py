"""A dump of one site's posts, or a stretch of one, as posts."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterator
from typing import BinaryIO, TypeAlias

from stages.outcomes import Bad, Skipped, Tally
from stages.stackexchange.post import QUESTION, Post, PostError, kind_of, post_of
from stages.stackexchange.rows import Broken, RawRow, RowError, RowScanner, attributes
from stages.stackexchange.settings import StackExchangeSettings
from stages.stackexchange.sites import is_posts_member, site_of
from stages.wikipedia.archive import members
from stages.wikipedia.chunks import Flow, Gap
from stages.wikipedia.compression import CODECS, SUFFIXES, Compression, expand, plain, sniff

Raw: TypeAlias = Post | Bad | Skipped


class PostReader:
    """Reads `Posts.xml`, alone or as a member of a .7z archive (.gz, .bz2 and .xz too).

    `stream` must be seekable. For an uncompressed file `start` and `end` are byte offsets: the rows
    that begin in these bytes. Other files are read whole by the unit that starts at 0. Each row
    gives one outcome: a `Post` (whose `reason` may say that it leaves), `Skipped` for posts that
    are neither question nor answer, or `Bad`.
    """

    def __init__(self, settings: StackExchangeSettings | None = None) -> None:
        self.settings = settings or StackExchangeSettings()

    def __call__(
        self, stream: BinaryIO, path: str, tally: Tally, start: int = 0, end: int | None = None
    ) -> Iterator[Raw]:
        site = site_of(path) or "unknown"
        for row in scan(stream, path, tally, self.settings, start, end):
            if isinstance(row, Broken):
                yield Bad(path, row.key, row.error)
            else:
                yield self._outcome(row, site, path)

    def _outcome(self, raw: RawRow, site: str, path: str) -> Raw:
        try:
            row = attributes(raw.data)
            kind = kind_of(row)
            if kind not in ("question", "answer"):
                return Skipped(kind)
            post = post_of(row, site, f"{path}#{raw.key}")
        except (RowError, PostError) as error:
            return Bad(path, raw.key, str(error))
        except Exception as error:  # noqa: BLE001 - one row must not end the run; it is counted
            return Bad(path, raw.key, f"row: {type(error).__name__}: {error}"[:300])
        if row.get("DeletionDate"):
            post.reason, post.html = "deleted", ""
        elif row.get("ClosedDate") and post.kind == QUESTION and self.settings.closed == "reject":
            post.reason, post.html = "closed", ""
        return post


def scan(
    stream: BinaryIO,
    path: str,
    tally: Tally,
    settings: StackExchangeSettings,
    start: int = 0,
    end: int | None = None,
) -> Iterator[RawRow | Broken]:
    """The rows of a file, or those that begin in its bytes `start..end`."""
    stream.seek(0)
    compression = sniff(stream.read(16))
    expected = SUFFIXES.get(posixpath.splitext(path.lower())[1])
    if start > 0 and (compression is not Compression.NONE or expected is not None):
        return
    if compression is Compression.NONE and expected is not None:
        tally.record()
        yield Broken(0, f"compression: not a {expected.value} file")
        return
    flow = _flow(stream, compression, start, end, settings.max_expansion)
    if compression is not Compression.SEVENZIP:
        yield from RowScanner(flow, tally.record, settings.max_row_bytes, start == 0)
        return
    # Members follow one another; each is a file of its own.
    found = False
    for _, member in itertools.groupby(flow, _Member()):
        found = True
        yield from RowScanner(member, tally.record, settings.max_row_bytes, first=True)
    if not found:
        tally.record()
        yield Broken(0, "not_a_dump: no Posts.xml in the archive")


def _flow(
    stream: BinaryIO, compression: Compression, start: int, end: int | None, limit: int
) -> Iterator[Flow]:
    if compression is Compression.NONE:
        return plain(stream, start, end)
    if compression is Compression.SEVENZIP:
        return members(stream, stream.seek(0, 2), limit, is_posts_member)
    return expand(stream, CODECS[compression], start, end, limit)


class _Member:
    """Key for `groupby`: the number of the member; a gap belongs to the member before it."""

    def __init__(self) -> None:
        self._last: int | None = None

    def __call__(self, item: Flow) -> int | None:
        if not isinstance(item, Gap):
            self._last = item.stream
        return self._last
