from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.commoncrawl.html import MAX_ATTRIBUTES, MAX_DEPTH, HtmlError, check_bounds, extract

ARTICLE = "".join(
    f"<p>The harbour was quiet on day {n}, and the {kind} lay still in the water for an hour.</p>"
    for n, kind in enumerate(["boats", "ferries", "tugs", "rafts", "barges", "nets", "buoys"] * 3)
)
PAGE = f"""<html><head><title> Quiet
 harbour </title><style>p {{}}</style></head><body>
<nav><ul><li><a href=/>Home</a></li><li><a href=/x>About us</a></li></ul></nav>
<article><h1>Quiet harbour</h1>{ARTICLE}</article>
<script>var hidden = "<p>no";</script>
<footer>Imprint &amp; privacy &#x263A;</footer></body></html>"""


def test_full_keeps_all_visible_text_line_by_line() -> None:
    text, title = extract(PAGE)
    lines = text.split("\n")
    assert title == "Quiet harbour"
    assert any("Home" in line for line in lines) and lines[-1] == "Imprint & privacy ☺"
    assert "no" not in lines and "hidden" not in text and "p {" not in text
    assert all(line == line.strip() and line for line in lines)


@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
def test_main_drops_navigation(extractor: str) -> None:
    text, _ = extract(PAGE, "main", extractor)  # type: ignore[arg-type]
    assert text.count("The harbour was quiet") == 21
    assert "Home" not in text and "Imprint" not in text


def test_same_page_gives_the_same_text() -> None:
    assert {extract(PAGE, "main", "trafilatura") for _ in range(4)} == {
        extract(PAGE, "main", "trafilatura")
    }


HEAVY = {
    "deep": "<div>" * 100_000 + "x",
    "deep forms": "<form><div>" * 50_000,
    "deep, upper case": "<B>" * 100_000 + "x",
    "attributes": "<p " + " ".join(f"a{n}=1" for n in range(100_000)) + ">x",
    "attributes without space": "<p/" + "/".join(f"a{n}=''" for n in range(100_000)) + ">x",
    "attributes, open tag": "<p " + " ".join(f"a{n}" for n in range(100_000)),
}


@pytest.mark.parametrize("name", HEAVY)
def test_quadratic_pages_are_refused_beforehand(name: str) -> None:
    with pytest.raises(HtmlError):
        extract(HEAVY[name], "main")


BEARABLE = {
    "list": "<ul>" + "<li>one" * 20_000,
    "table": "<table>" + "<tr><td>one<td>two" * 10_000,
    "paragraphs": "<p>one<br>" * 20_000,
    "closed": "<div><span>one</span></div>" * 10_000,
    "data": '<img src="data:image/png;base64,' + "iVBOR/w0KGg oAAA=" * 60_000 + '">x',
    "line": "word " * 200_000,
    "entities": "&amp;&#65;&nosuch;" * 50_000,
    "tag opens": "<" * 200_000,
    "comments": "<!--" * 100_000 + "-->x",
    "script": "<script>if (a<b && c " + "d e f " * 50_000 + "</script>x",
    "nested a little": "<div>" * (MAX_DEPTH - 1) + "x",
    "some attributes": "<p " + " ".join(f"a{n}=1" for n in range(MAX_ATTRIBUTES - 2)) + ">x",
}


@pytest.mark.parametrize("name", BEARABLE)
def test_large_but_harmless_pages_are_read(name: str) -> None:
    text, _ = extract(BEARABLE[name])
    assert text or name == "comments"


def test_billion_laughs_is_not_expanded() -> None:
    entities = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    bomb = f'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY a0 "ha">{entities}]><p>&a9;</p>'
    text, _ = extract(bomb)
    assert len(text) < len(bomb)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "<p>",
                "</p>",
                "<table>",
                "<td",
                ">",
                "<a b='",
                '"',
                "<!--",
                "<script>",
                "</",
                "<svg>",
                "<title>",
                "&#0;",
                "&#xD800;",
                "&",
                "ü",
                "\u2028",
                " x ",
                "<template>",
                "<select>",
            ]
        ),
        max_size=30,
    ),
    st.sampled_from([("full", "resiliparse"), ("main", "resiliparse"), ("main", "trafilatura")]),
)
def test_tag_soup(parts: list[str], how: tuple[str, str]) -> None:
    text, title = extract("".join(parts), *how)  # type: ignore[arg-type]
    (text + (title or "")).encode()
    assert "\0" not in text


@given(st.text("<>/p divbr'\"= \n", max_size=200))
def test_small_pages_are_never_refused(html: str) -> None:
    check_bounds(html)
