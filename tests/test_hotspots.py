"""The fast functions of four kernels give what their plain ways give."""

from __future__ import annotations

import io
import re
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import hotspots
from benchmarks.hotspots import Hotspot, measure, sheet
from benchmarks.hotspots.book_dedup import plain_signature, plain_word_hashes, plain_words
from benchmarks.hotspots.core import compared, replaced
from benchmarks.hotspots.decontamination import plain_origins
from benchmarks.hotspots.latex import plain_copy
from benchmarks.hotspots.wikitext import plain_structure
from stages.arxiv import Paper, main_file, read_paper
from stages.arxiv.expander import Expander
from stages.arxiv.lexer import group_end
from stages.arxiv.output import BombError, Output, tidy
from stages.decontaminate.words import NormalForm
from stages.dedup.fuzzy_signature import EMPTY
from stages.dedup.minhash import Bands
from stages.dedup.shingles import shingle_hashes, shingles, word_hashes, words
from stages.wikipedia import wikitext
from stages.wikipedia.settings import WikipediaSettings
from stages.wikipedia.wikitext import WikitextConverter

FEW = settings(max_examples=150, deadline=None)


def soup(pieces: list[str], most: int = 40) -> st.SearchStrategy[str]:
    """Texts of the pieces in any order."""
    return st.lists(st.sampled_from(pieces), max_size=most).map("".join)


# -- decontamination ------------------------------------------------------------------------------

CHARACTERS = [
    *"aZ0 '\\.\n",
    "\u00ad",
    "\u0301",
    "é",
    "ß",
    "ﬁ",
    "…",
    "ก",
    "今",
    "Σ",
    "\ufdfa",
    "😀",
    "\ud800",
]


@FEW
@given(soup(CHARACTERS), st.sampled_from(["separates", "deleted"]))
def test_origins_of_places(text: str, punctuation: str) -> None:
    form = NormalForm(punctuation)  # type: ignore[arg-type]
    places = np.arange(len(form(text)) + 2)
    found = form.origins(text, places)
    assert found.tolist() == plain_origins(form, text, places).tolist()


def test_each_character_has_the_bytes_of_its_normal_form() -> None:
    """The end of a text is behind the bytes of all its characters."""
    form = NormalForm("separates")
    text = "".join(map(chr, range(0x20000)))
    sizes = [len(form(character)) for character in text]
    firsts = np.cumsum([0, *sizes])[:-1]
    visible = np.flatnonzero(sizes)
    assert form.origins(text, firsts[visible]).tolist() == visible.tolist()
    assert form.origins(text, np.array([sum(sizes)])).tolist() == [len(text)]


# -- book dedup -----------------------------------------------------------------------------------

WORDS = [
    *(
        "the",
        " ",
        "  ",
        "Whale",
        "don't",
        "_",
        "-",
        ".",
        "42",
        "٣",
        "ﬁne",
        "Straße",
        "İ",
        "Ⅷ",
        "\n",
    ),
    *(
        "é",
        "e\u0301",
        "\u0345",
        "ᾳ",
        "\u0483",
        "今日",
        "は",
        "か\u3099",
        "\u30fb",
        "\U00020000",
        "\U000f0000",
    ),
    *("\ud800", "\x1c", "\x85", "\u1680"),
]


@FEW
@given(soup(WORDS), st.integers(1, 6))
def test_words_and_their_hashes(text: str, n: int) -> None:
    tokens = plain_words(text)
    assert words(text) == tokens
    assert word_hashes(text).tolist() == plain_word_hashes(text).tolist()
    assert shingles(word_hashes(text), n).tolist() == shingle_hashes(tokens, n).tolist()


def test_every_character_parts_or_joins_words_as_it_did() -> None:
    text = "\n".join(f"a{chr(code)}b" for code in range(sys.maxunicode + 1) if code < 0x32000)
    assert words(text) == plain_words(text)


@pytest.mark.parametrize("size", [0, 1, 700, 70_000])
def test_signature_is_that_of_datasketch(size: int) -> None:
    hashes = np.unique(np.random.default_rng(size).integers(0, 1 << 63, size, np.uint64))
    for bands in (Bands(), Bands(3, 2, seed=7)):
        found = bands.signature(hashes)
        assert found.dtype == np.uint32
        assert (found == plain_signature(bands, hashes)).all()
    assert size or (found == EMPTY).all()


# -- LaTeX ----------------------------------------------------------------------------------------

