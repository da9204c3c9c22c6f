"""What the expander reads from: files and replacement texts, one inside another."""

from __future__ import annotations

import re

from stages.arxiv.lexer import lexer


class Source:
    """A text being read. `file` is the name of a file, or "" for a macro's replacement text.

    `at`: whether `@` is a letter in it. `ended` names what was searched and does not occur behind
    `pos`, so that it is not searched again. `part`: a document of its own inside another one;
    `preamble`: its \\begin{document} is still to come. `style`: a style file, of which only
    definitions count.
    """

    __slots__ = (
        "at",
        "ended",
        "file",
        "part",
        "pattern",
        "pos",
        "preamble",
        "short",
        "style",
        "text",
    )

    def __init__(
        self,
        text: str,
        file: str = "",
        at: bool = False,
        short: str = "",
        style: bool = False,
        part: bool = False,
    ) -> None:
        self.text, self.file, self.at, self.short = text, file, at, short
        self.style, self.part, self.preamble = style, part, part
        self.pos = 0
        self.ended: set[str] = set()
        self.pattern: re.Pattern[str] = lexer(at, short)

    def letters(self, at: bool) -> None:
        self.at = at
        self.pattern = lexer(at, self.short)

    def shorten(self, characters: str) -> None:
        self.short = characters
        self.pattern = lexer(self.at, characters)

    def find(self, wanted: str) -> int:
        """Where `wanted` next occurs, or -1; each is searched in vain once only."""
        if wanted in self.ended:
            return -1
        place = self.text.find(wanted, self.pos)
        if place < 0:
            self.ended.add(wanted)
        return place
