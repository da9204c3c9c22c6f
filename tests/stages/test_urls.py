from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stages.urls import clean, host, match_key, normalise


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://User:Pw@Example.ORG:80/a/./b/../c?q=1#frag", "http://example.org/a/c?q=1"),
        ("https://example.org", "https://example.org/"),
        ("https://example.org:443/?", "https://example.org/?"),
        ("http://example.org:8080/%7euser/%c3%a9", "http://example.org:8080/~user/%C3%A9"),
        ("http://example.org/é b", "http://example.org/%C3%A9%20b"),
        ("http://bücher.example./x", "http://xn--bcher-kva.example/x"),
        ("http://[2001:DB8::1]:80/x", "http://[2001:db8::1]/x"),
        ("<http://example.org/a>", "http://example.org/a"),
        ("http://example.org/a\x00\r\nb", "http://example.org/ab"),
        ("http://example.org/../../x/..", "http://example.org/"),
        ("http://example.org/100%", "http://example.org/100%"),
        ("http://[x", None),
        ("http://[::1", None),
        ("http://", None),
        ("http:///path", None),
        ("no scheme", None),
        ("", None),
        ("http://" + "a" * 300 + "/", None),
        ("http://exa mple.org/", None),
        ("mailto:a@b.example", None),
    ],
)
def test_normal_form(url: str, expected: str | None) -> None:
    assert normalise(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://WWW.Example.org:99/", "www.example.org"),
        ("//example.org/x", "example.org"),
        ("http://a@b@example.org", "example.org"),
        ("http://1.2.3.4/", "1.2.3.4"),
        ("http://[x", None),
        ("dns:example.org", None),
        ("http://ex\ud800ample.org/", "example.org"),
    ],
)
def test_host(url: str, expected: str | None) -> None:
    assert host(url) == expected


def test_spaces_are_escaped_in_place() -> None:
    assert clean(" http://e.org/a b?c d ") == "http://e.org/a%20b?c%20d"


def test_match_key_joins_what_names_the_same_page() -> None:
    same = ["http://www.example.org/a/", "https://example.org/a", "https://EXAMPLE.org:443/a?#x"]
    assert {match_key(url) for url in same} == {"example.org/a"}
    assert match_key("http://example.org/A") != match_key("http://example.org/a")
    assert match_key("http://[x") is None


URLISH = st.text("htp:/?#[]@%.-_aZ09é\x00\ud800 \\<>", max_size=60)


@given(URLISH | st.text(max_size=80) | URLISH.map(lambda s: "http://" + s))
@example("http://[x")
@example("http://[::1]x")
@example("//[]")
@example("http://a:b:c/")
@example("http://\u2126.example")
@example("http://xn--\u00e9.example")
@example("http://e.org:٣/")
def test_never_raises_and_is_stable(url: str) -> None:
    host(url)
    match_key(url)
    clean(url).encode()
    normal = normalise(url)
    if normal is not None:
        assert normal.isascii()
        assert normalise(normal) == normal
