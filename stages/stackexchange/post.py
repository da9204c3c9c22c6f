"""One post: what its row says, read strictly; the licence of its day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

QUESTION, ANSWER = 1, 2

OTHER_POSTS = {
    "3": "orphaned_tag_wiki",
    "4": "tag_wiki_excerpt",
    "5": "tag_wiki",
    "6": "moderator_nomination",
    "7": "wiki_placeholder",
    "8": "privilege_wiki",
}
"""Kinds of posts that are neither question nor answer, by PostTypeId (as the dumps' readme has
them)."""

# "Content contributed before 2011-04-08 (UTC)" is CC BY-SA 2.5, from then until 2018-05-02 it is
# 3.0, from that day on 4.0 (https://stackoverflow.com/help/licensing).
_VERSIONS = (("2011-04-08", "2.5"), ("2018-05-02", "3.0"))
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_TAGS = re.compile(r"[^<>|]+")
_LICENSE = re.compile(r"CC BY-SA \d\.\d")
_SPACE = re.compile(r"\s+")
_MAX_TITLE = 1000


class PostError(Exception):
    """A row lacks what every post has; the message begins with a fixed word."""


@dataclass(slots=True)
class Post:
    """A question or an answer, as `kind` says; `html` is its body as the dump has it.

    `question` is the number of the thread, for a question its own. `created` is ISO 8601 in UTC, or
    None. `accepted` is 0 where no answer was. `reason` says why the post leaves by itself; its body
    is empty then.
    """

    site: str
    question: int
    kind: int
    id: int
    score: int
    html: str
    origin: str
    title: str = ""
    created: str | None = None
    license: str = "CC BY-SA"
    tags: tuple[str, ...] = ()
    accepted: int = 0
    reason: str = ""


def kind_of(row: Mapping[str, str]) -> str:
    """`question`, `answer`, or what else the row is. Raises PostError if it says nothing."""
    number = row.get("PostTypeId")
    if number is None:
        raise PostError("row: no PostTypeId")
    if number in ("1", "2"):
        return "question" if number == "1" else "answer"
    return OTHER_POSTS.get(number, "other_post_type")


def post_of(row: Mapping[str, str], site: str, origin: str) -> Post:
    """The question or answer of a row. Raises PostError."""
    question = kind_of(row) == "question"
    own = _integer(row, "Id", least=1)
    if question:
        thread = own
    else:
        # An answer without a question is sound by itself; it cannot be placed.
        thread = _integer(row, "ParentId", least=0) if "ParentId" in row else 0
    created = utc(row.get("CreationDate"))
    return Post(
        site=site,
        question=thread,
        kind=QUESTION if question else ANSWER,
        id=own,
        score=_integer(row, "Score"),
        html=row.get("Body", ""),
        origin=origin,
        title=_SPACE.sub(" ", row.get("Title", "")).strip()[:_MAX_TITLE] if question else "",
        created=created,
        license=_license(row.get("ContentLicense"), created),
        tags=tags(row.get("Tags", "")) if question else (),
        accepted=_integer(row, "AcceptedAnswerId") if row.get("AcceptedAnswerId") else 0,
    )


def _integer(row: Mapping[str, str], name: str, least: int | None = None) -> int:
    text = row.get(name)
    if text is None:
        raise PostError(f"row: no {name}")
    if not _NUMBER.fullmatch(text.strip()):
        raise PostError(f"row: {name} is no number: {text[:40]!r}")
    number = int(text)
    if least is not None and number < least:
        raise PostError(f"row: {name} is {number}")
    return number


def tags(text: str) -> tuple[str, ...]:
    """Tags as dumps have them: `<a><b>`, since 2024 `|a|b|`."""
    return tuple(tag.strip() for tag in _TAGS.findall(text) if tag.strip())


def utc(text: str | None) -> str | None:
    """A dump's time (UTC without a mark) as ISO 8601; None for what is no time."""
    try:
        moment = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(timezone.utc)
        except OverflowError:
            return None
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _license(stated: str | None, created: str | None) -> str:
    if stated is not None and _LICENSE.fullmatch(stated.strip()):
        return stated.strip()
    return license_of(created)


def license_of(created: str | None) -> str:
    """The licence of what was contributed at `created` (ISO 8601, UTC)."""
    if created is None:
        return "CC BY-SA"
    for day, version in _VERSIONS:
        if created[:10] < day:
            return f"CC BY-SA {version}"
    return "CC BY-SA 4.0"
