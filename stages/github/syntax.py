"""Comments by language: the marks of line comments, block comments and documentation strings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a language writes comments. All marks are regular expressions, tried where a line's
    first visible character stands.

    line: the mark of a comment up to the line's end.
    block: opening and closing mark of comments over several lines.
    nested: whether block comments nest.
    lines: first and last line of comments that consist of whole lines (`=pod` to `=cut`).
    docstrings: whether a string alone, in three quotes, is documentation.
    bracket: the mark before a long bracket (`[[`, `[=[`, `[==[`, ...): a comment up to the closing
        bracket of the same level.
    column: marks of line comments that count in the first column only (fixed-form Fortran).
    indented: reStructuredText, where `..` opens a comment that lasts as long as the indentation.
    front: pinned lines of this language: neither code nor comment, and never removed.
    """

    line: str | None = None
    block: tuple[tuple[str, str], ...] = ()
    nested: bool = False
    lines: tuple[tuple[str, str], ...] = ()
    docstrings: bool = False
    bracket: str | None = None
    column: str | None = None
    indented: bool = False
    front: str | None = None


_C_BLOCK = (r"/\*", r"\*/")
_XML_BLOCK = (r"<!--(?!\s*\[if|\s*#|\[CDATA)", r"-->")  # conditional and server comments are code
_ML_BLOCK = (r"\(\*(?!\))", r"\*\)")
_LISP_BLOCK = (r"#\|", r"\|#")
_HASKELL_BLOCK = (r"\{-(?!#)", r"-\}")
_REM = r"(?i:@?rem)(?=\s|$)"
_PRAGMA_ONCE = r"#pragma[ \t]+once[ \t\r]*$"
_USE = r"(['\"])use (?:strict|client|server|asm)\1;?[ \t\r]*$"
_XML_FRONT = r"<\?xml[^>]{0,500}\?>|<!(?i:doctype)[^>\[]{0,500}>"
_POD = (r"=(?:pod|head\d|begin|for|encoding|item|over|comment)\b", r"=cut\b")

