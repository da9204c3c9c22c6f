"""The registered domain of a URL, by the public suffix list that the package `tld` carries."""

from __future__ import annotations

import ipaddress
from functools import cache
from pathlib import Path

import tld

from stages import urls as web
from stages.engine import files


def registered_domain(url: str) -> str | None:
    """`bbc.co.uk` for `https://news.bbc.co.uk/x`; None where the URL has no host.

    Suffixes that registries run count, those of companies do not: `a.blogspot.com` and
    `b.blogspot.com` are one domain, since pages of one platform look alike. An address of numbers
    is its own domain; below a suffix that no registry runs (`.example`) it is the last two labels.
    """
    host = web.host(url)
    if host is None:
        return None
    if host.startswith("["):
        return host
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        known = tld.get_fld(f"http://{host}/", fail_silently=True, search_private=False)
        return str(known) if known else ".".join(host.split(".")[-2:])


@cache
def suffixes_digest() -> str:
    """sha256 of the public suffix list in use, for it decides which pages count as one domain."""
    path = Path(tld.__file__).parent / "res" / "effective_tld_names_public_only.dat.txt"
    return files.sha256_of(str(path))
