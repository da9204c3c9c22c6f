"""Lines that say who made a file, when and where: authors, dates, versions, addresses.

They go only along with a licence or a copyright beside them. A label (`Author:`, `Date:`) is not
enough: its value must be what the label promises, since `Source:`, `Updated:` or `Owner:` may begin
a sentence about the code just as well.
"""

from __future__ import annotations

import re

MAX_CHARS = 300
"""A longer line is no attribution."""
_DATE_CHARS = 60
_NAME_WORDS = 16
_CASUAL_WORDS = 4  # of a name in lower case
_PROJECT_WORDS = 6

_PERSONS = frozenset(
    (
        *("author", "authors", "maintainer", "maintainers", "contributor", "contributors"),
        *("developer", "developers", "created by", "written by", "developed by", "modified by"),
        *("maintained by", "organization", "organisation", "company", "by", "copyright holder"),
        *("contact", "contacts", "e-mail", "email", "emails", "e-mails"),
    )
)
_RANKS = frozenset(("original", "main", "lead", "principal", "primary", "current", "first", "co"))
_DATES = frozenset(
    (
        *("date", "dates", "created", "created on", "created at", "creation date", "since"),
        *("version", "revision", "rev", "release", "release date", "modified", "updated"),
        *("last modified", "last updated", "last update", "last change", "last changed"),
        *("last edited", "last revised", "modification date", "last modification", "changed"),
    )
)
_ADDRESSES = frozenset(
    (
        *("url", "urls", "www", "web", "website", "web site", "web page", "webpage", "homepage"),
        *("home page", "project page", "github", "gitlab", "twitter"),
    )
)
_HOMES = frozenset(("homepage", "home page", "website", "web site"))
"""Labels whose address may be on the next line."""
_FILES = frozenset(("file", "filename", "file name"))
_LABEL = re.compile(r"(?:[:@\\]|%%)?([A-Za-z][A-Za-z -]{0,30}?)\s*[:=]\s*(.*)", re.S)
_TAG = re.compile(r"[@\\](\w{1,20})\b[ \t:]*(.*)", re.S)
_BARE = re.compile(r"(?i)(author|authors|by|version|revision)\s+(\S.*)|(v)(\d.*)", re.S)

