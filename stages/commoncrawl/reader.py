"""The source reader of CommonCrawl: each raw record of a file becomes one outcome."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from resiliparse.parse.encoding import detect_mime

from stages import urls
from stages.commoncrawl.charset import charset_parameter, clean, decode
from stages.commoncrawl.html import HtmlError, extract
from stages.commoncrawl.http import TooLargeError, decoded_body, parse_response
from stages.commoncrawl.records import Fault, RawRecord, iter_records
from stages.commoncrawl.settings import Settings
from stages.outcomes import Bad, Document, Outcome, Rejected, Skipped, Tally

SOURCE = "commoncrawl"

REASONS: dict[str, str] = {
    "binary": "the body is no text, whatever its media type says",
    "content_type": "the media type is neither HTML nor plain text",
    "empty": "no text is left",
    "http_status": "the server did not answer with a page (status outside 200 to 299)",
    "no_url": "the record does not say where the page was",
    "not_http": "a response over HTTP that does not begin as one",
    "revisit": "the page is the same as at an earlier visit; this record does not hold it",
    "segmented": "part of a record that is split over several",
    "too_large": "the record, or its decoded body, is longer than the settings allow",
    "too_short": "fewer characters than `min_chars`",
}
"""Why a readable record does not become a document."""

FAULTS: dict[str, str] = {
    "bomb": "decompressed without end",
    "format": "the file is not a WARC, WET or ARC file",
    "garbage": "bytes between records",
    "gzip": "a gzip member does not decompress to its checksum",
    "header": "the record's header cannot be read",
    "html": "the page cannot be parsed, or not in reasonable time",
    "internal": "an error of this program; the record is kept out and counted",
    "length": "the record does not end where it says",
    "lz4": "an LZ4 frame does not decompress",
    "truncated": "the file ends inside a record",
}
"""The words with which the error of a bad record begins."""

_SKIPPED = frozenset({"warcinfo", "request", "metadata"})
_SNIFF = 4096
_MAX_TITLE = 300
_UUID = re.compile(r"<?urn:uuid:\{?([0-9A-Fa-f-]{32,36})\}?>?")
_DATE = re.compile(
    r"(\d{4})(?:-?(\d{2})(?:-?(\d{2})(?:[T ]?(\d{2}):?(\d{2})(?::?(\d{2})(?:[.,]\d{1,12})?)?"
    r"\s?(Z|[+-]\d{2}:?\d{2})?)?)?)?",
    re.ASCII,
)
_META = {
    "content_type": "content-type",
    "payload_digest": "warc-payload-digest",
    "block_digest": "warc-block-digest",
    "refers_to": "warc-refers-to",
    "languages": "warc-identified-content-language",
    "truncated": "warc-truncated",
}


class _RejectError(Exception):
    """A record is rejected; the arguments are the reason and its detail."""


class CommonCrawlReader:
    """Reads WET, WARC and ARC files, compressed or not, whole or a byte range of one.

    Documents: `conversion` (WET), `response` and `resource` records with text, and ARC documents.
    A document's text has all lines of a WET record: CCNet's parser loses the first as title.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    def __call__(
        self, stream: BinaryIO, path: str, tally: Tally, start: int = 0, end: int | None = None
    ) -> Iterator[Outcome]:
        """The outcomes of the records that begin in `start <= offset < end`; see `iter_records`."""
        for item in iter_records(stream, self.settings, start, end):
            tally.record()
            yield (
                Bad(path, item.offset, item.error)
                if isinstance(item, Fault)
                else (self._outcome(item, path))
            )

    def _outcome(self, record: RawRecord, path: str) -> Outcome:
        kind = record.type
        if kind in _SKIPPED:
            return Skipped(kind)
        if not kind:
            return Bad(path, record.offset, "header: no WARC-Type")
        if kind not in ("conversion", "response", "resource", "revisit", "continuation"):
            return Skipped("other")
        id_ = record_id(record, path)
        origin = f"{path}#{record.offset}"
        url = urls.clean(record.headers.get("warc-target-uri", "")) or None
        try:
            return self._document(record, kind, id_, origin, url)
        except _RejectError as rejected:
            reason, detail = rejected.args
            return Rejected(id_, origin, reason, clean(detail)[:200], url)
        except HtmlError as error:
            return Bad(path, record.offset, f"html: {error}")
        except Exception as error:  # noqa: BLE001 - one record must not end the file; it is counted
            return Bad(path, record.offset, f"internal: {type(error).__name__}: {error}"[:300])

    def _document(
        self, record: RawRecord, kind: str, id_: str, origin: str, url: str | None
    ) -> Document:
        headers = record.headers
        if kind == "revisit":
            raise _RejectError("revisit", headers.get("warc-profile", ""))
        if kind == "continuation" or headers.get("warc-segment-number"):
            raise _RejectError("segmented", kind)
        if url is None:
            raise _RejectError("no_url", "")
        if record.payload is None:
            raise _RejectError("too_large", f"{record.length} bytes")
        meta: dict[str, Any] = {"record_type": "arc" if record.arc else kind}
        meta |= {key: clean(headers[name]) for key, name in _META.items() if headers.get(name)}
        if kind == "conversion":
            self._kind_of(headers.get("content-type") or "text/plain", record.payload)
            text, title = _wet_text(record.payload, meta)
        else:
            text, title = self._page(record, url, meta)
        if not text:
            raise _RejectError("empty", "")
        if len(text) < self.settings.min_chars:
            raise _RejectError("too_short", f"{len(text)} characters")
        created = iso_date(headers.get("warc-date", ""))
        return Document(id_, text, SOURCE, origin, url, title, created=created, meta=meta)

    def _page(self, record: RawRecord, url: str, meta: dict[str, Any]) -> tuple[str, str | None]:
        """Text and title of a `response` or `resource`; adds to `meta` what was found out."""
        body = record.payload or b""
        content_type = record.headers.get("content-type", "")
        over_http = url.lower().startswith(("http:", "https:"))
        if record.type == "response" and (
            over_http if record.arc else content_type.lower().startswith("application/http")
        ):
            response = parse_response(body)
            if response is None:
                raise _RejectError("not_http", body[:20].decode("utf-8", "replace"))
            if response.status is None or not 200 <= response.status < 300:
                raise _RejectError("http_status", str(response.status))
            content_type = response.headers.get("content-type", "")
            if content_type:
                self._kind_of(content_type, b"")
            try:
                body, damage = decoded_body(response, self.settings.max_record_bytes)
            except TooLargeError:
                raise _RejectError("too_large", "decoded body") from None
            if damage and not body:
                raise _RejectError("empty", f"damaged coding: {' '.join(damage)}")
            if damage:
                meta["damaged_coding"] = damage
            meta["content_type"] = clean(content_type)
        if not body.strip():
            raise _RejectError("empty", "no body")
        markup = self._kind_of(content_type, body) == "html"
        if markup and len(body) > self.settings.max_html_bytes:
            raise _RejectError("too_large", f"{len(body)} bytes of HTML")
        declared = charset_parameter(content_type)
        if _binary(body, declared):
            raise _RejectError("binary", str(detect_mime(body[:_SNIFF])))
        decoded = decode(body, declared, markup)
        meta["charset"], meta["charset_by"] = decoded.charset, decoded.by
        if decoded.replaced:
            meta["replaced"] = decoded.replaced
        if markup:
            return extract(decoded.text, self.settings.text, self.settings.extractor)
        return _lines(decoded.text), None

    def _kind_of(self, content_type: str, body: bytes) -> str:
        """`html` or `text`, by the media type, or by the body where there is none."""
        media = content_type.partition(";")[0].strip().lower()
        if not media:
            return "html" if _HTML.search(body, 0, _SNIFF) else "text"
        if media in self.settings.html_types:
            return "html"
        if media in self.settings.text_types:
            return "text"
        raise _RejectError("content_type", media)


