"""User macros: what a definition says, whether it is an abbreviation, and its replacement text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stages.arxiv.lexer import WORD
from stages.arxiv.words import words

PROTECTED = words(
    """
    part chapter section subsection subsubsection paragraph subparagraph appendix
    begin end item label ref eqref pageref autoref cref Cref cite citep citet citealt citealp
    citeauthor citeyear nocite bibitem bibliography bibliographystyle printbibliography newblock
    documentclass documentstyle usepackage RequirePackage input include subfile import subimport
    title author date maketitle abstract thanks address affiliation email keywords
    footnote footnotetext footnotemark caption includegraphics url href nolinkurl path verb
    lstinline mintinline left right middle par newline noindent indent relax protect hbox mbox vbox
    textbf textit texttt emph frac sqrt sum int bf it rm tt sf sc em
    newcommand renewcommand providecommand def gdef edef xdef let newif if fi else
    table figure equation tabular hline multicolumn multirow centering
    """
)
"""Commands that say what a text is made of. Redefinitions of them change how a paper looks and are
left alone."""

_PROTECTED_SYMBOLS = frozenset("\\{}%$&#_ ()[]'`\"^~=.-/@\n\t")

_PROGRAM = words(
    """
    edef xdef futurelet newenvironment renewenvironment
    newif newcount newdimen newskip newbox newtoks newlength newcounter newtheorem
    csname endcsname expandafter noexpand unexpanded the number romannumeral string meaning
    catcode lccode uccode mathcode delcode chardef mathchardef font
    if ifcat ifx ifnum ifdim ifodd ifmmode ifvmode ifhmode ifinner ifcase ifdefined ifcsname
    ifvoid ifhbox ifvbox ifeof iftrue iffalse else fi or loop repeat
    ifthenelse whiledo equal boolean setboolean newboolean ifblank ifstrempty ifstrequal notblank
    ifdef ifundef ifcsdef ifbool iftoggle IfNoValueTF IfValueTF IfBooleanTF IfEqCase
    count dimen skip toks advance multiply divide setcounter addtocounter stepcounter
    refstepcounter setlength addtolength settowidth settoheight settodepth
    setbox copy box unhbox unvbox wd ht dp lastbox afterassignment aftergroup everypar
    write immediate read openin openout closein closeout special shipout output
    makeatletter makeatother usepackage RequirePackage PassOptionsToPackage
    """
)
"""A macro that uses one of these computes; its text is not what a reader sees. It is left alone."""

_PROGRAM_FAMILY = re.compile(r"(?:If|pgf|tikz|Package|Class|Generic)[A-Z@a-z]|if@")
_DRAWS = re.compile(
    r"\\(?:draw|fill|filldraw|node|coordinate|foreach|tikz|psset|pspicture)(?![A-Za-z])|"
    r"\\begin\{(?:tikzpicture|scope|pspicture|picture)\}"
)
_MAX_STYLE_BODY = 300

EMPTY_TEST = "ifargumentempty"
"""Name given to the tests of whether an argument is empty; no TeX has it."""

_DEFINES = re.compile(r"\\(?:[gex]?def|(?:new|renew|provide|DeclareRobust)command)(?![A-Za-z])")
_EMPTY_TEST = re.compile(
    r"\\ifx?\s*(&|!|\$|\?|\\\\)\s*#([1-9])\1"
    r"|\\ifx?\s*(\\(?:relax|@nil|@empty|empty))\s*#([1-9])\s*\3(?![A-Za-z@])"
    r"|\\if\s*\\relax\s*\\detokenize\s*\{\s*#([1-9])\s*\}\s*\\relax(?![A-Za-z@])"
)
# What is known of an argument once it is given: whether it is empty, or what it equals.
_TEST = re.compile(
    rf"\\{EMPTY_TEST}\{{#[1-9]\}}"
    r"|\\ifthenelse\s*\{\s*\\equal\s*\{\s*#[1-9]\s*\}\s*\{[^{}#\\]*\}\s*\}"
    r"|\\(?:ifstrempty|ifblank|notblank)\s*\{\s*#[1-9]\s*\}"
)
_CHOICE = re.compile(
    r"\\(?:@ifstar|@ifnextchar|kernel@ifnextchar|If(?:No)?Value(?:TF|T|F)|IfBoolean(?:TF|T|F))(?![A-Za-z@])"
)
_FI = re.compile(r"\\fi(?![A-Za-z@])")
_ELSE_OR_FI = re.compile(r"\\(?:else|fi)(?![A-Za-z@])")

_WORDS = re.compile(r"\\([A-Za-z@:_]+)")
_PARAMETER = re.compile(r"\\[\s\S]|##|#([1-9])|#")
_ENDS_IN_WORD = re.compile(r"\\[A-Za-z@]+\Z")
_LITERAL = re.compile(r"\\(?:[A-Za-z@]+|[\s\S])|\s+|[\s\S]")


@dataclass(frozen=True, slots=True)
class Option:
    """An argument that may be left out: `[...]`, or a `mark` such as a star, which is `present`.

    `absent`: what stands for it where it is left out.
    """

    absent: str
    mark: str = ""
    present: str = ""


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro. `delimiters[0]` must stand behind its name, `delimiters[i]` ends argument i; empty
    for an argument that is a group or a token. `options[i - 1]`: argument i may be left out.

    `body` alternates text and argument numbers. `at`: `@` was a letter where it was defined.
    `usable`: it is an abbreviation, and is expanded; where it chooses, if all `branches`, names of
    LaTeX's inside to which it may lead, are too.
    """

    name: str
    delimiters: tuple[str, ...] = ("",)
    options: tuple[Option | None, ...] = ()
    body: tuple[str | int, ...] = ()
    at: bool = False
    usable: bool = True
    brace: bool = False
    branches: tuple[str, ...] = ()
    alias: str | None = None
    """Name of the command that this one is another name of (by \\let); then there is no body."""

    @property
    def arity(self) -> int:
        return len(self.delimiters) - 1

    @property
    def ends_in_xspace(self) -> bool:
        last = self.body[-1] if self.body else ""
        return isinstance(last, str) and last.rstrip().endswith("\\xspace")

    def replacement(self, arguments: list[str]) -> str:
        """The body with `arguments` in place."""
        return join([part if isinstance(part, str) else arguments[part - 1] for part in self.body])


