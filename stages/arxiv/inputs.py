"""\\input and its kin: a file is read where it is named."""

from __future__ import annotations

import posixpath
import re

from stages.arxiv.arguments import read_items
from stages.arxiv.expander import Expander, Handler
from stages.arxiv.main_file import has_own_document
from stages.arxiv.source import Source

_ENDINGS = (".tex", ".ltx", ".latex")
_BRACED = re.compile(r"\s*\{([^{}%]{1,300})\}")
_BARE = re.compile(r"[ \t]*(?:\"([^\"\n]{1,300})\"|([^\s\\{}%\"]{1,300})) ?")
_OF_TEX = re.compile(r"\.(?:sty|cls|def|cfg|ldf|fd|clo|ltx|map|pool)$", re.I)
_CONTROL = re.compile(r"\\([A-Za-z@]+)\s*(?:\{\})?")
_OPTIONS = re.compile(r"\s*\[[^\]]{0,2000}\]")
_MAX_READ = 5000  # files read in one paper, repeats counted
_FIND_COST = 100  # steps of work that looking for a file stands for


def _argument(x: Expander, source: Source, bare: bool = False) -> str | None:
    """Reads a file's name, in which macros stand for text."""
    match = _BRACED.match(source.text, source.pos)
    if match is None and bare:
        match = _BARE.match(source.text, source.pos)
    if match is None:
        return None
    source.pos = match.end()
    name = next(group for group in match.groups() if group is not None)
    return _CONTROL.sub(lambda m: _text_of(x, m), name)


def _text_of(x: Expander, match: re.Match[str]) -> str:
    """What a macro stands for in a file's name."""
    macro = x.macros.get(match.group(1))
    if macro is None or not macro.usable or macro.arity or macro.alias is not None:
        return match.group()
    return macro.replacement([]).replace("\\xspace", "")


def _folders(x: Expander, first: str = "") -> list[str]:
    """Where TeX would look: beside the main file, then beside the file being read."""
    main = posixpath.dirname(x.stack[0].file)
    here = posixpath.dirname(x.file().file)
    places = [posixpath.join(here, first), posixpath.join(main, first)] if first else [main, here]
    return list(dict.fromkeys([*places, ""]))


def _read(x: Expander, source: Source, name: str, folders: list[str]) -> bool:
    if name.lower().endswith((".bbl", ".bib")):
        return True  # the bibliography
    x.charge(_FIND_COST)
    found = x.tree.find(name, folders, _ENDINGS)
    if found is None or x.is_open(found) or len(x.files_read) >= _MAX_READ:
        x.missing.add(name[:100])
        return False
    if found.lower().endswith(".bbl"):
        return True
    x.open_file(found, part=has_own_document(x.tree.text(found)))
    return True


def include(x: Expander, source: Source, start: int) -> bool:
    """\\input{name}, \\input name, \\include{name}, \\subfile{name}."""
    after = source.pos
    name = _argument(x, source, bare=source.text.startswith("input", start + 1))
    if name is None or not _read(x, source, name, _folders(x)):
        source.pos = after
        return False
    return True


def if_exists(x: Expander, source: Source, start: int) -> bool:
    """\\IfFileExists{name}{A}{B}, and \\InputIfFileExists, which reads the file after A.

    Style files that are not in the submission may be everywhere else; then nothing is decided.
    """
    after = source.pos
    name = _argument(x, source)
    items = read_items(x, source, 2) if name is not None else None
    if name is None or items is None:
        source.pos = after
        return False
    x.charge(_FIND_COST)
    found = x.tree.find(name, _folders(x), _ENDINGS)
    if found is None and _OF_TEX.search(name):
        source.pos = after
        return False
    if found is not None and source.text.startswith("Input", start + 1) and not x.is_open(found):
        _read(x, source, name, _folders(x))
    x.push(items[0] if found is not None else items[1], source)
    return True


def import_from(x: Expander, source: Source, start: int) -> bool:
    """\\import{folder}{name} and its forms."""
    after = source.pos
    if source.text.startswith("*", source.pos):
        source.pos += 1
    folder = _argument(x, source)
    name = _argument(x, source) if folder is not None else None
    if folder is None or name is None or not _read(x, source, name, _folders(x, folder)):
        source.pos = after
        return False
    return True


def packages(x: Expander, source: Source, start: int) -> bool:
    """\\usepackage{names}: reads the definitions in style files of the submission."""
    match = _OPTIONS.match(source.text, source.pos)
    match = _BRACED.match(source.text, match.end() if match is not None else source.pos)
    if match is None or not x.settings.local_packages:
        return False
    x.out.text(source.text[start : match.end()])
    source.pos = match.end()
    names = [name.strip() for name in match.group(1).split(",")]
    for name in reversed(names):  # the one opened last is read first
        found = x.tree.find(name, _folders(x), (".sty",)) if name else None
        if found is not None and found.lower().endswith(".sty") and not x.is_open(found):
            x.open_file(found, style=True)
    return True


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("input", "include", "subfile", "subfileinclude"), include),
    **dict.fromkeys(("IfFileExists", "InputIfFileExists"), if_exists),
    **dict.fromkeys(
        (
            *("import", "subimport", "includefrom", "subincludefrom", "inputfrom"),
            "subinputfrom",
        ),
        import_from,
    ),
    **dict.fromkeys(("usepackage", "RequirePackage"), packages),
}
