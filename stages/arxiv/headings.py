"""Headings: which begins the text, and which hides the bibliography that follows it."""

from __future__ import annotations

import re

from stages.arxiv.expander import Expander, Handler, Scope
from stages.arxiv.source import Source

_HEADING = re.compile(
    r"\s*(?:\*\s*)?(?:\[[^\[\]]{0,300}\]\s*)?\{([^{}]{0,100}(?:\{[^{}]{0,100}\}[^{}]{0,100})?)\}"
)
_SECTION = re.compile(r"\s*(?:\*\s*)?[\[{]")
# Headings of plain TeX: to the end of the line, or to \\endhead.
_PLAIN_HEADING = re.compile(
    r"\s*(?:\{([^{}]{0,100})\}|(?=\S)([^\n\\{}]{0,100})(?:\n|\\end(?:sub)?head))"
)
_REFERENCES = re.compile(
    r"(?:list of |main |selected |additional |supplement(?:al|ary) |cited |bibliographic(?:al)? )?"
    r"(?:references?|bibliography)(?: cited| and (?:foot|end)?notes| and links)?"
    r"|notes and references|(?:literature|works) cited|cited (?:literature|works)"
    r"|bibliographie|r[eé]f[eé]rences(?: bibliographiques)?|literaturverzeichnis",
    re.IGNORECASE,
)
# These may head a review in prose too: they are bibliographies where a list follows.
_PERHAPS_REFERENCES = re.compile(r"literature?|works|sources", re.IGNORECASE)
_LIST = re.compile(
    r"\s*(?:\}\s*)?(?:\\(?:label|addcontentsline|vspace|noindent|small|footnotesize|par)\b\*?"
    r"(?:\{[^{}]{0,80}\}){0,3}\s*){0,5}"
    r"(?:\\begin\s*\{(?:enumerate|itemize|description|list|trivlist|thebib)|\\item|\\bib|\[|\(?1[.)\]])"
)
_RUN_IN = ("paragraph", "subparagraph")
_BACK_MATTER = re.compile(
    r"acknowledge?ments?.*|append(?:ix|ices)\b.*|supplement.*|supporting .*|end matter"
    r"|(?:materials? and )?methods?|methods? (?:and materials?|summary)|experimental section"
    r"|(?:author|code|data|software|additional|competing|conflicts? of|declaration|ethic|funding)"
    r"\b.*|references.*|bibliography.*",
    re.IGNORECASE,
)
# Pandoc puts a heading into the second argument of \\hypertarget, which is no part of the text.
_WRAPPED = re.compile(
    r"\s*\{[^{}%]{0,300}\}\s*\{\s*(?:%[^\n]{0,100}\n\s*)?"
    r"(?=\\(?:part|chapter|(?:sub){0,2}section|(?:sub)?paragraph)(?![A-Za-z]))"
)
_NO_TITLE = re.compile(r"\\[a-zA-Z]+|[{}.:~*\d\s]+")
_FRONT_TITLES = ("abstract", "abstracts", "résumé", "zusammenfassung", "keywords", "key words")
_PLAIN_SECTIONS = ("head", "heading", "subhead", "subheading")


def section(x: Expander, source: Source, start: int) -> bool:
    """A section's heading begins; one that is titled as the bibliography hides what follows."""
    command = source.text[start + 1 : source.pos]
    plain = command in _PLAIN_SECTIONS
    if plain and x.latex:
        return False  # not what AMS-TeX means by it
    if plain or command == "beginsection":
        heading = _PLAIN_HEADING.match(source.text, source.pos)
        title = (heading[1] or heading[2] or "") if heading is not None else ""
    else:
        named = _SECTION.match(source.text, source.pos) or x.next_char() in ("{", "[")
        if not named:  # the command is only mentioned, not used
            return False
        heading = _HEADING.match(source.text, source.pos)
        title = heading[1] if heading is not None else ""
    if not x.in_document or x.within("abstract"):
        return False
    title = _NO_TITLE.sub(" ", title).strip()
    if x.out.first_section is None and title.lower() in _FRONT_TITLES:
        return False
    hidden = x.out.bibliography
    if hidden not in (None, "*") and x.file().find(f"\\end{{{hidden}}}") < 0:
        x.out.bibliography = None  # the environment is never closed
    back = x.appended or _BACK_MATTER.fullmatch(title) is not None
    x.out.section_begins(weak=back or command in _RUN_IN)
    if (
        x.settings.reference_sections
        and heading is not None
        and x.out.open
        and (
            _REFERENCES.fullmatch(title)
            or (_PERHAPS_REFERENCES.fullmatch(title) and _LIST.match(source.text, heading.end()))
        )
    ):
        x.out.bibliography = "*"
    return False


def wrapped_heading(x: Expander, source: Source, start: int) -> bool:
    r"""\hypertarget{name}{\section{...}}, as pandoc writes it: the braces go."""
    match = _WRAPPED.match(source.text, source.pos)
    if match is None:
        return False
    source.pos = match.end()
    x.scopes.append(Scope("{", silent=True))
    return True


def handlers(sections: tuple[str, ...]) -> dict[str, Handler]:
    """Those of the commands that begin sections."""
    return {
        **dict.fromkeys((*sections, *_PLAIN_SECTIONS), section),
        "hypertarget": wrapped_heading,
    }
