"""First pass over wikitext: comments and tags.

Extension tags (`<ref>`, `<math>`, `<gallery>`, ...) hold text that is no wikitext, up to the first
end tag, so they go before anything else is read. What must survive unread is put aside in a
`Stash` and comes back at the end.
"""

from __future__ import annotations

import re

# Control characters cannot occur in XML 1.0; `clean` removes them from bare files. They mark
# places in the text between the passes.
STASH_OPEN, STASH_CLOSE = "\x01", "\x02"
SUP_OPEN, SUP_CLOSE, SUB_OPEN, SUB_CLOSE = "\x03", "\x04", "\x05", "\x06"
EQUALS = "\x07"
BREAK = "\x08"
VOID = "\x0e"  # where something was dropped
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffe\uffff]")
_STASHED = re.compile(f"{STASH_OPEN}(\\d{{1,9}}){STASH_CLOSE}")

_TAG = re.compile(r"<!--|<(/?)([a-zA-Z][a-zA-Z0-9]{0,30})((?:[\s/][^<>]*)?)>")
_HIDDEN = re.compile(r"display\s{0,5}:\s{0,5}none|visibility\s{0,5}:\s{0,5}hidden", re.IGNORECASE)
_HEADING = re.compile(r"\n={2,6}[^=\n]")

_DROPPED_WORDS = """
ref references gallery timeline score graph mapframe maplink imagemap templatestyles indicator
inputbox categorytree hiero templatedata includeonly rt rp section charinsert dynamicpagelist
listing style script rss randomimage choose phonos
"""
_DROPPED = frozenset(_DROPPED_WORDS.split())
_MATH = frozenset({"math", "chem", "ce"})
_CODE = frozenset({"pre", "syntaxhighlight", "source"})
_BLOCK_WORDS = """
p div blockquote center ul ol dl dd dt poem hr section tr caption
"""
_BLOCK = frozenset(_BLOCK_WORDS.split())
_INLINE_WORDS = """
abbr b bdi bdo big cite code data del dfn em font i ins kbd mark noinclude onlyinclude q rb rbc
rtc ruby s samp small span strike strong time tt u var wbr td th tbody thead tfoot col colgroup
noinclude translate tvar languages
"""
_INLINE = frozenset(_INLINE_WORDS.split())
_MARKS = {
    ("sup", ""): SUP_OPEN, ("sup", "/"): SUP_CLOSE,
    ("sub", ""): SUB_OPEN, ("sub", "/"): SUB_CLOSE,
    ("table", ""): "\n{|\n", ("table", "/"): "\n|}\n",
    ("li", ""): "\n* ", ("li", "/"): "",
}  # fmt: skip
# A reference that is not closed runs to the next one's end and would take the text between.
_MAX_REF_CHARS = 20_000


class Stash:
    """Texts put aside, each standing in the text as a marker."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def put(self, text: str) -> str:
        self._texts.append(text)
        return f"{STASH_OPEN}{len(self._texts) - 1}{STASH_CLOSE}"

    def restore(self, text: str) -> str:
        return _STASHED.sub(self._get, text) if self._texts else text

    def _get(self, match: re.Match[str]) -> str:
        index = int(match.group(1))
        return self._texts[index] if index < len(self._texts) else ""


def clean(wikitext: str) -> str:
    """Line ends as "\\n", no control characters."""
    text = wikitext.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)


class _Closers:
    """Finds end tags; remembers which names have none further on, so that many unclosed tags
    cost one search and not one each."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._none: set[str] = set()

    def find(self, name: str, position: int) -> re.Match[str] | None:
        if name in self._none:
            return None
        pattern = self._patterns.get(name)
        if pattern is None:
            pattern = re.compile(rf"</{name}\s{{0,20}}>", re.IGNORECASE)
            self._patterns[name] = pattern
        found = pattern.search(self._text, position)
        if found is None:
            self._none.add(name)
        return found


def strip_tags(text: str, stash: Stash, keep_math: bool, keep_code: bool) -> str:
    """Text without comments and tags; what some of them hold is in `stash`."""
    if "<" not in text:
        return text
    out: list[str] = []
    closers = _Closers(text)
    position = 0
    while (tag := _TAG.search(text, position)) is not None:
        out.append(text[position : tag.start()])
        position = tag.end()
        if tag.group() == "<!--":
            end = text.find("-->", position)
            position = len(text) if end < 0 else end + 3
            # A comment alone on its line takes the line with it.
            before = out[-1] or (out[-2] if len(out) > 1 else "")
            if before.endswith("\n") and text.startswith("\n", position):
                position += 1
            continue
        slash, name, attributes = tag.group(1), tag.group(2).lower(), tag.group(3)
        if (mark := _MARKS.get((name, slash))) is not None:
            out.append(mark)
        elif name == "br":
            out.append(BREAK)
        elif name in _INLINE or name in _BLOCK:
            if name in _BLOCK:
                out.append("\n")
            elif not slash and attributes and _HIDDEN.search(attributes):
                end_tag = closers.find(name, position)
                position = end_tag.end() if end_tag else position
        elif name in _DROPPED or name in _MATH or name in _CODE or name == "nowiki":
            if slash or attributes.endswith("/"):
                out.append(stash.put("") if name == "nowiki" else VOID)
                continue
            end_tag = closers.find(name, position)
            if end_tag is None or (name == "ref" and _runs_away(text, position, end_tag.start())):
                continue
            content = text[position : end_tag.start()]
            position = end_tag.end()
            if name == "nowiki":
                out.append(stash.put(content))
            elif name in _MATH and keep_math:
                out.append(stash.put(f"${' '.join(content.split())}$"))
            elif name in _CODE and keep_code:
                out.append("\n" + stash.put(content.strip("\n")) + "\n")
            else:
                out.append(VOID)
        else:
            out.append(tag.group())
    out.append(text[position:])
    return "".join(out)


def _runs_away(text: str, start: int, end: int) -> bool:
    return end - start > _MAX_REF_CHARS or _HEADING.search(text, start, end) is not None
