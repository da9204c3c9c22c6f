"""What a document is made of: where it begins and ends, sections, bibliography, environments."""

from __future__ import annotations

import re

from stages.arxiv import conditions, definitions, inputs, verbatim
from stages.arxiv.expander import Expander, Handler
from stages.arxiv.lexer import group_end
from stages.arxiv.settings import ArxivSettings
from stages.arxiv.source import Source

_ENVIRONMENT = re.compile(r"\s*\{([^{}\\%\n]{1,120})\}")
_HEADING = re.compile(
    r"\s*(?:\*\s*)?(?:\[[^\[\]]{0,300}\]\s*)?\{([^{}]{0,100}(?:\{[^{}]{0,100}\}[^{}]{0,100})?)\}"
)
_SECTION = re.compile(r"\s*(?:\*\s*)?[\[{]")
_REFERENCES = re.compile(
    r"(?:list of )?(?:references?|literature|works)(?: and notes| cited)?"
    r"|bibliography|bibliographie|r[eé]f[eé]rences|literatur(?:verzeichnis)?",
    re.IGNORECASE,
)
_WITH_ARGUMENT = re.compile(r"\s*(?:\[[^\[\]]{0,1000}\]\s*)?(\{)")
_OPTION = re.compile(r"\s*\[[^\[\]]{0,1000}\]")
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
    elif name in x.settings.bibliography_environments:
        if x.out.bibliography is None:
            x.out.bibliography = name
        return True
    if name in _FLOATS and x.out.bibliography == "*":
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
        x.out.front_ends()
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
    x.close(name)
    x.copy(source.text[start:after])
    x.out.text(source.text[after : match.end()])
    if name == "abstract" and x.out.first_section is None:
        x.out.front_ends()
    return True


def section(x: Expander, source: Source, start: int) -> bool:
    """A section's heading begins; one that is titled as the bibliography hides what follows."""
    named = _SECTION.match(source.text, source.pos) or x.next_char() in ("{", "[")
    # Else the command is only mentioned, not used; but plain TeX's takes the rest of its line.
    if not named and not source.text.startswith("beginsection", start + 1):
        return False
    if x.in_document:
        x.out.section_begins()
        heading = _HEADING.match(source.text, source.pos)
        if (
            x.settings.reference_sections
            and heading is not None
            and x.out.open
            and _REFERENCES.fullmatch(re.sub(r"\\[a-zA-Z]+|[{}.:\d\s]+", " ", heading[1]).strip())
        ):
            x.out.bibliography = "*"
    return False


def appendix(x: Expander, source: Source, start: int) -> bool:
    if not x.in_document:
        return False
    if x.out.bibliography == "*":
        x.out.bibliography = None
    if x.settings.appendix == "cut" and x.out.open:
        x.stop()
        return True
    return False


def bibliography(x: Expander, source: Source, start: int) -> bool:
    """\\bibliography{files}, \\printbibliography[options] and their kin leave no text."""
    match = _WITH_ARGUMENT.match(source.text, source.pos)
    option = _OPTION.match(source.text, source.pos)
    if match is not None and not source.text.startswith("print", start + 1):
        stop = group_end(source.text, match.start(1), 5000, x.charge)
        if stop < 0:
            return False
        source.pos = stop
    elif option is not None:
        source.pos = option.end()
    x.swallow_line(source)
    return True


def open_references(x: Expander, source: Source, start: int) -> bool:
    """\\Refs of AMS-TeX, up to \\endRefs."""
    if x.latex or x.out.bibliography is not None:
        return False
    x.out.bibliography = "endRefs"
    return True


def close_references(x: Expander, source: Source, start: int) -> bool:
    if x.out.bibliography != "endRefs":
        return False
    x.out.bibliography = None
    return True


def front(x: Expander, source: Source, start: int) -> bool:
    """\\maketitle and the like: what follows may be text."""
    if x.in_document and x.out.first_section is None:
        x.copy(source.text[start : source.pos])
        x.out.front_ends()
        return True
    return False


def document_class(x: Expander, source: Source, start: int) -> bool:
    if not x.out.hold:
        x.latex = True
    return False


def end_input(x: Expander, source: Source, start: int) -> bool:
    """\\endinput: the file ends with this line."""
    file = x.file()
    line = file.text.find("\n", file.pos)
    if line >= 0:
        file.text = file.text[: line + 1]
    return True


def bye(x: Expander, source: Source, start: int) -> bool:
    if x.latex:
        return False
    x.stop()
    return True


def letters(x: Expander, source: Source, start: int) -> bool:
    """\\makeatletter and \\makeatother."""
    x.file().letters(source.text.startswith("makeatletter", start + 1))
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
        **verbatim.HANDLERS,
        **inputs.HANDLERS,
        **dict.fromkeys(settings.sections, section),
        **dict.fromkeys(
            (
                *("bibliography", "printbibliography", "bibliographystyle", "nocite"),
                *("printbibheading", "nobibliography", "bibliographyunit", "addbibresource"),
            ),
            bibliography,
        ),
        **dict.fromkeys(("maketitle", "endabstract", "endtopmatter", "maketitlepage"), front),
        **dict.fromkeys(("documentclass", "documentstyle"), document_class),
        **dict.fromkeys(("makeatletter", "makeatother"), letters),
        "appendix": appendix,
        "begin": begin,
        "end": end,
        "Refs": open_references,
        "endRefs": close_references,
        "endinput": end_input,
        "bye": bye,
        "catcode": category_code,
        "xspace": xspace,
        "onedot": one_dot,
    }
