from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.commoncrawl.charset import charset_parameter, clean, decode

GERMAN = "Schöne Grüße aus München, überall größere Bäume. " * 5
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5
JAPANESE = "日本語の文章をいくつか書いてみます。これは試験です。" * 5


@pytest.mark.parametrize(
    ("text", "codec", "declared", "head", "by"),
    [
        (GERMAN, "utf-8", None, b"", "utf-8"),
        (GERMAN, "cp1252", "ISO-8859-1", b"", "http"),
        (GERMAN, "cp1252", None, b'<meta charset="windows-1252">', "meta"),
        (GERMAN, "cp1252", "utf-8", b'<meta charset="windows-1252">', "meta"),
        (GERMAN, "cp1252", None, b"<?xml version='1.0' encoding='latin1'?>", "meta"),
        (GERMAN, "utf-8", "iso-8859-1", b"", "utf-8"),
        (GERMAN, "utf-8", None, b"<meta charset=utf-16>", "utf-8"),
        (GERMAN, "utf-16-le", "utf-16", b"", "http"),
        (RUSSIAN, "cp1251", None, b"", "detected"),
        (RUSSIAN, "koi8-r", "KOI8-R", b"", "http"),
        (RUSSIAN, "cp1251", "no-such-charset", b"", "detected"),
        (RUSSIAN, "cp1251", "utf-7", b"", "detected"),
        (JAPANESE, "euc_jp", None, b"<META http-equiv=x content='a; charset = EUC-JP'>", "meta"),
        (JAPANESE, "shift_jis", "x-sjis", b"", "http"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp", b"", "http"),
        (JAPANESE, "shift_jis", None, b"", "detected"),
    ],
)
def test_order_of_evidence(
    text: str, codec: str, declared: str | None, head: bytes, by: str
) -> None:
    decoded = decode(head + text.encode(codec), declared, markup=True)
    assert decoded.text == head.decode("ascii") + text
    assert (decoded.by, decoded.replaced) == (by, 0)


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_byte_order_mark_wins_and_is_removed(codec: str) -> None:
    decoded = decode(RUSSIAN.encode(codec), "koi8-r", markup=False)
    assert decoded.text == RUSSIAN and decoded.by == "bom"


def test_a_few_bad_bytes_do_not_undo_utf8() -> None:
    decoded = decode(RUSSIAN.encode() + b" \xff \xc3 end", "utf-8", markup=False)
    assert decoded.text.startswith(RUSSIAN) and decoded.by == "http" and decoded.replaced == 2


def test_meta_counts_only_in_markup() -> None:
    data = b'<meta charset="koi8-r">' + RUSSIAN.encode("cp1251")
    assert decode(data, None, markup=False).by == "detected"


def test_no_nul_no_surrogate() -> None:
    assert clean("a\0b\ud800c\U0001f600") == "abc\U0001f600"
    assert decode(b"a\0b", None, markup=True).text == "ab"
    assert decode(b"\xff\xfea\0\x00\xd8b\0", None, markup=False).text == "a\ufffdb"


def test_parameter() -> None:
    assert charset_parameter('text/html; Charset = "UTF-8"') == "UTF-8"
    assert charset_parameter("text/html; charset=") is None
    assert charset_parameter("text/html; " + "charset " * 100_000) is None


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=200),
    st.none() | st.sampled_from(["utf-8", "gbk", "big5", "euc-kr", "utf-16", "rot13", "\u0130"]),
    st.booleans(),
)
def test_any_bytes_become_utf8(data: bytes, declared: str | None, markup: bool) -> None:
    decoded = decode(data, declared, markup)
    assert "\0" not in decoded.text
    decoded.text.encode()
