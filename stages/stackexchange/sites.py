"""Which site a file of a dump is of, and which files hold posts.

Dumps come as `<site>.7z`, for the largest site as `<site>-Posts.7z` (with `<site>-Users.7z` and so
on beside it), or unpacked as `<site>/Posts.xml`.
"""

from __future__ import annotations

import posixpath
import re

_POSTS_XML = re.compile(r"posts\.xml(?:\.(?:gz|bz2|xz))?", re.IGNORECASE)
_ARCHIVE = re.compile(r"(?P<site>.+?)(?:-(?P<table>[A-Za-z]+))?\.7z", re.IGNORECASE)
_TABLE_NAMES = "badges comments posthistory postlinks posts tags users votes"
_TABLES = frozenset(_TABLE_NAMES.split())
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,24}")


def site_of(path: str) -> str | None:
    """The site whose posts `path` holds, in lower case; "" if posts but of no named site, None if
    the file holds no posts by its name."""
    path = path.replace("\\", "/")
    name = posixpath.basename(path)
    if _POSTS_XML.fullmatch(name):
        folder = posixpath.basename(posixpath.dirname(path))
        return (_of_archive(f"{folder.removesuffix('.7z')}.7z") or "") if folder else ""
    return _of_archive(name)


def _of_archive(name: str) -> str | None:
    match = _ARCHIVE.fullmatch(name)
    if match is None:
        return None
    table = (match["table"] or "posts").lower()
    if table not in _TABLES:  # a hyphen of the site's own name
        return name[: -len(".7z")].lower()
    return match["site"].lower() if table == "posts" else None


def is_posts_member(name: str) -> bool:
    """Whether a member of an archive holds the posts."""
    return bool(_POSTS_XML.fullmatch(posixpath.basename(name.replace("\\", "/"))))


def address(site: str, kind: str, number: int) -> str | None:
    """URL of a question (`questions`) or answer (`a`); None where `site` is no host name."""
    if not _HOST.fullmatch(site):
        return None
    return f"https://{site}/{kind}/{number}"
