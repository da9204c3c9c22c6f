"""Which Wikipedia a dump is."""

from __future__ import annotations

import re

from stages.wikipedia.page import Header
from stages.wikipedia.settings import WikipediaSettings

_FILE_NAME = re.compile(r"(?:^|/)([a-z][a-z_]{1,20})wiki-[^/]*$")
_DBNAME = re.compile(r"([a-z][a-z_]{1,20})wiki")
_BASE = re.compile(r"(?:https?:)?//([a-z-]{2,20})\.(?:m\.)?wikipedia\.org(?:[/:]|$)")
_PATH_CHARS = 512


def language_of(path: str, header: Header, settings: WikipediaSettings) -> str:
    """Language code of the dump at `path`.

    Another project gives its database or host name (`enwiktionary`), which no list of languages
    holds; a dump that says nothing gives `unknown`.
    """
    if settings.language != "auto":
        return settings.language
    path = path.replace("\\", "/")[-_PATH_CHARS:]
    if settings.language_from_path is not None:
        found = re.search(settings.language_from_path, path)
        if found is not None and found.group(1):
            return found.group(1)
    found = _FILE_NAME.search(path) or _DBNAME.fullmatch(header.dbname)
    if found is not None:
        return found.group(1).replace("_", "-")
    if header.dbname:
        return header.dbname
    if header.base:
        found = _BASE.match(header.base)
        return found.group(1) if found is not None else _host(header.base)
    return header.language or "unknown"


def _host(base: str) -> str:
    return base.partition("//")[2].partition("/")[0][:100] or "unknown"
