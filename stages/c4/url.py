"""URLs as C4's authors compare, order and split by them (`tensorflow_datasets`, `c4_utils.py`)."""

from __future__ import annotations

import hashlib
import re

_SCHEME = re.compile(r"https?://(www\.)?")
_TRACKING = re.compile(r"\?(utm_|ref|feed).*", re.DOTALL)
_VALIDATION_MODULUS = 1000


def url_key(url: str) -> str:
    """C4's normal form: without scheme and `www.` (wherever they stand), without a query that
    begins with `utm_`, `ref` or `feed`, and without slashes at the end. Case stays."""
    return _TRACKING.sub("", _SCHEME.sub("", url)).rstrip("/")


def url_digest(url: str) -> bytes:
    """MD5 of the URL as written, 16 bytes; big-endian order is that of its hexadecimal form."""
    return hashlib.md5(_utf8(url), usedforsecurity=False).digest()


def split_of(url: str) -> str:
    """`validation` for one page in a thousand, by the MD5 of the normal form, else `train`."""
    number = int.from_bytes(url_digest(url_key(url)), "big")
    return "train" if number % _VALIDATION_MODULUS else "validation"


def _utf8(url: str) -> bytes:
    return url.encode("utf-8", "surrogatepass")
