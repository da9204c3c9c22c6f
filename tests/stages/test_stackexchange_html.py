"""HTML of posts to text: what is kept and how it is marked, hostile input, properties."""

from __future__ import annotations

import html as entities
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.stackexchange.html import HtmlConverter, TooLargeError
from stages.stackexchange.scripts import lowered, raised
from stages.stackexchange.settings import StackExchangeSettings

CONVERT = HtmlConverter(StackExchangeSettings())


def convert(html: str, **changed: object) -> str:
    return HtmlConverter(StackExchangeSettings(**changed))(html)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One\n two.</p>\n\n<p>Three.</p>", "One two.\n\nThree."),
        ("bare &amp; text", "bare & text"),
        ("<p>a<br>b<br />\nc</p>", "a\nb\nc"),
        ("<p>a <em>b</em> <strong>c</strong><i>d</i></p>", "a b cd"),
        ("<h1>T</h1><p>x</p><h3>U</h3>", "# T\n\nx\n\n### U"),
        ("<p>a</p><hr><p>b</p>", "a\n\n---\n\nb"),
        ("<p>x&nbsp;y &lt;z&gt; &hellip; &check; &#x1F600;</p>", "x y <z> … ✓ 😀"),
        # An escaped entity is text about an entity.
        ("<p>&amp;check; &amp;lt;p&amp;gt;</p>", "&check; &lt;p&gt;"),
        ("<p>a<!-- language: lang-py -->b</p>", "ab"),
        ("<p>a<script>alert(1)</script><style>p{}</style>b</p>", "ab"),
        ("<p>if a < b and c</p>", "if a < b and c"),
        ("<blockquote>\n  <p>a</p>\n  \n  <p>b</p>\n</blockquote>", "> a\n>\n> b"),
        ("<p>x</p><blockquote><p>y</p></blockquote><p>z</p>", "x\n\n> y\n\nz"),
        ("<dl><dt>T</dt><dd>D</dd><dt>U</dt><dd>E</dd></dl>", "T\n: D\nU\n: E"),
        ("", ""),
        (" \n ", ""),
        ("<p></p><ul><li></li></ul><pre> \n</pre>", ""),
    ],
)
def test_text_and_paragraphs(html: str, text: str) -> None:
    assert CONVERT(html) == text


def test_lists_keep_bullets_numbers_and_nesting() -> None:
    html = (
        "<p>Do:</p><ol start='3'><li>x</li><li><p>y</p><p>more</p></li>"
        "<li>z<ul><li>in</li><li>ner</li></ul>after</li></ol><p>End</p>"
    )
    assert CONVERT(html) == (
        "Do:\n\n3. x\n4. y\n\n   more\n5. z\n   - in\n   - ner\n   after\n\nEnd"
    )


def test_a_quote_and_code_inside_a_list_item() -> None:
    quote, code = "a<blockquote><p>q</p></blockquote>", "<pre><code>c\n\nd</code></pre>"
    html = f"<ul><li>{quote}</li><li>{code}</li></ul>"
    assert CONVERT(html) == "- a\n\n  > q\n- ```\n  c\n\n  d\n  ```"


CODE = (
    '<p>x</p><pre class="lang-py s"><code>def f(x):\n\n    return x &lt; 3\n</code></pre><p>y</p>'
)


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("fence", "x\n\n```py\ndef f(x):\n\n    return x < 3\n```\n\ny"),
        ("indent", "x\n\n    def f(x):\n\n        return x < 3\n\ny"),
        ("plain", "x\n\ndef f(x):\n\n    return x < 3\n\ny"),
    ],
)
def test_blocks_of_code(style: str, text: str) -> None:
    assert convert(CODE, code_blocks=style) == text


def test_code_keeps_tabs_blanks_and_is_never_read_as_markup() -> None:
    assert CONVERT("<pre><code>\ta  b\n* c &lt;p&gt;</code></pre>") == "```\n\ta  b\n* c <p>\n```"


def test_a_fence_is_longer_than_those_in_the_code() -> None:
    assert CONVERT("<pre><code>```\nx\n```</code></pre>") == "````\n```\nx\n```\n````"


def test_inline_code() -> None:
    assert CONVERT("<p>use <code>a  b</code>, <code>c`d</code>, <code>`</code></p>") == (
        "use `a b`, ``c`d``, `` ` ``"
    )
    assert convert("<p>use <code>f()</code>.</p>", inline_code="plain") == "use f()."
    assert CONVERT("<p><code>f</code><code> </code><code>g</code></p>") == "`f` `g`"


def test_links_keep_their_text_and_drop_their_address() -> None:
    html = (
        '<p>See <a href="https://a.b/c">this</a> or <a href="https://a.b/c">https://a.b/c</a>.</p>'
    )
    assert CONVERT(html) == "See this or https://a.b/c."
    kept = convert(html, link_urls="keep")
    assert kept == "See this (https://a.b/c) or https://a.b/c."
    assert convert('<a href="javascript:x()">y</a>', link_urls="keep") == "y"


