"""Lines that claim a copyright, and how far such a claim goes."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NOTICE = re.compile(
    r"""(?xi)
    \bcopyright\s*(?:notice\s*)?[:,-]?\s*(?:\(\s*c\s*\)|©|&copy;|\\\(co|\d{4}\b|by\s+\S|-?present\b)
    | \bcopyright\b.{0,60}\b(?:19|20)\d{2}\b | \(\s*copyright\s*\)
    | (?:\(\s*c\s*\)|©)\s*
      (?:copyright|copr\b|by\s|\d{4}\b|(?-i:[^a-z\s]).{0,60}\b(?:19|20)\d{2}\b)
    | ^(?:parts|portions|some)\b.{0,60}\bcopyright\b
    | \bcopyrighted\s+by\b | \bcopyright\s+(?:is\s+)?(?:held|owned)\s+by\b
    | ^[:@]copyright\b | \bcopr\.\s | spdx-filecopyright
    | ^copyrights?\s*:\s*(?:$|(?-i:[^a-z\s])|by\b|this\b|the\b|public\b)
    | \ball\s+rights\s+reserved\b\W*(?:$|[.;(]|licensed|released|this|see|use)
    """
)
# A name after `Copyright`, told by its capital: `Copyright The Authors`, not `copyright checks`.
_NOTICE_NAME = re.compile(
    r"^(?:Copyright|COPYRIGHT)\s+(?:the\s+)?(?!(?i:notices?|headers?|check\w*|info\w*|years?"
    r"|holders?|owners?|statements?|tool\w*|util\w*|pars\w*|scan\w*|detect\w*|find\w*|extract\w*"
    r"|status|pages?|text|filter\w*|law|lines?|comments?|manage\w*|service|module|plugin|component"
    r"|widget|views?|footer|symbol|sign|update\w*|bot|scripts?|lint\w*|rules?|hooks?|generat\w*"
    r"|strings?|templates?|fields?|models?|class\w*|tests?|is|and|of|in|on|for)\b)"
    r"[A-Z][\w.&]*(?!\w*:)"
)
# `(c)` may be the third item of a list.
_ITEM_B = re.compile(r"(?i)(?:^|[\s;,])\(?b\)\s")
_ITEM_C = re.compile(r"(?i)(?:^|[\s;,])\(?c\)\s")
# In lower case amid a line `copyright 2020` is a noun of a sentence, unless the sign follows.
_NOUN = re.compile(r"copyright(?!\s*(?:\(\s*c|\\\(co|©|&copy))")
_GOES_ON = re.compile(r"(?i)(?:,|&|\band|\bby|\d{4}\s*-|\(c\))$")
_ENDS_IN_YEAR = re.compile(r"\b(?:19|20)\d\d$")
_HOLDER_CHARS, _HOLDER_WORDS = 120, 10
_CAPITALISED = re.compile(r"[^\W\d_a-z][\w.'’&-]*")
_HOLDER_LINKS = frozenset(("of", "and", "the", "&", "de", "van", "von", "for", "at", "by"))
_NOTICE_START = re.compile(
    r"(?i)(?:parts|portions|some)?\s*[:@(]?\s*(?:copyright|c\s*\)|©|spdx-file)"
)
_RIGHTS = re.compile(r"(?i)all\s+rights\b|(?:19|20)\d\d\b")
_JUDGED_CHARS = 8_000


def is_notice(line: str) -> bool:
    """Does this line claim a copyright?"""
    line = line[:_JUDGED_CHARS]
    found = _NOTICE.search(line)
    if found and found.start() > 0 and _NOUN.match(line, found.start()):
        return False
    return bool(found or _NOTICE_NAME.match(line))


def notices(lines: Sequence[str]) -> list[bool]:
    """Which lines of a paragraph claim a copyright; `(c)` after an item `(b)` does not."""
    found: list[bool] = []
    listed = False
    for line in lines:
        listed = listed or _ITEM_B.search(line[:_JUDGED_CHARS]) is not None
        item = listed and _ITEM_C.search(line[:_JUDGED_CHARS]) and "opyright" not in line
        found.append(not item and is_notice(line))
    return found


def begins_notice(line: str) -> bool:
    """Does this line claim a copyright from its first word on?"""
    return _NOTICE_START.match(line) is not None and is_notice(line)


def goes_on(line: str, following: str) -> bool:
    """Does a notice that ends with `line` continue in the line after it?"""
    if _GOES_ON.search(line[-40:]):
        return True
    if not _ENDS_IN_YEAR.search(line[-40:]):
        return False
    return bool(_RIGHTS.match(following)) or _is_holder(following)


def _is_holder(line: str) -> bool:
    """A holder on a line of its own: all words with capitals, and more than one of them."""
    if len(line) > _HOLDER_CHARS:
        return False
    words = [word.rstrip(",.") for word in re.split(r"\s[<(]", line, maxsplit=1)[0].split()]
    names = sum(_CAPITALISED.fullmatch(word) is not None for word in words)
    links = sum(word.lower() in _HOLDER_LINKS and word.islower() for word in words)
    return 2 <= names <= _HOLDER_WORDS and names + links == len(words)
