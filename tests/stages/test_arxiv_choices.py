"""Macros that choose, and what stands for environments: stars, options, tests, switches, files."""

from __future__ import annotations

import pytest

from tests.stages.arxiv_papers import body, latex, paper


@pytest.mark.parametrize(
    ("definition", "use", "expected"),
    [
        ("\\newcommandx{\\a}[2][1=x]{#1-#2}", "\\a{q} \\a[p]{q}", "x-q p-q"),
        ("\\newcommandx*\\a[3][1=x, 3={z}, usedefault]{#1#2#3}", "\\a{q} \\a[p]{q}[r]", "xqz pqr"),
        (
            "\\NewDocumentCommand\\a{o m}{\\IfNoValueTF{#1}{no}{#1}:#2}",
            "\\a{q} \\a[p]{q}",
            "no:q p:q",
        ),
        ("\\NewDocumentCommand\\a{o m}{\\IfValueT{#1}{#1:}#2}", "\\a{q} \\a[p]{q}", "q p:q"),
        ("\\NewDocumentCommand\\a{s m}{\\IfBooleanTF{#1}{S}{N}#2}", "\\a{q} \\a*{q}", "Nq Sq"),
        ("\\NewDocumentCommand\\a{t+ m}{\\IfBooleanTF#1{S}{N}#2}", "\\a{q} \\a+{q}", "Nq Sq"),
        ("\\NewDocumentCommand\\a{m O{z}}{#1:#2}", "\\a{q} x \\a{q}[p]", "q:z x q:p"),
        ("\\NewDocumentCommand\\a{O{\\b{c}} +m}{#1:#2}", "\\a{q}", "\\b{c}:q"),
        ("\\def\\a{A}\\ProvideDocumentCommand\\a{m}{no}", "\\a", "A"),
    ],
)
def test_arguments_that_may_be_left_out(definition: str, use: str, expected: str) -> None:
    assert body(use, definition) == expected


@pytest.mark.parametrize(
    ("definition", "use", "expected"),
    [
        ("\\def\\a{\\@ifstar\\as\\an}\\def\\as#1{S#1}\\def\\an#1{N#1}", "\\a{q} \\a*{q}", "Nq Sq"),
        ("\\def\\a{\\@ifstar\\a@s\\a@n}\\def\\a@s{S}\\def\\a@n{N}", "\\a. \\a*.", "N. S."),
        ("\\def\\a{\\@ifnextchar[{\\as}{N}}\\def\\as[#1]{S#1}", "\\a\\a[q].", "NSq."),
        ("\\def\\a#1{#1\\@ifnextchar\\bgroup{,\\a}{}}", "\\a{x}{y}{z} w", "x,y,z w"),
        # A branch that is a program: the call stays whole, none of the inside shows.
        (
            "\\def\\a{\\@ifstar\\a@s\\a@n}\\def\\a@s{\\csname x\\endcsname}\\def\\a@n{N}",
            "\\a.",
            "\\a.",
        ),
    ],
)
def test_stars_and_what_comes_next(definition: str, use: str, expected: str) -> None:
    assert body(use, f"\\makeatletter{definition}\\makeatother") == expected


@pytest.mark.parametrize(
    "test",
    [
        "\\ifx&#1&E\\else F#1\\fi",
        "\\ifx\\\\#1\\\\E\\else F#1\\fi",
        "\\ifx\\relax#1\\relax E\\else F#1\\fi",
        "\\if!#1!E\\else F#1\\fi",
        "\\if\\relax\\detokenize{#1}\\relax E\\else F#1\\fi",
        "\\ifthenelse{\\equal{#1}{}}{E}{F#1}",
        "\\ifstrempty{#1}{E}{F#1}",
        "\\notblank{#1}{F#1}{E}",
    ],
)
def test_whether_an_argument_is_empty(test: str) -> None:
    assert body("\\a{} \\a{q}", f"\\newcommand\\a[1]{{{test}}}") == "E Fq"


def test_paired_delimiters() -> None:
    preamble = "\\DeclarePairedDelimiter{\\abs}{\\lvert}{\\rvert}"
    assert body("$\\abs{x}$", preamble) == "$\\lvert x\\rvert$"
    assert body("$\\abs*{x}$", preamble) == "$\\left\\lvert x\\right\\rvert$"
    sized = "$\\mathopen{\\big\\lvert}x\\mathclose{\\big\\rvert}$"
    assert body("$\\abs[\\big]{x}$", preamble) == sized


