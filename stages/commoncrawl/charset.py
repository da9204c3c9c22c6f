"""Bytes of a page as text: which charset, and what could not be decoded.

Order: a byte order mark; UTF-8 where the bytes are valid UTF-8 beyond ASCII, whatever is declared
(a text in another charset is so by chance next to never, and mislabelled UTF-8 is common); the
HTTP header; the page's `meta` or XML declaration; detection (uchardet, by resiliparse). A declared
charset that more characters contradict than bear out is passed over. Names are read as WHATWG's
Encoding standard says (ISO-8859-1 means windows-1252).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

# WHATWG looks at 1,024 bytes; pages exist whose declaration comes later.
_PRESCAN = 4096
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_META = re.compile(rb"<meta[^>]{0,512}?charset\s{0,16}=\s{0,16}[\"']?\s{0,16}([\w.:-]{2,40})", re.I)
_XML = re.compile(rb"\s{0,64}<\?xml[^>]{0,256}?encoding\s{0,16}=\s{0,16}[\"']([\w.:-]{2,40})", re.I)
_PARAMETER = re.compile(r"charset\s{0,16}=\s{0,16}[\"']?\s{0,16}([\w.:-]{2,40})", re.I)
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Decoded:
    """`charset` is Python's codec name; `by` is bom, utf-8, http, meta or detected.

    `replaced` counts the places where bytes had no meaning and U+FFFD stands.
    """

    text: str
    charset: str
    by: str
    replaced: int


def charset_parameter(content_type: str) -> str | None:
    """The charset named in a Content-Type header."""
    match = _PARAMETER.search(content_type, 0, 1024)
    return match[1] if match else None


def decode(data: bytes, declared: str | None, markup: bool) -> Decoded:
    """`data` as text; `declared` is the HTTP header's charset, `markup` says to look for `meta`.

    The text has no NUL and no surrogate. Never raises.
    """
    for bom, bom_codec in _BOMS:
        if data.startswith(bom):
            return _decoded(data[len(bom) :], bom_codec, "bom")
    declarations = ((_codec(declared), "http"), (_meta_charset(data) if markup else None, "meta"))
    named: list[tuple[str, str]] = [(codec, by) for codec, by in declarations if codec]
    wide = bool(named) and named[0][0].startswith("utf-16")
    if not wide and not data.isascii() and (text := _strict(data, "utf-8")) is not None:
        return Decoded(clean(text), "utf-8", "utf-8", 0)
    for codec, by in named:
        decoded = _decoded(data, codec, by)
        if decoded.replaced == 0 or _sound(decoded):
            return decoded
    return _decoded(data, str(detect_encoding(data)), "detected")


def clean(text: str) -> str:
    """`text` without NUL and surrogates, which no UTF-8 file may hold or many tools end at."""
    if "\0" in text:
        text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _SURROGATES.sub("", text)
    return text


def _meta_charset(data: bytes) -> str | None:
    head = data[:_PRESCAN]
    match = _XML.match(head) or _META.search(head)
    if match is None:
        return None
    codec = _codec(match[1].decode("ascii", "replace"))
    # Had it been UTF-16, the declaration could not have been read as ASCII (WHATWG).
    return "utf-8" if codec and codec.startswith("utf-16") else codec


def _codec(name: str | None) -> str | None:
    codec: str | None = map_encoding_to_html5(name, fallback_utf8=False) if name else None
    return codec


def _strict(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


def _decoded(data: bytes, codec: str, by: str) -> Decoded:
    text, replaced = _strict(data, codec), 0
    if text is None:
        text = data.decode(codec, "replace")
        replaced = text.count("\ufffd")
    return Decoded(clean(text), codec, by, replaced)


def _sound(decoded: Decoded) -> bool:
    ascii_ = len(decoded.text.encode("ascii", "ignore"))
    return len(decoded.text) - ascii_ - decoded.replaced >= decoded.replaced
