"""What Project Gutenberg's header says of a book: title, author, language, date, number."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

_FIELD = re.compile(
    r"(Title|Author|Editor|Translator|Illustrator|Contributor|Language|Release Date|Posting Date"
    r"|Original publication|Character set encoding|Edition|Subtitle)\s{0,3}:\s{0,20}(.{0,300})",
    re.I,
)
_NUMBER = re.compile(r"\[?\bE-?(?:text|book)\s{0,3}(?:#|No\.)\s{0,3}(\d{1,6})\b", re.I)
_COPYRIGHTED = re.compile(r"This is a COPYRIGHTED Project Gutenberg E-?(?:text|book)", re.I)
_OLD_DATE = re.compile(
    r"([A-Z][a-z]{2,8},? (?:\d{1,2}, ?)?\d{4})\s{0,6}\[?E-?(?:text|book) #"
    r"|official(?:ly)? released? (?:date|on) ([A-Z][a-z]{2,8} \d{1,2}, ?\d{4})",
    re.I,
)
# The first files have the date on a line of its own.
_DATE_LINE = re.compile(r"\s{0,40}[A-Z][a-z]{2,8}\.?,? (?:\d{1,2}, ?)?(?:19|20)\d\d\s*$")
_BY = re.compile(r"(.{2,200}?),?\s+(?:by|von)\s+([^,]{2,100})", re.I)
_OPENING = re.compile(
    r"[\s*_\ufeff]{0,80}(?:This is )?(?:The )?(?:SECOND )?Project Gutenberg"
    r"(?:['’]s(?: E-?(?:text|book))?| E-?(?:text|book))(?:,| of)?\s{1,3}(.{2,200})",
    re.I,
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WRITTEN = re.compile(
    r"([A-Za-z]{3,9})\.?,?\s{1,3}(?:(\d{1,2})(?:st|nd|rd|th)?,?\s{1,3})?(\d{4})\b"
)
_ISO = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?(?:T[\d:.]{1,16}(?:Z|[+-]\d\d:?\d\d)?)?$")
_HEADER_LINES = 400
_VALUE_LINES = 4


@dataclass
class Header:
    """`created` is ISO 8601 in UTC: when the electronic text was released, not when the book was
    written. `more` holds further fields by their names in lower case with underscores."""

    title: str | None = None
    author: str | None = None
    language: str | None = None
    created: str | None = None
    number: int | None = None
    charset: str | None = None
    copyrighted: bool = False
    more: dict[str, str] = field(default_factory=dict)


def parse_header(lines: list[str]) -> Header:
    """Reads the lines before a book. Time is linear; whatever is not there is None."""
    lines = [line[:400] for line in lines[:_HEADER_LINES]]
    found: dict[str, str] = {}
    for i, line in enumerate(lines):
        if (match := _FIELD.match(line)) and match[1].lower() not in found:
            found[match[1].lower()] = _value(match[2], lines, i)
    text = "\n".join(lines)
    header = Header(
        title=found.pop("title", None) or None,
        author=found.pop("author", None) or None,
        language=found.pop("language", None) or None,
        charset=found.pop("character set encoding", None) or None,
        copyrighted=bool(_COPYRIGHTED.search(text)),
    )
    if match := _NUMBER.search(text):
        header.number = int(match[1])
    header.created = iso_day(found.pop("release date", "")) or iso_day(
        found.get("posting date", "")
    )
    if header.created is None and (match := _OLD_DATE.search(text)):
        header.created = iso_day(match[1] or match[2])
    if header.created is None:
        alone = next((line for line in lines[:60] if _DATE_LINE.match(line)), "")
        header.created = iso_day(alone)
    if header.title is None:
        header.title, author = _from_opening(lines)
        header.author = header.author or author
    header.more = {k.replace(" ", "_"): v for k, v in sorted(found.items()) if v}
    return header


def _value(first: str, lines: list[str], i: int) -> str:
    """A field's value with the indented lines that go on with it, without remarks in brackets."""
    parts = [first]
    for line in lines[i + 1 : i + _VALUE_LINES]:
        if not line.strip() or not line.startswith((" ", "\t")) or _FIELD.match(line.strip()):
            break
        parts.append(line)
    value = re.sub(r"\[[^\[\]]{0,100}\]", " ", " ".join(parts))
    return " ".join(value.split()).strip("[] ")


def _from_opening(lines: list[str]) -> tuple[str | None, str | None]:
    """Title and author of `The Project Gutenberg Etext of X, by Y`."""
    for line in lines[:60]:
        if match := _OPENING.match(line):
            named = " ".join(match[1].strip(" *_").split())
            by = _BY.fullmatch(named)
            return (_bare(by[1]), _bare(by[2])) if by else (_bare(named), None)
    return None, None


def _bare(value: str) -> str:
    return value.strip(' ",.*_')


def iso_day(value: str) -> str | None:
    """`March 8, 1994`, `June, 1998` or `2004-02-10` as ISO 8601 in UTC; what is left open is the
    beginning. None where it is no date."""
    value = value.strip()[:100]
    if match := _ISO.match(value):
        year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
    elif (match := _WRITTEN.search(value)) and match[1][:3].lower() in _MONTHS:
        year, day = int(match[3]), int(match[2] or 1)
        month = _MONTHS.index(match[1][:3].lower()) + 1
    else:
        return None
    try:
        return f"{date(year, month, day).isoformat()}T00:00:00Z"
    except ValueError:
        return None


_LABELS = [
    (re.compile(pattern, re.I), label)
    for pattern, label in (
        (r"utf-?8", "utf-8"),
        (r"(?:iso|latin)[\s_-]{0,2}(?:8859[\s_-]{0,2}1\b|latin[\s_-]?1\b|1\b)", "iso-8859-1"),
        (r"iso[\s_-]{0,2}8859[\s_-]{0,2}(\d{1,2})", "iso-8859-{}"),
        (r"(?:windows|cp|code-?page)[\s_-]{0,2}(?:code-?page[\s_-]?)?(125\d)", "windows-{}"),
        (r"(big-?5|gb ?2312|gbk|gb18030|shift[_-]?jis|euc-jp|euc-kr|koi8-[ru])", "{}"),
        (r"ascii|iso-?646", "us-ascii"),
    )
]


def charset_label(value: str | None) -> str | None:
    """A header's words for a charset as a name that programs know; None where they say nothing."""
    for pattern, label in _LABELS:
        if value and (match := pattern.search(value[:200])):
            return label.format(*(g.lower().replace(" ", "") for g in match.groups() if g))
    return None


_DECLARED = re.compile(rb"Character set encoding:[ \t]{0,10}([^\r\n]{1,80})", re.I)


def declared_charset(data: bytes) -> str | None:
    """The charset that a file's header declares, read before the file is decoded."""
    match = _DECLARED.search(data, 0, 16_384)
    return charset_label(match[1].decode("ascii", "replace")) if match else None
