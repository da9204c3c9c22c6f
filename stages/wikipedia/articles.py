"""One page of a dump as a document or a rejection."""

from __future__ import annotations

import hashlib
import posixpath
import re
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from stages.outcomes import Bad, Document, Outcome, Rejected
from stages.wikipedia.chunks import Key
from stages.wikipedia.citations import cited_urls
from stages.wikipedia.dump import RawPage
from stages.wikipedia.namespaces import REDIRECT, namespace_of
from stages.wikipedia.page import Header, Page
from stages.wikipedia.settings import WikipediaSettings
from stages.wikipedia.wikitext import PlainText, WikitextConverter

REASONS: dict[str, str] = {
    "language": "the dump is not a Wikipedia in one of the wanted languages",
    "namespace": "not an article (namespace other than 0)",
    "redirect": "the page only points to another one",
    "disambiguation": "a disambiguation page, and the settings reject them",
    "content_model": "the page is not wikitext (JSON, CSS, JavaScript, Lua, ...)",
    "too_large": "the newest revision is larger than max_page_bytes",
    "empty": "no text, or none that is left after cleaning",
    "too_short": "the body is shorter than min_chars",
}

_TITLE = re.compile(rb"<title>([^<]{0,1000})</title>")
_MAX_DROPPED_NAMES = 30
# Revisions since this day are under CC BY-SA 4.0 (Wikimedia's terms of use of 7 June 2023).
_VERSION_4 = "2023-06-07"


class Site:
    """One wiki: turns its pages into outcomes."""

    def __init__(
        self, settings: WikipediaSettings, language: str, header: Header, wanted: bool
    ) -> None:
        self._settings = settings
        self._language = language
        self._namespaces = header.namespaces
        self._wanted = wanted
        self._converter: WikitextConverter | None = None

    def _convert(self, wikitext: str, title: str) -> PlainText:
        if self._converter is None:  # built for the first article only: a dump may have none
            names = [(name.casefold(), number) for name, number in self._namespaces.items()]
            self._converter = WikitextConverter(
                self._settings,
                self._language,
                frozenset(name for name, number in names if number == 6),
                frozenset(name for name, number in names if number == 14),
            )
        return self._converter(wikitext, title)

    def too_large(self, raw: RawPage, path: str) -> Rejected:
        """The rejection of a page whose text was never read."""
        found = _TITLE.search(raw.head)
        title = found.group(1).decode("utf-8", "replace") if found else ""
        number = re.search(rb"</title>.{0,2000}?<id>(\d{1,20})</id>", raw.head, re.DOTALL)
        page = Page(title=title, page_id=number.group(1).decode() if number else None)
        return self.rejected(page, raw.key, path, "too_large", "")

    def rejected(self, page: Page, place: Key, path: str, reason: str, detail: str) -> Rejected:
        origin = f"{path}#{page.page_id or place}"
        return Rejected(self._id(page, place, path), origin, reason, detail[:200], self._url(page))

    def outcome(self, page: Page, place: Key, revisions: int, path: str) -> Outcome:
        """Document or rejection of one page; `Bad` where its conversion fails."""
        try:
            return self._outcome(page, place, revisions, path)
        except Exception as error:  # noqa: BLE001 - one page must not end the run; it is counted
            return Bad(path, place, f"wikitext: {type(error).__name__}: {error}"[:300])

    def _outcome(self, page: Page, place: Key, revisions: int, path: str) -> Outcome:
        settings = self._settings
        reason, detail = self._unwanted(page)
        if reason:
            return self.rejected(page, place, path, reason, detail)
        source = page.text or ""
        plain_text = self._convert(source, page.title)
        if plain_text.disambiguation and settings.disambiguation == "reject":
            return self.rejected(page, place, path, "disambiguation", page.title)
        body = plain_text.text
        if not body:
            return self.rejected(page, place, path, "empty", "nothing left after cleaning")
        if len(body) < settings.min_chars:
            return self.rejected(page, place, path, "too_short", f"{len(body)} characters")
        urls = cited_urls(source, settings.unwrap_archives)
        created = _utc(page.timestamp)
        meta: dict[str, Any] = {
            "revision_id": page.revision_id,
            "revisions": revisions,
            "wikitext_chars": len(source),
            "cited_urls": len(urls),
            "templates_dropped": dict(
                sorted(plain_text.dropped.items(), key=lambda item: (-item[1], item[0]))[
                    :_MAX_DROPPED_NAMES
                ]
            ),
            "templates_dropped_total": plain_text.dropped.total(),
        }
        if plain_text.disambiguation:
            meta["disambiguation"] = True
        return Document(
            id=self._id(page, place, path),
            text=f"{page.title}\n\n{body}" if settings.title_in_text and page.title else body,
            source="wikipedia",
            origin=f"{path}#{page.page_id or place}",
            url=self._url(page),
            title=page.title or None,
            language=self._language,
            created=created,
            license=_license(created),
            meta=meta,
            extra={"cited_urls": urls},
        )

    def _unwanted(self, page: Page) -> tuple[str, str]:
        """Reason and detail why a page is no candidate, or two empty strings."""
        if not self._wanted:
            return "language", self._language
        namespace = page.namespace
        if namespace is None:
            namespace = namespace_of(page.title, self._namespaces)
        if namespace != 0:
            return "namespace", str(namespace)
        if page.model is not None and page.model != "wikitext":
            return "content_model", page.model
        source = page.text or ""
        if page.redirect or REDIRECT.match(source):
            return "redirect", page.title
        if not source.strip():
            return "empty", "text deleted" if page.deleted else "no text in the dump"
        return "", ""

    def _id(self, page: Page, place: Key, path: str) -> str:
        """Language, page number (or a hash of the title), and a mark of the dump's file name: two
        dumps of one Wikipedia hold the same pages."""
        mark = _hash(posixpath.basename(path))[:6]
        name = page.page_id or f"t{_hash(page.title or str(place))[:16]}"
        return f"wikipedia/{self._language}/{name}-{mark}"

    def _url(self, page: Page) -> str | None:
        if not page.title:
            return None
        name = quote(page.title.replace(" ", "_"), safe="/:@!$*(),;'~")
        return f"https://{self._language}.wikipedia.org/wiki/{name}"


def _utc(timestamp: str | None) -> str | None:
    """A dump's timestamp as ISO 8601 in UTC; None for one that is no date."""
    if timestamp is None:
        return None
    try:
        moment = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _license(created: str | None) -> str:
    if created is None:
        return "CC BY-SA"
    return "CC BY-SA 4.0" if created >= _VERSION_4 else "CC BY-SA 3.0"


def _hash(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
