from __future__ import annotations

import gzip
import io
import struct
import zlib
from itertools import pairwise

import pytest
from fastwarc.stream_io import Lz4Writer
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeadersParser

from stages.commoncrawl import FAULTS, Settings
from stages.commoncrawl.records import Fault, RawRecord, header_fields, iter_records
from tests.data_paths import SHARED_DATA, needs_shared_data

SETTINGS = Settings()
ID = "<urn:uuid:00000000-0000-4000-8000-{:012x}>"


def warc(
    n: int = 0,
    payload: bytes = b"Some text.",
    kind: str = "conversion",
    length: int | str | None = None,
    newline: bytes = b"\r\n",
    **headers: str,
) -> bytes:
    """One WARC record."""
    fields = {
        "WARC-Type": kind,
        "WARC-Target-URI": f"http://example.org/{n}",
        "WARC-Date": "2019-04-18T00:00:00Z",
        "WARC-Record-ID": ID.format(n),
        "Content-Type": "text/plain",
        "Content-Length": str(len(payload) if length is None else length),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = ["WARC/1.0", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return newline.join(line.encode() for line in lines) + payload + newline * 2


def arc(n: int = 0, payload: bytes = b"<p>Some text.", length: int | str | None = None) -> bytes:
    """One ARC record."""
    size = len(payload) if length is None else length
    return f"http://example.org/{n} 1.2.3.4 20080430204825 text/html {size}\n".encode() + (
        payload + b"\n"
    )


def lz4(data: bytes) -> bytes:
    out = io.BytesIO()
    writer = Lz4Writer(out)
    writer.write(data)
    writer.close()
    return out.getvalue()


def read(
    data: bytes, start: int = 0, end: int | None = None, settings: Settings = SETTINGS
) -> list[RawRecord | Fault]:
    return list(iter_records(io.BytesIO(data), settings, start, end))


def payloads(data: bytes, settings: Settings = SETTINGS) -> list[bytes | None]:
    return [item.payload for item in read(data, settings=settings) if isinstance(item, RawRecord)]


def faults(data: bytes, settings: Settings = SETTINGS) -> list[tuple[int | str, str]]:
    """Offset and first word of each fault."""
    found = [item for item in read(data, settings=settings) if isinstance(item, Fault)]
    words = [(item.offset, item.error.partition(":")[0]) for item in found]
    assert {word for _, word in words} <= FAULTS.keys()
    return words


RECORDS = [warc(n, bytes([65 + n]) * (50 + 300 * n)) for n in range(5)]
BODIES = [bytes([65 + n]) * (50 + 300 * n) for n in range(5)]
LAYOUTS = {
    "plain": b"".join(RECORDS),
    "gzip per record": b"".join(map(gzip.compress, RECORDS)),
    "one gzip": gzip.compress(b"".join(RECORDS)),
    "lz4 per record": b"".join(map(lz4, RECORDS)),
    "one lz4": lz4(b"".join(RECORDS)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads_every_layout(layout: str) -> None:
    assert payloads(LAYOUTS[layout]) == BODIES
    assert not faults(LAYOUTS[layout])


def test_offsets_lead_back_to_the_record() -> None:
    for layout in ("plain", "gzip per record", "lz4 per record"):
        data = LAYOUTS[layout]
        for n, item in enumerate(read(data)):
            assert isinstance(item.offset, int) and item.offset == item.at
            assert payloads(data[item.offset :]) == BODIES[n:]
    inner = [item.offset for item in read(LAYOUTS["one gzip"])]
    assert inner[:2] == [0, f"0+{len(RECORDS[0])}"] and len(set(inner)) == 5


def test_headers_by_name_not_position() -> None:
    swapped = (
        b"WARC/1.1\r\nX-New: 1\r\ncontent-LENGTH: 2\r\nWarc-Target-Uri:http://a/\r\n"
        b"WARC-Identified-Content-Language: eng,\r\n fra\r\nWARC-Type: conversion\r\n"
        b"WARC-Type: request\r\nX-Latin: caf\xe9\r\n\r\nhi\r\n\r\n"
    )
    (record,) = read(swapped)
    assert isinstance(record, RawRecord)
    assert record.type == "conversion" and record.payload == b"hi"
    assert record.headers["warc-target-uri"] == "http://a/"
    assert record.headers["warc-identified-content-language"] == "eng, fra"
    assert record.headers["x-latin"] == "café"


HEADER_LINE = st.text("AWa-: ;<>=1\t\r\n\x0b\x00\x7fé", max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(HEADER_LINE, max_size=5), st.sampled_from(["\r\n", "\n"]))
def test_both_header_parsers_agree(lines: list[str], newline: str) -> None:
    block = newline.join(["WARC/1.0", *(f"X{line}" for line in lines), "", ""]).encode("latin-1")
    fields = StatusAndHeadersParser([], verify=False).parse(io.BytesIO(block)).headers
    assert header_fields(block) == {name.lower(): value for name, value in reversed(fields)}


def test_header_longer_than_fastwarc_accepts() -> None:
    record = warc(1, b"one", X_Long="x" * 40_000)
    assert payloads(record) == [b"one"]
    assert len(header_fields(record[: record.index(b"\r\n\r\n") + 4])["x-long"]) == 40_000


def test_line_feeds_alone_and_missing_separators() -> None:
    loose = warc(1, b"one", newline=b"\n") + warc(2, b"two").rstrip() + warc(3, b"three")
    assert payloads(loose) == [b"one", b"two", b"three"]
    assert not faults(loose)


def test_arc_versions_and_spaces_in_urls() -> None:
    head = b"1 0 X\nURL IP-address Archive-date Content-type Archive-length\n"
    data = (
        f"filedesc://x.arc 0.0.0.0 20080430204825 text/plain {len(head)}\n".encode()
        + head
        + b"\n"
        + arc(1, b"one")
        + b"http://e.org/a b c 1.2.3.4 20080430204825  3\ntwo\n"
        + b"http://e.org/v2 1.2.3.4 20080430204825 text/html 200 sum loc 42 f.arc 5\nthree\n"
    )
    for form in (data, gzip.compress(data)):
        records = [item for item in read(form) if isinstance(item, RawRecord)]
        assert [record.type for record in records] == ["warcinfo"] + ["response"] * 3
        assert [record.payload for record in records[1:]] == [b"one", b"two", b"three"]
        assert records[2].headers["warc-target-uri"] == "http://e.org/a b c"
        assert records[3].headers["content-type"] == "text/html"
        assert not faults(form)


@pytest.mark.parametrize("said", [3, 700, 10**12, "", "-1", "x", "9" * 5000])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lz4])
def test_wrong_length_costs_one_record(said: int | str, pack: type[bytes]) -> None:
    bad = warc(2, b"B" * 500, length=said)
    parts = [warc(1, b"one"), bad, warc(3, b"three"), warc(4, b"four" * 100)]
    for data in (b"".join(map(pack, parts)), pack(b"".join(parts))):
        assert payloads(data) == [b"one", b"three", b"four" * 100]
        assert len(faults(data)) == 1 and faults(data)[0][1] in ("length", "header")


def test_wrong_length_in_arc() -> None:
    for said in (3, 700, "abc"):
        data = arc(1, b"one") + arc(2, b"B" * 500, said) + arc(3, b"three")
        assert payloads(data) == [b"one", b"three"]
        assert len(faults(data)) == 1


def test_arc_line_that_ends_in_strange_space() -> None:
    line = "http://e.org/ 1.2.3.4 20080430204825 text/html \u00a0\n".encode()
    assert payloads(arc(1, b"one") + line + arc(3, b"three")) == [b"one", b"three"]
    assert [word for _, word in faults(arc(1) + line + arc(3))] == ["header"]


def test_arc_records_without_separators_are_found_again() -> None:
    parts = [arc(n, b"\x00\xff" * 50 * n).rstrip(b"\n") for n in range(1, 5)]
    assert len(payloads(b"".join(parts))) == 4
    parts[1] = arc(2, b"B" * 60, length=7).rstrip(b"\n")
    assert len(payloads(b"".join(parts))) == 3 and len(faults(b"".join(parts))) == 1


def test_garbage_between_records() -> None:
    for pack in (bytes, gzip.compress, lz4):
        one, two = pack(warc(1, b"one")), pack(warc(2, b"two"))
        for garbage in (b"\0" * 512, b"\x1f\x8b\x08\0 no gzip", b"text\nWARC/1.0\r\n", b"\x1f\x8b"):
            data = garbage + one + garbage + two + garbage
            assert payloads(data) == [b"one", b"two"], (pack, garbage)
            places = [place for place, _ in faults(data)]
            first = len(garbage) + len(one)
            assert places == [0, first, first + len(garbage) + len(two)], (pack, garbage)


def test_half_a_member_in_the_middle() -> None:
    members = [gzip.compress(record) for record in RECORDS]
    for cut in range(1, len(members[1])):
        data = members[0] + members[1][:cut] + members[2] + members[3]
        assert payloads(data) == [BODIES[0], BODIES[2], BODIES[3]]
        assert [place for place, _ in faults(data)] == [len(members[0])]


def test_a_damaged_checksum_is_seen() -> None:
    member = bytearray(gzip.compress(RECORDS[1]))
    member[-8] ^= 1
    data = gzip.compress(RECORDS[0]) + bytes(member) + gzip.compress(RECORDS[2])
    assert payloads(data) == [BODIES[0], BODIES[2]]
    assert faults(data) == [(len(gzip.compress(RECORDS[0])), "gzip")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_truncated_at_every_byte(layout: str) -> None:
    data = LAYOUTS[layout]
    ends = [*[item.at for item in read(data)][1:], len(data)]
    for cut in range(len(data)):
        got, bad = payloads(data[:cut]), faults(data[:cut])
        assert got == BODIES[: len(got)]
        assert len(bad) <= 1
        if "per record" in layout:
            whole = sum(end <= cut for end in ends)
            assert len(got) == whole
            assert bool(bad) == (cut not in ends)
        elif cut and not bad:
            # Only blank lines after a record can be missed without notice.
            assert layout == "plain" and cut in {end - k for end in ends for k in range(5)}


def test_clipped_archive_is_not_passed_over_in_silence() -> None:
    # FastWARC and warcio both return the cut record as if it were whole.
    data = gzip.compress(warc(1, bytes(range(256)) * 40))[:-100]
    assert len(list(ArchiveIterator(io.BytesIO(data)))) == 1
    assert payloads(data) == [] and faults(data) == [(0, "truncated")]


def test_records_that_cross_members() -> None:
    stream = b"".join(RECORDS)
    data = b"".join(gzip.compress(stream[at : at + 333]) for at in range(0, len(stream), 333))
    data += gzip.compress(b"")
    assert payloads(data) == BODIES and not faults(data)


def test_gzip_bomb_is_bounded() -> None:
    bounds = Settings(max_record_bytes=1 << 16, max_skip_bytes=1 << 20)
    zeros = b"\0" * (4 << 20)
    bombs = [
        warc(2, zeros),
        b"WARC/1.0\r\nWARC-Type: " + zeros,
        warc(2)[:-4] + b"\n" * (4 << 20),
        b"http://a/ 1.2.3.4 20080430204825 text/html 4\n" + zeros,
    ]
    for bomb in bombs:
        data = gzip.compress(warc(1, b"one")) + gzip.compress(bomb) + gzip.compress(warc(3, b"3"))
        assert payloads(data, bounds) == [b"one", b"3"]
        assert len(faults(data, bounds)) == 1


def test_too_long_record_is_read_past() -> None:
    bounds = Settings(max_record_bytes=1000)
    parts = [warc(1, b"one"), warc(2, b"B" * 200_000), warc(3, b"three")]
    for data in (
        b"".join(parts),
        b"".join(map(gzip.compress, parts)),
        gzip.compress(b"".join(parts)),
    ):
        assert payloads(data, bounds) == [b"one", None, b"three"]
        assert not faults(data, bounds)


def test_many_false_lengths_in_one_member_end() -> None:
    bounds = Settings(max_record_bytes=10)
    data = gzip.compress(b"".join(warc(n, b"x" * 50, length=10**15) for n in range(50)))
    found = faults(data, bounds)
    assert found and len(found) < 50 and found[-1][1] == "bomb"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "neither"),
        (b"BZh91AY", "bzip2"),
        (b"\x28\xb5\x2f\xfd\0\0", "zstd"),
        (b"PK\x03\x04....", "zip"),
        (b"<html>no archive</html>", "neither"),
        (b"WARC/1.0\r\n\r\n", "neither"),
        (b"\0" * 300_000, "neither"),
    ],
)
def test_other_files_are_one_fault(data: bytes, what: str) -> None:
    (fault,) = read(data)
    assert isinstance(fault, Fault) and fault.error.startswith(f"format: {what}")
    assert read(data, start=1) == []


