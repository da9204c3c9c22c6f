"""Traps that are sound records of unwanted pages: copies, spam, mixtures, noise, stubs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from pipeline.sample.archives import Place
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
    """Pages and the traps that they make; `placed` says where the last page has come to lie."""

    pages: tuple[WebPage, ...]
    traps: tuple[Trap, ...]

    def placed(self, place: Place) -> list[Trap]:
        where = {"file": place.file, "offset": place.offset, "length": place.length}
        return [trap.model_copy(update=where) for trap in self.traps]


def _trap(
    kind: str,
    must: Must,
    *steps: str,
    url: str | None = None,
    any_of: tuple[str, ...] = (),
    group: tuple[str, ...] = (),
) -> Trap:
    return Trap(kind=kind, must=must, steps=steps, file="", url=url, any_of=any_of, group=group)


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
        yield Planted(pages, (trap,))


def recrawls(texts: dict[str, LanguageText], rng: Random) -> Iterator[Planted]:
    for i, language in enumerate(("en", "de", "nl", "cs", "sv", "pt")):
        text = texts[language]
        older = replace(plain_page("recrawl", f"{i}", text, rng), date=date(rng, 2018))
        news = text.paragraph(rng)
        newer = replace(older, date=date(rng, 2020), body=(*older.body, news))
        pages = (older, newer) if i % 2 else (newer, older)  # either may come first in the dump
        url, group = older.url, (older.url,)
        one = _trap("recrawl of a URL", Must.ONE_OF_GROUP, URL_DEDUP, url=url, group=group)
        kind = "recrawl: newest is kept"
        new = (news,)
        newest = _trap(kind, Must.NEWEST_OF_GROUP, URL_DEDUP, url=url, group=group, any_of=new)
        yield Planted(pages, (one, newest))


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
        yield Planted((page, near), (trap,))


def spam(rng: Random) -> Iterator[Planted]:
    for i, language in enumerate(sorted(_SPAM_WORDS) * 2):
        words = _SPAM_WORDS[language].split()
        body = tuple(" ".join(rng.choices(words, k=24)) for _ in range(8))
        page = WebPage(f"https://spam.traps.example/{i}", date(rng), language, body[0][:40], body)
        trap = _trap("keyword spam", Must.TAIL, PERPLEXITY, LANGUAGE, url=page.url)
        yield Planted((page,), (trap,))


def mixtures(texts: dict[str, LanguageText], rng: Random) -> Iterator[Planted]:
    for i, languages in enumerate(_MIXTURES):
        body = tuple(
            texts[language].paragraph(rng, 2, 2) for _ in range(2) for language in languages
        )
        page = WebPage(f"https://mixed.traps.example/{i}", date(rng), "en", f"Mix {i}", body)
        trap = _trap("mixed languages", Must.REJECTED, LANGUAGE, url=page.url)
        yield Planted((page,), (trap,))


def gibberish(rng: Random) -> Iterator[Planted]:
    for i, letters in enumerate(_GIBBERISH * 2):
        words = ["".join(rng.choices(letters, k=rng.randint(2, 12))) for _ in range(400)]
        body = tuple(" ".join(words[k : k + 40]) for k in range(0, 400, 40))
        page = WebPage(f"https://noise.traps.example/{i}", date(rng), "en", words[0], body)
        trap = _trap("gibberish", Must.REJECTED, LANGUAGE, url=page.url)
        yield Planted((page,), (trap,))


def short_pages(texts: dict[str, LanguageText], rng: Random) -> Iterator[Planted]:
    for i, language in enumerate(sorted(texts)):
        line = texts[language].sentence(rng)
        page = WebPage(f"https://short.traps.example/{i}", date(rng), language, "404", (line,))
        if len(page.text()) >= _SHORT:
            continue
        trap = _trap("too short page", Must.REJECTED, EXTRACT, LINE_DEDUP, url=page.url)
        yield Planted((page,), (trap,))


def boilerplate_lines(pages: Sequence[WebPage], file: str) -> Iterator[Trap]:
    """One trap for each menu entry, notice and footer that the given pages repeat."""
    frames = {id(p.frame): p.frame for p in pages if p.frame is not None}
    for frame in frames.values():
        users = [p for p in pages if p.frame is frame]
        if len(users) < 3:
            continue
        feet = {len(str(p.number)): frame.foot(p.number, int(p.date[:4])) for p in users}
        repeated = [("boilerplate line", line) for line in (*frame.menu, frame.cookies)]
        repeated += [("footer that differs in digits", feet[digits]) for digits in sorted(feet)]
        for kind, line in repeated:
            yield Trap(
                kind=kind,
                must=Must.LINES_ONCE,
                steps=(LINE_DEDUP,),
                file=file,
                url=users[0].url,
                lines=(line,),
                note=f"the site has {len(users)} pages",
            )
