"""The text files of the sample's languages and what is made of them."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from pipeline.sample import documentation
from pipeline.sample.boilerplate import BOILERPLATE
from pipeline.sample.texts import LANGUAGES, SampleTextError, load, parse

TEXT = """# Bread
Flour and water.
They need time.

It rises slowly.

# Salt
White grains.
@frames
In {year} {name} had {number} cats.
Nobody came.
@name
Anna

Otto
"""


def test_articles_paragraphs_and_lists_are_read() -> None:
    text = parse(TEXT, "en")
    assert [a.title for a in text.articles] == ["Bread", "Salt"]
    assert text.articles[0].paragraphs == ("Flour and water. They need time.", "It rises slowly.")
    assert text.frames == ("In {year} {name} had {number} cats.", "Nobody came.")
    assert text.lists == {"name": ("Anna", "Otto")}


def test_frames_are_filled_and_follow_the_seed() -> None:
    text = parse(TEXT, "en")
    sentences = {text.sentence(Random(seed)) for seed in range(40)}
    assert not any("{" in sentence for sentence in sentences)
    assert len(sentences) > 10
    assert text.paragraph(Random(7)) == text.paragraph(Random(7))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("words\n# Title\n", r"x\.txt:1: text before"),
        ("# Title\nwords\n", "at least one article and one frame"),
        ("# Title\n\n# Other\nwords\n@frames\nA.\n", "'Title' has no paragraph"),
        ("# Title\nwords\n@frames\nA {thing}.\n", "unknown list 'thing'"),
        ("# Title\nwords\n@frames\nA {thing}.\n@thing\n", "unknown list 'thing'"),
    ],
)
def test_a_wrong_file_is_refused_with_its_fault(content: str, message: str) -> None:
    with pytest.raises(SampleTextError, match=message):
        parse(content, "en", "x.txt")


def test_missing_languages_are_named(tmp_path: Path) -> None:
    (tmp_path / "bg.txt").write_text(TEXT, encoding="utf-8")
    with pytest.raises(SampleTextError, match="no text for ca, cs, da"):
        load(tmp_path)


def test_the_projects_own_texts_are_whole() -> None:
    texts = load()
    assert set(texts) == set(LANGUAGES) == set(BOILERPLATE)
    for language, text in texts.items():
        assert len(text.frames) >= 25, language
        assert len(text.articles) >= 5, language


def test_module_pages_tell_nothing_of_this_machine(tmp_path: Path) -> None:
    names = ("http.cookies", "difflib", "nosuchmodule")
    pages, missing = documentation.module_pages(names, tmp_path)
    assert sorted(pages) == ["difflib", "http.cookies"]
    assert missing == {"nosuchmodule": "ModuleNotFoundError"}
    assert "HtmlDiff" in pages["difflib"]
    for page in pages.values():
        assert " at 0x" not in page
        assert "&nbsp;" not in page
        assert "file:" not in page
        assert sys.base_prefix not in page
    assert not list(tmp_path.iterdir())


def test_a_failing_child_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pydoc.json").mkdir()  # where the child would write its result
    with pytest.raises(documentation.DocumentationError, match="pydoc ended with"):
        documentation.module_pages(("abc",), tmp_path)


def test_only_permissive_licences_are_taken() -> None:
    assert documentation.licence("no-such-distribution") is None
    assert documentation.licence("pydantic") == "MIT"
    assert documentation.licence("certifi") is None  # MPL


def test_prose_is_joined_and_code_is_not() -> None:
    text = "One\ntwo.\n\n    >>> x = 1\n    >>> y\n\nName\n----\nrest"
    assert list(documentation.reflow(text)) == [
        "One two.",
        ">>> x = 1",
        ">>> y",
        "Name",
        "----",
        "rest",
    ]


def test_docstring_articles_keep_to_the_budget() -> None:
    articles = list(documentation.docstring_articles(60_000))
    size = sum(len(paragraph) for article in articles for paragraph in article.paragraphs)
    assert 60_000 <= size < 60_000 + 20_000
    names = [(article.package, article.name) for article in articles]
    assert len(names) == len(set(names))
    assert len({article.package for article in articles}) >= 2
