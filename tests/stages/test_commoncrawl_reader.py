from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.commoncrawl import FAULTS, REASONS, CommonCrawlReader, Settings
from stages.commoncrawl.reader import iso_date
from stages.outcomes import Bad, Document, Outcome, Rejected, Skipped, SourceReader, Tally
from tests.data_paths import SHARED_DATA, needs_shared_data
from tests.stages.test_commoncrawl_records import arc, warc

ANY_LENGTH = Settings(min_chars=0)
PATH = "gs://bucket/crawl/part.warc.gz"


def outcomes(data: bytes, path: str = PATH, settings: Settings = ANY_LENGTH) -> list[Outcome]:
    tally = Tally()
    reader: SourceReader = CommonCrawlReader(settings)
    found = list(reader(io.BytesIO(data), path, tally))
    assert tally.records == len(found)
    for outcome in found:
        if isinstance(outcome, Rejected):
            assert outcome.reason in REASONS
        elif isinstance(outcome, Bad):
            assert outcome.error.partition(":")[0] in FAULTS
    return found


def one(data: bytes, **settings: Any) -> Any:
    (outcome,) = outcomes(data, settings=Settings(**{"min_chars": 0} | settings))
    return outcome


def page(
    body: bytes | str, content_type: str = "text/html", status: str = "200 OK", extra: str = ""
) -> bytes:
    """A WARC record of an HTTP response."""
    block = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{extra}\r\n".encode()
    data = body.encode() if isinstance(body, str) else body
    return warc(1, block + data, "response", Content_Type="application/http; msgtype=response")


def test_wet_keeps_its_first_line() -> None:
    # CCNet's parser moves it to the title, so that it is lost to the text.
    text = "The title\r\nSecond line\n\n  Third line  \n"
    document = one(warc(5, text.encode()))
    assert document.text == "The title\nSecond line\n\n  Third line"
    assert document.title == "The title"


def test_wet_fields_by_name() -> None:
    # CCNet reads them by position, which newer headers shift.
    document = one(
        warc(
            5,
            "Grüße".encode(),
            WARC_Target_URI="<http://example.org/a b>",
            WARC_Identified_Content_Language="deu,eng",
            WARC_Refers_To="<urn:uuid:1>",
            WARC_Block_Digest="sha1:ABC",
            WARC_Date="2020-01-02T03:04:05.678Z",
        )
    )
    assert document.url == "http://example.org/a%20b"
    assert document.created == "2020-01-02T03:04:05Z"
    assert document.source == "commoncrawl" and document.origin == PATH + "#0"
    assert document.language is None and document.license is None
    assert document.meta == {
        "record_type": "conversion",
        "content_type": "text/plain",
        "languages": "deu,eng",
        "refers_to": "<urn:uuid:1>",
        "block_digest": "sha1:ABC",
    }
    json.dumps(document.meta)


def test_wet_that_is_no_utf8() -> None:
    document = one(warc(5, b"caf\xe9\0 au lait"))
    assert document.text == "caf\ufffd au lait" and document.meta["replaced"] == 1


def test_ids_are_unique_stable_and_independent_of_the_folder() -> None:
    records = [warc(1, b"one"), warc(1, b"one"), warc(2, b"two"), warc(3, b"x", WARC_Record_ID="?")]
    data = b"".join(map(gzip.compress, records))
    ids = [outcome.id for outcome in outcomes(data) if isinstance(outcome, Document)]
    assert len(set(ids)) == 4
    assert ids[0].startswith("00000000-0000-4000-8000-000000000001-") and len(ids[3]) == 40
    moved = [outcome.id for outcome in outcomes(data, "/mnt/other/part.warc.gz")]  # type: ignore[union-attr]
    assert moved == ids
    twin = [outcome.id for outcome in outcomes(b"".join(records), "part.warc")]  # type: ignore[union-attr]
    assert not set(twin) & set(ids)
    short = one(warc(1, b"x", WARC_Record_ID="<urn:uuid:72EAEC373FA4889926D604B71FCCA41B>"))
    assert short.id.startswith("72eaec37-3fa4-8899-26d6-04b71fcca41b-")


