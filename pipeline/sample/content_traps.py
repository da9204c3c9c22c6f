"""Traps that are sound records with unwanted content: copies, spam, mixtures, noise, short pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from pipeline.sample.pages import WebPage, date
from pipeline.sample.texts import LanguageText
from pipeline.sample.traps import Must, Trap

EXTRACT = "commoncrawl"
URL_DEDUP = "commoncrawl.url_dedup"
DOCUMENT_DEDUP = "commoncrawl.document_dedup"
LINE_DEDUP = "commoncrawl.line_dedup"
LANGUAGE = "commoncrawl.language"
PERPLEXITY = "commoncrawl.perplexity"

_SHORT = 300  # characters below which CCNet drops a page (cc_net, `min_len`)

_SPAM_WORDS = {
    "en": "cheap casino bonus viagra loan credit replica watches hotel flights free download "
    "keygen insurance forex slots jackpot pills pharmacy discount coupon diet seo backlinks "
    "ringtones poker dating mortgage refinance handbags outlet sneakers torrent crack serial",
    "de": "günstig Kredit Casino Bonus kostenlos Handy Vertrag Versicherung Hotel Flüge Gutschein "
    "Rabatt Uhren Abnehmen Pillen Apotheke Schnäppchen Angebot Download Poker Lotto Gewinnspiel "
    "Klingeltöne Umschuldung Girokonto Strom Gas Vergleich Rechner Billigflug Restposten",
    "fr": "pas cher crédit casino bonus gratuit assurance hôtel vols promo réduction montres "
    "régime pilules pharmacie soldes offre téléchargement poker loto jeux sonneries rachat prêt "
    "forfait mobile comparatif devis livraison sac chaussures code parrainage voyance",
    "es": "barato crédito casino bono gratis seguro hotel vuelos oferta descuento relojes dieta "
    "pastillas farmacia rebajas descargar póker lotería juegos tonos préstamo hipoteca móvil "
    "comparador presupuesto envío bolsos zapatillas cupón tarot ganga liquidación",
}
_MIXTURES = (
    ("en", "fr", "de", "it", "nl", "da"),
    ("de", "es", "en", "pl", "fr", "pt"),
    ("it", "en", "da", "es", "de", "fr"),
    ("nl", "it", "pl", "en", "pt", "de"),
)
_GIBBERISH = (
    "bcdfghjklmnpqrstvwxz",
    "qxzjkvwQXZJKVW",
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A trap and the pages that make it; the trap's `file` is that of the last page."""

    trap: Trap
    pages: tuple[WebPage, ...]


def content_traps(texts: dict[str, LanguageText], rng: Random) -> Iterator[Planted]:
    """All traps of this module but the boilerplate lines, which the ordinary pages bring."""
    yield from exact_duplicates(texts, rng)
    yield from recrawls(texts, rng)
    yield from near_duplicates(texts, rng)
    yield from spam(rng)
    yield from mixtures(texts, rng)
    yield from gibberish(rng)
    yield from short_pages(texts, rng)


def plain_page(kind: str, name: str, text: LanguageText, rng: Random, blocks: int = 8) -> WebPage:
    """A page without boilerplate, well above every length limit."""
    return WebPage(
        url=f"https://{kind}.traps.example/{name}",
        date=date(rng),
        language=text.language,
        title=text.topic(rng),
        body=tuple(text.paragraph(rng) for _ in range(blocks)),
    )


def exact_duplicates(texts: dict[str, LanguageText], rng: Random) -> Iterator[Planted]:
    for i, language in enumerate(("en", "de", "fr", "ru", "es", "pl", "uk", "it")):
        page = plain_page("copies", f"{i}/original", texts[language], rng)
        copies = [
            replace(page, url=f"https://mirror{k}.traps.example/{i}.html", date=date(rng))
            for k in range(1 + i % 3)
        ]
        pages = (page, *copies)
        trap = Trap(
            kind="exact duplicate page",
            must=Must.ONE_OF_GROUP,
            steps=(DOCUMENT_DEDUP,),
            file="",
            group=tuple(p.url for p in pages),
            count=len(copies),
        )
        yield Planted(trap, pages)


