"""Values inside templates are kept: one golden case for each family and language.

Every peer drops whole templates, so that "At {{convert|5|km}}, ..." becomes "At , ...".
"""

from __future__ import annotations

import pytest

from stages.wikipedia.locales import LANGUAGES, MONTHS, NUMBERS
from stages.wikipedia.settings import WikipediaSettings
from stages.wikipedia.template_table import COMMON, COMMON_PATTERNS, LOCAL, LOCAL_PATTERNS
from stages.wikipedia.templates import compile_action
from stages.wikipedia.wikitext import WikitextConverter

CONVERTERS = {code: WikitextConverter(WikipediaSettings(), code) for code in LANGUAGES}


def text(wikitext: str, language: str = "en") -> str:
    shown = CONVERTERS[language](f"x {wikitext} y", "Title").text
    return shown.removeprefix("x").removesuffix("y").strip()


ENGLISH = {
    # units
    "{{convert|5|km|mi}}": "5 km",
    "{{cvt|12345|sqmi|km2|abbr=on}}": "12,345 sq mi",
    "{{convert|5|to|10|km2}}": "5 to 10 km²",
    "{{convert|5|-|10|°C}}": "5–10 °C",
    "{{convert|3|x|4|m}}": "3 × 4 m",
    "{{convert|5|ft|6|in|cm}}": "5 ft 6 in",
    "{{convert|60|F}}": "60 °F",
    "{{val|1.5|0.2|e=3|u=kg}}": "1.5 ± 0.2 × 10³ kg",
    # numbers
    "{{formatnum:1234567.5}}": "1,234,567.5",
    "{{formatnum:1234567|R}}": "1234567",
    "{{nts|1000}}": "1,000",
    "{{frac|1|2}}": "1/2",
    "{{frac|3|1|2}}": "3 1/2",
    "{{sqrt|2}}": "√2",
    "{{e|6}}": "×10⁶",
    "m{{sup|2}}, x{{sub|1}}": "m², x₁",
    "{{chem|H|2|O}}, {{CO2}}": "H₂O, CO₂",
    "{{US$|5 million}}": "US$5 million",
    # languages
    "{{lang|fr|texte}}": "texte",
    "{{lang-de|Wort}}": "Wort",
    "{{langx|zh-Hant|字}}": "字",
    "{{transl|ar|ALA|kitāb}}": "kitāb",
    "{{nihongo|Tokyo|東京|Tōkyō}}": "Tokyo (東京, Tōkyō)",
    "{{nihongo|Tokyo}}": "Tokyo",
    "{{ill|Some Person|de|Eine Person|lt=the person}}": "the person",
    # wrappers
    "{{nowrap|no break}}": "no break",
    "{{small|tiny}}": "tiny",
    "{{abbr|Dr.|Doctor}}": "Dr.",
    "{{color|red|text}}": "text",
    "{{sort|key|shown}}": "shown",
    "{{em|stress}}": "stress",
    # dates
    "{{birth date|1990|1|2}}": "January 2, 1990",
    "{{birth date|1990|1|2|df=y}}": "2 January 1990",
    "{{start date|1990|5}}": "May 1990",
    "{{start date|1990}}": "1990",
    "{{date|2010-02-03}}": "February 3, 2010",
    "{{as of|2010|1}}": "As of January 2010",
    "{{as of|2010|lc=y}}": "as of 2010",
    "{{circa|1500}}": "c. 1500",
    "{{circa|1500|1510}}": "c. 1500 – c. 1510",
    "{{reign|1|2}}": "r. 1–2",
    # signs
    "a{{snd}}b{{ndash}}c{{mdash}}d": "a – b–c—d",
    "a{{nbsp}}b": "a b",
    "a {{!}} b {{=}} c": "a | b = c",
    # quotations and lists
    "{{hlist|a|b|c}}": "a, b, c",
    "{{flatlist|\n* a\n* b\n}}": "a, b",
    "{{flag|France}}": "France",
    "{{ISBN|0-123}}": "ISBN 0-123",
    "{{harvtxt|Smith|Jones|2000}}": "Smith & Jones (2000)",
    # parser functions and variables
    "{{lc:ABC}} {{ucfirst:abc}} {{PAGENAME}}": "abc Abc Title",
    "{{#if:x|yes|no}} {{#if: |yes|no}} {{#ifeq:a|a|same|other}}": "yes no same",
    "{{subst:nowrap|a}}": "a",
    "{{Template:nowrap|a}}": "a",
    # nesting: values inside values
    "{{nowrap|{{convert|5|km}} [[to|and]] {{lang|fr|a=b}}}}": "5 km and",
    "{{nowrap|{{convert|5|km}} {{lang|fr|2=a=b}}}}": "5 km a=b",
    "{{quote|1=a [http://x.org/?p=1 b=c]}}": "a b=c",
    # known, and nothing to show
    "a{{Infobox person|name=x}}{{cite web|url=http://x.org|title=y}}{{coord|1|2}}b": "ab",
    "a{{citation needed|date=May}}{{sfn|Smith|2000|p=1}}{{reflist}}b": "ab",
    "a{{IPAc-en|b|er}}b": "ab",
}


