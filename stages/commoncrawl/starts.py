"""How a record begins: the one test by which records are found and accepted.

It looks at bytes from a place on only. So all readers of ranges of one file agree on where records
begin, whatever lies before.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Longest line by which an ARC record is recognised.
MAX_LINE = 1 << 13
# Bytes within which a record's beginning is recognised.
MAX_START = 2 * MAX_LINE

_WARC = rb"WARC/\d{1,2}\.\d{1,3}[ \t]*\r?\n[!-9;-~]{1,128}[ \t]*:"
# `URL IP date type length`, or version 2 with five more fields before the length. The length is
# checked later: a record with a bad one is a bad record, not garbage.
_ARC_FIELDS = (
    rb" [0-9A-Fa-f.:]{3,45} \d{12,18} [^ \r\n]{0,256}(?: [^ \r\n]{1,1024}){1,6}[ \t]*\r?\n"
)
_ARC = rb"[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\r\n]{1,%d}" % MAX_LINE + _ARC_FIELDS
# Not every writer ends a record with a line. URLs with spaces are then found by the chain only.
_ARC_NEXT = rb"^" + _ARC + rb"|(?:https?://|ftp://|dns:)[^\s]{1,2048}" + _ARC_FIELDS
_RECORD_START = re.compile(rb"\s*(?:" + _WARC + rb"|" + _ARC + rb")")


class Starts(NamedTuple):
    """How records of a kind begin: `here` matches at a place, `next` searches for the next one."""

    here: re.Pattern[bytes]
    next: re.Pattern[bytes]


WARC_START = Starts(re.compile(_WARC), re.compile(_WARC))
ARC_START = Starts(re.compile(_ARC), re.compile(_ARC_NEXT, re.MULTILINE))
ANY_START = Starts(
    re.compile(_WARC + rb"|" + _ARC), re.compile(_WARC + rb"|" + _ARC_NEXT, re.MULTILINE)
)


def begins_record(data: bytes) -> bool:
    """True where `data`, the bytes from some place on, begins with a WARC or ARC record header."""
    return _RECORD_START.match(data, 0, MAX_START) is not None