def test_html_page() -> None:
    body = "<title>Über uns</title><meta charset=utf-8><p>Schöne Grüße.<p>Zweiter Absatz."
    coded = gzip.compress(body.encode("cp1252"))
    document = one(page(coded, "Text/HTML; charset=ISO-8859-1", extra="Content-Encoding: gzip\r\n"))
    assert document.text == "Schöne Grüße.\nZweiter Absatz." and document.title == "Über uns"
    assert document.meta["charset"] == "cp1252" and document.meta["charset_by"] == "http"
    assert document.meta["content_type"] == "Text/HTML; charset=ISO-8859-1"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (page("<p>x", status="404 Not Found"), "http_status"),
        (page("", status="301 Moved", extra="Location: /\r\n"), "http_status"),
        (page("<p>x", status="OK"), "http_status"),
        (page("%PDF-1.4", "application/pdf"), "content_type"),
        (page(b"%PDF-1.4 \0\1\2"), "binary"),
        (page(b"text\0\0\0\0\0\0" * 9, "text/plain"), "binary"),
        (page("<script>only()</script>"), "empty"),
        (page(" \n"), "empty"),
        (page(b"\x1f\x8b\x08damaged", extra="Content-Encoding: gzip\r\n"), "empty"),
        (page("<p>" + "x" * 5000), "too_large"),
        (page(gzip.compress(b"x" * 9000), extra="Content-Encoding: gzip\r\n"), "too_large"),
        (warc(1, b"x" * 9000), "too_large"),
        (warc(1, b"x", WARC_Target_URI=""), "no_url"),
        (warc(1, b" \n \n"), "empty"),
        (warc(1, b"\x00PNG", Content_Type="image/png"), "content_type"),
        (warc(1, b"HTTP/1.1 304 x\r\n\r\n", "revisit"), "revisit"),
        (warc(1, b"x", "continuation", WARC_Segment_Number="2"), "segmented"),
        (page("<p>x").replace(b"HTTP/1.1", b"SSH-2.01"), "not_http"),
    ],
)
def test_reasons(record: bytes, reason: str) -> None:
    outcome = one(record, max_record_bytes=8000, max_html_bytes=4000)
    assert isinstance(outcome, Rejected) and outcome.reason == reason
    assert outcome.id and outcome.origin == PATH + "#0"


def test_every_reason_is_documented_and_tested() -> None:
    (mark,) = [m for m in test_reasons.pytestmark if m.name == "parametrize"]  # type: ignore[attr-defined]
    assert {reason for _, reason in mark.args[1]} | {"too_short"} == REASONS.keys()


def test_short_pages_as_in_ccnet() -> None:
    at, below = warc(1, b"x" * 300), warc(1, b"x" * 299)
    assert isinstance(one(at, min_chars=Settings().min_chars), Document)
    assert one(below, min_chars=Settings().min_chars).reason == "too_short"
    # Characters, not bytes.
    assert one(warc(1, "ж".encode() * 299), min_chars=300).reason == "too_short"


def test_records_that_are_no_documents() -> None:
    kinds = ["warcinfo", "request", "metadata", "x-unknown"]
    found = outcomes(b"".join(warc(n, b"x" * 9000, kind) for n, kind in enumerate(kinds)))
    assert found == [Skipped("warcinfo"), Skipped("request"), Skipped("metadata"), Skipped("other")]
    no_type = warc(1).replace(b"WARC-Type", b"X-Type")
    assert one(no_type) == Bad(PATH, 0, "header: no WARC-Type")


def test_resources_and_arc_documents() -> None:
    assert one(warc(1, b"<p>one", "resource", Content_Type="text/html")).text == "one"
    assert one(warc(1, b"one", "resource")).text == "one"
    assert one(warc(1, b"{}", "resource", Content_Type="application/json")).reason == "content_type"
    block = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<title>T</title><p>one"
    document = one(arc(7, block))
    assert (document.text, document.title) == ("one", "T")
    assert document.url == "http://example.org/7" and document.created == "2008-04-30T20:48:25Z"
    assert document.meta["record_type"] == "arc"
    dns = b"dns:example.org 1.2.3.4 20080430204825 text/dns 4\n1234\n"
    assert one(dns).reason == "content_type"


def test_missing_media_type_is_told_from_the_body() -> None:
    for body, text in ((b"<html><p>one", "one"), (b"one & two", "one & two")):
        block = b"HTTP/1.1 200 OK\r\n\r\n" + body
        record = warc(1, block, "response", Content_Type="application/http")
        assert one(record).text == text