TOKENS = [
    *("a", " b", "1", "é", "\n", "\n\n", "  \n", " ", "\t", "@", "|", "$", "%", "% c\n", "[", "]"),
    *("{", "}", "{}", "{x}", "{x y} z", "{\\bf x}", "\\frac", "\\hat", "\\alpha", "\\alpha ", "\\"),
    *("\\@", "\\é", "\\,", "\\\\", "\\{", "\\%", "\\ ", "\\item", "\\section{S}", "\\cite{a}"),
    *("\\newcommand{\\q}[1]{a #1 b}", "\\q", "\\q{x}", "\\def\\e{}", "\\e", "\\let\\c\\alpha"),
    *("\\c", "\\def\\z{\\frac}", "\\z", "\\def\\w{ab}", "\\w", "\\renewcommand{\\alpha}{\\w}"),
    *("\\makeatletter", "\\makeatother", "\\a@b", "\\def\\a@b{Q@}", "\\MakeShortVerb{\\|}"),
    *("\\DeleteShortVerb{\\|}", "\\verb|%|", "\\iffalse", "\\iftrue", "\\else", "\\fi", "\\xspace"),
    *("\\begin{x}", "\\end{x}", "\\begin{thebibliography}{9}", "\\end{thebibliography}"),
]


def paper(text: str) -> str:
    head = "\\documentclass{article}\\begin{document}\\section{One}"
    try:
        return repr(read_paper({"main.tex": f"{head}{text}\\end{{document}}".encode()}))
    except BombError as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(soup(TOKENS))
def test_latex_in_stretches_is_latex_by_tokens(text: str) -> None:
    found = paper(text)
    with replaced(Expander, "_copy", plain_copy):
        assert found == paper(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("\\@a \\éb", "\\@ a \\é b"),  # a letter behind them is parted from them
        ("\\def\\w{ab}\\frac{a}\\w\\w", "\\frac{a}{ab}ab"),
        ("\\def\\w{ab}\\frac{{a}b}\\w\\w", "\\frac{{a}b}{ab}ab"),
        ("\\def\\w{ab}\\frac1\\w\\w", "\\frac1{ab}ab"),
        ("\\def\\w{ab}\\hat\\{\\w", "\\hat\\{ab"),
        ("\\def\\w{ab}{a\\def\\w{cd}\\w}\\w", "{acd}ab"),
        ("\\def\\w{ab}{\\def\\w{cd}{e{f}\\w}g}\\w", "{{e{f}cd}g}ab"),
        ("\\def\\w{ab}\\alpha\\w", "\\alpha ab"),
        ("\\hypertarget{a}{\\section{Two}}x", "\\section{Two}x"),  # braces that go
    ],
)
def test_what_a_stretch_leaves_behind(text: str, wanted: str) -> None:
    head = "\\documentclass{article}\\begin{document}\\section{One}"
    found = read_paper({"main.tex": f"{head}{text}\\end{{document}}".encode()})
    assert isinstance(found, Paper)
    assert found.text == "\\section{One}" + wanted
    with replaced(Expander, "_copy", plain_copy):
        assert repr(found) == paper(text)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 20_000,
        "{a" * 20_000,
        "}" * 20_000,
        "\\{" * 20_000,
        "{a}" * 20_000,
        "a{" + "b" * 99_999,
    ],
)
def test_groups_without_end_or_number(text: str) -> None:
    found = paper(text)
    with replaced(Expander, "_copy", plain_copy):
        assert found == paper(text)


@FEW
@given(soup(["{", "}", "{}", "{ab}", "\\", "%", "x", "\n", "\\}"]), st.integers(0, 12))
def test_end_of_a_group(text: str, limit: int) -> None:
    def plain(comments: bool) -> tuple[int, int]:
        comment = r"%[^\n]*(?:\n[ \t]*)?|" if comments else ""
        piece = re.compile(rf"\\[\s\S]?|[{{}}]|{comment}[^\\{{}}{'%' if comments else ''}]+")
        depth = steps = place = 0
        while place < min(len(text), limit) and (match := piece.match(text, place)):
            steps += 1
            place = match.end()
            depth += {"{": 1, "}": -1}.get(match[0], 0)
            if match[0] == "}" and depth <= 0:
                return place, steps
        return -1, steps

    for comments in (True, False):
        charged: list[int] = []
        end = group_end(text, 0, limit, charged.append, comments)
        assert (end, sum(charged)) == plain(comments)