_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|div|p|table)\b", re.I)


def record_id(record: RawRecord, path: str) -> str:
    """An id from the record's place: its UUID, then a hash of file name and offset.

    The UUID leads back to CommonCrawl's own records, but copies of a record share it (a file and
    its compressed twin); the hash keeps them apart. The folder is no part of it, so that moving a
    dump changes no id. Without a UUID the id is the hash alone, in full.
    """
    name = path.rstrip("/").rpartition("/")[2]
    place = hashlib.sha1(f"{name}#{record.offset}".encode("utf-8", "replace")).hexdigest()
    match = _UUID.fullmatch(record.headers.get("warc-record-id", "").strip())
    if match is not None:
        try:
            return f"{uuid.UUID(match[1])}-{place[:8]}"
        except ValueError:
            pass
    return place


def iso_date(date: str) -> str | None:
    """A WARC date (ISO 8601, also shortened) or ARC date (14 digits) as ISO 8601 UTC, in seconds.

    What a shortened date leaves open is taken as its beginning. None where it is no date.
    """
    match = _DATE.fullmatch(date.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        # A leap second is the second before it: datetime knows none.
        moment = datetime(year, month or 1, day or 1, hour, minute, min(second, 59))
        zone = match[7] or "Z"
        if zone != "Z":
            shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
            moment += shift if zone[0] == "-" else -shift
    except (ValueError, OverflowError):
        return None
    return moment.isoformat(timespec="seconds") + "Z"


def _wet_text(payload: bytes, meta: dict[str, Any]) -> tuple[str, str | None]:
    """A WET record's text and, as its title, its first line. WET is UTF-8 by definition."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = payload.decode("utf-8", "replace")
        meta["replaced"] = text.count("\ufffd")
    text = _lines(text.replace("\0", "") if "\0" in text else text)
    first = text.partition("\n")[0].strip()
    return text, first if len(first) <= _MAX_TITLE else None


def _lines(text: str) -> str:
    """`text` with `\\n` as line end and without blank lines around it."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.strip("\n").rstrip()


def _binary(body: bytes, declared: str | None) -> bool:
    head = body[:_SNIFF]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or "utf-16" in (declared or "").lower():
        return False
    mime = str(detect_mime(head))
    text_like = mime.startswith("text/") or mime.endswith(("octet-stream", "xml"))
    return not text_like or head.count(0) > len(head) // 50