C = Syntax(line="//", block=(_C_BLOCK,), front=_PRAGMA_ONCE)
_SYNTAXES: dict[str, Syntax] = {
    "c": C,
    "c_nested": Syntax(line="//", block=(_C_BLOCK,), nested=True),
    "javascript": Syntax(line="//", block=(_C_BLOCK,), front=_USE),
    "css": Syntax(block=(_C_BLOCK,), front=r"@charset[^;\n]{0,80};"),
    "scss": Syntax(line="//", block=(_C_BLOCK,), front=r"@charset[^;\n]{0,80};"),
    "d": Syntax(line="//", block=(_C_BLOCK, (r"/\+", r"\+/")), nested=True),
    "php": Syntax(line=r"//|#(?!\[)", block=(_C_BLOCK,), front=r"<\?(?:php|hh)(?=\s)"),
    "slashes": Syntax(line="//"),
    "block_only": Syntax(block=(_C_BLOCK,)),
    "hash": Syntax(line="#"),
    "hash_c": Syntax(line="#|//", block=(_C_BLOCK,)),
    "yaml": Syntax(line="#", front=r"---[ \t\r]*$|%(?:YAML|TAG)\b[^\n]*"),
    "python": Syntax(line="#", docstrings=True),
    "ruby": Syntax(line="#", lines=((r"=begin\b", r"=end\b"),)),
    "perl": Syntax(line="#", lines=(_POD,)),
    "powershell": Syntax(line="#(?!>)", block=((r"<#", r"#>"),)),
    "coffee": Syntax(line=r"#(?!##(?!#))", block=((r"###(?!#)", r"###"),)),
    "julia": Syntax(line="#(?!=)", block=((r"#=", r"=#"),), nested=True),
    "nim": Syntax(line=r"#(?!\[)", block=((r"#\[", r"\]#"),), nested=True),
    "cmake": Syntax(line=r"#(?!\[=*\[)", bracket="#"),
    "ini": Syntax(line="[#;]"),
    "properties": Syntax(line="[#!]"),
    "dashes": Syntax(line="--"),
    "sql": Syntax(line="--", block=((r"/\*(?![!+])", r"\*/"),)),  # /*! and /*+ are executed
    "lua": Syntax(line=r"--(?!\[=*\[)", bracket="--"),
    "haskell": Syntax(
        # `-->` and the like are operators.
        line=r"--(?![!#$%&*+./<=>?@\\^|~:])|--+(?=\s|$)",
        block=(_HASKELL_BLOCK,),
        nested=True,
        front=r"\{-#[^#]{0,500}#-\}",
    ),
    "lean": Syntax(line="--", block=((r"/-", r"-/"),), nested=True),
    "ml": Syntax(block=(_ML_BLOCK,), nested=True),
    "fsharp": Syntax(line="//", block=(_ML_BLOCK,), nested=True),
    "pascal": Syntax(line="//", block=((r"\{(?!\$)", r"\}"), (r"\(\*(?!\$)", r"\*\)"))),
    "applescript": Syntax(line="--|#", block=(_ML_BLOCK,), nested=True),
    "lisp": Syntax(line=";", block=(_LISP_BLOCK,), nested=True, front=r"#lang[ \t][^\n]*"),
    "semicolon": Syntax(line=";"),
    "semicolon_c": Syntax(line=";", block=(_C_BLOCK,)),
    "wasm": Syntax(line=";;", block=((r"\(;", r";\)"),), nested=True),
    "gas": Syntax(line="#|//|;|@", block=(_C_BLOCK,)),
    "percent": Syntax(line="%"),
    "percent_c": Syntax(line="%", block=(_C_BLOCK,)),
    "matlab": Syntax(line=r"%(?!\{[ \t\r]*$)", lines=((r"%\{[ \t\r]*$", r"%\}[ \t\r]*$"),)),
    "octave": Syntax(
        line=r"[%#](?!\{[ \t\r]*$)", lines=((r"[%#]\{[ \t\r]*$", r"[%#]\}[ \t\r]*$"),)
    ),
    "basic": Syntax(line=rf"'|{_REM}"),
    "batch": Syntax(line=rf"::|{_REM}", front=r"@?(?i:echo)[ \t]+(?i:off)[ \t\r]*$"),
    "vim": Syntax(line='"+'),
    "abap": Syntax(line='"+', column=r"\*"),
    "fortran": Syntax(line="!"),
    "fortran_fixed": Syntax(line="!", column="[cC*dD](?=[^A-Za-z=(]|$)"),
    "cobol": Syntax(line=r"\*>", column=r"(?:[ \d]{6})?\*"),
    "stata": Syntax(line=r"//|\*", block=(_C_BLOCK,)),
    "html": Syntax(block=(_XML_BLOCK,), front=_XML_FRONT),
    "jsp": Syntax(
        block=(_XML_BLOCK, (r"<%--", r"--%>")), front=rf"{_XML_FRONT}|<%@[^%]{{0,500}}%>"
    ),
    "erb": Syntax(block=(_XML_BLOCK, (r"<%#", r"%>")), front=_XML_FRONT),
    "jinja": Syntax(block=((r"\{#", r"#\}"), _XML_BLOCK), front=_XML_FRONT),
    "handlebars": Syntax(
        block=((r"\{\{!--", r"--\}\}"), (r"\{\{!", r"\}\}"), _XML_BLOCK), front=_XML_FRONT
    ),
    "smarty": Syntax(block=((r"\{\*", r"\*\}"), _XML_BLOCK), front=_XML_FRONT),
    "xquery": Syntax(block=((r"\(:", r":\)"),), nested=True),
    "rst": Syntax(indented=True),
    "roff": Syntax(line=r"[.'][ \t]*\\\""),
    "m4": Syntax(line=r"dnl(?=\s|$)|#"),
    "texinfo": Syntax(line=r"@c(?:omment)?(?=\s|$)", front=r"\\input[ \t]+texinfo[^\n]*"),
    "smalltalk": Syntax(block=((r'"', r'"'),)),
    "forth": Syntax(line=r"\\(?=\s|$)", block=((r"\((?=\s)", r"\)"),)),
    "j": Syntax(line=r"NB\."),
    "apl": Syntax(line="⍝|#"),
    "postscript": Syntax(line="%(?![!%])", front=r"%!PS[^\n]*"),
}