_MADE = re.compile(
    r"(?i)(?:(?:originally|initially|first|then|further|later)\s+)?"
    r"(?:written|created|developed|coded|implemented|contributed|designed|ported|maintained"
    r"|modified|adapted|extended|rewritten|made|brought\s+to\s+you)"
    r"\s+(?:(?:\w+\s+)?by:?\s+(?P<who>\S.*)|(?:in|on|at)\s+(?P<when>\S.*?)"
    r"(?:,?\s+by\s+(?P<them>\S.*))?)",
    re.S,
)
_URL = re.compile(r"[<(\[]?(?:https?://|www\.|ftp://|mailto:|git@)\S{1,250}[>)\]]?[.,]?")
_MAIL = re.compile(
    r"[<(]?[\w.+-]{1,60}(?:@|\s+(?:at|\[at\]|\(at\))\s+)[\w.-]{1,80}\.\w{1,12}[>)]?[.,]?"
)
_PERSON_MAIL = re.compile(r"([\w.'’ ,-]{1,80})[<(]\s*[^<>()\s]{1,60}@[^<>()\s]{1,80}\s*[>)]?[.,]?")
_CONTACT = re.compile(r"\S+@\S+|\bhttps?://|\bwww\.|\[at\]|\(at\)")
_KEYWORD = re.compile(r"[$]\w{1,20}(?::[^$\n]{0,200})?[$]")
_FILE = re.compile(r"[<(]?[\w./+\\-]{1,120}\.\w{1,12}[>)]?")
_CAPITAL = re.compile(r"[\"'`(<@]*[^\W\d_a-z]")
_WORD = re.compile(r"[^\W\d_]+")
_PARTICLES = frozenset(
    (
        *("and", "&", "of", "the", "de", "del", "der", "den", "la", "le", "van", "von", "el", "al"),
        *("et", "with", "others", "many", "in", "on"),
    )
)
_DIGITS = "0123456789-./,()"
_BARE_DATE = re.compile(
    r"(?:19|20)\d\d[-/.]\d\d?[-/.]\d\d?|\d\d?[./-]\d\d?[./-](?:19|20)?\d\d|(?:19|20)\d\d"
)
_DATE_WORDS = frozenset(
    (
        *("am", "pm", "utc", "gmt", "cet", "cest", "pst", "pdt", "est", "edt", "t", "z", "v"),
        *("st", "nd", "rd", "th", "version", "ver", "rev", "r", "alpha", "beta", "rc", "dev"),
        *("final", "stable", "release", "preview", "present", "on", "of", "to", "a", "b", "c"),
        *("x", "post", "pre", "snapshot", "and", "svn", "build", "at"),
    )
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CALENDAR = 9  # letters of the longest name of a month or a day
_PART_OF = re.compile(
    r"(?i)(?:this\s+(?:file|code|module|program|software|script|package|header|source)\s+is\s+"
    r"(?:a\s+)?)?part\s+of\s+(?P<the>the\s+)?(?P<name>\S[^,;:]*?)\s*"
    r"(?:,?\s+which\s+(?:may|can)\s+be\s+found\s+at\b.{0,200}|[.,]?)"
)
_PROJECT = re.compile(
    r"(?i)\b(?:projects?|package|library|distribution|toolkit|framework|program|software|suite"
    r"|system|source|sources)$"
)
_HEADING = re.compile(
    r"""(?xi)
    =head\d\s+(?:copyright|licen[sc]|author|disclaimer|warranty)[\w\s&,]{0,40}
    | (?:the\s+)?(?:full\s+|software\s+|legal\s+|copyright\s+|\w+\s+)?
      (?:licen[sc](?:e|es|ing)|copyright|legal|disclaimer|authors?|credits|warranty|\w+\slicen[sc]e)
      (?:\s+(?:and\s+)?(?:licen[sc]e|licensing|notice|info|information|header|statement|block
      |agreement|text|terms))* \s*[:.]?
    """
)
_MARKER = re.compile(
    r"""(?xi)
    (?:begin|end|start)(?:\s+of)?\s+(?:the\s+)?(?:\w+\s+)?(?:licen[sc]e|copyright|header)
      (?:\s+\w+){0,2}
    | (?:description\s+of\s+)?(?:licen[sc]e|rights)\s*[:=].{0,120}
    """
)


def is_heading(line: str) -> bool:
    """Is it the heading of a section on licences or authors: `Copyright and License`?"""
    return len(line) <= MAX_CHARS and _HEADING.fullmatch(line.strip()) is not None


def is_attribution(line: str) -> bool:
    """Is this line of a comment (without its marks) nothing but an attribution?"""
    line = line.strip()
    if not line or len(line) > MAX_CHARS:
        return False
    return (
        is_address(line)
        or _is_person_with_mail(line)
        or _KEYWORD.fullmatch(line) is not None
        or _BARE_DATE.fullmatch(line) is not None
        or _MARKER.fullmatch(line) is not None
        or is_heading(line)
        or _labelled(line)
        or _tagged(line)
        or _bare(line)
        or _made(line)
        or _part_of(line)
    )


def _labelled(line: str) -> bool:
    found = _LABEL.fullmatch(line)
    if found is None:
        return False
    label, value = " ".join(found[1].lower().split()), found[2].strip()
    if _is_person_label(label):
        return not value or _is_person(value)
    if label in _DATES:
        date, _, who = value.partition(" by ")
        return _is_date(date) and (not who or _is_full_name(who))
    if label in _ADDRESSES:
        return is_address(value) or (not value and label in _HOMES)
    if _PERSON_MAIL.fullmatch(value):
        return True
    return label in _FILES and _FILE.fullmatch(value) is not None


def _is_person_label(label: str) -> bool:
    first, _, rest = label.replace("-", " ", 1).partition(" ")
    return label in _PERSONS or (first in _RANKS and rest in _PERSONS)


def _tagged(line: str) -> bool:
    found = _TAG.fullmatch(line)
    if found is None:
        return False
    tag, value = found[1].lower(), found[2].strip()
    if tag in ("author", "authors", "contributor", "maintainer"):
        return True
    if tag in ("copyright", "preserve", "license", "licence"):
        return True
    if tag in ("version", "date", "since"):
        return not value or _is_date(value)
    if tag in ("file", "filename"):
        return not value or _FILE.fullmatch(value) is not None
    return tag in ("link", "url") and is_address(value)


def _bare(line: str) -> bool:
    """`by Jane Doe`, `Version 1.2`, `v1.2`: labels without a colon."""
    found = _BARE.fullmatch(line)
    if found is None:
        return False
    label, value = (found[1] or found[3]).lower(), found[2] or found[4]
    if label in ("version", "revision", "v"):
        return _is_date(value)
    return _is_full_name(value)


def _made(line: str) -> bool:
    """`Originally written by Jane Doe in 1999`, but not `Written in C by hand`."""
    found = _MADE.fullmatch(line)
    if found is None:
        return False
    if found["when"] is not None and not _is_date(found["when"]):
        return False
    who = found["who"] or found["them"]
    return who is None or _is_full_name(who)


def _part_of(line: str) -> bool:
    """`This file is part of Trees.`, but not `Part of the public interface, which ...`."""
    found = _PART_OF.fullmatch(line)
    if found is None:
        return False
    name = found["name"]
    words = name.split()
    if len(words) > _PROJECT_WORDS:
        return False
    named = _CAPITAL.match(name) is not None or _PROJECT.search(name) is not None
    return named or (len(words) == 1 and not found["the"])


def _is_person(value: str) -> bool:
    """A name, with or without an address; in lower case only if it is short."""
    if _CONTACT.search(value):
        return True
    words = value.split()
    if _CAPITAL.match(value):
        return len(words) <= _NAME_WORDS
    return len(words) <= _CASUAL_WORDS


def _is_full_name(value: str) -> bool:
    """Names with capitals and nothing else (`Jane Doe and others, 2001`), or with an address."""
    if _CONTACT.search(value):
        return True
    words = value.split()
    return len(words) <= _NAME_WORDS and all(
        _CAPITAL.match(word) or word.strip(".,()").lower() in _PARTICLES or not word.strip(_DIGITS)
        for word in words
    )


def _is_person_with_mail(line: str) -> bool:
    found = _PERSON_MAIL.fullmatch(line)
    return found is not None and len(found[1].split()) <= _CASUAL_WORDS


def is_address(value: str) -> bool:
    """Is it an address (URL or mail) and nothing else?"""
    return _URL.fullmatch(value) is not None or _MAIL.fullmatch(value) is not None


def _is_date(value: str) -> bool:
    """A date, a time or a version: digits, and no other words than such have."""
    if _KEYWORD.fullmatch(value):
        return True
    if len(value) > _DATE_CHARS or not any(map(str.isdigit, value)):
        return False
    return all(map(_of_date, _WORD.findall(value.lower())))


def _of_date(word: str) -> bool:
    if word in _DATE_WORDS:
        return True
    return len(word) <= _CALENDAR and word.startswith((*_MONTHS, *_DAYS))
