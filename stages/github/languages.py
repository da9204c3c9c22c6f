"""The programming language of a file by its name alone.

Pygments lists the file names of some 500 languages; its public `get_all_lexers` gives them without
importing a lexer. Where several languages share a name, the one that is most common on GitHub is
taken: the content is not looked at, so a language costs one dictionary look-up.
"""

from __future__ import annotations

import fnmatch
import re
from functools import cache

from pygments.lexers import get_all_lexers

# The languages that Pygments has no file names for, or under a name that few would look for.
_FURTHER = {
    "*.ac": "M4",
    "*.adoc": "AsciiDoc",
    "*.am": "Makefile",
    "*.bats": "Bash",
    "*.bzl": "Starlark",
    "*.cls": "TeX",
    "*.command": "Bash",
    "*.csv": "CSV",
    "*.dockerfile": "Docker",
    "*.ejs": "HTML",
    "*.erb": "ERB",
    "*.f08": "Fortran",
    "*.f77": "FortranFixed",
    "*.f95": "Fortran",
    "*.for": "FortranFixed",
    "*.fpp": "Fortran",
    "*.glsl": "GLSL",
    "*.har": "JSON",
    "*.hpp.in": "C++",
    "*.ipynb": "Jupyter Notebook",
    "*.j2": "Django/Jinja",
    "*.json5": "JSON",
    "*.m4": "M4",
    "*.map": "JSON",
    "*.mdx": "Markdown",
    "*.mustache": "Handlebars",
    "*.pde": "Java",
    "*.phps": "PHP",
    "*.phpt": "PHP",
    "*.plist": "XML",
    "*.po": "Gettext Catalog",
    "*.pod": "Perl",
    "*.pot": "Gettext Catalog",
    "*.psd1": "PowerShell",
    "*.r": "R",
    "*.resx": "XML",
    "*.rmd": "Markdown",
    "*.sty": "TeX",
    "*.svelte": "Svelte",
    "*.svg": "SVG",
    "*.tab": "CSV",
    "*.texi": "Texinfo",
    "*.texinfo": "Texinfo",
    "*.tf": "Terraform",
    "*.tsv": "CSV",
    "*.xib": "XML",
    "BUILD": "Starlark",
    "BUILD.bazel": "Starlark",
    "Jenkinsfile": "Groovy",
    "Justfile": "Makefile",
    "Podfile": "Ruby",
    "WORKSPACE": "Starlark",
    "wscript": "Python",
}
# One language for each name that Pygments gives to several.
_PREFERRED = {
    "*.as": "ActionScript 3",
    "*.b": "Limbo",
    "*.bas": "VB.net",
    "*.cl": "Common Lisp",
    "*.cp": "C++",
    "*.def": "Modula-2",
    "*.feature": "Gherkin",
    "*.fs": "F#",
    "*.g": "GAP",
    "*.gd": "GDScript",
    "*.h": "C",
    "*.hh": "C++",
    "*.i": "SWIG",
    "*.inc": "PHP",
    "*.inf": "INI",
    "*.lean": "Lean4",
    "*.m": "Objective-C",
    "*.mm": "Objective-C++",
    "*.pl": "Perl",
    "*.pm": "Perl",
    "*.pro": "Prolog",
    "*.R": "R",
    "*.S": "GAS",
    "*.s": "GAS",
    "*.sc": "SuperCollider",
    "*.sql": "SQL",
    "*.t": "Perl",
    "*.toc": "TeX",
    "*.ttl": "Turtle",
    "*.v": "verilog",
    "*.xsl": "XSLT",
    "*.xslt": "XSLT",
}
_SUFFIX = re.compile(r"\*(\.[^*?\[\]]+)")


class _Names:
    """File names by language: whole names, suffixes (with their dot), and the rest as patterns."""

    def __init__(self) -> None:
        self.whole: dict[str, str] = {}
        self.suffixes: dict[str, str] = {}
        rest: list[tuple[str, str]] = []
        for pattern, language in sorted(_patterns().items()):
            if suffix := _SUFFIX.fullmatch(pattern):
                self.suffixes[suffix.group(1)] = language
            elif any(c in pattern for c in "*?["):
                rest.append((pattern, language))
            else:
                self.whole[pattern] = language
        self.rest = [(re.compile(fnmatch.translate(p)), language) for p, language in rest]

    def find(self, name: str) -> str | None:
        if name in self.whole:
            return self.whole[name]
        # The longest suffix first: `.blade.php` before `.php`.
        dots = [i for i, c in enumerate(name[:-1]) if c == "." and i][-4:]
        for dot in dots:
            if name[dot:] in self.suffixes:
                return self.suffixes[name[dot:]]
        for pattern, language in self.rest:
            if pattern.match(name):
                return language
        return None


def _patterns() -> dict[str, str]:
    found: dict[str, str] = {}
    for language, _, names, _ in sorted(get_all_lexers(plugins=False)):
        for name in names:
            found.setdefault(name, language)
    return {**found, **_PREFERRED, **_FURTHER}


@cache
def _names() -> _Names:
    return _Names()


def language_of(path: str) -> str | None:
    """Name of the language (as Pygments calls it) of a file with this path; None if unknown.

    Upper and lower case of the name count first (`.C` is C++); without a find, they do not.
    `name.in`, a template of `name`, has the language of `name`.
    """
    name = path.rpartition("/")[2][-128:]
    names = _names()
    found = names.find(name) or names.find(name.lower())
    if found is None and name.endswith(".in"):
        return names.find(name[:-3])
    return found
