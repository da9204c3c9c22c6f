"""External URLs that a page cites, for the classifier of pages used as references.

All external URLs of the page's source count, whatever holds them: `<ref>` with or without a name,
citation templates, external links, bare URLs. RedPajama's regex sees plain `<ref>` only.
"""

from __future__ import annotations

import html
import re
from urllib.parse import unquote, urlsplit

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|<nowiki\s{0,5}>[^<]{0,5000}</nowiki\s{0,5}>", re.DOTALL)
# Begins with the literal part, which a scan finds fast; the scheme is read backwards from there.
_URL = re.compile(r"//[^\s\[\]<>\"{}|\x00-\x1f/][^\s\[\]<>\"{}|\x00-\x1f]*")
_SCHEME = re.compile(r"(?:^|[^\w/:])(https?:)$|\[()$", re.IGNORECASE)
_TRAILING = ".,;:!?'"
_MAX_URL_CHARS = 2000
_HOST = re.compile(r"[^\s@:/]{1,200}\.[^\s@:/.]{2,63}")
# The wiki's own projects and tools: navigation, not citations.
_OWN = re.compile(
    r"(?:^|\.)(?:wikipedia|wikimedia|wikidata|wiktionary|wikisource|wikibooks|wikiquote|wikinews"
    r"|wikivoyage|wikiversity|mediawiki|wmflabs|toolforge|wikimediafoundation|toolserver)\.(?:org|de)$"
)
_ARCHIVE_HOST = re.compile(
    r"(?:^|\.)(?:web\.archive\.org|wayback\.archive-it\.org|archive\.(?:org|today|is|ph|fo|li|vn|md)"
    r"|arquivo\.pt|webarchive\.nationalarchives\.gov\.uk|webarchive\.loc\.gov|wayback\.vefsafn\.is)$"
)
_ARCHIVED = re.compile(r"/(?:\d{4,14}|[\d.-]{8,20})(?:[a-z]{2}_)?\*?/((?:https?:/{1,2})?[^/\s].*)$")
_QUERY_ARCHIVED = re.compile(r"[?&]url=(https?(?::|%3A)[^&\s]+)", re.IGNORECASE)


def cited_urls(wikitext: str, unwrap_archives: bool = True) -> list[str]:
    """URLs cited in the source of a page: absolute, scheme and host in lower case, no fragment,
    each once, in order. With `unwrap_archives` a web archive's URL gives the archived one, where
    it names it. Wikimedia's own sites are left out."""
    if "//" not in wikitext:
        return []
    text = _COMMENT.sub(" ", wikitext) if "<" in wikitext else wikitext
    seen: dict[str, None] = {}
    position = 0
    while (found := _URL.search(text, position)) is not None:
        begin = found.start()
        scheme = _SCHEME.search(text[max(0, begin - 8) : begin])
        if scheme is None:
            position = begin + 2
            continue
        position = found.end()
        url = clean_url((scheme.group(1) or "") + found.group(), unwrap_archives)
        if url is not None:
            seen.setdefault(url)
    return list(seen)


def clean_url(raw: str, unwrap_archives: bool = True) -> str | None:
    """One URL in its normal form, or None for one that cannot be a web page."""
    url = html.unescape(raw.partition("''")[0]) if "&" in raw else raw.partition("''")[0]
    url = url.rstrip(_TRAILING)
    while url.endswith(")") and url.count(")") > url.count("("):
        url = url[:-1].rstrip(_TRAILING)
    if url.startswith("//"):
        url = "https:" + url
    if len(url) > _MAX_URL_CHARS:
        return None
    if unwrap_archives:
        url = _unwrap(url)
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not _HOST.fullmatch(host):
        return None
    if _OWN.search(host):
        return None
    default = {"http": 80, "https": 443}[parts.scheme.lower()]
    place = host if port in (None, default) else f"{host}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme.lower()}://{place}{parts.path or '/'}{query}"


def _unwrap(url: str) -> str:
    """The archived URL inside a web archive's, at most two levels deep; others unchanged."""
    for _ in range(2):
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            return url
        webcite = host == "webcitation.org" or host.endswith(".webcitation.org")
        if not webcite and not _ARCHIVE_HOST.search(host):
            return url
        path = url.split("//", 1)[1]
        found = _ARCHIVED.search(path) if not webcite else _QUERY_ARCHIVED.search(path)
        if found is None:
            return url
        inner = unquote(found.group(1)) if webcite else found.group(1)
        scheme, colon, rest = inner.partition(":")
        if colon and scheme.lower() in ("http", "https"):
            url = f"{scheme}://{rest.lstrip('/')}"
        else:
            url = f"http://{inner}"
    return url
