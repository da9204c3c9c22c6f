"""HTTP responses as archives hold them: status, headers and the body without its codings.

Crawlers store bodies as sent, decoded, or decoded under headers that still name the coding. So a
coding is undone where the bytes bear it out, and the bytes are taken as they are where not.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fastwarc.stream_io import BrotliReader, ZstdReader
from warcio.bufferedreaders import ChunkedDataReader
from warcio.statusandheaders import StatusAndHeadersParser

MAX_HEADER = 1 << 16
_MAX_CODINGS = 4
_PIECE = 1 << 16
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})(?!\d)")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_PARSER = StatusAndHeadersParser([], verify=False)


class TooLargeError(Exception):
    """A body is longer than the bound after decoding."""


@dataclass(slots=True)
class Response:
    """`status` is None where the status line has no number. Header names are in lower case."""

    status: int | None
    headers: dict[str, str]
    body: bytes


def parse_response(block: bytes) -> Response | None:
    """The HTTP response in a record's block; None where it is none."""
    if not block.startswith(b"HTTP/"):
        return None
    match = _BLANK_LINE.search(block, 0, MAX_HEADER)
    # A header without an end has no body; what there is of it still tells status and type.
    end = match.end() if match else len(block)
    fields = _PARSER.parse(io.BytesIO(block[: min(end, MAX_HEADER)])).headers
    headers = {name.strip().lower(): value.strip() for name, value in reversed(fields)}
    status = _STATUS.match(block)
    return Response(int(status[1]) if status else None, headers, block[end:])


def decoded_body(response: Response, limit: int) -> tuple[bytes, list[str]]:
    """The body without transfer and content codings, and the codings found damaged.

    Of a damaged coding the part before the damage is kept, as browsers do.

    Raises: TooLargeError where the body is longer than `limit` bytes.
    """
    body, damage = response.body, []
    if "chunked" in response.headers.get("transfer-encoding", "").lower():
        body, sound = _unchunk(body)
        if not sound:
            damage.append("chunked")
    codings = response.headers.get("content-encoding", "").lower().split(",")
    for name in list(reversed(codings))[:_MAX_CODINGS]:
        decode = _CODINGS.get(name.strip())
        if decode is None:
            continue
        body, sound = decode(body, limit)
        if not sound:
            damage.append(name.strip())
    if len(body) > limit:
        raise TooLargeError
    return body, damage


def _unchunk(body: bytes) -> tuple[bytes, bool]:
    reader = ChunkedDataReader(io.BytesIO(body))
    parts = []
    while part := reader.read(_PIECE):
        parts.append(part)
    # Not chunked from the first line on: stored decoded, not damaged.
    return b"".join(parts), not reader.not_chunked or parts[:1] == [body[:_PIECE]]


def _collect(pieces: Iterator[bytes], limit: int, errors: type[Exception]) -> tuple[bytes, bool]:
    out = bytearray()
    try:
        for piece in pieces:
            out += piece
            if len(out) > limit:
                raise TooLargeError
    except errors:
        return bytes(out), False
    return bytes(out), True


def _inflated(body: bytes, wbits: int) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits)
    for at in range(0, len(body), _PIECE):
        data = body[at : at + _PIECE]
        while data and not inflate.eof:
            yield inflate.decompress(data, _PIECE)
            data = inflate.unconsumed_tail
    if not inflate.eof:
        yield inflate.flush(_PIECE)
        raise zlib.error("incomplete")


def _gunzip(body: bytes, limit: int) -> tuple[bytes, bool]:
    if not body.startswith(b"\x1f\x8b"):
        return body, True
    return _collect(_inflated(body, 31), limit, zlib.error)


def _undeflate(body: bytes, limit: int) -> tuple[bytes, bool]:
    # By `deflate` zlib's format is meant; raw deflate is often sent.
    zlib_format = body[:1] == b"\x78" and int.from_bytes(body[:2], "big") % 31 == 0
    out, sound = _collect(_inflated(body, 15 if zlib_format else -15), limit, zlib.error)
    return (body, True) if not sound and _is_text(body) else (out, sound)


def _unbrotli(body: bytes, limit: int) -> tuple[bytes, bool]:
    out, sound = _collect(_pieces(BrotliReader(io.BytesIO(body))), limit, OSError)
    return (body, True) if not sound and _is_text(body) else (out, sound)


def _unzstd(body: bytes, limit: int) -> tuple[bytes, bool]:
    if not body.startswith(b"\x28\xb5\x2f\xfd"):
        return body, True
    return _collect(_pieces(ZstdReader(io.BytesIO(body))), limit, OSError)


def _pieces(source: BrotliReader | ZstdReader) -> Iterator[bytes]:
    while piece := source.read(_PIECE):
        yield piece


def _is_text(body: bytes) -> bool:
    """Whether codings without a magic number were not applied: text has no control characters."""
    return not _CONTROL.search(body, 0, 256)


_CODINGS: dict[str, Callable[[bytes, int], tuple[bytes, bool]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _undeflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