@pytest.mark.parametrize(
    ("preamble", "use", "expected"),
    [
        ("\\newtoggle{l}\\toggletrue{l}", "\\iftoggle{l}{T}{F}\\nottoggle{l}{T}{F}", "TF"),
        ("\\newbool{l}", "\\ifbool{l}{T}{F}\\setbool{l}{true}\\ifbool{l}{T}{F}", "FT"),
        ("\\newboolean{l}\\setboolean{l}{true}", "\\ifthenelse{\\boolean{l}}{T}{F}", "T"),
        ("\\newboolean{l}", "\\ifthenelse{\\NOT\\boolean{l}}{T}{F}", "T"),
        ("\\newbool{l}\\booltrue{l}", "\\ifl T\\else F\\fi", "\\ifl T\\else F\\fi"),
        ("", "\\iftoggle{l}{T}{F}", "\\iftoggle{l}{T}{F}"),  # not known: both stay
        ("", "\\ifthenelse{\\value{c}>3}{T}{F}", "\\ifthenelse{\\value{c}>3}{T}{F}"),
        ("\\newtoggle{l}\\ifpdf\\toggletrue{l}\\fi", "\\iftoggle{l}{T}{F}", "\\iftoggle{l}{T}{F}"),
    ],
)
def test_switches(preamble: str, use: str, expected: str) -> None:
    assert body(use, preamble) == expected


def test_a_branch_may_be_much_text() -> None:
    use = "\\iftoggle{l}{\\section{X}\nfoo % c\n\\R}{no}"
    assert body(use, "\\newtoggle{l}\\toggletrue{l}\\def\\R{r}") == "\\section{X}\nfoo r"


@pytest.mark.parametrize(
    ("definition", "use", "expected"),
    [
        ("\\newcommand\\mk{\\newcommand{\\y}{Y}}", "\\mk\\y", "Y"),
        ("\\newcommand\\mk[2]{\\newcommand{#1}{<#2>}}", "\\mk\\y{Z}\\y", "<Z>"),
        ("\\newcommand\\mk[1]{\\newcommand{\\y}[1]{#1##1}}", "\\mk{q}\\y{z}", "qz"),
        ("\\newcommand\\mk[1]{#1##}", "\\mk{q}", "\\mk{q}"),  # no definition: odd, so left
    ],
)
def test_macros_that_define_macros(definition: str, use: str, expected: str) -> None:
    assert body(use, definition) == expected


@pytest.mark.parametrize(
    ("definition", "use", "expected"),
    [
        ("{p}{\\begin{proof}}{\\end{proof}}", "\\begin{p}x\\end{p}", "\\begin{proof}x\\end{proof}"),
        (
            "{p}[2][z]{\\begin{a}[#1]\\begin{b}#2}{\\end{b}\\end{a}}",
            "\\begin{p}{q}x\\end{p}",
            "\\begin{a}[z]\\begin{b}qx\\end{b}\\end{a}",
        ),
        ("{p}{\\par\\it}{\\par}", "\\begin{p}x\\end{p}", "\\begin{p}x\\end{p}"),
        ("{p}{\\begin{a}}{\\end{b}}", "\\begin{p}x\\end{p}", "\\begin{p}x\\end{p}"),
        ("{p}{\\comment}{\\endcomment}", "w\\begin{p}x\\end{p}y", "wy"),
        ("{p}{\\begin{thebibliography}{9}}{\\end{thebibliography}}", "w\\begin{p}x\\end{p}y", "wy"),
    ],
)
def test_environments_that_stand_for_others(definition: str, use: str, expected: str) -> None:
    assert body(use, "\\newenvironment" + definition) == expected


def test_environments_of_xparse() -> None:
    preamble = "\\NewDocumentEnvironment{p}{m}{\\begin{table}[#1]}{\\end{table}}"
    assert body("\\begin{p}{h}x\\end{p}", preamble) == "\\begin{table}[h]x\\end{table}"


def test_whether_a_file_exists() -> None:
    use = "\\IfFileExists{./a.tex}{T}{F}\\IfFileExists{b.tex}{T}{F}"
    assert paper({"main.tex": latex(use), "a.tex": "A"}).text.endswith("TF")
    use = "\\InputIfFileExists{a}{T}{F}\\InputIfFileExists{b}{T}{F}"
    assert paper({"main.tex": latex(use), "a.tex": "A"}).text.endswith("TAF")
    # A style may be anywhere on the author's machine.
    assert body("\\IfFileExists{b.sty}{T}{F}") == "\\IfFileExists{b.sty}{T}{F}"


def test_a_packages_commands_are_not_shown_from_inside() -> None:
    style = "\\def\\prep{\\setbox0=x}\\def\\rule#1{\\prep #1}\\def\\ok{fine}"
    files = {"main.tex": latex("\\rule{a} \\ok", "\\usepackage{my}"), "my.sty": style}
    assert paper(files).text.endswith("\\rule{a} fine")
