"""Wikitext: articles of dumps, and the structure of their links and templates."""

from __future__ import annotations

import bz2
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.hotspots.core import Hotspot, compared, replaced, size_of
from stages.wikipedia import wikitext
from stages.wikipedia.markup import EQUALS, VOID, Stash, clean, strip_tags
from stages.wikipedia.settings import WikipediaSettings
from stages.wikipedia.wikitext import WikitextConverter

_MARK = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|\|(?!\})|^[:;*# \t]{0,20}\{\||^[ \t]{0,20}\|\}(?!\}(?!\}))|\|"
    r"|\[(?:(?:https?|ftps?|sftp|ircs?|gopher|telnet|nntp|git|svn|ssh|worldwind):)?//"
    r"[^\s\[\]{}|<>\"]*|\[(?:mailto|news|tel|sip|geo|urn|magnet|xmpp):[^\s\[\]{}|<>\"]*|\]",
    re.MULTILINE,
)


def plain_structure(self: wikitext._Run, text: str) -> str:
    """`_Run.structure` that looks at each mark of each link."""
    out: list[str] = []
    stack: list[wikitext._Frame] = []
    open_kinds = [0, 0, 0, 0]
    position = 0
    while (token := _MARK.search(text, position)) is not None:
        start, position = token.span()
        mark = token.group()
        self._append(text[token.pos : start], stack, out, open_kinds)
        if mark == "|":
            if stack and stack[-1].kind in (wikitext._TEMPLATE, wikitext._LINK):
                stack[-1].args.append([])
            else:
                self._append(mark, stack, out, open_kinds)
            continue
        if mark == "]]" and stack and stack[-1].kind == wikitext._URL:
            mark, position = "]", start + 1
        kind, opens = wikitext._kind(mark)
        if opens:
            stack.append(wikitext._Frame(kind, len(self.dropped)))
            open_kinds[kind] += 1
            continue
        if not open_kinds[kind] or (mark == "]" and stack[-1].kind != wikitext._URL):
            self._append(mark, stack, out, open_kinds)
            continue
        depth = len(stack)
        value = self._closed(wikitext._popped(kind, stack, open_kinds), depth)
        if stack and stack[-1].kind == wikitext._TEMPLATE:
            value = value.replace("=", EQUALS)
        self._append(value or VOID, stack, out, open_kinds)
    self._append(text[position:], stack, out, open_kinds)
    for frame in stack:
        out.extend(wikitext._flat(frame))
    return "".join(out)


def measure(repeats: int, folder: Path) -> list[Hotspot]:
    pages = _pages(folder)
    if not pages:
        return []
    convert = WikitextConverter(WikipediaSettings(), "en")
    stripped = [(title, strip_tags(clean(text), Stash(), True, True)) for title, text in pages]

    def structure() -> list[tuple[str, list[str]]]:
        found = []
        for title, text in stripped:
            run = wikitext._Run(convert._templates, convert._hidden, title)
            found.append((run.structure(text), run.dropped))
        return found

    def whole() -> list[wikitext.PlainText]:
        return [convert(text, title) for title, text in pages]

    def plainly(call: Callable[[], list[Any]]) -> list[Any]:
        with replaced(wikitext._Run, "structure", plain_structure):
            return call()

    size = size_of([text for _, text in pages])
    return [
        compared(
            "wikitext", "_Run.structure", size, lambda: plainly(structure), structure, repeats
        ),
        compared(
            "wikitext", "all: WikitextConverter", size, lambda: plainly(whole), whole, repeats
        ),
    ]


def _pages(folder: Path) -> list[tuple[str, str]]:
    """Title and wikitext of the articles of the two largest dumps."""
    dumps = sorted(folder.rglob("*wiki*.xml"), key=_largest_first)[:1]
    dumps += sorted(folder.rglob("*wiki*.xml.bz2"), key=_largest_first)[:1]
    found = []
    for path in dumps:
        with bz2.open(path) if path.suffix == ".bz2" else path.open("rb") as stream:
            for _, element in ElementTree.iterparse(stream):
                if element.tag.rpartition("}")[2] == "page":
                    fields = {e.tag.rpartition("}")[2]: e.text or "" for e in element.iter()}
                    if fields.get("ns", "0") == "0" and fields.get("text"):
                        found.append((fields["title"], fields["text"]))
                    element.clear()
    return found


def _largest_first(path: Path) -> tuple[int, str]:
    return -path.stat().st_size, str(path)