def test_images_leave_their_description_but_not_the_editors_placeholder() -> None:
    html = '<p><img src="x" alt="A red  cat"> <img alt="enter image description here"><img></p>'
    assert CONVERT(html) == "[A red cat]"
    assert convert(html, images="drop") == ""


def test_tables() -> None:
    html = (
        '<div class="s-table-container"><table class="s-table"><thead><tr><th>a</th><th>b</th></tr>'
        "</thead><tbody><tr><td>1<br>2</td><td><p>x</p><code>y</code></td></tr>"
        "<tr><td></td><td>z</td></tr></tbody></table></div><p>end</p>"
    )
    assert CONVERT(html) == "| a | b |\n| --- | --- |\n| 1 2 | x `y` |\n|  | z |\n\nend"
    inner = "<table><tr><td>a<table><tr><td>b</td></tr></table></td></tr></table>"
    assert CONVERT(inner) == "| a b |"


@pytest.mark.parametrize(
    ("text", "high", "low"),
    [
        ("6", "⁶", "₆"),
        ("-1", "⁻¹", "₋₁"),
        ("st", "st", "st"),
        ("x", "^x", "_x"),
        ("i+1", "^(i+1)", "_(i+1)"),
        ("a small remark", "a small remark", "a small remark"),
        ("", "", ""),
    ],
)
def test_powers_and_indices_do_not_run_into_the_number(text: str, high: str, low: str) -> None:
    assert (raised(text), lowered(text)) == (high, low)


def test_ten_to_the_sixth_is_not_106() -> None:
    assert CONVERT("<p>10<sup>6</sup> H<sub>2</sub>O</p>") == "10⁶ H₂O"


def test_controls_and_lone_surrogates_go() -> None:
    assert CONVERT("a\x00b\x1bc\ufeffd\ud800e\x7ff") == "abcdef"


# -- hostile input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "html",
    [
        "<blockquote>" * 12_000 + "deep",
        "<ul><li>" * 12_000 + "deep",
        "<div>" * 24_000 + "deep",
        "<p " + " ".join(f'a{i}="1"' for i in range(90_000)) + ">deep",
        f'<p title="{"x" * 1_000_000}">deep</p>',
        "<b>" * 12_000 + "</i>" * 12_000 + "deep",
        "<sup>" * 12_000 + "deep" + "</sup>" * 12_000,
        "<code>" * 12_000 + "deep" + "</code>" * 12_000,
        "<table><tr><td>" * 8_000 + "deep",
        "<a href='http://x.y'>" * 12_000 + "deep",
        "`" * 400_000 + "<code>" + "`" * 400_000 + "</code>deep",
        "<p>&" + "&amp;" * 200_000 + "deep",
        "<!--" * 24_000 + "-->deep",
        "<ol start='99999999999999999999'><li>deep</li></ol>",
        "<pre>" * 20_000 + "deep",
    ],
    ids=range(15),
)
def test_hostile_html_stays_bounded(html: str) -> None:
    text = CONVERT(html)
    assert "deep" in text
    assert len(text) < 4 * len(html) + 1000


def test_posts_beyond_the_bounds_are_refused() -> None:
    with pytest.raises(TooLargeError, match="characters"):
        CONVERT("x" * (1 << 20) + "y")
    with pytest.raises(TooLargeError, match="tags"):
        CONVERT("<b>" * 25_001)


def test_indents_stop_growing_with_depth() -> None:
    lines = CONVERT("<blockquote>" * 1000 + "<p>a</p>" * 1000).split("\n")
    assert max(map(len, lines)) < 50


def test_nothing_of_one_post_is_left_in_the_next() -> None:
    converter = HtmlConverter(StackExchangeSettings())
    converter("<ul><li><pre><code>a<table><b>")
    assert converter("<p>b</p>") == "b"


# -- properties -------------------------------------------------------------------------------

NAMES = "p br em a code pre ul ol li blockquote table tr td th h2 hr sup sub dl dd img div x"
TAGS = NAMES.split()
pieces = st.one_of(
    st.sampled_from([f"<{t}>" for t in TAGS] + [f"</{t}>" for t in TAGS]),
    st.sampled_from(["a", " ", "\n", "`", "&amp;", "&lt;b&gt;", "<", ">", "1. ", "> ", "\xa0"]),
    st.text(max_size=4),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=30).map("".join))
def test_any_html_gives_clean_lines(html: str) -> None:
    text = CONVERT(html)
    assert text == text.strip("\n")
    text.encode()
    assert not re.search("[\x00\x0b\x0c\x85\u2028\ufeff]", text)
    assert CONVERT(html) == text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_text_without_markup_is_a_fixed_point(text: str) -> None:
    once = CONVERT(entities.escape(text))
    assert CONVERT(entities.escape(once)) == once


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=60))
def test_code_is_kept_as_it_is(code: str) -> None:
    code = code.replace("\xa0", " ").replace("\ufeff", "").strip()
    if code:
        fenced = CONVERT(f"<pre><code>{entities.escape(code)}</code></pre>").split("\n")
        assert "\n".join(fenced[1:-1]) == re.sub("[\ufffe\uffff]", "", code)
