"""TeX as the expander reads it: scopes, conditions, files, sections; limits; properties."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.arxiv import ArxivSettings, Paper, read_paper
from stages.arxiv.lexer import without_comments
from stages.arxiv.main_file import choose
from stages.arxiv.output import BombError
from stages.arxiv.tree import Tree
from stages.outcomes import Reject
from tests.stages.arxiv_papers import body, latex, paper

# -- macros ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{\\def\\a{1}\\a}\\a", "{1}0"),  # to the end of the group
        ("\\begin{x}\\renewcommand\\a{1}\\a\\end{x}\\a", "\\begin{x}1\\end{x}0"),
        ("{\\gdef\\a{1}}\\a", "{}1"),
        ("{\\global\\def\\a{1}}\\a", "{}1"),
        ("\\a\\def\\a{1}\\a", "01"),  # from where it stands
        ("\\def\\b{\\a}\\def\\a{1}\\b", "1"),  # meanings of when it is used
        ("\\let\\b\\a\\def\\a{1}\\b", "0"),  # of when it was let
        ("\\let\\oldhat\\hat\\renewcommand{\\hat}[1]{\\oldhat{#1}}$\\hat x$", "$\\hat{x}$"),
        ("\\edef\\b{x}\\b", "x"),
    ],
)
def test_a_definition_holds_as_in_tex(source: str, expected: str) -> None:
    assert body(source, "\\def\\a{0}") == expected


@pytest.mark.parametrize(
    ("preamble", "source", "expected"),
    [
        ("\\def\\a{\\alpha}", "$\\a x$", "$\\alpha x$"),  # \alphax would be another command
        ("\\def\\a#1{\\alpha#1}", "$\\a x$", "$\\alpha x$"),
        ("\\def\\h{1/2}", "$\\hat\\h\\frac\\h\\h x^\\h$", "$\\hat{1/2}\\frac{1/2}{1/2}x^1/2$"),
        ("\\def\\h{\\eta}", "$\\hat\\h\\frac1\\h$", "$\\hat\\eta\\frac1\\eta$"),
        ("\\def\\h{1/2}", "$\\frac{a}\\h$", "$\\frac{a}{1/2}$"),
        ("\\def\\n{Net}", "\\n{} is, \\n\\ is, \\n is", "Net is, Net\\ is, Netis"),
        ("\\def\\n{Net\\xspace}", "\\n is, \\n, \\n{} is, \\n$x$", "Net is, Net, Net is, Net $x$"),
        ("\\def\\a{\\b}\\def\\b#1{(#1)}", "\\a{x}", "(x)"),  # argument behind the replacement
        ("\\def\\a#1#2{#2#1}", "\\a x{yz}\\a{}{}!", "yzx!"),
        ("\\def\\todo#1{}", "a \\todo{b} c", "a c"),  # one blank is enough
        (
            "\\def\\a{X}",
            "\\x[\\protect\\a]{\\protect\\a\\protect\\b}",
            "\\x[X]{X\\protect\\b}",
        ),
        ("\\def\\todo#1{}", "a\n\\todo{b}\nc", "a\nc"),  # no paragraph end where it stood
        ("\\def\\a#1{#1}", "\\a{50\\% % no\n x}", "50\\% x"),
        ("\\makeatletter\\def\\my@r{R}\\def\\R{\\my@r x}\\makeatother", "\\R", "Rx"),
        ("\\def\\eg{\\emph{e.g}\\onedot}\\def\\onedot{\\futurelet\\x\\y}", "\\eg, \\eg.", None),
    ],
)
def test_replacements_read_as_tex_would_read_them(
    preamble: str, source: str, expected: str | None
) -> None:
    assert body(source, preamble) == (expected or "\\emph{e.g}., \\emph{e.g}.")


@pytest.mark.parametrize(
    "definition",
    [
        "\\def\\a{\\ifmmode x\\else y\\fi}",
        "\\newcommand{\\a}{\\ifthenelse{\\equal{1}{2}}{x}{y}}",
        "\\def\\a{\\expandafter\\b\\csname c\\endcsname}",
        "\\def\\a{\\stepcounter{c}}",
        "\\def\\a{\\@startsection{x}}",
        "\\newcommand{\\a}{\\begin{tikzpicture}\\draw (0,0);\\end{tikzpicture}}",
        "\\NewDocumentCommand{\\a}{d() m}{x}",
        "\\def\\a#2{x}",
    ],
)
def test_programs_are_left_as_they_are(definition: str) -> None:
    assert body("[\\a]", f"\\def\\a{{old}}\n{definition}") == "[\\a]"


def test_definitions_of_structure_are_not_followed() -> None:
    preamble = "\\renewcommand{\\section}[1]{X}\\renewcommand\\cite[1]{Y}\\def\\\\{Z}"
    assert body("\\section{A} \\cite{b} \\\\", preamble) == "\\section{A} \\cite{b} \\\\"


def test_arguments_that_do_not_fit_leave_the_call() -> None:
    assert body("\\a", "\\def\\a#1;{#1}") == "\\a"
    assert body("{\\a}", "\\def\\a#1{#1}") == "{\\a}"
    assert body("\\b x", "\\def\\a(#1){#1}\\def\\b{\\a}") == "\\a x"


def test_definitions_in_style_files() -> None:
    files = {
        "main.tex": latex("\\R \\sub", "\\usepackage{amsmath, my}"),
        "my.sty": "\\newcommand{\\R}{real}\\def\\my@in{in}\\def\\sub{\\my@in ner}\\section{no}",
    }
    assert paper(files).text == "\\section{One}\nrealinner"
    assert paper(files, local_packages=False).text == "\\section{One}\n\\R \\sub"


def test_a_definition_in_an_undecided_branch_is_left() -> None:
    preamble = "\\ifpdf\\def\\a{1}\\else\\def\\a{2}\\fi"
    assert body("\\a", preamble) == "\\a"


# -- comments, conditions, verbatim text -----------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a\n\\begin{comment}\n\\section{no}\n\\end{comment}\nb", "a\nb"),
        ("a\n\\iffalse\nno \\iff \\ifthenelse \\ifx a b\\else c\\fi\n\\fi\nb", "a\nb"),
        ("\\iffalse no\\else yes\\fi", "yes"),
        ("\\iftrue yes\\else no\\fi.", "yes."),
        ("\\if0 no\\fi\\if11yes\\fi\\ifnum1>2 no\\fi.", "yes."),
        ("\\newif\\ifd\\ifd no\\else a\\fi\\dtrue\\ifd b\\else no\\fi", "ab"),
        ("\\ifpdf a\\else b\\fi", "\\ifpdf a\\else b\\fi"),  # not known: both stay
        ("\\iffalse never closed", "\\iffalse never closed"),
        ("a\\iffalse x\\fi  b\\iftrue c\\else d\\fi", "abc"),  # blanks behind a control word go
        ("a\\begin{comment}\\begin{comment}x\\end{comment}\\end{comment}b", "ab"),
        ("\\newif\\ifd\\ifpdf\\dtrue\\fi\\ifd a\\else b\\fi", "\\ifpdf\\fi\\ifda\\elseb\\fi"),
        ("\\excludecomment{aside}a\n\\begin{aside}no\\end{aside}\nb", None),
    ],
)
def test_conditions(source: str, expected: str | None) -> None:
    assert body(source).replace(" ", "") == (expected or "\\excludecomment{aside}a\nb").replace(
        " ", ""
    )


def test_verbatim_of_the_papers_own() -> None:
    code = "\\begin{code}\n\\R % 1\n\\end{code}"
    assert body(code, "\\lstnewenvironment{code}{}{}\\def\\R{x}") == code
    assert body("|\\R %| \\R", "\\MakeShortVerb{\\|}\\def\\R{x}") == "|\\R %| x"


# -- files -----------------------------------------------------------------------------------------


def test_files_by_any_spelling() -> None:
    files = {
        "src/main.tex": latex(
            "\\input{PARTS/One}\n\\input{two.tex}\n\\import{parts/}{three}\n"
            "\\subfile{parts/four}\n\\input{\\dir/five}\n\\input{missing}",
            "\\newcommand{\\dir}{parts}",
        ),
        "src/parts/one.TEX": "1",
        "src/two.tex": "2",
        "src/parts/three.tex": "3\\input{six}",
        "src/parts/four.tex": "\\documentclass[../main]{subfiles}\\begin{document}4\\end{document}"
        "not this",
        "src/parts/five.ltx": "5\\endinput\nnot this",
        "src/parts/six.tex": "6",
    }
    found = paper(files)
    assert found.text.split() == ["\\section{One}", "1", "2", "36", "4", "5", "\\input{missing}"]
    assert found.meta["missing_files"] == ["missing"]
    assert found.meta["files"] == 7


def test_files_that_read_each_other_end() -> None:
    files = {"main.tex": latex("\\input{a}"), "a.tex": "a\\input{b}", "b.tex": "b\\input{a}"}
    assert paper(files).text == "\\section{One}\nab\\input{a}"


def test_no_file_outside_the_submission_is_read() -> None:
    source = "\\input{/etc/hostname}\\input{../../etc/hostname}"
    assert body(source) == source


def test_a_part_that_shows_a_document_is_read_whole() -> None:
    shown = "\\section{How}\n\\begin{verbatim}\n\\documentclass{article}\n\\end{verbatim}\nWords."
    assert paper({"main.tex": latex("\\input{a}"), "a.tex": shown}).text.endswith("Words.")


def test_filecontents_are_files() -> None:
    preamble = "\\begin{filecontents*}{m.tex}\n\\def\\a{1}\n\\end{filecontents*}\\input{m}"
    assert body("\\a", preamble) == "1"


@pytest.mark.parametrize(
    ("files", "main"),
    [
        (["main.tex", "supplement.tex"], "main.tex"),
        (["a.tex", "response.tex", "zz.tex", "zz.bbl"], "zz.tex"),
        (["cover_letter.tex", "study.tex"], "study.tex"),
        (["a.tex", "old/main.tex"], "a.tex"),
    ],
)
def test_main_file(files: list[str], main: str) -> None:
    found = paper({name: latex(name) for name in files})
    assert found.meta["main"] == main


def test_main_file_by_readme() -> None:
    files = {"main.tex": latex("main"), "b.tex": latex("b")}
    for name, text in (
        ("00README.XXX", "b.tex toplevelfile\n"),
        ("00README", "main.tex ignore\n"),
        ("00README.json", '{"sources":[{"usage":"toplevel","filename":"b.tex"}]}'),
        ("00README.yaml", "sources:\n- filename: b.tex\n  usage: toplevel\n"),
    ):
        assert paper({**files, name: text}).meta["main"] == "b.tex", name


def test_wrappers_read_the_file_with_the_class() -> None:
    main = latex("words " * 50)
    files = {"a4.tex": "\\def\\x{}\\input{main}", "main.tex": main, "fix.tex": latex("short")}
    assert paper(files).meta["main"] == "a4.tex"


# -- sections and titles ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "\\input amstex\\documentstyle{amsppt}\\topmatter\\endtopmatter\n{t}\\enddocument",
        "\\magnification=1200\n{t}\n\\bye\nnever",
        "\\input harvmac\n\\newsec{{Intro}} {t}\\end",
        "\\documentstyle[12pt]{{article}}\\begin{{document}}\\section{{A}}{t}\\end{{document}}",
    ],
)
def test_old_and_plain_papers(text: str) -> None:
    found = paper(text.replace("{t}", "Words of $x$.").replace("{{", "{").replace("}}", "}"))
    assert "Words of $x$." in found.text and "never" not in found.text


def test_a_letter_without_sections() -> None:
    text = (
        "\\documentclass{revtex}\\begin{document}\\title{T}\\begin{abstract}Gone.\\end{abstract}\n"
        "\\maketitle\nDear reader.\\end{document}"
    )
    found = paper(text)
    assert found.text == "Dear reader." and not found.meta["sections"]
    verdict = read_paper({"a.tex": text.encode()}, ArxivSettings(no_section="reject"))
    assert isinstance(verdict, Reject) and verdict.reason == "no_section"


def test_sections_that_are_only_named_do_not_begin_the_text() -> None:
    text = latex("Words.", "\\titleformat{\\section}{\\bf}{}{}{}").replace(
        "Introductory", "\\sectionmark{x}\\titleformat{\\section}{}{}{}{} Introductory"
    )
    assert paper(text).text == "\\section{One}\nWords."


def test_sections_made_by_macros() -> None:
    text = latex("Words.").replace("\\section", "\\mysec")
    found = paper(text.replace("\\begin{document}", "\\def\\mysec{\\section}\\begin{document}"))
    assert found.text == "\\section{One}\nWords."


_FRONT = (
    "\\documentclass{a}\\begin{document}\\title{T}\\maketitle\n"
    "\\begin{abstract}A{}\\end{abstract}\n"
)
_LETTER = "Words of a letter. " * 60


@pytest.mark.parametrize(
    "end",
    [
        "\\section*{Acknowledgments} Thanks.",
        "\\section*{Methods} We did.",
        "\\paragraph{Aside} So.",
        "\\appendix\\section{Proofs} So.",
        "\\bibliography{x}\\section{S1} More.",
    ],
)
def test_text_before_back_matter_and_run_in_headings_is_the_paper(end: str) -> None:
    """It has no heading of its own, and went with all before the first section."""
    assert paper(_FRONT + _LETTER + end + "\\end{document}").text.startswith("Words of a letter. W")
    short = paper(_FRONT + "\\pacs{1}" + end + "\\section{S} x\\end{document}").text
    assert "pacs" not in short and end.split("}")[-1] in short


@pytest.mark.parametrize("heading", ["\\paragraph{Background}", "\\section*{Results}"])
def test_headings_in_an_abstract_do_not_begin_the_text(heading: str) -> None:
    text = _FRONT.replace("A{}", heading + " Old.") + "Lead.\\section{S} x\\end{document}"
    assert paper(text).text == "\\section{S} x"
    text = _FRONT.replace("A{}", "") + "\\section*{Abstract} Old.\\section{S} x\\end{document}"
    assert paper(text).text == "\\section{S} x"


def test_pandocs_wrapped_headings() -> None:
    text = (
        "\\hypertarget{intro}{%\n\\section{Introduction}\\label{intro}}\n\nWords {x}.\n\n"
        "\\hypertarget{references}{%\n\\section*{References}\\label{references}}\n\nGone 2001."
    )
    assert body(text) == "\\section{Introduction}\\label{intro}\n\nWords {x}."


def test_ams_tex() -> None:
    text = (
        "\\input amstex\n\\documentstyle{amsppt}\n\\topmatter\\title T\\endtitle\\endtopmatter\n"
        "\\document\nLead.\n\\head 1. Intro\\endhead\nWords.\n"
        "\\Refs\\ref\\key 1\\by Gone\\endref\\endRefs\n\\enddocument\nnever"
    )
    assert paper(text).text == "\\head 1. Intro\\endhead\nWords."
    text = "\\magnification=1200\nT\n\\beginsection 1. A\n\nW.\n\n\\beginsection References\n\n"
    assert paper(text + "Gone\n\\bye").text == "\\beginsection 1. A\n\nW."


@pytest.mark.parametrize(
    "heading",
    [
        *("References and Notes", "NOTES AND REFERENCES", "\\normalfont\\bfseries References:"),
        *("Literature cited", "Additional references", "Selected Bibliography"),
    ],
)
def test_titles_of_bibliographies(heading: str) -> None:
    text = f"Words.\\section*{{{heading}}} Gone 2001.\\section*{{Acknowledgments}} Thanks."
    assert body(text) == "Words.\\section*{Acknowledgments} Thanks."


def test_a_review_of_the_literature_is_no_bibliography() -> None:
    prose = "\\section{Literature} We review.\\section{Literature Review} Words."
    assert body(prose) == prose
    listed = "Words.\\section*{Literature}\n\\begin{enumerate}\\item Gone\\end{enumerate}"
    assert body(listed) == "Words."


def test_a_bibliography_that_is_never_closed_ends_at_a_section() -> None:
    text = "x\\begin{thebibliography}{9}\\bibitem{a} Gone\n\\section{Next} y"
    assert body(text) == "x\\section{Next} y"
    assert body("x\\printbibliography[title={[Gone]}]y") == "xy"


def test_appendix_is_a_setting() -> None:
    text = latex("Words.\n\\appendix\n\\section{Proofs} More.")
    assert paper(text).text.endswith("\\appendix\n\\section{Proofs} More.")
    assert paper(text, appendix="cut").text == "\\section{One}\nWords."


def test_figures_behind_handmade_references_stay() -> None:
    text = "Words.\n\\section*{References}\n[1] Gone.\n\\begin{figure}\\caption{Stays}\\end{figure}"
    assert "Gone" not in body(text) and "Stays" in body(text)
    assert "Gone" in body(text, reference_sections=False)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("\\title{On $\\alpha$-\\emph{rays}\\thanks{By {us}}}", "On $\\alpha$-rays"),
        ("\\title[short]{Long \\\\ title}", "Long title"),
        (
            "\\title{\\Large\\bf Poincar\\'e and G\\\"{o}del --- \\v{C}ech}",
            "Poincaré and Gödel — Čech",
        ),
        ("\\newcommand\\n{Net}\\title{\\n: a~study}", "Net: a study"),
        ("\\title{}", None),
        ("", None),
    ],
)
def test_title(title: str, expected: str | None) -> None:
    text = f"\\documentclass{{a}}\\begin{{document}}{title}\\section{{S}} x\\end{{document}}"
    assert paper(text).title == expected


def test_verdicts_on_what_is_no_paper() -> None:
    def reason(text: str, **options: int) -> str:
        found = read_paper({"a.tex": text.encode()}, ArxivSettings(**options))
        assert isinstance(found, Reject), found
        return found.reason

    assert reason("%auto-ignore\nwithdrawn") == "withdrawn"
    assert reason("This paper has been withdrawn by the author.") == "withdrawn"
    assert reason("Plain words, no TeX at all.") == "no_tex"
    assert reason("\\documentclass{a}\\begin{document}\\end{document}") == "empty"
    assert reason(latex("x"), min_chars=1000) == "too_short"


def test_auto_ignore_excludes_a_file_only() -> None:
    files = {"main.tex": "%auto-ignore\n" + latex("no"), "b.tex": latex("Words.")}
    assert paper(files).text == "\\section{One}\nWords."


# -- limits ----------------------------------------------------------------------------------------

_DOUBLING = "".join(f"\\def\\{a}{{\\{b}\\{b}}}" for a, b in pairwise("abcdefghijklmnopq"))


@pytest.mark.parametrize(
    ("preamble", "use"),
    [
        ("\\def\\a{\\a}", "\\a"),
        ("\\def\\a{\\b}\\def\\b{x\\a}", "\\a"),
        ("\\def\\a#1{\\a{#1#1}}", "\\a x"),
        (_DOUBLING + "\\def\\q{}", "\\a"),
        (_DOUBLING + "\\def\\q{" + "x" * 4000 + "}", "\\a"),
        ("\\newcommand\\a[1]{#1#1}", "\\a{" * 40 + "x" + "}" * 40),
        ("\\def\\a#1{#1}", "\\a{" * 100_000),
        ("\\def\\a#1\\stop{#1}", "\\a x " * 10_000),
        ("\\newcommand\\a[1][d]{#1}", "\\a[x " * 10_000),
        ("", "\\url{x " * 10_000),
        ("\\newtoggle{t}", "\\iftoggle{t}{" * 10_000),
        ("\\makeatletter\\def\\a{\\@ifstar{\\a}{\\a}}\\makeatother", "\\a"),
        ("\\NewDocumentCommand\\a{s}{\\IfBooleanTF{#1}{}{\\a\\a}}", "\\a"),
        (
            "\\newenvironment{p}{\\begin{q}}{\\end{q}}\\newenvironment{q}{\\begin{p}}{\\end{p}}",
            "\\begin{p}",
        ),
        ("", "\\def\\a{" * 100_000),
    ],
)
def test_macro_bombs_are_found(preamble: str, use: str) -> None:
    with pytest.raises(BombError, match=r"^macro_bomb: "):
        paper(latex(use, preamble), max_work=100_000)


def test_file_bombs_are_found() -> None:
    files = {f"{c}.tex": f"\\input{{{d}}}" * 10 for c, d in pairwise("abcdefghi")}
    with pytest.raises(BombError):
        paper({"main.tex": latex("\\input{a}"), **files, "i.tex": "x" * 1000}, max_work=100_000)
    every = "".join(f"\\input{{f{i}}}" for i in range(60))
    with pytest.raises(BombError):
        paper({"main.tex": latex(every), **{f"f{i}.tex": every for i in range(60)}}, max_work=10**6)


def test_the_search_for_the_main_file_is_bounded() -> None:
    """Files that all name each other: the work grew with the third power of their number."""

    class Counting(Tree):
        finds = 0

        def find(self, wanted: str, folders: list[str], endings: tuple[str, ...]) -> str | None:
            self.finds += 1
            return super().find(wanted, folders, endings)

    every = "\\documentclass{a}" + "".join(f"\\input{{f{i}}}" for i in range(300))
    tree = Counting({f"f{i}.tex": every.encode() for i in range(300)})
    assert choose(tree).name == "f0.tex"
    assert tree.finds <= 20_000


def test_bombs_that_are_not_used_do_no_harm() -> None:
    assert body("fine", "\\def\\a{\\a}" + _DOUBLING) == "fine"


_HOSTILE = {
    "long line": "x" * 10**6,
    "braces": "{" * 10**5,
    "closing braces": "}" * 10**5,
    "blanks": " " * 10**5 + "\\section" + " " * 10**5,
    "comments": " %\n" * 10**5,
    "environments": "\\begin{x}" * 10**4,
    "verbatim": "\\begin{verbatim}" * 10**4,
    "conditions": "\\iffalse " * 10**4,
    "nested conditions": "\\iffalse " * 10**4 + "\\fi" * 10**4,
    "verb": "\\verb|" * 10**4,
    "defs": "\\def\\a" * 10**4,
    "classes": "\\documentclass[" * 10**4,
    "controls": "\x00\x01\ufffe" * 10**4,
    "bare backslashes": "\\" * 10**5,
    "blanks in headings": "\\section{Works}" + " " * 10**6,
    "blanks in names": ("\\newenvironment{" + " " * 5000 + "x") * 100,
    "blanks in arguments": ("\\NewDocumentCommand\\a{" + " " * 9000 + "x}{x}") * 20,
    "open bibliographies": "\\begin{thebibliography}{9}\\section{x}" * 10**4,
    "open abstracts": "\\begin{abstract}" * 10**4 + "\\section{x}" * 10**4,
    "open conditions": "\\iftrue " * 10**4 + "\\def\\a{1}\\def\\a{2}" * 10**4,
    "open switches": "\\newif\\ifq" + "\\ifq " * 10**4,
}


@pytest.mark.parametrize("kind", sorted(_HOSTILE))
def test_hostile_text_takes_bounded_time(kind: str) -> None:
    """Work that grew with the square of the length would take hours here, not a second."""
    text = latex(_HOSTILE[kind])
    found = read_paper({"main.tex": text.encode()})
    assert isinstance(found, Paper) and len(found.text) <= len(text)


# -- properties ------------------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        *("word ", "\n", "\n\n", "%", "% c\n", "\\%", "\\\\", "{", "}", "$x$", "#1", "#", "[", "]"),
        *("\\a", "\\b{", "\\a{}", "\\def\\a{", "\\def\\b#1{", "\\newcommand{\\a}", "[1]", "\\x y"),
        *("\\begin{verbatim}", "\\end{verbatim}", "\\begin{comment}", "\\end{comment}", "\\verb|"),
        *("\\iffalse ", "\\iftrue ", "\\else ", "\\fi ", "\\section{S}", "\\section", "\\input{a}"),
        *("\\begin{document}", "\\end{document}", "\\begin{thebibliography}", "\\appendix"),
        *(
            "\\end{thebibliography}",
            "\\url{",
            "\\makeatletter",
            "\\let\\a\\b",
            "\\xspace",
            "é",
            "\\",
        ),
        *(
            "\\documentclass{article}",
            "\\newif\\ifq",
            "\\qtrue",
            "\\ifq",
            *(
                "\\hypertarget{x}{",
                "\\protect",
                "\\begin{abstract}",
                "\\bibliography{x}",
                "\\iftoggle{t}",
            ),
            *(
                "\\newtoggle{t}",
                "\\newenvironment{e}{\\begin{q}}{\\end{q}}",
                "\\begin{e}",
                "\\end{e}",
            ),
            *(
                "\\NewDocumentCommand\\b{s o m}{\\IfNoValueTF{#2}{#1}{#3}}",
                "\\b*",
                "\\@ifstar",
                "\\@ifnextchar",
            ),
            *("\\newcommand\\a[1]{\\ifx&#1&x\\else y\\fi}", "\\IfFileExists{a}", "\\head ", "##1"),
            "\\usepackage{a}",
            "\\end",
        ),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_PIECES, max_size=40).map("".join), st.lists(_PIECES, max_size=10).map("".join))
def test_any_text_is_a_paper_a_reject_or_a_bomb(main: str, part: str) -> None:
    try:
        found = read_paper(
            {"main.tex": main.encode(), "a.tex": part.encode()}, ArxivSettings(max_depth=20)
        )
    except BombError as error:
        assert str(error).startswith("macro_bomb: ")
    else:
        assert isinstance(found, Paper | Reject)


_SOUND = st.lists(
    st.sampled_from(
        [
            *("word ", "\n", "\n\n", "a % c\nb", "50\\% ", "\\\\ ", "{x}", "$\\R$ ", "\\f{y} "),
            *("\\begin{verbatim}\n%\n\n\n x\n\\end{verbatim}", "\\verb|%| ", "\\url{a%b} "),
            *("\\iffalse no\\fi ", "\\begin{comment}no\\end{comment}", "\\section{T}", "\\cite{k}"),
            *(
                "\\def\\R{S}",
                "{\\def\\R{T}\\R}",
                "\\unknown\\thing{z}",
                "\\begin{x}y\\end{x}",
                "  ",
            ),
            "\\begin{thebibliography}{9}no\\end{thebibliography}",
            "\\g*{x}\\g{y} ",
            "\\begin{e}y\\end{e}",
        ]
    ),
    max_size=30,
).map("".join)


@settings(max_examples=100, deadline=None)
@given(_SOUND)
def test_the_text_of_a_paper_is_a_fixed_point(source: str) -> None:
    preamble = (
        "\\def\\R{\\mathbb R}\\newcommand\\f[2][d]{#1#2}\\newenvironment{e}{\\begin{q}}{\\end{q}}"
        "\\NewDocumentCommand\\g{s m}{\\IfBooleanTF{#1}{[#2]}{\\ifx&#2&\\else(#2)\\fi}}"
    )
    once = paper(latex(source, preamble)).text
    assert paper(once).text == once
    assert "no" not in once.replace("unknown", "")
    plain = re.sub(
        r"(?s)\\begin\{verbatim\}.*?\\end\{verbatim\}|\\verb\|%\||\\url\{a%b\}", "", once
    )
    assert without_comments(plain) == plain


def test_the_same_input_gives_the_same_paper() -> None:
    files = {"main.tex": latex("\\input{a}\\a"), "a.tex": "\\def\\a{x}", "c.tex": latex("c")}
    assert paper(files) == paper(dict(reversed(files.items())))
