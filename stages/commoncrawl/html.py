"""HTML to text: all visible text as in WET files, or the main content.

Parsers of hostile pages are bounded beforehand, since native code cannot be interrupted: lexbor
(resiliparse) needs quadratic time in the attributes of one tag (20,000: 0.7 s; 100,000: 21 s) and,
for main content, in the depth (10,000: 1.4 s). Both bounds are far above what browsers accept or
people write; Chrome builds at most 512 levels.
"""

from __future__ import annotations

import logging
import re
from typing import Literal

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from stages.commoncrawl.charset import clean

MAX_ATTRIBUTES = 5000
MAX_DEPTH = 5000
_MAX_TITLE = 1000
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_TAG_START = re.compile(r"<[a-zA-Z]")
_NAME = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,15})")
# Elements that never nest by themselves: void ones, and those that a sibling closes.
_FLAT_NAMES = (
    "area base br col embed hr img input link meta param source track wbr "
    "p li dt dd option optgroup tr td th thead tbody tfoot colgroup rp rt"
)
_FLAT = frozenset(_FLAT_NAMES.split())


class HtmlError(Exception):
    """A page is not parsed; the message says why."""


def check_bounds(html: str) -> None:
    """Raises HtmlError for a page that would take the parser very long.

    Tags are recognised roughly (a `>` in an attribute value passes for an end): a page made to
    evade the bounds is bounded by its length only.
    """
    if html.count("<") > MAX_DEPTH:
        depth = 0
        for match in _NAME.finditer(html):
            if match[2].lower() not in _FLAT:
                depth += -1 if match[1] else 1
                if depth > MAX_DEPTH:
                    raise HtmlError(f"nested deeper than {MAX_DEPTH}")
                depth = max(depth, 0)
    place, window = 0, 2 * MAX_ATTRIBUTES
    while place + window < len(html):
        last = html.rfind(">", place, place + window)
        if last >= 0:
            place = last + 1
            continue
        # Nothing shorter than this window can hold so many attributes.
        stop = html.find(">", place + window)
        part = html[place : stop if stop >= 0 else len(html)]
        if start := _TAG_START.search(part):
            names = _QUOTED.sub(" ", part[start.start() :]).replace("/", " ").split()
            if len(set(names)) > MAX_ATTRIBUTES:
                raise HtmlError(f"more than {MAX_ATTRIBUTES} attributes in a tag")
        place += len(part)


def extract(
    html: str,
    mode: Literal["full", "main"] = "full",
    extractor: Literal["resiliparse", "trafilatura"] = "resiliparse",
) -> tuple[str, str | None]:
    """The page's text, one line a block without blank lines, and its title.

    `html` must hold no surrogates.

    Raises: HtmlError.
    """
    check_bounds(html)
    try:
        tree = HTMLTree.parse(html)
        title = tree.title
        if mode == "main" and extractor == "trafilatura":
            # Imported late: it takes a second and most runs do not use it.
            import trafilatura

            # It logs each page that it finds nothing in; the outcome says so already.
            logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
            text = trafilatura.extract(html, include_comments=False, deduplicate=False) or ""
        else:
            text = extract_plain_text(tree, preserve_formatting=True, main_content=mode == "main")
    except BaseException as error:
        # A panic of the native parser is no Exception.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise HtmlError(f"{type(error).__name__}: {error}"[:200]) from error
        raise
    lines = (line.strip() for line in clean(text).split("\n"))
    return "\n".join(line for line in lines if line), _title(title)


def _title(title: str | None) -> str | None:
    return " ".join(clean(title or "").split())[:_MAX_TITLE] or None