def split_anywhere(data: bytes, cuts: list[int], bounds: Settings) -> list[RawRecord | Fault]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [item for a, b in pairwise(edges) for item in read(data, a, b, bounds)]


NESTED = gzip.compress(warc(90, b"inner " * 20)) + gzip.compress(warc(91, b"more " * 20))
LARGE = [
    *LAYOUTS.values(),
    gzip.compress(RECORDS[0])
    + b"garbage"
    + gzip.compress(RECORDS[1])[:-3]
    + gzip.compress(RECORDS[2]),
    RECORDS[0] + b"garbage" + warc(7, b"x" * 99, length=9) + RECORDS[2] + RECORDS[3][:-100],
    b"".join(arc(n, b"<p>" * 50 * n) + b"\n" for n in range(5)),
    b"".join(arc(n, b"<p>" * 50 * n).rstrip(b"\n") for n in range(1, 5)),
    b"junk" + LAYOUTS["gzip per record"] + b"\0\0\0",
    # An archive inside a record, as it is found in stored (not compressible) gzip blocks.
    gzip.compress(RECORDS[0]) + gzip.compress(warc(9, NESTED), 0) + gzip.compress(RECORDS[1]),
    RECORDS[0] + warc(9, b"\n".join(RECORDS[3:])) + RECORDS[1],
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(LARGE), st.lists(st.integers(0, 1 << 16), max_size=4))
def test_any_split_reads_each_record_once(data: bytes, cuts: list[int]) -> None:
    assert split_anywhere(data, cuts, SETTINGS) == read(data)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(LARGE[:-2]), st.lists(st.integers(0, 1 << 16), max_size=4))
