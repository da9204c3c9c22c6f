"""The licence of a checked-out repository, from the licence files at its top.

A small detector of our own: each licence is told by phrases that it has and its relatives lack,
after case, punctuation and line ends are folded. It names the 15 licences that the BigQuery data
set names and their nearest relatives, so that none of these is taken for one of them; other texts
are `other`. A file with SPDX tags has what they say. A repository with several licence files, or a
file with several texts, has all of them, joined by AND: only an SPDX expression offers a choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from stages.github.expressions import ExpressionError, joined, normal

OTHER = "other"
_FOLD = re.compile(r"[^a-z0-9.]+")
_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([\w.:+() \t-]{1,200})")
_HEAD = 400  # folded characters in which a long licence states its name
_MAX_CHARS = 200_000

_GNU = "gnu {}general public license"
_BSD = (
    "redistribution and use in source and binary forms",
    "redistributions of source code must retain",
)
_APACHE = "version 2.0 january 2004 http www.apache.org licenses"
_ISC = "permission to use copy modify and or distribute this software for any purpose"
_ENDORSE = re.compile(r"endorse or promote products|may not be used to endorse|neither the name")


def _folded(text: str) -> str:
    return _FOLD.sub(" ", text[:_MAX_CHARS].lower()).strip()


def licences_of(text: str) -> set[str]:
    """SPDX names (lower case) or expressions of a licence file; `{'other'}` if none is known."""
    if tags := _TAG.findall(text[:_MAX_CHARS]):
        return set(map(_tagged, tags))
    folded = _folded(text)
    head = folded[:_HEAD]
    found: set[str] = set()
    if "permission is hereby granted free of charge to any person obtaining a copy" in folded:
        found.add("mit" if "permission notice shall be included" in folded else "mit-0")
    if all(phrase in folded for phrase in _BSD):
        found.add(_bsd(folded))
    # Copies often lack the title; the lines after it are the licence's own.
    if "apache license version 2.0" in folded or _APACHE in head:
        found.add("apache-2.0")
    found |= _gnu(head)
    if _ISC in folded:
        found.add("isc" if "provided that the above copyright" in folded else "0bsd")
    for name, phrase in (
        ("mpl-2.0", "mozilla public license version 2.0"),
        ("epl-1.0", "eclipse public license v 1.0"),
        ("artistic-2.0", "the artistic license 2.0"),
        ("cc0-1.0", "cc0 1.0 universal"),
        ("unlicense", "this is free and unencumbered software released into the public domain"),
    ):
        if phrase in (folded if name == "unlicense" else head):
            found.add(name)
    return found or {OTHER}


def _tagged(expression: str) -> str:
    try:
        return normal(expression)
    except ExpressionError:
        return OTHER


def _bsd(folded: str) -> str:
    if "all advertising materials mentioning" in folded:
        return "bsd-4-clause"
    if _ENDORSE.search(folded):
        return "bsd-3-clause"
    return "bsd-2-clause" if "redistributions in binary form must" in folded else "bsd-1-clause"


def _gnu(head: str) -> set[str]:
    for prefix, kind in (
        ("affero ", "agpl"),
        ("lesser ", "lgpl"),
        ("library ", "lgpl"),
        ("", "gpl"),
    ):
        if _GNU.format(prefix) in head:
            version = re.search(r"version (\d(?:\.\d)?)", head)
            number = version.group(1) if version else "?"
            return {f"{kind}-{number}" if "." in number else f"{kind}-{number}.0"}
    return set()


def licence_of_repository(texts: Iterable[str]) -> str | None:
    """The licence of a repository with these licence files; None without any."""
    found: set[str] = set()
    for text in texts:
        found |= licences_of(text)
    return joined(found)
