"""arXiv's identifiers, from the names of members: `1904/1904.00001.gz`, `9901/hep-th9901001.gz`."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

# New since April 2007: YYMM.number (4 digits to 2014, then 5). Old: archive, YYMM and 3 digits.
_NEW = re.compile(r"(\d{2})(0[1-9]|1[0-2])\.(\d{4,5})(v\d{1,3})?")
_OLD = re.compile(
    r"([a-z]+(?:-[a-z]+)?)(?:\.[A-Z]{2})?[/_]?(\d{2})(0[1-9]|1[0-2])(\d{3})(v\d{1,3})?"
)
_SUFFIX = re.compile(r"\.(tar\.gz|tgz|gz|tar|pdf|tex|ps|html|docx)$", re.I)
_FIRST_YEAR = 91  # arXiv began in 1991


@dataclass(frozen=True, slots=True)
class Identifier:
    """`name` as in the address of the abstract, None where the member has none; `created` is the
    first day of the month in the identifier, ISO 8601 in UTC."""

    stem: str
    name: str | None = None
    version: str | None = None
    created: str | None = None

    @property
    def id(self) -> str:
        return f"arxiv/{self.name or self.stem}"

    @property
    def url(self) -> str | None:
        return f"https://arxiv.org/abs/{self.name}" if self.name else None


def identify(member: str) -> Identifier:
    stem = posixpath.basename(member)
    while (shorter := _SUFFIX.sub("", stem)) != stem and shorter:
        stem = shorter
    if (match := _NEW.fullmatch(stem)) is not None:
        year, month, number, version = match.groups()
        name = f"{year}{month}.{number}"
    elif (match := _OLD.fullmatch(stem)) is not None:
        archive, year, month, number, version = match.groups()
        name = f"{archive}/{year}{month}{number}"
    else:
        return Identifier(stem)
    century = 1900 if int(year) >= _FIRST_YEAR else 2000
    created = f"{century + int(year)}-{month}-01T00:00:00Z"
    return Identifier(stem, name, version, created)