def test_text_mode() -> None:
    prose = "".join(f"<p>The boats lay still in the water on day {n}.</p>" for n in range(30))
    record = page(f"<nav><ul><li><a href=/>Home</a></ul></nav><article>{prose}</article>")
    assert "Home" in one(record).text
    assert "Home" not in one(record, text="main").text
    assert "Home" not in one(record, text="main", extractor="trafilatura").text


def test_hostile_page_is_bad_not_a_crash() -> None:
    found = outcomes(page("<div>" * 100_000) + warc(2, b"after"))
    assert isinstance(found[0], Bad) and found[0].error.startswith("html: ")
    assert isinstance(found[1], Document)


def test_hostile_urls_are_kept_as_text() -> None:
    for url in ("http://[x", "http://\x01\x02a", "///", "http://é.example/\x7f"):
        document = one(warc(1, b"x", WARC_Target_URI=url))
        assert isinstance(document, Document) and document.url and document.url.isprintable()


def test_an_unforeseen_error_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("stages.commoncrawl.reader.decode", fail)
    assert one(page("<p>x")) == Bad(PATH, 0, "internal: ZeroDivisionError: boom")


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2019-04-18T00:00:00Z", "2019-04-18T00:00:00Z"),
        ("2016-09-19T17:20:24.123456789Z", "2016-09-19T17:20:24Z"),
        ("2008-10-29T05:21:46-0700", "2008-10-29T12:21:46Z"),
        ("2008-10-29T05:21:46+05:30", "2008-10-28T23:51:46Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("20080430204825", "2008-04-30T20:48:25Z"),
        ("200804302048", "2008-04-30T20:48:00Z"),
        ("2016-09", "2016-09-01T00:00:00Z"),
        ("2016", "2016-01-01T00:00:00Z"),
        ("0033-04-03T12:00:00Z", "0033-04-03T12:00:00Z"),
        ("5088968-11-06T12:31:23Z", None),
        ("2008-10-294T05:21:46-0700", None),
        ("2016-02-30T00:00:00Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-0100", None),
        ("2016-01-01T25:00:00Z", None),
        ("٢٠١٦", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates(date: str, expected: str | None) -> None:
    assert iso_date(date) == expected


def test_settings_are_the_same_in_every_process() -> None:
    # A set would be written in another order each time, and so change the manifest.
    dumped = json.loads(Settings().model_dump_json())
    assert dumped["html_types"] == ["text/html", "application/xhtml+xml"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([page("<p>" + "text " * 90), warc(2, b"text " * 90), arc(3), warc(4)]),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=4),
    st.sampled_from([bytes, gzip.compress]),
)
def test_damage_anywhere_is_counted(
    records: list[bytes], flips: list[tuple[int, int]], pack: Any
) -> None:
    data = bytearray(b"".join(map(pack, records)))
    for at, value in flips:
        data[at % len(data)] = value
    for outcome in outcomes(bytes(data)):
        if isinstance(outcome, Document):
            (outcome.text + (outcome.title or "") + (outcome.url or "")).encode()
            json.dumps(outcome.meta)


@needs_shared_data
def test_every_fixture_is_accounted_for() -> None:
    total: Counter[str] = Counter()
    for path in sorted((SHARED_DATA / "commoncrawl" / "fixtures").rglob("*")):
        if path.is_file() and path.name != "LICENSE":
            found = outcomes(path.read_bytes(), str(path))
            total.update(type(outcome).__name__ for outcome in found)
            assert found, path
            assert len({getattr(o, "origin", i) for i, o in enumerate(found)}) == len(found)
    assert total["Document"] > 80 and total["Bad"] == 16


@needs_shared_data
def test_warc_gives_the_text_of_its_wet() -> None:
    folder = SHARED_DATA / "commoncrawl"
    texts = []
    for path in (folder / "wet/part-00000.warc.wet.gz", folder / "warc/part-00000.warc.gz"):
        with path.open("rb") as stream:
            reader = CommonCrawlReader()(stream, str(path), Tally(), 0, path.stat().st_size // 20)
            texts.append([(o.url, o.text) for o in reader if isinstance(o, Document)])
    both = Counter(texts[0]) & Counter(texts[1])
    assert both.total() >= 0.9 * min(len(texts[0]), len(texts[1])) > 10