def join(parts: list[str]) -> str:
    """Texts one after another; a control word and a letter behind it are kept apart."""
    joined: list[str] = []
    word = False
    for part in parts:
        if not part:
            continue
        if word and part[0].isascii() and part[0].isalpha():
            joined.append(" ")
        joined.append(part)
        word = ends_in_word(part)
    return "".join(joined)


def ends_in_word(text: str) -> bool:
    """Whether the last token is a control word, not an escaped backslash and letters."""
    if not (text[-1:].isalpha() or text[-1:] == "@"):
        return False
    match = _ENDS_IN_WORD.search(text, max(0, len(text) - 100))
    if match is None:
        return False
    before = match.start()
    while before > 0 and text[before - 1] == "\\":
        before -= 1
    return (match.start() - before) % 2 == 0


def may_be_defined(name: str) -> bool:
    """Whether macros of this name (without backslash) are followed."""
    if not name or name in PROTECTED:
        return False
    return name[0].isalpha() or "@" in name or name not in _PROTECTED_SYMBOLS


def parse_body(text: str, arity: int) -> tuple[str | int, ...] | None:
    """Splits a replacement text at its parameters; None where it has others than 1 to `arity`.

    `##` is a parameter of what the text defines, one level further in.
    """
    body: list[str | int] = []
    place = 0
    for match in _PARAMETER.finditer(text):
        if match.group(1) is not None:
            if int(match.group(1)) > arity:
                return None
            body.append(text[place : match.start()])
            body.append(int(match.group(1)))
            place = match.end()
        elif match.group() == "##" and _DEFINES.search(text) is not None:
            body.append(text[place : match.start()] + "#")
            place = match.end()
        elif match.group() in ("#", "##"):
            return None
    body.append(text[place:])
    return tuple(part for part in body if part != "")


def parse_parameters(text: str) -> tuple[str, ...] | None:
    """The delimiters of a \\def's parameter text such as `#1 to #2;`; None if it is odd."""
    parts = re.split(r"#(.?)", text, flags=re.DOTALL)
    numbers = parts[1::2]
    if numbers != [str(i) for i in range(1, len(numbers) + 1)] or len(numbers) > 9:
        return None
    return tuple(parts[0::2])


def decidable(body: str) -> str:
    """A replacement text in which the common tests for an empty argument have one form.

    Raw TeX has no such test, so authors write one of a few idioms, as `\\ifx&#1& A\\else B\\fi`.
    """
    return _EMPTY_TEST.sub(lambda m: f"\\{EMPTY_TEST}{{#{m[2] or m[4] or m[5]}}}", body)


def computes(
    body: str, known: Mapping[str, Macro], style: bool = False, inside: bool = False
) -> bool:
    """Whether a replacement text is a program or a drawing, not what a reader sees.

    It is one if it uses a command of `_PROGRAM` other than in a choice that its arguments decide,
    one of LaTeX's inside (with `@`, and not in `known`; let pass by `inside`), or draws. In style
    files (`style`) long texts are taken for programs too.
    """
    if style and len(body) > _MAX_STYLE_BODY:
        return True
    plain, tests = _TEST.subn(" ", body)
    if tests and len(_FI.findall(plain)) == body.count("\\" + EMPTY_TEST):
        plain = _ELSE_OR_FI.sub(" ", plain)
    for name in _WORDS.findall(_CHOICE.sub(" ", plain)):
        if name in _PROGRAM:
            return True
        if name in known:
            # The commands of a package mean more to a reader than what they are made of.
            if not known[name].usable and (style or "@" in name):
                return True
        elif "@" in name and not inside:
            return True
        if _PROGRAM_FAMILY.match(name):
            return True
        if "_" in name or ":" in name:
            start = re.match(r"[A-Za-z@]*", name)
            if start is not None and start.group() in _PROGRAM:
                return True
    return "^^" in body or _DRAWS.search(body) is not None


def branches(body: str, known: Mapping[str, Macro]) -> tuple[str, ...]:
    """The names of LaTeX's inside in a text that chooses, and are not yet defined."""
    if _CHOICE.search(body) is None:
        return ()
    names = _WORDS.findall(_CHOICE.sub(" ", body))
    return tuple(dict.fromkeys(n for n in names if "@" in n and n not in known))


def delimiter_pattern(delimiter: str) -> str:
    """A regular expression for a delimiter: blanks match blanks, control words end as words."""
    found = []
    for token in _LITERAL.findall(delimiter):
        if token.isspace():
            found.append(r"\s+")
        elif len(token) > 1 and token[1].isalpha():
            found.append(re.escape(token) + r"(?![A-Za-z])\s*")
        else:
            found.append(re.escape(token))
    return "".join(found)


def starts_with(text: str, place: int, token: str) -> bool:
    """Whether `token`, a character or a control word, stands at `place`."""
    end = place + len(token)
    following = text[end : end + 1]
    return text.startswith(token, place) and not (
        ends_in_word(token) and ((following.isascii() and following.isalpha()) or following == "@")
    )


def single_token(text: str) -> bool:
    """Whether a replacement text is one token or one group, and so needs no braces around it."""
    return len(text) == 1 or WORD[True].fullmatch(text) is not None
