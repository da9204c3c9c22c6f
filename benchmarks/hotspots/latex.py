"""LaTeX: papers of bulk tars, and the copying of what is no macro."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.hotspots.core import Hotspot, compared, replaced, size_of
from benchmarks.latex_differential import papers
from stages.arxiv import ArxivSettings, read_paper
from stages.arxiv.expander import _TAKES, Expander, Scope
from stages.arxiv.lexer import WORD
from stages.arxiv.source import Source
from stages.arxiv.tree import Tree

_TEXT = re.compile(r"[^\\{}%]+")


def plain_copy(self: Expander, source: Source) -> str:
    """`Expander._copy` that writes one token after the other."""
    text, out = source.text, self.out
    while source.pos < len(text):
        place = source.pos
        first = text[place]
        if first == "\\":
            match = WORD[source.at].match(text, place)
            token = match[0] if match is not None else first
            name = token[1:]
            if name in self.macros or name in self.handlers or not name:
                return token
            self.copy(token)
            self._pending = _TAKES.get(name, self._pending)
        elif first == "{":
            token = first
            self.scopes.append(Scope("{", self._pending))
            self._pending = 0
            out.text(token)
        elif first in "}%" or first in source.short:
            return first
        else:
            match = _TEXT.match(text, place)
            token = match[0] if match is not None else ""
            if source.short:
                token = re.split(f"[{re.escape(source.short)}]", token, maxsplit=1)[0]
            self._pending = max(0, self._pending - len(token.strip()))
            out.text(token)
        source.pos = place + len(token)
    return ""


def measure(repeats: int, folder: Path) -> list[Hotspot]:
    found = _papers(folder)
    if not found:
        return []
    settings = ArxivSettings()
    trees = [Tree(files) for files in found]
    names = [(tree, name) for tree in trees for name in tree.names() if name.endswith(".tex")]

    def copied() -> list[str]:
        """Files without macros and handlers: what is left is the reading of tokens."""
        parts = []
        for tree, name in names:
            expander = Expander(tree, settings, {})
            expander.run(name)
            parts.append("".join(expander.out.parts))
        return parts

    def read() -> list[str]:
        return [repr(read_paper(files)) for files in found]

    def plainly(call: Callable[[], list[str]]) -> list[str]:
        with replaced(Expander, "_copy", plain_copy):
            return call()

    texts = [tree.text(name) for tree, name in names]
    return [
        compared(
            "LaTeX",
            "Expander._copy",
            size_of(texts),
            lambda: plainly(copied),
            copied,
            repeats,
        ),
        compared("LaTeX", "all: read_paper", size_of(texts), lambda: plainly(read), read, repeats),
    ]


def _papers(folder: Path) -> list[dict[str, bytes]]:
    """Files of all submissions."""
    tars = sorted((folder / "arxiv").glob("*.tar"))
    return [files for path in tars for _, files in papers(path)]