# The languages of each syntax, by Pygments' names in lower case.
_LANGUAGES = {
    "c": "actionscript | actionscript 3 | arduino | boogie | c | c# | c++ | ceylon | chapel | cuda"
    " | devicetree | ec | fantom | glsl | go | gosu | groovy | haxe | hlsl | java | jsonnet"
    " | modelica | nemerle | nesc | objective-c | objective-c++ | objective-j | odin"
    " | omg interface definition language"
    " | ooc | openscad | pike | pony | povray | promela | protocol buffer | qml"
    " | reasonml | solidity | stan | supercollider | swig | systemverilog | tablegen | tads 3"
    " | thrift | typst | ucode | vala | verilog | web idl | webgpu shading language | wren | x10"
    " | xtend | yara | zephir",
    "c_nested": "dart | kotlin | rust | scala | swift",
    "javascript": "javascript | jsx | tsx | typescript",
    "css": "css",
    "scss": "lesscss | sass | scss",
    "d": "d",
    "php": "php",
    "slashes": "asciidoc | asymptote | gleam | hare | igor | pug | scilab | zig",
    "block_only": "maxima | rexx",
    "hash": "apacheconf | awk | base makefile | bash | boo | caddyfile | cap'n proto | crystal"
    " | debian control file | desktop file | docker | elixir | fish | gap | gdscript | gettext"
    " catalog | gherkin | gnuplot | graphql | janet | kconfig | limbo | makefile | meson | nginx"
    " configuration file | pkgconfig | praat | puppet | r | rego | robotframework | rpmspec | sed"
    " | smali | snobol | sparql | starlark | tcl | tcsh | toml | turtle | vcl",
    "hash_c": "graphviz | livescript | nix | nsis | terraform",
    "yaml": "yaml | yaml+jinja",
    "python": "cython | mojo | numpy | python | python 2.x | vyper",
    "ruby": "ruby",
    "perl": "perl | perl6",
    "powershell": "powershell",
    "coffee": "coffeescript",
    "julia": "julia",
    "nim": "nimrod",
    "cmake": "cmake",
    "ini": "ini | systemd | unix/linux config files",
    "properties": "properties",
    "dashes": "ada | asn.1 | eiffel | vhdl",
    "sql": "mysql | pl/pgsql | postgresql sql dialect | rql | sql | sql+jinja | transact-sql",
    "lua": "lua | luau | moonscript | teal",
    "haskell": "agda | cryptol | elm | haskell | idris | purescript",
    "lean": "lean | lean4",
    "ml": "mathematica | modula-2 | ocaml | rocq prover | standard ml",
    "fsharp": "f#",
    "pascal": "delphi",
    "applescript": "applescript",
    "lisp": "clojure | clojurescript | common lisp | emacslisp | fennel | hy | newlisp | racket"
    " | scheme | shen | xtlang",
    "semicolon": "autoit | ca65 assembler | idl | llvm | nasm | rebol | red | tasm",
    "semicolon_c": "autohotkey",
    "wasm": "webassembly",
    "gas": "gas",
    "percent": "bibtex | erlang | lilypond | tex",
    "percent_c": "logtalk | prolog",
    "matlab": "matlab",
    "octave": "octave",
    "basic": "blitzbasic | qbasic | vb.net | vbscript",
    "batch": "batchfile",
    "vim": "viml",
    "abap": "abap",
    "fortran": "fortran",
    "fortran_fixed": "fortranfixed",
    "cobol": "cobol | cobolfree",
    "stata": "sas | stata",
    "html": "angular2 | coldfusion html | dtd | html | markdown | mxml | svelte | svg | vue | xml"
    " | xslt",
    "jsp": "aspx-cs | aspx-vb | java server page",
    "erb": "erb | rhtml",
    "jinja": "django/jinja | html + angular2 | html+django/jinja | html+twig | twig",
    "handlebars": "handlebars | html+handlebars",
    "smarty": "html+smarty | smarty",
    "xquery": "xquery",
    "rst": "restructuredtext",
    "roff": "groff",
    "m4": "m4",
    "texinfo": "texinfo",
    "smalltalk": "smalltalk",
    "forth": "forth",
    "j": "j",
    "apl": "apl",
    "postscript": "postscript",
}


@cache
def _by_language() -> dict[str, Syntax]:
    return {
        language.strip(): _SYNTAXES[name]
        for name, languages in _LANGUAGES.items()
        for language in languages.split(" | ")
    }


def syntax_of(language: str | None) -> Syntax | None:
    """How the language (a name as of `language_of`) writes comments; None if that is not known."""
    return _by_language().get(language.lower()) if language else None


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE)