@pytest.mark.parametrize(("wikitext", "expected"), ENGLISH.items())
def test_values_in_english_templates_are_kept(wikitext: str, expected: str) -> None:
    assert text(wikitext) == expected


LOCAL_CASES = {
    "bg": {"{{lang|de|Berlin}}": "Berlin", "{{formatnum:12345}}": "12 345"},
    "ca": {"{{segle|XX}}": "segle XX", "{{formatnum:1234}}": "1.234"},
    "cs": {"{{cizojazyčně|de|Wort}}": "Wort", "{{formatnum:1234,5}}": "1 234,5"},
    "da": {"{{lang|de|Wort}}": "Wort", "{{dato|2|1|1990}}": "2. januar 1990"},
    "de": {"{{lang|en|word}}": "word", '{{"|Text}}': "„Text“", "{{enS|word}}": "word"},
    "es": {"{{siglo|XX}}": "siglo XX", "{{unidad|1500|km}}": "1500 km", "{{esd}}": ""},
    "fr": {
        "{{unité|12345|km}}": "12 345 km",
        "{{unité|5|km|2}}": "5 km²",
        "{{unité|50000 personnes}}": "50 000 personnes",
        "{{nombre|1.36|enfant}}": "1,36 enfant",
        "{{formatnum:1234}}": "1 234",
        "au {{s|XX}}": "au XXe siècle",
        "{{s|I}}, {{s-|XIX|e}}": "Ier siècle, XIXe",
        "{{XIXe siècle}}, {{1er}}, François {{Ier}}": "XIXe siècle, 1er, François Ier",
        "{{date|11|novembre|1866}}": "11 novembre 1866",
        "{{date de naissance|11|11|1866}}": "11 novembre 1866",
        "{{langue|de|texte=Autobahnen}}": "Autobahnen",
        "{{heure|20|30}}": "20 h 30 min",
        "{{lien|fr=Nom|lang=de|trad=Name|texte=le nom}}": "le nom",
        "{{citation|mots}}": "« mots »",
        "{{nobr|4,4|millions}}": "4,4 millions",
        "{{tmp|38.1|°C}}": "38,1 °C",
        "a<ref>x</ref>{{,}}<ref>y</ref>b": "ab",
    },
    "hr": {"{{jez|de|Wort}}": "Wort", "{{formatnum:1234}}": "1.234"},
    "hu": {"{{szám|748472}}": "748 472", "{{dátum|1990|1|2}}": "1990. január 2."},
    "it": {
        "{{M|5|k|m}}": "5 km",
        "{{M|1,5|ul=kg}}": "1,5 kg",
        "{{TA|18 256}}": "18 256",
        "{{formatnum:3769495}}": "3.769.495",
        "{{m s.l.m.|2500}}": "2.500 m s.l.m.",
        "{{Bio|Nome=Ada|Cognome=Rossi|Sesso=F|LuogoNascita=Roma|GiornoMeseNascita=2 maggio"
        "|AnnoNascita=1900|LuogoMorte=Pisa|AnnoMorte=1980|Attività=pittrice|Attività2=poetessa"
        "|Nazionalità=italiana}}": "Ada Rossi (Roma, 2 maggio 1900 – Pisa, 1980) è stata una "
        "pittrice e poetessa italiana.",
    },
    "nl": {"{{lang|de|Wort}}": "Wort", "{{FormatNum|1234}}": "1.234"},
    "pl": {"{{j|de|Wort}}": "Wort", "{{formatnum:1234}} {{formatnum:12345}}": "1234 12 345"},
    "pt": {"{{séc|XX}}": "século XX", "{{Fmtn|12345}}": "12 345"},
    "ro": {"{{conversie|891.85|km2|sqmi|abbr=on}}": "891,85 km²", "{{lang|de|Wort}}": "Wort"},
    "ru": {
        "{{число|3644826}}": "3 644 826",
        "{{нп5|Синагога (Берлин)|Синагога|de|Synagoge}}": "Синагога",
        "{{lang-de|Wort}} {{нп5|Архив}}": "Wort Архив",
        "{{s|5 км}}": "5 км",
    },
    "sl": {"{{lang|de|Wort}}": "Wort", "{{formatnum:1234}}": "1.234"},
    "sr": {"{{јез-нем|Bezirk}}": "Bezirk", "{{...}}": "…"},
    "sv": {"{{lang|de|Wort}}": "Wort", "{{formatnum:1234}}": "1 234"},
    "uk": {"{{lang-de|Wort}}": "Wort", "6{{e|3}}": "6×10³", "{{iw|Ціль|назва|de|Z}}": "назва"},
}


