"""URLs: host, normal form and a key for matching. No input makes these functions raise.

The standard library's `urlsplit` raises on input like `http://[x`; here URLs are taken apart by the
expression of RFC 3986, appendix B, which matches every string.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote

_PARTS = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]{0,31}):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?",
    re.DOTALL,
)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)*[a-z0-9_](?:[a-z0-9_-]{0,62})")
_PORTS = {"http": "80", "https": "443", "ftp": "21"}
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What `quote` leaves alone besides: reserved characters and the percent sign.
_SAFE = "!$&'()*+,;=:@/?%[]~"
_MAX_HOST = 253


def clean(url: str) -> str:
    """The URL as written, without `<>` around it, control characters and surrogates.

    Spaces inside become `%20`.
    """
    url = _CONTROL.sub("", url).strip()
    if url.startswith("<") and url.endswith(">"):
        url = url[1:-1].strip()
    return url.replace(" ", "%20")


def host(url: str) -> str | None:
    """The host in lower case (a name outside ASCII in its IDNA form); None where there is none."""
    match = _PARTS.match(clean(url))
    return _host(match[2] or "")[0] if match else None


def normalise(url: str) -> str | None:
    """The normal form of RFC 3986, 6.2: equal for URLs that are equivalent by syntax.

    Case of scheme, host and escapes, escapes of unreserved characters, dot segments, default
    port and empty path; user names and fragments are dropped. None where the URL has no scheme or
    no valid host.
    """
    match = _PARTS.match(clean(url))
    if match is None or not match[1]:
        return None
    scheme = match[1].lower()
    name, port = _host(match[2] or "")
    if name is None:
        return None
    if port and port != _PORTS.get(scheme):
        name = f"{name}:{port}"
    path = _without_dots(_escaped(match[3]))
    query = "" if match[4] is None else f"?{_escaped(match[4])}"
    return f"{scheme}://{name}{path}{query}"


def match_key(url: str) -> str | None:
    """Equal for URLs that name the same page next to always: for joins between sources.

    The normal form without scheme, `www.`, an empty query and slashes at the end.
    """
    normal = normalise(url)
    if normal is None:
        return None
    return normal.split("://", 1)[1].removeprefix("www.").rstrip("?").rstrip("/")


def _host(authority: str) -> tuple[str | None, str]:
    name, _, port = authority.rpartition("@")[2].partition(":")
    if authority.rpartition("@")[2].startswith("["):
        name, bracket, rest = authority.rpartition("@")[2][1:].partition("]")
        port = rest.removeprefix(":")
        try:
            name = f"[{ipaddress.IPv6Address(name)}]" if bracket else ""
        except ValueError:
            name = ""
    elif len(name) <= _MAX_HOST:
        name = _ascii(name.rstrip(".").lower())
    else:
        name = ""
    port = port.lstrip("0") if port.isascii() and port.isdigit() else ""
    return name or None, port


def _ascii(name: str) -> str:
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return ""
    return name if _HOST.fullmatch(name) else ""


def _escaped(part: str) -> str:
    def unreserved(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if char in _UNRESERVED else match[0].upper()

    return _ESCAPE.sub(unreserved, quote(part, safe=_SAFE, errors="replace"))


def _without_dots(path: str) -> str:
    parts = path.split("/")
    kept: list[str] = []
    for part in parts[1:] if path.startswith("/") else parts:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    if parts[-1] in (".", "..") and kept[-1:] != [""]:
        kept.append("")
    return "/" + "/".join(kept)
