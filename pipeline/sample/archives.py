"""WET and WARC files as CommonCrawl publishes them: one gzip member a record, written by warcio.

An `Archive` collects members and knows where each lies, so that a damaged one can be put between
sound ones and named in the key. Nothing depends on the clock: record ids come from the content.
"""

from __future__ import annotations

import io
import uuid
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.sample.pages import WebPage

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://llama-corpus.example/sample")
_DUMP_DATE = "2020-01-17T12:33:39Z"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies in the compressed file, in bytes."""

    file: str
    offset: int
    length: int


@dataclass(slots=True)
class Archive:
    """A file of gzip members; `name` is its path below the sample's folder."""

    name: str
    members: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, record: bytes) -> Place:
        """Compresses one record as a member of its own."""
        return self.add_raw(gzip_member(record))

    def add_raw(self, member: bytes) -> Place:
        place = Place(self.name, self.size, len(member))
        self.members.append(member)
        self.size += len(member)
        return place

    def write(self, folder: Path) -> None:
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(self.members))


def gzip_member(data: bytes) -> bytes:
    """One gzip member without time stamp or name."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def gzip_repeated(head: bytes, block: bytes, times: int) -> bytes:
    """`gzip_member(head + block * times)` without ever making that text.

    The packed block ends at a byte boundary and refers to nothing before it (Z_FULL_FLUSH), so its
    bytes can stand any number of times in one deflate stream.
    """
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed_head = raw.compress(head) + raw.flush(zlib.Z_FULL_FLUSH)
    packed = raw.compress(block) + raw.flush(zlib.Z_FULL_FLUSH)
    crc = zlib.crc32(head)
    for _ in range(times):
        crc = zlib.crc32(block, crc)
    size = (len(head) + len(block) * times) % 2**32
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03"
    trailer = crc.to_bytes(4, "little") + size.to_bytes(4, "little")
    return header + packed_head + packed * times + raw.flush(zlib.Z_FINISH) + trailer


def record_id(*parts: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(_NAMESPACE, chr(31).join(parts))}>"


def record(
    kind: str,
    url: str | None,
    when: str,
    payload: bytes,
    content_type: str | None = None,
    http: StatusAndHeaders | None = None,
    extra: dict[str, str] | None = None,
) -> bytes:
    """One sound record, uncompressed, as warcio writes it."""
    buffer = io.BytesIO()
    writer = WARCWriter(buffer, gzip=False)
    headers = {"WARC-Record-ID": record_id(kind, url or "", when), "WARC-Date": when}
    writer.write_record(
        writer.create_warc_record(
            url,
            kind,
            payload=io.BytesIO(payload),
            length=len(payload),
            warc_content_type=content_type or "",
            http_headers=http,
            warc_headers_dict={**headers, **(extra or {})},
        )
    )
    return buffer.getvalue()


def warcinfo(file: str) -> bytes:
    fields = (
        "Software-Info: llama-corpus sample\r\nExtracted-Date: Fri, 17 Jan 2020 12:33:39 GMT\r\n"
    )
    return record(
        "warcinfo",
        None,
        _DUMP_DATE,
        fields.encode(),
        "application/warc-fields",
        extra={"WARC-Filename": Path(file).name, "WARC-Record-ID": record_id("info", file)},
    )


def conversion(page: WebPage, payload: bytes | None = None) -> bytes:
    """The page as a WET record."""
    return record(
        "conversion",
        page.url,
        page.date,
        page.text().encode() if payload is None else payload,
        "text/plain",
        extra={"WARC-Refers-To": record_id("response", page.url, page.date)},
    )


def request(page: WebPage) -> bytes:
    host, _, path = page.url.split("//", 1)[1].partition("/")
    http = StatusAndHeaders(
        f"GET /{path} HTTP/1.1",
        [("User-Agent", "CCBot/2.0"), ("Host", host), ("Connection", "Keep-Alive")],
        is_http_request=True,
    )
    return record("request", page.url, page.date, b"", None, http)


def response(
    page: WebPage,
    payload: bytes,
    status: str = "200 OK",
    content_type: str = "text/html; charset=utf-8",
    headers: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """An HTTP response whose body is `payload` as it came over the wire."""
    fields = [("Content-Type", content_type), ("Server", "sample"), *headers]
    http = StatusAndHeaders(status, fields, protocol="HTTP/1.1")
    return record("response", page.url, page.date, payload, None, http)


def revisit(page: WebPage, of: WebPage) -> bytes:
    """The page was seen again with the payload of another: a record without a body."""
    http = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
    profile = "http://netpreserve.org/warc/1.0/revisit/identical-payload-digest"
    extra = {
        "WARC-Profile": profile,
        "WARC-Refers-To-Target-URI": of.url,
        "WARC-Refers-To-Date": of.date,
    }
    return record("revisit", page.url, page.date, b"", None, http, extra)


def chunked(body: bytes, size: int = 997) -> bytes:
    """The body in HTTP's chunked transfer coding."""
    chunks = (body[i : i + size] for i in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