@pytest.mark.parametrize(
    ("language", "wikitext", "expected"),
    [(code, w, e) for code, cases in LOCAL_CASES.items() for w, e in cases.items()],
)
def test_values_in_templates_of_each_language_are_kept(
    language: str, wikitext: str, expected: str
) -> None:
    assert text(wikitext, language) == expected


def test_block_templates_keep_their_text_on_lines_of_their_own() -> None:
    page = "Before.\n{{quote|Words said.|A. Author}}\n{{ubl|one|two}}\n{{plainlist|\n* a\n* b\n}}"
    assert CONVERTERS["en"](page, "T").text == (
        "Before.\n\nWords said.\n— A. Author\n\n- one\n- two\n\n- a\n- b"
    )


def test_pronunciation_is_a_setting() -> None:
    keep = WikitextConverter(WikipediaSettings(ipa="keep"), "en")
    assert keep("a ({{IPA|bɛʁ}}) b", "T").text == "a (bɛʁ) b"
    assert CONVERTERS["en"]("a ({{IPA|bɛʁ}}) b", "T").text == "a b"


def test_tables_are_complete_and_well_formed() -> None:
    assert set(LOCAL) == set(LANGUAGES) == set(NUMBERS) == set(MONTHS)
    assert set(LOCAL_CASES) == set(LANGUAGES) - {"en"}
    assert all(len(months) == 12 for months in MONTHS.values())
    for rows in (COMMON, COMMON_PATTERNS, *LOCAL.values(), *LOCAL_PATTERNS.values()):
        for _, action in rows:
            compile_action(action)
    with pytest.raises(ValueError, match="unbalanced"):
        compile_action("a [ {1}")
    with pytest.raises(KeyError):
        compile_action("=nosuch")


def test_parameters_by_number_name_and_order() -> None:
    assert text("{{lang|2=b|1=fr}}") == "b"
    assert text("{{lang|fr|first|2=last}}") == "last"
    assert text("{{ lang \n| fr\n| word }}") == "word"