def recrawls(texts: dict[str, LanguageText], rng: Random) -> Iterator[Planted]:
    for i, language in enumerate(("en", "de", "nl", "cs", "sv", "pt")):
        text = texts[language]
        older = replace(plain_page("recrawl", f"{i}", text, rng), date=date(rng, 2018))
        news = text.paragraph(rng)
        newer = replace(older, date=date(rng, 2020), body=(*older.body, news))
        pages = (older, newer) if i % 2 else (newer, older)  # either may come first in the dump
        common = {"steps": (URL_DEDUP,), "file": "", "url": older.url, "group": (older.url,)}
        yield Planted(Trap(kind="recrawl of a URL", must=Must.ONE_OF_GROUP, **common), pages)
        newest = Trap(
            kind="recrawl: newest is kept", must=Must.NEWEST_OF_GROUP, any_of=(news,), **common
        )
        yield Planted(newest, ())


def near_duplicates(texts: dict[str, LanguageText], rng: Random) -> Iterator[Planted]:
    for i, language in enumerate(("en", "fr", "it", "ro", "hu", "bg")):
        text = texts[language]
        page = plain_page("near", f"{i}/original", text, rng, blocks=10)
        body = list(page.body)
        changed = rng.sample(range(len(body)), 3)
        for k in changed:
            words = body[k].split(" ")
            words[rng.randrange(len(words))] = text.word(rng) + "!"
            body[k] = " ".join(words)
        near = replace(page, url=f"https://near.traps.example/{i}/changed", body=tuple(body))
        shared = tuple(line for k, line in enumerate(page.body) if k not in changed)
        trap = Trap(
            kind="near duplicate: shared lines",
            must=Must.LINES_ONCE,
            steps=(LINE_DEDUP,),
            file="",
            url=near.url,
            lines=shared,
            note="line dedup takes the shared lines; the page may stay with its three own ones",
        )
        yield Planted(trap, (page, near))


def spam(rng: Random) -> Iterator[Planted]:
    for i, language in enumerate(sorted(_SPAM_WORDS) * 2):
        words = _SPAM_WORDS[language].split()
        body = tuple(" ".join(rng.choices(words, k=24)) for _ in range(8))
        page = WebPage(f"https://spam.traps.example/{i}", date(rng), language, body[0][:40], body)
        trap = Trap(
            kind="keyword spam", must=Must.TAIL, steps=(PERPLEXITY,), file="", url=page.url
        )
        yield Planted(trap, (page,))


def mixtures(texts: dict[str, LanguageText], rng: Random) -> Iterator[Planted]:
    for i, languages in enumerate(_MIXTURES):
        body = tuple(
            texts[language].paragraph(rng, 2, 2) for _ in range(2) for language in languages
        )
        page = WebPage(f"https://mixed.traps.example/{i}", date(rng), "en", f"Mix {i}", body)
        trap = Trap(
            kind="mixed languages", must=Must.REJECTED, steps=(LANGUAGE,), file="", url=page.url
        )
        yield Planted(trap, (page,))


def gibberish(rng: Random) -> Iterator[Planted]:
    for i, letters in enumerate(_GIBBERISH * 2):
        words = ["".join(rng.choices(letters, k=rng.randint(2, 12))) for _ in range(400)]
        body = tuple(" ".join(words[k : k + 40]) for k in range(0, 400, 40))
        page = WebPage(f"https://noise.traps.example/{i}", date(rng), "en", words[0], body)
        trap = Trap(kind="gibberish", must=Must.REJECTED, steps=(LANGUAGE,), file="", url=page.url)
        yield Planted(trap, (page,))


def short_pages(texts: dict[str, LanguageText], rng: Random) -> Iterator[Planted]:
    for i, language in enumerate(sorted(texts)):
        line = texts[language].sentence(rng)
        page = WebPage(f"https://short.traps.example/{i}", date(rng), language, "404", (line,))
        if len(page.text()) >= _SHORT:
            continue
        trap = Trap(
            kind="too short page",
            must=Must.REJECTED,
            steps=(EXTRACT, LINE_DEDUP),
            file="",
            url=page.url,
        )
        yield Planted(trap, (page,))


def boilerplate_lines(pages: Sequence[WebPage], file: str) -> Iterator[Trap]:
    """One trap for each menu entry, notice and footer that the given pages repeat."""
    frames = {id(p.frame): p.frame for p in pages if p.frame is not None}
    for frame in frames.values():
        users = [p for p in pages if p.frame is frame]
        if len(users) < 3:
            continue
        footer = frame.foot(users[0].number, int(users[0].date[:4]))
        for line in (*frame.menu, frame.cookies, footer):
            yield Trap(
                kind="footer that differs in digits" if line == footer else "boilerplate line",
                must=Must.LINES_ONCE,
                steps=(LINE_DEDUP,),
                file=file,
                url=users[0].url,
                lines=(line,),
                note=f"on {len(users)} pages",
            )


