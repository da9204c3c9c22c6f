"""Dumps in other encodings than UTF-8, turned into UTF-8 on the way to the page scanner."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from stages.wikipedia.chunks import Chunk, Flow, Gap

_DECLARED = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9_.:-]{1,40})["']""")
_KNOWN = re.compile(r"utf-?(8|16|32)(-?[lb]e)?|us-ascii|ascii|iso-8859-\d+|windows-125\d|koi8-[ru]")


class UnknownEncodingError(ValueError):
    """The XML declaration names an encoding in which MediaWiki exports do not come."""


def encoding_of(head: bytes) -> str:
    """Encoding of an XML file by byte order mark, else by zero bytes, else as declared.

    Raises UnknownEncodingError: a declaration is untrusted, and some Python codecs are no text.
    """
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8"
    for encoding, mark in (
        ("utf-32", codecs.BOM_UTF32_LE),
        ("utf-16", codecs.BOM_UTF16_LE),
        ("utf-16", codecs.BOM_UTF16_BE),
    ):
        if head.startswith(mark):
            return encoding
    if head.startswith(b"<\0"):
        return "utf-16-le"
    if head.startswith(b"\0<"):
        return "utf-16-be"
    declared = _DECLARED.match(head.lstrip())
    if declared is None:
        return "utf-8"
    name = declared.group(1).decode("ascii").lower()
    if not _KNOWN.fullmatch(name):
        raise UnknownEncodingError(name)
    # Bytes that are read as ASCII so far cannot be UTF-16, whatever they claim.
    return "utf-8" if name.startswith("utf") else codecs.lookup(name).name


def to_utf8(flow: Iterable[Flow], encoding: str) -> Iterator[Flow]:
    """The flow in UTF-8; `at` then counts UTF-8 bytes.

    What does not decode becomes a NUL byte, which no XML parser accepts: the page that holds it
    is reported as broken, no other.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    at: dict[int | None, int] = {}
    for item in flow:
        if isinstance(item, Gap):
            decoder.reset()
            yield item
            continue
        data = decoder.decode(item.data).replace("\ufffd", "\0").encode("utf-8", "replace")
        begin = at.get(item.stream, 0)
        at = {item.stream: begin + len(data)}
        yield Chunk(data, item.stream, begin, item.own)
