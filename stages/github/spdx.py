"""The licence of a checked-out repository, from the licence files at its top.

A small detector of our own: each licence is told by phrases that it has and its relatives lack,
after case, punctuation and line ends are folded. It names 15 licences, those that the BigQuery
data set names; other texts are `other`. A repository with several licence files, or a file with
several licences, has all of them, joined by AND: which of them one may choose is for people to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

OTHER = "other"
AND = " AND "
_FOLD = re.compile(r"[^a-z0-9.]+")
_TAG = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]{1,100})")
_HEAD = 400  # folded characters in which a long licence states its name
_MAX_CHARS = 200_000

_GNU = "gnu {}general public license"
_BSD = (
    "redistribution and use in source and binary forms",
    "redistributions of source code must retain",
)
_ENDORSE = re.compile(r"endorse or promote products|may not be used to endorse|neither the name")


def _folded(text: str) -> str:
    return _FOLD.sub(" ", text[:_MAX_CHARS].lower()).strip()


def licences_of(text: str) -> set[str]:
    """SPDX names (lower case) of the licences in a licence file; `{'other'}` if none is known."""
    if tag := _TAG.search(text):
        names = re.split(r"(?i)\s+(?:and|or|with)\s+", tag.group(1).strip("() ").lower())
        return {name.strip("() ") for name in names if name.strip("() ")}
    folded = _folded(text)
    head = folded[:_HEAD]
    found: set[str] = set()
    if (
        "permission is hereby granted free of charge to any person obtaining a copy" in folded
        and "permission notice shall be included" in folded
    ):
        found.add("mit")
    if all(phrase in folded for phrase in _BSD):
        if "all advertising materials mentioning" in folded:
            found.add("bsd-4-clause")
        else:
            found.add("bsd-3-clause" if _ENDORSE.search(folded) else "bsd-2-clause")
    if "apache license version 2.0" in folded:
        found.add("apache-2.0")
    found |= _gnu(head)
    for name, phrase in (
        ("mpl-2.0", "mozilla public license version 2.0"),
        ("epl-1.0", "eclipse public license v 1.0"),
        ("artistic-2.0", "the artistic license 2.0"),
        ("cc0-1.0", "cc0 1.0 universal"),
        ("unlicense", "this is free and unencumbered software released into the public domain"),
        ("isc", "permission to use copy modify and or distribute this software for any purpose"),
    ):
        if phrase in (folded if name in ("unlicense", "isc") else head):
            found.add(name)
    return found or {OTHER}


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
    return AND.join(sorted(found)) or None
