"""Languages of the corpus and how each of them writes numbers and dates.

Number formats are what MediaWiki's `{{formatnum:}}` gives; months and date order follow CLDR.
Groups that MediaWiki separates by a (narrow) no-break space are separated by a plain space here,
because the text's white space is normalised in any case.
"""

from __future__ import annotations

from typing import NamedTuple

# LLaMA paper, section 2.1.
_LANGUAGES_WORDS = """
bg ca cs da de en es fr hr hu it nl pl pt ro ru sl sr sv uk
"""
LANGUAGES = tuple(_LANGUAGES_WORDS.split())


class NumberFormat(NamedTuple):
    """`least`: a number is grouped only when its integer part has at least 3 + `least` digits."""

    group: str
    decimal: str
    least: int


NUMBERS: dict[str, NumberFormat] = {
    "en": NumberFormat(",", ".", 1),
    **{
        code: NumberFormat(".", ",", 1)
        for code in ["ca", "da", "de", "hr", "it", "nl", "ro", "sl", "sr"]
    },
    **{code: NumberFormat(" ", ",", 1) for code in ["cs", "fr", "hu", "sv"]},
    **{code: NumberFormat(" ", ",", 2) for code in ["bg", "es", "pl", "pt", "ru", "uk"]},
}

_MONTHS = {
    "bg": "януари февруари март април май юни юли август септември октомври ноември декември",
    "ca": "gener febrer març abril maig juny juliol agost setembre octubre novembre desembre",
    "cs": "ledna února března dubna května června července srpna září října listopadu prosince",
    "da": "januar februar marts april maj juni juli august september oktober november december",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "en": "January February March April May June July August September October November December",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "hr": "siječnja veljače ožujka travnja svibnja lipnja srpnja kolovoza rujna listopada "
    "studenoga prosinca",
    "hu": "január február március április május június július augusztus szeptember október "
    "november december",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre "
    "dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października "
    "listopada grudnia",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro "
    "dezembro",
    "ro": "ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie "
    "decembrie",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "sl": "januar februar marec april maj junij julij avgust september oktober november december",
    "sr": "јануар фебруар март април мај јун јул август септембар октобар новембар децембар",
    "sv": "januari februari mars april maj juni juli augusti september oktober november december",
    "uk": "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",
}
MONTHS: dict[str, tuple[str, ...]] = {code: tuple(names.split()) for code, names in _MONTHS.items()}

_LONG_DATE = {
    "ca": "{d} de {m} de {y}",
    "es": "{d} de {m} de {y}",
    "pt": "{d} de {m} de {y}",
    "cs": "{d}. {m} {y}",
    "da": "{d}. {m} {y}",
    "de": "{d}. {m} {y}",
    "sl": "{d}. {m} {y}",
    "hr": "{d}. {m} {y}.",
    "sr": "{d}. {m} {y}.",
    "hu": "{y}. {m} {d}.",
}


def long_date(language: str, year: str, month: int = 0, day: str = "") -> str:
    """A date in words; `month` 1 to 12, or 0 for none; an empty `day` is left out."""
    months = MONTHS.get(language, MONTHS["en"])
    name = months[month - 1] if 1 <= month <= 12 else ""
    if not name or not day:
        return f"{name} {year}".strip()
    return _LONG_DATE.get(language, "{d} {m} {y}").format(d=day, m=name, y=year).strip()
