"""What a document is made of: where it begins and ends, and its environments; all handlers."""

from __future__ import annotations

import re

from stages.arxiv import (
    bibliography,
    choices,
    conditions,
    definitions,
    environments,
    headings,
    inputs,
    signatures,
    verbatim,
)
from stages.arxiv.expander import Expander, Handler
from stages.arxiv.lexer import WORD, blanks_end
from stages.arxiv.settings import ArxivSettings
from stages.arxiv.source import Source
from stages.arxiv.words import words

_ENVIRONMENT = re.compile(r"\s*\{([^{}\\%\n]{1,120})\}")
_FRONT_ENVIRONMENTS = words(
    """
    abstract keyword keywords IEEEkeywords AMS MSCcodes CCSXML frontmatter highlights
    graphicalabstract titlepage abstract* Abstract resume significancestatement
    """
)
_AMSPPT = re.compile(r"\s*(?:\[[^\]]{0,100}\]\s*)?\{\s*amsppt")
_CATCODE = re.compile(r"\s*`\\?(.)\s*(?:=\s*)?(\d{1,3}|\\active)\s?")
# The exceptions of the xspace package; blanks themselves were kept.
_NO_SPACE = re.compile(r"[\s.,'/?;:!~)\]{}%-]|\\(?:[^A-Za-z]|footnote|xspace)")
_FLOATS = ("figure", "figure*", "table", "table*", "appendix", "appendices", "subappendices")


def begin(x: Expander, source: Source, start: int) -> bool:
    """\\begin{name}."""
    match = _ENVIRONMENT.match(source.text, source.pos)
    if match is None:
        return False
    name = match.group(1).strip()
    after = source.pos
    source.pos = match.end()
    if name in verbatim.ENVIRONMENTS or name in x.verbatims:
        if verbatim.environment(x, source, start, name):
            return True
    elif name in x.comments:
        if verbatim.comment(x, source, name):
            return True
    elif name in ("filecontents", "filecontents*"):
        if verbatim.file_contents(x, source, name):
            return True
    elif name == "document":
        return _document(x, source)
    elif name in x.environments and environments.begin(x, source, name):
        return True
    elif name in x.settings.bibliography_environments:
        if x.out.bibliography is None:
            x.out.bibliography = name
        x.appended = x.appended or x.in_document
        return True
    if x.out.bibliography == "*" and (name in _FLOATS or name.lower().startswith("acknowledg")):
        x.out.bibliography = None
    if name in _FLOATS[4:] and x.settings.appendix == "cut" and x.in_document and x.out.open:
        x.stop()
        return True
    x.open_scope(name)
    source.pos = match.end()
    x.copy(source.text[start:after])
    x.out.text(source.text[after : match.end()])
    return True


def _document(x: Expander, source: Source) -> bool:
    file = x.file()
    if file.preamble:
        file.preamble = False
        x.out.hold -= 1
    elif not x.in_document:
        x.in_document = True
        x.out.first_section = None  # what looked like one in the preamble was none
        x.out.front_ends(titled=False)
    x.swallow_line(source)
    return True


def end(x: Expander, source: Source, start: int) -> bool:
    """\\end{name}; \\end alone ends a document of plain TeX."""
    match = _ENVIRONMENT.match(source.text, source.pos)
    if match is None:
        if not x.latex and x.next_char() != "{":
            x.stop()
            return True
        return False
    name = match.group(1).strip()
    after = source.pos
    source.pos = match.end()
    if name == "document":
        x.end_document()
        return True
    if x.out.bibliography == name:
        x.out.bibliography = None
        x.swallow_line(source)
        return True
    if environments.end(x, source, name):
        return True
    if name in x.comments:
        return True  # an environment inside another: TeX would stumble over it
    x.close(name)
    x.copy(source.text[start:after])
    x.out.text(source.text[after : match.end()])
    if name in _FRONT_ENVIRONMENTS and x.out.first_section is None:
        x.out.front_ends()
    return True


def protect(x: Expander, source: Source, start: int) -> bool:
    """\\protect goes where what it protects is put in place."""
    match = WORD[source.at].match(source.text, blanks_end(source.text, source.pos))
    macro = x.macros.get(match.group()[1:]) if match is not None else None
    if match is None or macro is None or not macro.usable:
        return False
    source.pos = match.start()
    return True


def appendix(x: Expander, source: Source, start: int) -> bool:
    if not x.in_document:
        return False
    x.appended = True
    if x.out.bibliography == "*":
        x.out.bibliography = None
    if x.settings.appendix == "cut" and x.out.open:
        x.stop()
        return True
    return False


def end_plain_document(x: Expander, source: Source, start: int) -> bool:
    """\\bye, and \\enddocument of AMS-TeX."""
    if x.latex:
        return False
    x.stop()
    return True


def front(x: Expander, source: Source, start: int) -> bool:
    """\\maketitle and the like: what follows may be text."""
    if x.in_document and x.out.first_section is None:
        x.copy(source.text[start : source.pos])
        x.out.front_ends()
        return True
    return False


def document_class(x: Expander, source: Source, start: int) -> bool:
    if not x.out.hold and not _AMSPPT.match(source.text, source.pos):
        x.latex = True
    return False


def end_input(x: Expander, source: Source, start: int) -> bool:
    """\\endinput: the file ends with this line."""
    file = x.file()
    line = file.text.find("\n", file.pos)
    if line >= 0:
        file.text = file.text[: line + 1]
    return True


def letters(x: Expander, source: Source, start: int) -> bool:
    """\\makeatletter and \\makeatother."""
    x.file().letters(source.text.startswith("makeatletter", start + 1))
    x.swallow_blanks(source)
    return True


def category_code(x: Expander, source: Source, start: int) -> bool:
    """\\catcode`\\@=11 makes `@` a letter; the codes of other characters are not followed."""
    match = _CATCODE.match(source.text, source.pos)
    if match is None or match.group(1) != "@":
        return False
    source.pos = match.end()
    x.file().letters(match.group(2) == "11")
    return True


def xspace(x: Expander, source: Source, start: int) -> bool:
    """A blank, unless one or a punctuation mark follows."""
    if source.file:
        return False
    for reading in reversed(x.stack):
        if reading.pos < len(reading.text):
            if not _NO_SPACE.match(reading.text, reading.pos):
                x.out.text(" ")
            break
    return True


def one_dot(x: Expander, source: Source, start: int) -> bool:
    """\\onedot of the CVPR style, in its \\eg and \\ie: a full stop, unless one follows."""
    if x.next_char() != ".":
        x.out.text(".")
    return True


def handlers(settings: ArxivSettings) -> dict[str, Handler]:
    """All commands that do something, by name without backslash."""
    return {
        **definitions.HANDLERS,
        **conditions.HANDLERS,
        **signatures.HANDLERS,
        **choices.HANDLERS,
        **environments.HANDLERS,
        **verbatim.HANDLERS,
        **inputs.HANDLERS,
        **headings.handlers(settings.sections),
        **bibliography.HANDLERS,
        "protect": protect,
        **dict.fromkeys(("maketitle", "endabstract", "endtopmatter", "maketitlepage"), front),
        **dict.fromkeys(("documentclass", "documentstyle"), document_class),
        **dict.fromkeys(("makeatletter", "makeatother"), letters),
        "appendix": appendix,
        "begin": begin,
        "end": end,
        "endinput": end_input,
        **dict.fromkeys(("bye", "enddocument"), end_plain_document),
        "catcode": category_code,
        "xspace": xspace,
        "onedot": one_dot,
    }