def test_splits_need_no_look_back_without_nested_archives(data: bytes, cuts: list[int]) -> None:
    def whole(items: list[RawRecord | Fault]) -> list[RawRecord | Fault]:
        return [item for item in items if isinstance(item, RawRecord)]

    assert whole(split_anywhere(data, cuts, Settings(resync_bytes=0))) == whole(read(data))


def test_every_split_at_every_byte() -> None:
    for data in LARGE:
        data_short = data[:1500] if len(data) > 4000 else data
        whole = read(data_short)
        for cut in range(0, len(data_short) + 1, 7):
            halves = read(data_short, 0, cut) + read(data_short, cut)
            assert halves == whole, cut


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(LARGE),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=6),
    st.lists(st.integers(0, 1 << 16), max_size=2),
)
def test_flipped_bytes(data: bytes, flips: list[tuple[int, int]], cuts: list[int]) -> None:
    damaged = bytearray(data)
    for at, value in flips:
        damaged[at % len(data)] = value
    whole = read(bytes(damaged))
    assert split_anywhere(bytes(damaged), cuts, SETTINGS) == whole
    # Damage to one place costs the records there, not the rest of the file.
    touched = {at % len(data) for at, _ in flips}
    sound = [item for item in read(data) if isinstance(item, RawRecord)]
    if len({item.at for item in sound}) == len(sound) and data not in LARGE[-2:]:
        ends = [item.at for item in sound[1:]] + [len(data)]
        kept = {item.payload for item in whole if isinstance(item, RawRecord)}
        for item, end in zip(sound, ends, strict=True):
            # A record's length is believed where the next one begins well, so the next header
            # counts with it.
            if not any(item.at <= at < end + 100 for at in touched) and min(touched) > 8:
                assert item.payload in kept


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([bytes, gzip.compress, zlib.compress]))
def test_any_bytes_end_without_error(noise: bytes, pack: type[bytes]) -> None:
    for data in (
        noise,
        b"WARC/1.0\r\n" + noise,
        pack(b"WARC/1.0\r\nA: " + noise),
        b"\x1f\x8b\x08" + noise,
    ):
        items = read(data)
        assert items and len(items) <= len(data) + 1


