"""Bytes of a TeX file to text: arXiv's sources are in whatever encoding their authors used."""

from __future__ import annotations

import codecs
import re

# Names of the inputenc package, of editors' magic comments and of XeTeX.
_NAMES = {
    "latin1": "cp1252",
    "latin2": "iso8859-2",
    "latin3": "iso8859-3",
    "latin4": "iso8859-4",
    "latin5": "iso8859-9",
    "latin9": "iso8859-15",
    "latin10": "iso8859-16",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "isolatin": "cp1252",
    "ansinew": "cp1252",
    "applemac": "mac_roman",
    "macce": "mac_latin2",
    "maccyr": "mac_cyrillic",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "iso88595": "iso8859-5",
    "utf8": "utf-8",
    "utf8x": "utf-8",
    "utf-8": "utf-8",
    "utf-8 unicode": "utf-8",
    "gbk": "gbk",
    "gb": "gbk",
    "sjis": "shift_jis",
    "big5": "big5",
    "euc-jp": "euc_jp",
    "euckr": "euc_kr",
}
_DECLARED = re.compile(
    rb"^[^%\n\r]{0,300}\\(?:usepackage|RequirePackage)\s{0,9}\[([a-zA-Z0-9-]{2,20})\]\s{0,9}"
    rb"\{(?:inputenc|inputenx)\}"
    rb"|^[^%\n\r]{0,300}\\inputencoding\s{0,9}\{([a-zA-Z0-9-]{2,20})\}"
    rb"|^[ \t]*%.{0,60}?coding\s{0,3}[:=]\s{0,3}([a-zA-Z0-9-]{2,20})"
    rb"|\\begin\s{0,9}\{CJK\*?\}(?:\[[^\]]{0,20}\])?\{([a-zA-Z0-9-]{2,20})\}",
    re.MULTILINE,
)
_LOOK = 64 << 10  # bytes in which a declaration is searched
_WIDE_HEAD = 512  # bytes
_HIGH = bytes(range(128, 256))
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff]+")


def declared(data: bytes) -> str | None:
    """The Python codec that a TeX file declares for itself, or None."""
    for match in _DECLARED.finditer(data, 0, _LOOK):
        name = next(g for g in match.groups() if g).decode().lower()
        codec = _NAMES.get(name, name if re.fullmatch(r"cp\d{3,4}|iso-?8859-?\d+", name) else "")
        try:
            if codec:
                return codecs.lookup(codec).name
        except LookupError:
            continue
    return None


def decode(data: bytes, default: str | None = None) -> tuple[str, str]:
    """A file's text, line ends as `\\n`, and the codec. Never fails.

    A byte-order mark decides; then valid UTF-8 is UTF-8; then what the file declares, or `default`
    (what the main file declares); then Mac Roman where lines end as on old Macintoshes; then
    Windows-1252, of which Latin-1 is a part. Where a file mixes UTF-8 with single bytes, each is
    read as what it is.
    """
    text, codec = _decode(data, default)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("\f", "\n\n").replace("\v", "\n")  # TeX reads a form feed as \par
    return _CONTROL.sub("", text), codec


def wide(data: bytes) -> str | None:
    """The codec of UTF-16 without a byte-order mark: every second byte of TeX is 0 then."""
    head = data[:_WIDE_HEAD]
    for first, codec in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) >= 16 and head[first::2].count(0) * 5 > len(head[first::2]) * 4:
            return codec if head[1 - first :: 2].count(0) == 0 else None
    return None


def _decode(data: bytes, default: str | None) -> tuple[str, str]:
    for mark, codec in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return data.decode(codec, "replace"), codec
    if (codec := wide(data) or "") != "":
        return data.decode(codec, "replace"), codec
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8"), "utf-8" if not data.isascii() else "ascii"
    except UnicodeDecodeError:
        codec = declared(data) or default or _of_line_ends(data)
    if codec == "utf-8" or _mostly_utf8(data):
        return data.decode("utf-8", _BYTEWISE), "utf-8+cp1252"
    try:
        return data.decode(codec), codec
    except UnicodeDecodeError:
        # Five bytes are undefined in Windows-1252, more in others.
        return data.decode("cp1252", _BYTEWISE), "cp1252"


def _of_line_ends(data: bytes) -> str:
    """Lines ended by a carriage return alone were written on a Macintosh before 2001."""
    return "mac_roman" if b"\r" in data and b"\n" not in data else "cp1252"


def _mostly_utf8(data: bytes) -> bool:
    """Whether the bytes above ASCII are more often part of UTF-8 than not."""
    wrong = data.decode("utf-8", "replace").count("\ufffd")
    right = len(data.decode("utf-8", "ignore")) - len(data.translate(None, _HIGH))
    return right > wrong


def _single_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    stretch = error.object[error.start : error.end]
    return "".join(_CP1252.get(byte, chr(byte)) for byte in stretch), error.end


_CP1252 = {
    byte: bytes([byte]).decode("cp1252")
    for byte in range(128, 256)
    if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
_BYTEWISE = "stages.arxiv.single_bytes"
codecs.register_error(_BYTEWISE, _single_bytes)