@FEW
@given(st.lists(st.sampled_from(["a", " ", "\t", "\n", " \n", "b \n ", "\n\n\n", " \n \n\t\n"])))
def test_lines_of_the_output(parts: list[str]) -> None:
    out = Output(10**6)
    for part in parts:
        out.text(part)
        if len(out.parts) % 3:  # what is not asked for is looked at later
            line = "".join(out.parts).rpartition("\n")[2]
            assert out.at_line_start == (not line.strip(" \t"))
    joined = "".join(out.parts)
    plain = re.sub(r"\n{3,}", "\n\n", re.sub(r"(?<![ \t])[ \t]+(?=\n)", "", joined))
    assert tidy(out.parts) == plain.strip("\n").rstrip()


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\n\\end\n", True),
        ("\\end", True),
        ("a \\end", False),
        ("\\end\nb", False),
        ("a \\bye", True),
        ("\\byebye", False),
        ("\\input amstex", True),
    ],
)
def test_marks_of_plain_tex(text: str, plain: bool) -> None:
    assert (main_file._PLAIN.search(text) is not None) is plain


# -- wikitext -------------------------------------------------------------------------------------

MARKS = [
    *("[[", "]]", "[[a]]", "[[a|b]]", "[[a|b|c=d]]", "[[File:x|thumb|y [[z]]]]", "[[:Category:q]]"),
    *("[[Category:q]]", "[[it:x]]", "[[:x]]", "[[a\nb]]", "]]]", "[[[", "{{", "}}", "{{{", "}}}"),
    *("{{a|b=c}}", "{{lang|fr|Paris}}", "{{convert|5|km}}", "{{a|}}", "{{a\n|}}}", "{{!}}", "{{}}"),
    *("{|", "|}", "\n{|", "\n|}", "\n:*{|", " {|", "\n |}", "|", "||", "|}}", "\n|}}", "\n|}}}"),
    *(
        "[",
        "]",
        "[http://x.y z]",
        "[http://x",
        "[//a b",
        "[mailto:a b]",
        "=",
        "\n",
        " ",
        "a",
        "b c",
    ),
    *(f"\n{' ' * blanks}{mark}" for blanks in (19, 20, 21) for mark in ("{|", "|}")),
    *("(", ")", "(; ", ": ", ", ", ". ", '"', "«", "»", "<ref/>"),
]


@settings(max_examples=400, deadline=None)
@given(soup(MARKS))
def test_whole_links_and_templates_are_read_as_by_marks(text: str) -> None:
    convert = WikitextConverter(WikipediaSettings(), "en")
    found = convert(text, "T")
    with replaced(wikitext._Run, "structure", plain_structure):
        assert found == convert(text, "T")


@pytest.mark.parametrize("links", ["[[a]]", "{{a|b}}", "[[a|b|c=d]]"])
def test_nothing_is_read_below_the_deepest_template(links: str) -> None:
    convert = WikitextConverter(WikipediaSettings(), "en")
    for depth in (98, 99, 100, 101):
        text = "{{lang|fr|" * depth + links + "}}" * depth
        found = convert(text, "T")
        with replaced(wikitext._Run, "structure", plain_structure):
            assert found == convert(text, "T")


# -- the benchmark --------------------------------------------------------------------------------


def test_answers_that_differ_are_counted() -> None:
    spot = compared("k", "f", 10, lambda: [1, 2, 3], lambda: [1, 5, 3], 2)
    assert (spot.differ, spot.answers) == (1, 3)
    assert len(spot.plain_s) == len(spot.here_s) == 2


def test_speeds_and_ratio() -> None:
    spot = Hotspot("k", "f", 4_000_000, [2.0, 4.0, 8.0], [1.0, 1.0, 1.0], 1, 0)
    assert (spot.speeds(), spot.ratio) == ((1.0, 4.0), 4.0)
    assert sheet([spot]).rows == (("k", "f", "1.0", "4.0", "4.00", "0 of 1"),)


def test_kernels_without_data_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(call: Callable[[], object]) -> tuple[object, None]:
        return call(), None

    monkeypatch.setattr(hotspots, "in_fork", here)
    with pytest.raises(FileNotFoundError):
        measure(1, tmp_path)
    (tmp_path / "arxiv").mkdir()
    tex = b"\\documentclass{article}\\begin{document}\\section{S} $\\alpha$ text.\\end{document}"
    with tarfile.open(tmp_path / "arxiv" / "arXiv_src_1904_001.tar", "w") as tar:
        member = tarfile.TarInfo("1904/1904.00001.gz")
        member.size = len(tex)
        tar.addfile(member, io.BytesIO(tex))
    found = measure(1, tmp_path)
    assert [(spot.kernel, spot.answers, spot.differ) for spot in found] == [("LaTeX", 1, 0)] * 2