def test_a_page_of_magic_numbers_is_searched_in_linear_time() -> None:
    data = gzip.compress(RECORDS[0]) + struct.pack("<I", 0x00088B1F) * 5000
    assert payloads(data) == BODIES[:1] and len(faults(data)) == 1


class Counting(io.BytesIO):
    total = 0

    def read(self, size: int | None = -1) -> bytes:
        out = super().read(size)
        self.total += len(out)
        return out


def test_a_range_reads_only_its_neighbourhood() -> None:
    member = gzip.compress(warc(1, bytes(range(256)) * 256), 0)
    data = member * 100
    stream = Counting(data)
    middle = len(data) // 2
    bounds = Settings(resync_bytes=1 << 17)
    found = list(iter_records(stream, bounds, middle, middle + len(member)))
    assert len(found) == 1
    assert stream.total < len(data) // 4


def test_io_errors_pass_through() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("network")

    for data in LAYOUTS.values():
        with pytest.raises(OSError, match="network"):
            list(iter_records(Failing(data), SETTINGS))


@needs_shared_data
def test_agrees_with_warcio_on_sound_files() -> None:
    path = SHARED_DATA / "commoncrawl" / "wet" / "part-00000.warc.wet.gz"
    data = path.read_bytes()[:200_000]
    mine = [item for item in read(data) if isinstance(item, RawRecord)]
    count = 0
    with path.open("rb") as stream:
        for record, item in zip(ArchiveIterator(stream), mine, strict=False):
            assert record.content_stream().read() == item.payload
            assert record.rec_headers.get_header("WARC-Target-URI") == item.headers.get(
                "warc-target-uri"
            )
            count += 1
    assert count == len(mine) > 30
