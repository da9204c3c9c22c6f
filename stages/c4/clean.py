"""C4's rules for one page: what its lines and the page itself must be like.

Order and constants are those of the authors' executable definition (`tensorflow_datasets`,
`text/c4_utils.py`, version 3.1.0); the JMLR paper (Raffel et al. 2020, section 2.2) has the same
numbers, its first arXiv version 5 sentences and 3 words. Pure functions: whoever calls passes in
what counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from pydantic import Field

from stages.c4.sentences import SentenceCounter, SentenceMethod
from stages.engine.step import Settings
from stages.outcomes import Reject

Count: TypeAlias = Callable[[str, int], None]
"""Takes the name of a rule and the number of lines that it took (`passed`: that it left)."""

LINE_RULES: dict[str, str] = {
    "metadata": "begins as a WARC header does (`WARC`, `CONTENT-`, `Content-`)",
    "too_long_word": "has a word of more than max_word_chars characters",
    "no_end_mark": "does not end with an end mark",
    "ellipsis": "ends with an ellipsis",
    "too_few_words": "has fewer than min_words words",
    "lorem_ipsum": "has `lorem ipsum`; the page leaves",
    "javascript": "has the word `javascript`",
    "curly_bracket": "passed until here and has a `{`; the page leaves",
    "policy": "speaks of cookies, terms of use or a privacy policy",
    "unread": "stands behind the line for which the page left",
    "passed": "stays, if the page does",
}

REASONS: dict[str, str] = {
    "no_url": "the page has no URL",
    "no_text": "the page has no line but blank ones and headers",
    "no_date": "the page has no date",
    "page_too_long": "more than max_page_chars characters",
    "lorem_ipsum": "a line that passed until then has `lorem ipsum`",
    "curly_bracket": "a line that passed until then has a `{`",
    "too_few_sentences": "fewer than min_sentences sentences in the lines that stay",
}


class PageSettings(Settings):
    """What a page must be before its lines are looked at."""

    max_page_chars: int = Field(
        190_000, ge=0, description="pages with more characters leave (c4_utils: 1.9e5)"
    )
    metadata_prefixes: tuple[str, ...] = Field(
        ("WARC", "CONTENT-", "Content-"),
        description="lines that begin so are taken for WARC headers and dropped, case by case as in"
        " c4_utils, though some are text of the page",
    )


class CleanSettings(PageSettings):
    """C4's rules; the defaults are the authors' code, which the JMLR paper agrees with."""

    min_words: int = Field(
        5, ge=0, description="words a line needs; 3 in the paper's first arXiv version"
    )
    min_sentences: int = Field(
        3, ge=0, description="sentences a page needs; 5 in the paper's first arXiv version"
    )
    max_word_chars: int = Field(1000, ge=1, description="lines with longer words are dropped")
    end_marks: tuple[str, ...] = Field(
        (".", "?", "!", '"'),
        description="how a line must end: the code's four, no apostrophe and no curly quotes among"
        " them; the paper says only: a terminal punctuation mark",
    )
    ellipsis: str = Field("...", description="a line that ends so is cut off; empty: no such rule")
    policy_phrases: tuple[str, ...] = Field(
        (
            "terms of use",
            "privacy policy",
            "cookie policy",
            "uses cookies",
            "use of cookies",
            "use cookies",
        ),
        description="lines with one of these, in any case, are dropped",
    )
    sentences: SentenceMethod = Field(
        "punkt",
        description="punkt: the English model that C4's authors use; marks: by end marks alone,"
        " without a model (another verdict on 27 of 4,029 real pages)",
    )


# What encyclopaedias leave in their lines: [1], [], [edit], [citation needed].
_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")


def check_page(
    text: str, url: str | None, created: str | None, settings: PageSettings, count: Count
) -> str | Reject:
    """The page's lines without blank ones, headers and outer white space; or why it leaves."""
    if not url:
        return Reject("no_url")
    kept: list[str] = []
    headers = 0
    for raw in text.split("\n"):
        line = raw.strip()
        if line.startswith(settings.metadata_prefixes):
            headers += 1
        elif line:
            kept.append(line)
    if headers:
        count("metadata", headers)
    if not kept:
        return Reject("no_text")
    if not created:
        return Reject("no_date")
    size = sum(map(len, kept)) + len(kept) - 1
    if size > settings.max_page_chars:
        return Reject("page_too_long", f"{size} characters")
    return "\n".join(kept)


def clean_page(
    text: str, settings: CleanSettings, count: Count, sentences: SentenceCounter
) -> str | Reject:
    """The lines of a page that pass, or why the page leaves. `text` is that of `check_page`."""
    lines = text.splitlines()
    kept: list[str] = []
    found, wanted = 0, settings.min_sentences
    for n, raw in enumerate(lines):
        line = _CITATION.sub("", stripped) if "[" in (stripped := raw.strip()) else stripped
        rule = line_rule(stripped, line, settings)
        count(rule or "passed", 1)
        if rule in ("lorem_ipsum", "curly_bracket"):
            if rest := len(lines) - n - 1:
                count("unread", rest)
            return Reject(rule, line[:80])
        if rule is None:
            kept.append(line)
            if found < wanted:
                found += sentences(line, wanted - found)
    if found < wanted:
        return Reject("too_few_sentences", f"{found} in {len(kept)} of {len(lines)} lines")
    return "\n".join(kept).strip()


def line_rule(raw: str, line: str, settings: CleanSettings) -> str | None:
    """The first rule that a line breaks, in the authors' order; None: it passes.

    `raw` is the stripped line, `line` the same without citation marks.
    """
    longest = settings.max_word_chars
    if len(raw) > longest and any(len(word) > longest for word in raw.split()):
        return "too_long_word"
    if not line.endswith(settings.end_marks):
        return "no_end_mark"
    if settings.ellipsis and line.endswith(settings.ellipsis):
        return "ellipsis"
    if len(line.split()) < settings.min_words:
        return "too_few_words"
    lower = line.lower()
    if "lorem ipsum" in lower:
        return "lorem_ipsum"
    if "javascript" in lower:
        return "javascript"
    if "{" in line:
        return "curly_bracket"
    if any(phrase in lower for phrase in settings.policy_phrases):
        return "policy"
    return None
