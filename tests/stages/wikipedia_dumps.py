"""Builds small MediaWiki exports for the tests of the Wikipedia step."""

from __future__ import annotations

import bz2
import io
from collections.abc import Sequence
from xml.sax.saxutils import escape

from stages.outcomes import Bad, Document, Outcome, Rejected, Tally
from stages.wikipedia import ERRORS, REASONS, WikipediaReader, WikipediaSettings

_HEADER = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="en">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <dbname>{dbname}</dbname>
    <base>https://en.wikipedia.org/wiki/Main_Page</base>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Talk</namespace>
      <namespace key="6" case="first-letter">Picture Room</namespace>
    </namespaces>
  </siteinfo>
"""


def header(dbname: str = "enwiki") -> str:
    return _HEADER.format(dbname=dbname)


def revision(
    text: str, number: int = 7, time: str = "2022-07-01T12:00:00Z", model: str = "wikitext"
) -> str:
    return (
        f"    <revision><id>{number}</id><timestamp>{time}</timestamp><model>{model}</model>"
        f'<text xml:space="preserve">{escape(text)}</text></revision>\n'
    )


def page(
    text: str,
    number: int = 1,
    title: str = "Page",
    ns: int | None = 0,
    extra: str = "",
    **more: str,
) -> str:
    namespace = "" if ns is None else f"<ns>{ns}</ns>"
    return (
        f"  <page>\n    <title>{escape(title)}</title>{namespace}<id>{number}</id>{extra}\n"
        f"{revision(text, **more)}  </page>\n"  # type: ignore[arg-type]
    )


def dump(*pages: str, dbname: str = "enwiki") -> bytes:
    return (header(dbname) + "".join(pages) + "</mediawiki>\n").encode()


def multistream(groups: Sequence[Sequence[str]], dbname: str = "enwiki") -> bytes:
    """The way Wikimedia writes it: header, groups of pages and the end tag in their own streams."""
    parts = [header(dbname), *("".join(group) for group in groups), "</mediawiki>\n"]
    return b"".join(bz2.compress(part.encode()) for part in parts)


def read(
    data: bytes,
    path: str = "enwiki-20220701-pages-articles.xml",
    settings: WikipediaSettings | None = None,
    start: int = 0,
    end: int | None = None,
) -> list[Outcome]:
    """Outcomes of a file; checks that each raw record found has exactly one."""
    tally = Tally()
    outcomes = list(WikipediaReader(settings)(io.BytesIO(data), path, tally, start, end))
    assert tally.records == len(outcomes)
    assert set(errors(outcomes)) <= set(ERRORS) and set(reasons(outcomes)) <= set(REASONS)
    return outcomes


def documents(outcomes: list[Outcome]) -> list[Document]:
    return [outcome for outcome in outcomes if isinstance(outcome, Document)]


def reasons(outcomes: list[Outcome]) -> list[str]:
    return [outcome.reason for outcome in outcomes if isinstance(outcome, Rejected)]


def errors(outcomes: list[Outcome]) -> list[str]:
    """First words of the errors."""
    return [outcome.error.split(":")[0] for outcome in outcomes if isinstance(outcome, Bad)]


def titles(outcomes: list[Outcome]) -> list[str]:
    return [document.title or "" for document in documents(outcomes)]
