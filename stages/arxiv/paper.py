"""A submission's TeX files to the text of a paper: pure, without archives and files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from stages.arxiv.expander import Expander
from stages.arxiv.main_file import choose, has_own_document
from stages.arxiv.settings import ArxivSettings
from stages.arxiv.structure import handlers
from stages.arxiv.title import title_of
from stages.arxiv.tree import Tree
from stages.outcomes import Reject

_LISTED = 20
_NOTICE = 1000  # characters: a notice in the place of a paper is shorter
_WITHDRAWN = re.compile(r"\bwithdr(?:awn|ew|aw)\b", re.I)


@dataclass(slots=True)
class Paper:
    """A paper's text, from its first section on; `meta` says what was read and removed.

    `files`: the TeX and style files that were read, in order.
    """

    text: str
    title: str | None
    files: list[str]
    meta: dict[str, Any] = field(default_factory=dict)


def read_paper(
    files: dict[str, bytes], settings: ArxivSettings | None = None, identifier: str = ""
) -> Paper | Reject:
    """The paper that `files` (TeX files by name) hold, or why there is none.

    Raises BombError where macros or files grow without end.
    """
    settings = settings or ArxivSettings()
    tree = Tree(files)
    choice = choose(tree, identifier)
    if choice.name is None:
        return Reject(choice.reason, choice.detail)
    tree.encoded_as(choice.name)
    main = tree.text(choice.name)
    plain = not has_own_document(main) and "\\begin{document}" not in main
    x = _expanded(tree, choice.name, settings, plain)
    if not x.in_document:
        # No \begin{document}, or one that is not understood: all of it is the document.
        x = _expanded(tree, choice.name, settings, plain=True)
    if x.out.first_section is None and settings.no_section == "reject":
        return Reject("no_section", choice.name)
    text = x.out.body()
    if not any(c.isalnum() for c in text):
        return Reject("empty", f"{choice.name}: nothing is left of it")
    if len(text) < _NOTICE and x.out.first_section is None and _WITHDRAWN.search(text):
        return Reject("withdrawn", " ".join(text.split())[:200])
    if len(text) < settings.min_chars:
        return Reject("too_short", f"{len(text)} characters")
    front = x.out.front()
    files_read = list(dict.fromkeys(x.files_read))
    meta: dict[str, Any] = {
        "main": choice.name,
        "files": len(files_read),
        "encodings": tree.encodings(),
        "macro_calls": x.calls,
        "front_chars": len(front),
        "bibliography_chars": x.out.bibliography_chars,
        "sections": x.out.first_section is not None,
    }
    if x.missing:
        meta["missing_files"] = sorted(x.missing)[:_LISTED]
    if choice.others:
        meta["other_documents"] = list(choice.others)
    if x.left_alone:
        meta["macro_calls_left"] = x.left_alone
    return Paper(text, title_of(front), files_read, meta)


def _expanded(tree: Tree, main: str, settings: ArxivSettings, plain: bool) -> Expander:
    x = Expander(tree, settings, handlers(settings))
    x.in_document = plain
    x.run(main)
    return x
