"""Bibliographies that no heading begins: commands that typeset one, and those of AMS-TeX."""

from __future__ import annotations

import re

from stages.arxiv.expander import Expander, Handler
from stages.arxiv.lexer import blanks_end, bracket_end, group_end
from stages.arxiv.source import Source

_WITH_ARGUMENT = re.compile(r"\s*(?:\[[^\[\]]{0,1000}\]\s*)?(\{)")


def bibliography(x: Expander, source: Source, start: int) -> bool:
    """\\bibliography{files}, \\printbibliography[options] and their kin leave no text."""
    text = source.text
    command = text[start + 1 : source.pos]
    x.appended = x.appended or (x.in_document and command in ("bibliography", "printbibliography"))
    if command.startswith("print"):
        place = blanks_end(text, source.pos)
        stop = bracket_end(text, place + 1, 5000, x.charge) if text.startswith("[", place) else -1
        source.pos = max(source.pos, stop)
    elif (match := _WITH_ARGUMENT.match(text, source.pos)) is not None:
        stop = group_end(text, match.start(1), 5000, x.charge)
        if stop < 0:
            return False
        source.pos = stop
    x.swallow_line(source)
    return True


def open_references(x: Expander, source: Source, start: int) -> bool:
    """\\Refs of AMS-TeX and \\references of others, up to \\endRefs or \\endreferences."""
    closing = "end" + source.text[start + 1 : source.pos]
    if x.latex or x.out.bibliography is not None:
        return False
    if closing != "endRefs" and source.find("\\" + closing) < 0:
        return False
    x.out.bibliography = closing
    return True


def close_references(x: Expander, source: Source, start: int) -> bool:
    if x.out.bibliography != source.text[start + 1 : source.pos]:
        return False
    x.out.bibliography = None
    return True


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(
        (
            *("bibliography", "printbibliography", "bibliographystyle", "nocite"),
            *("printbibheading", "nobibliography", "bibliographyunit", "addbibresource"),
        ),
        bibliography,
    ),
    **dict.fromkeys(("Refs", "references"), open_references),
    **dict.fromkeys(("endRefs", "endreferences"), close_references),
}
