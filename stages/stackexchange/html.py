"""HTML of a post to text: tags go, and what they said about structure stays as plain marks.

The marks are those of Markdown, in which the posts were written: lists with bullets and numbers,
`>` before quotes, `#` before headings, bars between cells, code in fences and backticks.

lxml reads events from the HTML (tokens by the rules of HTML5, with libxml2 from 2.14 on); nothing
recursive, no tree. Bounds: `max_body_chars`, `max_tags`, and indents to a fixed depth.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lxml import etree

from stages.stackexchange.layout import Layout
from stages.stackexchange.scripts import lowered, raised
from stages.stackexchange.settings import StackExchangeSettings
from stages.stackexchange.tables import Table

_SPACE = re.compile("[\t\n\r\f\v\x85\xa0\u2028\u2029]+")
_SPACES = re.compile(" {2,}")
_AROUND_BREAK = re.compile(r" *\n *")
_BREAKS = re.compile(r"\n{3,}")
# Controls, byte order marks and code points that are no characters: seen in dumps, never meant.
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")
_BACKTICKS = re.compile(r"`+")
_LANGUAGE = re.compile(r"(?:^|\s)lang(?:uage)?-([\w+#.-]{1,20})", re.ASCII)
_NO_LANGUAGE = frozenset({"none", "default"})
_HEADINGS = {f"h{n}": n for n in range(1, 7)}
_BLOCK_NAMES = (
    "address article aside center details div fieldset figcaption figure footer form header main"
    " nav p section summary"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_DROPPED_NAMES = "script style head title template noscript iframe object embed audio video"
_DROPPED = frozenset(_DROPPED_NAMES.split())
_MAX_URL = 2000
_MAX_NUMBER = 10**9


class TooLargeError(Exception):
    """A post beyond the bounds; the message says by what."""


class HtmlConverter:
    """Converts posts, one after the other. `convert` depends on its argument alone."""

    def __init__(self, settings: StackExchangeSettings) -> None:
        self._settings = settings
        self._builder = _Builder(settings)
        # The stubs want a `comment` method and str | bytes, which lxml does not need.
        target: Any = self._builder
        self._parser = etree.HTMLParser(target=target, huge_tree=True, no_network=True)

    def __call__(self, html: str) -> str:
        """Text of a post's HTML, without blank lines at its ends.

        Raises TooLargeError, and what lxml raises if it gives up on the post.
        """
        if len(html) > self._settings.max_body_chars:
            raise TooLargeError(f"{len(html)} characters of HTML")
        if html.count("<") > self._settings.max_tags:
            raise TooLargeError(f"{html.count('<')} tags")
        html = _NO_TEXT.sub("", html)
        if not html.strip():
            return ""
        self._builder.begin()
        # The parser returns what its target returns, of which the stubs know nothing.
        return str(etree.fromstring(html, self._parser))


class _Builder:
    """Target of the parser: takes its events, and gives the text at `close`."""

    def __init__(self, settings: StackExchangeSettings) -> None:
        self._s = settings
        self._placeholders = frozenset(alt.casefold() for alt in settings.placeholder_alts)
        self.begin()

    def begin(self) -> None:
        """Forgets the post before, however far it got."""
        self._layout = Layout()
        self._inline: list[str] = []
        self._lists: list[int | None] = []  # number of the next item, None for bullets
        self._pre: list[str] | None = None
        self._pre_depth = 0
        self._language = ""
        self._table: Table | None = None
        self._table_depth = 0
        self._dropped = 0
        self._code = 0  # depth of inline code
        self._script = 0  # depth of <sup> and <sub>
        self._links: list[tuple[int, str]] = []
        self._code_start = self._script_start = 0

    # -- events --------------------------------------------------------------------------------

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._dropped or tag in _DROPPED:
            self._dropped += 1
        elif self._pre is not None:
            self._in_pre(tag, attributes)
        elif tag in _INLINE_START:
            _INLINE_START[tag](self, attributes)
        elif self._table is not None:
            self._in_table(tag)
        else:
            self._block_start(tag, attributes)

    def end(self, tag: str) -> None:
        if self._dropped:
            self._dropped -= 1
        elif self._pre is not None:
            self._pre_depth -= tag == "pre"
            if self._pre_depth == 0:
                self._end_pre()
        elif tag in _INLINE_END:
            _INLINE_END[tag](self)
        elif self._table is not None:
            self._end_in_table(tag)
        else:
            self._block_end(tag)

    def data(self, data: str) -> None:
        if self._dropped:
            return
        if self._pre is not None:
            self._pre.append(data)
        elif self._inline or not data.isspace():
            self._inline.append(_SPACE.sub(" ", data))

    def close(self) -> str:
        if self._pre is not None:
            self._end_pre()
        if self._table is not None:
            self._end_table()
        self._flush()
        return self._layout.text()

    # -- blocks --------------------------------------------------------------------------------

    def _block_start(self, tag: str, attributes: dict[str, str]) -> None:
        layout = self._layout
        if tag in ("body", "html"):
            return
        if tag in _BLOCKS or tag in _HEADINGS:
            self._flush()
            layout.part(1 if tag == "div" else 2)
        elif tag == "pre":
            self._flush()
            layout.part(2)
            self._pre, self._pre_depth = [], 1
            self._language = _language(attributes)
        elif tag == "blockquote":
            self._flush()
            layout.part(2)
            layout.open("> ", "> ")
        elif tag in ("ul", "ol", "dl"):
            self._flush()
            layout.part(1 if self._lists else 2)
            self._lists.append(_first_number(attributes) if tag == "ol" else None)
        elif tag == "li":
            self._flush()
            marker = self._marker()
            layout.open(marker, " " * len(marker))
        elif tag == "dt":
            self._flush()
            layout.part(1)
        elif tag == "dd":
            self._flush()
            layout.part(1)
            layout.open(": ", "  ")
        elif tag == "table":
            self._flush()
            layout.part(2)
            self._table, self._table_depth = Table(), 1
        elif tag == "hr":
            self._flush()
            layout.part(2)
            layout.add(["---"])
            layout.part(2)

    def _block_end(self, tag: str) -> None:
        layout = self._layout
        if tag in _HEADINGS:
            self._flush("#" * _HEADINGS[tag] + " ")
            layout.part(2)
        elif tag in _BLOCKS:
            self._flush()
            layout.part(1 if tag == "div" else 2)
        elif tag == "blockquote":
            self._flush()
            layout.close()
            layout.part(2)
        elif tag in ("ul", "ol", "dl"):
            self._flush()
            if self._lists:
                self._lists.pop()
            if self._lists:
                layout.part_exactly(1)
            else:
                layout.part(2)
        elif tag in ("li", "dd"):
            self._flush()
            layout.close()
            layout.part_exactly(1)
        elif tag == "dt":
            self._flush()
            layout.part_exactly(1)

    def _marker(self) -> str:
        if not self._lists or self._lists[-1] is None:
            return "- "
        number = self._lists[-1]
        self._lists[-1] = min(number + 1, _MAX_NUMBER)
        return f"{number}. "

    def _flush(self, mark: str = "") -> None:
        """Ends the paragraph that is open, if any."""
        if self._code:
            self._code = 1
            self._end_code()
        self._script = 0
        self._links = [(0, url) for _, url in self._links]
        if not self._inline:
            return
        text = _one_space("".join(self._inline))
        self._inline = []
        if "\n" in text:
            text = _BREAKS.sub("\n\n", _AROUND_BREAK.sub("\n", text))
        text = text.strip(" \n")
        if text:
            self._layout.add((mark + text).split("\n"))

    # -- code ----------------------------------------------------------------------------------

    def _in_pre(self, tag: str, attributes: dict[str, str]) -> None:
        assert self._pre is not None
        if tag == "pre":
            self._pre_depth += 1
        elif tag == "br":
            self._pre.append("\n")
        elif tag == "code" and not self._language:
            self._language = _language(attributes)

    def _end_pre(self) -> None:
        text = "".join(self._pre or ()).replace("\r\n", "\n").replace("\r", "\n")
        text = text.replace("\xa0", " ").strip("\n")
        self._pre, self._pre_depth = None, 0
        if not text.strip():
            return
        if self._table is not None:
            self._inline.append(f" {_SPACE.sub(' ', text)} ")
            return
        # Other ends of lines than \n are none in code, but would be for whoever splits the text.
        lines = [_OTHER_ENDS.sub(" ", line) for line in text.split("\n")]
        if self._s.code_blocks == "fence":
            fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(text)), default=0))
            lines = [fence + self._language, *lines, fence]
        elif self._s.code_blocks == "indent":
            lines = [f"    {line}" if line.strip() else "" for line in lines]
        self._layout.add(lines)
        self._layout.part(2)

    def _start_code(self, attributes: dict[str, str]) -> None:
        self._code += 1
        if self._code == 1:
            self._code_start = len(self._inline)

    def _end_code(self) -> None:
        self._code -= 1
        if self._code < 0:  # its paragraph has ended, and the code with it
            self._code = 0
            return
        if self._code or self._s.inline_code == "plain":
            return
        code = _one_space(self._taken(self._code_start).replace("\n", " "))
        inner = code.strip(" ")
        if not inner:
            self._inline.append(code)
            return
        ticks = "`" * (1 + max(map(len, _BACKTICKS.findall(inner)), default=0))
        pad = " " if inner[0] == "`" or inner[-1] == "`" else ""
        before, after = code[0] == " ", code[-1] == " "
        self._inline.append(f"{' ' * before}{ticks}{pad}{inner}{pad}{ticks}{' ' * after}")

    def _taken(self, start: int) -> str:
        """Takes back the inline text from an element's start on."""
        text = "".join(self._inline[start:])
        del self._inline[start:]
        return text

    # -- other inline elements -------------------------------------------------------------------

    def _start_link(self, attributes: dict[str, str]) -> None:
        self._links.append((len(self._inline), attributes.get("href", "")))

    def _end_link(self) -> None:
        if not self._links:
            return
        start, url = self._links.pop()
        if self._s.link_urls == "drop" or self._links or len(url) > _MAX_URL:
            return
        text = "".join(self._inline[start:]).strip()
        if re.match(r"(?:https?|ftp|mailto):|//", url) and url not in (text, f"http://{text}"):
            self._inline.append(f" ({url})")

    def _start_script(self, attributes: dict[str, str]) -> None:
        self._script += 1
        if self._script == 1:
            self._script_start = len(self._inline)

    def _end_script(self, convert: Callable[[str], str]) -> None:
        if self._script == 1:
            self._inline.append(convert(self._taken(self._script_start)))
        self._script = max(0, self._script - 1)

    def _image(self, attributes: dict[str, str]) -> None:
        alt = " ".join(attributes.get("alt", "").split())
        if self._s.images == "alt" and alt and alt.casefold() not in self._placeholders:
            self._inline.append(f"[{alt}]")

    def _break(self, attributes: dict[str, str]) -> None:
        self._inline.append("\n")

    # -- tables ----------------------------------------------------------------------------------

    def _in_table(self, tag: str) -> None:
        assert self._table is not None
        if tag == "table":
            self._table_depth += 1
        elif tag == "pre":
            self._pre, self._pre_depth = [], 1
        elif self._table_depth == 1 and tag == "tr":
            self._loose()
            self._table.row()
        elif self._table_depth == 1 and tag in ("td", "th"):
            self._loose()
        else:
            self._inline.append(" ")

    def _end_in_table(self, tag: str) -> None:
        assert self._table is not None
        if tag == "table":
            self._table_depth -= 1
            if self._table_depth == 0:
                self._end_table()
        elif self._table_depth == 1 and tag in ("td", "th"):
            self._table.cell("".join(self._inline), header=tag == "th")
            self._inline = []
        else:
            self._inline.append(" ")

    def _loose(self) -> None:
        """Text of a table outside its cells (a caption) becomes a paragraph before it."""
        if self._inline:
            self._flush()
            self._layout.part(2)

    def _end_table(self) -> None:
        table, self._table, self._table_depth = self._table, None, 0
        self._flush()
        lines = table.lines() if table is not None else []
        if lines:
            self._layout.part(2)
            self._layout.add(lines)
        self._layout.part(2)


_OTHER_ENDS = re.compile("[\v\f\x85\u2028\u2029]")

_INLINE_START: dict[str, Callable[[_Builder, dict[str, str]], None]] = {
    "a": _Builder._start_link,
    "br": _Builder._break,
    "code": _Builder._start_code,
    "img": _Builder._image,
    "sub": _Builder._start_script,
    "sup": _Builder._start_script,
}


def _one_space(text: str) -> str:
    return _SPACES.sub(" ", text) if "  " in text else text


def _nothing(builder: _Builder) -> None: ...


_INLINE_END: dict[str, Callable[[_Builder], None]] = {
    "a": _Builder._end_link,
    "br": _nothing,
    "code": _Builder._end_code,
    "img": _nothing,
    "sub": lambda builder: builder._end_script(lowered),
    "sup": lambda builder: builder._end_script(raised),
}


def _language(attributes: dict[str, str]) -> str:
    """The programming language that a block's class names, else nothing."""
    match = _LANGUAGE.search(attributes.get("class", "")[:200])
    name = match[1].lower() if match else ""
    return "" if name in _NO_LANGUAGE else name


def _first_number(attributes: dict[str, str]) -> int:
    text = attributes.get("start", "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,8}", text) else 1
