from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable

import pytest
from fastwarc.stream_io import BrotliWriter, ZstdWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.commoncrawl.http import Response, TooLargeError, decoded_body, parse_response

PAGE = b"<p>" + b"Some text. " * 1000
LIMIT = 1 << 20


def written(writer: type, data: bytes) -> bytes:
    out = io.BytesIO()
    stream = writer(out)
    stream.write(data)
    stream.close()
    return out.getvalue()


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    " Deflate ": raw_deflate,
    "br": lambda data: written(BrotliWriter, data),
    "zstd": lambda data: written(ZstdWriter, data),
    "deflate, gzip": lambda data: gzip.compress(zlib.compress(data)),
}


def body(headers: dict[str, str], data: bytes, limit: int = LIMIT) -> tuple[bytes, list[str]]:
    return decoded_body(Response(200, headers, data), limit)


def test_parses_status_headers_body() -> None:
    block = b"HTTP/1.1 200 OK\r\nContent-TYPE : text/html\r\nX: 1\r\n 2\r\nX: 3\r\n\r\n\r\nbody"
    response = parse_response(block)
    assert response == Response(200, {"content-type": "text/html", "x": "1 2"}, b"\r\nbody")


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (b"HTTP/2 204\n\n", 204),
        (b"HTTP/1.1\t301 Moved", 301),
        (b"HTTP/1.1 OK\r\n\r\nx", None),
        (b"HTTP/1.1 20000\r\n\r\nx", None),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\xff\xfe: \x00\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 200_000, 200),
    ],
)
def test_damaged_headers_are_borne(block: bytes, status: int | None) -> None:
    response = parse_response(block)
    assert response is not None and response.status == status


def test_what_is_no_response() -> None:
    for block in (b"", b"<html>", b"SSH-2.0-OpenSSH", b"GET / HTTP/1.1\r\n\r\n"):
        assert parse_response(block) is None


@pytest.mark.parametrize("name", CODINGS)
def test_content_codings(name: str) -> None:
    coded = CODINGS[name](PAGE)
    assert body({"content-encoding": name}, coded) == (PAGE, [])
    half, damage = body({"content-encoding": name}, coded[: len(coded) * 2 // 3])
    assert damage and PAGE.startswith(half)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd", "utf-8", "none", "identity", ""])
def test_header_kept_though_body_was_stored_decoded(name: str) -> None:
    assert body({"content-encoding": name}, PAGE) == (PAGE, [])


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_coding_bomb_is_bounded(name: str) -> None:
    bomb = CODINGS[name](b"\0" * (8 << 20))
    assert len(bomb) < 1 << 16
    with pytest.raises(TooLargeError):
        body({"content-encoding": name}, bomb)
    with pytest.raises(TooLargeError):
        body({}, b"x" * (LIMIT + 1))


def test_chunked() -> None:
    chunked = {"transfer-encoding": "Chunked"}
    whole = b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    assert body(chunked, whole) == (b"hello world", [])
    assert body(chunked, whole[:-12])[0].startswith(b"hello")
    assert body(chunked, b"<p>stored decoded") == (b"<p>stored decoded", [])
    wrong, damage = body(chunked, b"5\r\nhello\r\nzz\r\nrest of it")
    assert wrong.startswith(b"hello") and b"rest of it" in wrong and damage == ["chunked"]
    both = b"%x\r\n%s\r\n0\r\n\r\n" % (len(gzip.compress(PAGE)), gzip.compress(PAGE))
    assert body(chunked | {"content-encoding": "gzip"}, both) == (PAGE, [])


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(CODINGS)),
    st.sampled_from(["", "chunked"]),
    st.binary(max_size=200),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=3),
)
def test_never_fails_on_damage(
    name: str, transfer: str, data: bytes, flips: list[tuple[int, int]]
) -> None:
    coded = bytearray(CODINGS[name](data))
    for at, value in flips:
        coded[at % len(coded)] = value
    headers = {"content-encoding": name, "transfer-encoding": transfer}
    for form in (bytes(coded), data):
        try:
            out, _ = body(headers, form)
        except TooLargeError:
            continue
        assert len(out) <= LIMIT
