"""Pages that the sample's Wikipedia cites, and pages of shops and chats that nobody would.

A classifier can learn from them what a cited page reads like. Some pages of both kinds stand on
sites of their own and are cited nowhere: they are the traps, for they show whether it did. Names of
sites are drawn from one list, so that none tells the kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from pipeline.sample.content_traps import Planted
from pipeline.sample.mediawiki import WikiPage
from pipeline.sample.pages import WebPage, date
from pipeline.sample.texts import LanguageText
from pipeline.sample.traps import Must, Trap

STEP = "commoncrawl.reference"
CITED, OTHER, TRAPS = 150, 150, 12
_CITED_SITES, _OTHER_SITES = 40, 40
_FIRST = (
    "alder", "amber", "birch", "cedar", "clover", "coral", "ember", "fern", "hazel", "heron",
    "linden", "maple",
)  # fmt: skip
_SECOND = (
    "bay", "bridge", "brook", "dale", "field", "gate", "harbor", "hill", "lane", "mill", "point",
    "ridge",
)  # fmt: skip

_SOURCE = LanguageText(
    language="en",
    articles=(),
    frames=(
        "According to the parish register of {place}, the {building} was completed in {year} under"
        " the direction of {name}.",
        "The survey, published in volume {number} of the {journal}, recorded {number} households"
        " in the district of {place}.",
        "{name} argued in a lecture of {year} that the population of {place} had declined by a"
        " third during the preceding century.",
        "Excavations led by {name} between {year} and {year} uncovered the foundations of an"
        " earlier {building}.",
        "The archive of {place} holds {number} letters from {name} to the provincial council, most"
        " of them written before {year}.",
        "A census taken in {year} lists the {building} among the property of the bishopric.",
        "The expedition of {year} returned with specimens that were later described by {name} in"
        " the {journal}.",
        "In {year} the legislature granted the university of {place} a charter, and {name} was"
        " appointed its first rector.",
        "Historians have disputed the attribution of the {building} since an essay by {name} in the"
        " {journal} questioned the date of its inscription.",
        "The treaty was ratified at {place} in {year}; its second article transferred the"
        " {building} to the municipality.",
        "Measurements taken at the observatory of {place} were analysed by {name}, whose tables"
        " remained in use until {year}.",
        "The biography by {name} relies on correspondence preserved in the {building} of {place}.",
        "Its population was recorded as {number} in the enumeration of {year}, the last before the"
        " province was divided.",
        "The museum acquired the manuscript in {year} from the estate of {name}, who had described"
        " it in the {journal}.",
    ),
    lists={
        "name": (
            "Adelheid Brunn",
            "Tomas Verhane",
            "Ilse Korvath",
            "Edmund Pallister",
            "Marta Quillane",
            "Joseph Aldermere",
            "Henrike Osterfeld",
            "Bertram Lowick",
            "Sofia Terranova",
            "Ruben Castellane",
        ),
        "place": (
            "Orvan",
            "Zelmar",
            "Lower Tarnow",
            "Heddesby",
            "Quarne",
            "Saint Aubrel",
            "Vistenau",
            "Morrick",
        ),
        "building": (
            "cathedral",
            "aqueduct",
            "town hall",
            "granary",
            "priory",
            "observatory",
            "fortress",
            "lighthouse",
        ),
        "journal": (
            "Annals of Provincial History",
            "Journal of Antiquarian Studies",
            "Transactions of the Geographical Institute",
            "Quarterly Review of Architecture",
        ),
    },
)
_CHAT = LanguageText(
    language="en",
    articles=(),
    frames=(
        "Hey guys, I just got my new {thing} today and I totally love it, {number} stars from me!",
        "Does anybody know where I can get a cheap {thing} with free shipping this weekend?",
        "Click the button below to add the {thing} to your basket and save {number} percent now.",
        "My {thing} stopped working after two weeks lol, what should I do, please help.",
        "Sign up for our newsletter and be the first to hear about every {thing} deal in {year}.",
        "I think you should just ask for your money back, that is what I did with my {thing}.",
        "Our {thing} comes in {number} colours, so pick your favourite and order before midnight!",
        "Thanks for posting this, I was looking for a {thing} like that for my sister's birthday.",
        "Sorry, the {thing} is out of stock right now, but you can join the waiting list.",
        "Posted by {nick} at noon: wow, that {thing} looks so cool, I want one too!",
        "Free returns on every {thing}, no questions asked, see our shop for today's offers.",
        "You won't believe what {nick} said about my {thing} yesterday, I was laughing so hard.",
        "Log in to leave a comment or to share your {thing} photos with your friends.",
        "I had the same problem with the {thing}, try turning it off and on again.",
    ),
    lists={
        "thing": (
            "phone case",
            "yoga mat",
            "coffee mug",
            "skateboard",
            "hair dryer",
            "backpack",
            "game console",
            "sofa",
            "pair of sneakers",
            "bike lock",
        ),
        "nick": ("mellow_cat", "sunny77", "bigdave", "pixiejo", "tigerlily", "oldskool"),
    },
)


def planted_pages(seed: int) -> Iterator[Planted]:
    """The pages to mix into the crawl, the traps among them with what a run must say of them."""
    rng = Random(f"{seed}/references")
    _, others, alike, unlike = _sites(seed)
    for page in cited_pages(seed):
        yield Planted((page,), ())
    for i in range(OTHER):
        yield Planted((_page(_CHAT, others[i % _OTHER_SITES], i, rng),), ())
    for i in range(TRAPS):
        page = _page(_SOURCE, alike[i], i, rng)
        yield _trap("page like those that Wikipedia cites", Must.CITED, page)
        page = _page(_CHAT, unlike[i], i, rng)
        yield _trap("page like none that Wikipedia cites", Must.NOT_CITED, page)


def cited_pages(seed: int) -> list[WebPage]:
    rng = Random(f"{seed}/references/cited")
    sites = _sites(seed)[0]
    return [_page(_SOURCE, sites[i % _CITED_SITES], i, rng) for i in range(CITED)]


def citing_articles(seed: int, per_article: int = 15) -> Iterator[WikiPage]:
    """English articles that cite all of `cited_pages`, the URLs written as editors write them:
    with another scheme, without `www.`, by way of a web archive."""
    rng = Random(f"{seed}/references/articles")
    pages = cited_pages(seed)
    for start in range(0, len(pages), per_article):
        paragraphs = [
            f"{_SOURCE.paragraph(rng)}{_citation(page, start + i)}"
            for i, page in enumerate(pages[start : start + per_article])
        ]
        yield WikiPage(f"History of the Orvan valley, part {start // per_article + 1}",
                       "\n\n".join([*paragraphs, "<references />"]))  # fmt: skip


def _sites(seed: int) -> tuple[list[str], ...]:
    """Names of the sites of cited pages, of others, and of traps of both kinds."""
    names = [f"{a}{b}" for a in _FIRST for b in _SECOND]
    Random(f"{seed}/references/sites").shuffle(names)
    return tuple(
        [names.pop() for _ in range(count)] for count in (_CITED_SITES, _OTHER_SITES, TRAPS, TRAPS)
    )


def _citation(page: WebPage, number: int) -> str:
    url = page.url
    forms = (
        f"<ref>[{url} {page.title}]</ref>",
        f'<ref name="n{number}">{{{{cite web |url={url.replace("https://www.", "http://")}'
        f" |title={page.title}}}}}</ref>",
        f"<ref>{{{{cite journal |title={page.title} |archive-url="
        f"https://web.archive.org/web/20200117123339/{url}}}}}</ref>",
    )
    return forms[number % len(forms)]


def _page(text: LanguageText, site: str, number: int, rng: Random) -> WebPage:
    return WebPage(
        url=f"https://www.{site}.example/read/{number}.html",
        date=date(rng),
        language="en",
        title=f"{text.word(rng)} ({rng.randrange(1700, 2020)})",
        body=tuple(text.paragraph(rng, 3, 5) for _ in range(rng.randint(4, 10))),
    )


def _trap(kind: str, must: Must, page: WebPage) -> Planted:
    return Planted((page,), (Trap(kind=kind, must=must, steps=(STEP,), file="", url=page.url),))
