"""Web pages of the sample: what they say, and how they look as WET text and as HTML.

Hosts end in `.example`, which no real site can (RFC 2606).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from pipeline.sample.boilerplate import BOILERPLATE, Boilerplate
from pipeline.sample.documentation import DocArticle
from pipeline.sample.texts import LanguageText

_DOC_SITE = Boilerplate(
    menu=("Documentation index", "Search the reference", "Report a problem with this page"),
    cookies="This documentation uses cookies to remember the theme that you have chosen.",
    footer="Reference page number {number}, built in {year} from the docstrings of its package.",
)


@dataclass(frozen=True, slots=True)
class WebPage:
    """One page at one URL. `date` is ISO 8601 in UTC, `body` the lines between menu and footer."""

    url: str
    date: str
    language: str
    title: str
    body: tuple[str, ...]
    frame: Boilerplate | None = None
    number: int = 0
    markup: str | None = field(default=None, repr=False)  # HTML that stands as it is

    def text(self) -> str:
        """The page as a WET record has it: one line a block, the title first."""
        return "\n".join([self.title, *self.top(), *self.body, *self.bottom()]) + "\n"

    def html(self, meta_charset: str | None = "utf-8") -> str:
        if self.markup is not None:
            return self.markup
        menu = "".join(f'<li><a href="/{i}">{html.escape(e)}</a></li>' for i, e in _items(self))
        blocks = "\n".join(f"<p>{html.escape(line)}</p>" for line in self.body)
        foot = "".join(f"<p>{html.escape(line)}</p>" for line in self.bottom())
        charset = f'<meta charset="{meta_charset}">' if meta_charset else ""
        return (
            f'<!DOCTYPE html>\n<html lang="{self.language}"><head>{charset}'
            f"<title>{html.escape(self.title)}</title>"
            "<style>p { margin: 1em }</style><script>var seen = true;</script></head>\n"
            f"<body><nav><ul>{menu}</ul></nav>\n"
            f"<main><h1>{html.escape(self.title)}</h1>\n{blocks}\n</main>\n"
            f"<footer>{foot}</footer></body></html>\n"
        )

    def top(self) -> tuple[str, ...]:
        return self.frame.menu if self.frame else ()

    def bottom(self) -> tuple[str, ...]:
        if self.frame is None:
            return ()
        return (self.frame.cookies, self.frame.foot(self.number, int(self.date[:4])))


def _items(page: WebPage) -> Iterator[tuple[int, str]]:
    return enumerate(page.top())


def date(rng: Random, year: int | None = None) -> str:
    """A moment in 2019 or 2020, or in `year`."""
    return (
        f"{year or rng.randrange(2019, 2021)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
        f"T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}Z"
    )


def slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-") or "page"


def written_page(text: LanguageText, number: int, rng: Random) -> WebPage:
    """A page of a language's site: an own article now and then, frames elsewhere."""
    chance = rng.random()
    article = rng.choice(text.articles) if chance < 0.15 else None
    title = article.title if article else text.topic(rng)
    paragraphs = [text.paragraph(rng) for _ in range(rng.randint(4, 9))]
    if article:
        paragraphs[1:1] = [rng.choice(article.paragraphs)]
    return WebPage(
        url=f"https://www.{text.language}-pages.example/{rng.randrange(2010, 2020)}/{number}/",
        date=date(rng),
        language=text.language,
        title=title,
        body=tuple(paragraphs),
        frame=BOILERPLATE[text.language],
        number=number,
    )


def written_pages(text: LanguageText, budget: int, rng: Random) -> list[WebPage]:
    """Pages of about `budget` bytes of UTF-8 text in all."""
    pages: list[WebPage] = []
    size = 0
    while size < budget:
        page = written_page(text, len(pages) + 1, rng)
        size += len(page.text().encode())
        pages.append(page)
    return pages


def docstring_page(article: DocArticle, number: int, rng: Random) -> WebPage:
    return WebPage(
        url=f"https://docs.{article.package}.example/reference/{article.name}.html",
        date=date(rng),
        language="en",
        title=f"{article.name} in {article.package}",
        body=article.paragraphs,
        frame=_DOC_SITE,
        number=number,
    )


def module_page(name: str, markup: str, rng: Random) -> WebPage:
    return WebPage(
        url=f"https://pydoc.python.example/{name}.html",
        date=date(rng),
        language="en",
        title=f"Python: {name}",
        body=(),
        markup=markup,
    )
