"""Articles in wikitext, with the marks that a cleaner must take away and the words it must keep."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pipeline.sample.documentation import DocArticle
from pipeline.sample.mediawiki import Namespaces, WikiPage, namespaces
from pipeline.sample.texts import Article, LanguageText


def article_page(
    article: Article, text: LanguageText, cited: Sequence[str], rng: Random
) -> WikiPage:
    """A written article as its encyclopedia has it: lead, sections, links, references, a table."""
    names = namespaces(text.language)
    sections = [
        "\n\n".join(marked(text.paragraph(rng), text, cited, rng) for _ in range(rng.randint(1, 3)))
        for _ in range(rng.randint(2, 4))
    ]
    own = [marked(paragraph, text, cited, rng) for paragraph in article.paragraphs]
    lead = f"'''{_bare(article.title)}''' &ndash; {own[0]}" if rng.random() < 0.5 else own[0]
    parts = [
        infobox(article.title, text, rng) if rng.random() < 0.4 else "",
        lead,
        *own[1:],
        *(f"== {text.word(rng)} ==\n{section}" for section in sections),
        table(text, rng) if rng.random() < 0.3 else "",
        closing(text, names, rng),
    ]
    return WikiPage(article.title, "\n\n".join(part for part in parts if part))


def documentation_page(article: DocArticle, text: LanguageText, rng: Random) -> WikiPage:
    """Docstrings as an article; `<nowiki>` keeps their own marks literal."""
    title = f"{article.name.replace('_', ' ')} ({article.package})"
    body = "\n\n".join(
        f"<nowiki>{line}</nowiki>" if set(line) & set("[]{}|'=<>*#:;") else line
        for line in article.paragraphs
    )
    return WikiPage(title, f"'''{title}''' is a part of {article.package}.\n\n{body}")


def marked(paragraph: str, text: LanguageText, cited: Sequence[str], rng: Random) -> str:
    """The paragraph with links, emphasis, a comment or a reference set at random places."""
    words = paragraph.split(" ")
    for i, word in enumerate(words):
        if not word.isalpha() or len(word) < 4:
            continue
        chance = rng.random()
        if chance < 0.05:
            words[i] = f"[[{word}]]"
        elif chance < 0.08:
            words[i] = f"[[{_bare(text.word(rng))}|{word}]]"
        elif chance < 0.095:
            words[i] = f"''{word}''"
    marks = ""
    if rng.random() < 0.35:
        marks += reference(text, cited, rng)
    if rng.random() < 0.1:
        marks += "<!-- checked by nobody: hidden remark -->"
    return " ".join(words) + marks


def reference(text: LanguageText, cited: Sequence[str], rng: Random) -> str:
    url = rng.choice(cited) if cited else f"https://elsewhere.example/{rng.randrange(10_000)}"
    if rng.random() < 0.5:
        return (
            f'<ref name="r{rng.randrange(10_000)}">{{{{cite web |url={url} '
            f"|title={_bare(text.word(rng))} |access-date=2021-05-04}}}}</ref>"
        )
    return f"<ref>[{url} {_bare(text.word(rng))}]</ref>"


def infobox(title: str, text: LanguageText, rng: Random) -> str:
    return (
        f"{{{{Infobox\n| name = {_bare(title)}\n| image = {text.language}.jpg\n"
        f"| area = {rng.randrange(1, 900)}\n| label = {_bare(text.word(rng))}\n}}}}"
    )


def table(text: LanguageText, rng: Random) -> str:
    rows = "".join(
        f"|-\n| {_bare(text.word(rng))} || {rng.randrange(1000)}\n"
        for _ in range(rng.randint(2, 5))
    )
    return f'{{| class="wikitable sortable"\n! {_bare(text.word(rng))} !! n\n{rows}|}}'


def closing(text: LanguageText, names: Namespaces, rng: Random) -> str:
    links = "\n".join(f"* [[{_bare(text.word(rng))}]]" for _ in range(rng.randint(1, 3)))
    picture = f"[[{names.file}:{text.language}.jpg|thumb|200px|{_bare(text.word(rng))}]]"
    return (
        f"{picture}\n{links}\n\n<references />\n"
        f"[[{names.category}:{_bare(text.word(rng))}]]\n__NOTOC__"
    )


def _bare(word: str) -> str:
    return word.translate({ord(c): None for c in "[]{}|"})
