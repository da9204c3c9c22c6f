"""Wikitext to plain text: links, tags, tables, lists, headings, quotes; hostile input."""

from __future__ import annotations

import re

import mwparserfromhell
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.wikipedia.lines import resolve_quotes
from stages.wikipedia.settings import WikipediaSettings
from stages.wikipedia.wikitext import PlainText, WikitextConverter

EN = WikitextConverter(WikipediaSettings(), "en")


def text(wikitext: str, language: str = "en", **options: object) -> str:
    converter = WikitextConverter(WikipediaSettings.model_validate(options), language)
    return converter(wikitext, "Title").text


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("[[Paris]] is [[Capital city|the capital]].", "Paris is the capital."),
        ("[[car]]s and [[Bus|buses]]", "cars and buses"),
        (
            "See [[:Category:Birds|birds]] and [[:File:X.jpg|a picture]].",
            "See birds and a picture.",
        ),
        ("[[de:Paris]][[zh-min-nan:Paris]]Text", "Text"),
        ("[[wikt:word|word]]", "word"),
        ("An [http://example.org/a?b=1 external [[link]]] here.", "An external link here."),
        ("A bare http://example.org/x, dropped", "A bare, dropped"),
        ("Unlabelled [http://example.org].", "Unlabelled."),
        ("[//example.org label]", "label"),
        ("array[0] and [note] stay", "array[0] and [note] stay"),
        ("[[A|b|c]]", "b|c"),
    ],
)
def test_links_become_their_text(wikitext: str, expected: str) -> None:
    assert text(wikitext) == expected


FILES = (
    "File Image Файл Картинка Fitxer Imatge Soubor Fil Billede Datei Bild Archivo Imagen Fichier "
    "Datoteka Slika Fájl Kép Immagine Bestand Afbeelding Plik Grafika Ficheiro Arquivo Imagem "
    "Fișier Imagine Изображение Датотека Слика Зображення"
)
CATEGORIES = (
    "Category Категория Categoria Kategorie Kategori Categoría Catégorie Kategorija Kategória "
    "Categorie Kategoria Категорија Категорія"
)


@pytest.mark.parametrize("prefix", FILES.split() + CATEGORIES.split())
def test_pictures_and_categories_go_in_every_language_with_their_captions(prefix: str) -> None:
    link = f"[[{prefix}:Some name.jpg|thumb|A caption with [[a link|link]] and {{{{x|[[y]]}}}}]]"
    assert text(f"Before.{link} After.") == "Before. After."
    assert text(f"Before. [[{prefix.lower()} : x]]After.") == "Before. After."


def test_names_of_the_dumps_own_file_namespace() -> None:
    converter = WikitextConverter(WikipediaSettings(), "en", frozenset({"picture room"}))
    assert converter("A[[Picture_Room:x.jpg|thumb|c]]B", "T").text == "AB"


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("a<!-- hidden [[x]] -->b", "ab"),
        ("a\n<!-- whole line -->\nb", "a\nb"),
        ("a<!-- never closed b", "a"),
        ('a<ref>{{cite web|url=http://x.org}}</ref>b<ref name="n" />c<ref name=m>d</ref>.', "abc."),
        ("<REF>x</REF>a", "a"),
        ("a<gallery>\nFile:a.jpg|b\n</gallery>c", "ac"),
        (
            "x <nowiki>[[not a link]] {{nor}} ''this''</nowiki> y",
            "x [[not a link]] {{nor}} ''this'' y",
        ),
        ("two<br>lines<br/>three", "two\nlines\nthree"),
        ("<b>bold</b> <span style='color:red'>red</span> <small>s</small>", "bold red s"),
        ("a<span style='display:none'>sortkey</span>b", "ab"),
        ("10<sup>6</sup> m<sup>2</sup>, H<sub>2</sub>O, 1<sup>st</sup>", "10⁶ m², H₂O, 1st"),
        ("a < b and c > d", "a < b and c > d"),
        ("x<templatestyles src='y'/>z", "xz"),
        ("<div><p>one</p><p>two</p></div>", "one\n\ntwo"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ("<table><tr><td>cell</td></tr></table>after", "after"),
        ("<includeonly>no</includeonly><noinclude>yes</noinclude>", "yes"),
        ("<poem>\nfirst\nsecond\n</poem>", "first\nsecond"),
        ("&nbsp;a&amp;b&nbsp;&lt;i&gt; &#8211; &#x41;", "a&b <i> – A"),
    ],
)
def test_tags_comments_and_entities(wikitext: str, expected: str) -> None:
    assert text(wikitext) == expected


def test_settings_for_formulas_code_and_urls() -> None:
    page = "mass <math>E = mc^2</math>\n<syntaxhighlight lang='c'>\nint  a[3];\n</syntaxhighlight>"
    assert text(page) == "mass $E = mc^2$\n\nint  a[3];"
    assert text(page, math="drop", code="drop") == "mass"
    assert text("see http://x.org/a.", bare_urls="keep") == "see http://x.org/a."


def test_unclosed_reference_does_not_swallow_sections() -> None:
    page = 'One.<ref name="a">\n== Two ==\nText.<ref>x</ref> End.'
    assert text(page) == "One.\n\nTwo\n\nText. End."


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("a\n{| class=x\n! h\n|-\n| {{foo|[[b|c]]}} || d\n{|\n| nested\n|}\n|}\nb", "a\n\nb"),
        ("{{Infobox\n| a = {|\n| x\n|}\n| b = 1\n}}Text", "Text"),
        ("{{Infobox\n|a=1\n|}}Text", "Text"),
        (":{|\n| indented\n|}\nb", "b"),
        ("{|\n| never closed\n\nText after.", "Text after."),
    ],
)
def test_tables_go(wikitext: str, expected: str) -> None:
    assert text(wikitext) == expected


def test_lists_headings_rules_and_behaviour_switches() -> None:
    page = (
        "__NOTOC__Lead.\n== First ==\n* one\n** two\n# three\n; term\n: meaning\n----\n"
        "=== Deep ===\nx\n__KEIN_INHALTSVERZEICHNIS__\n"
    )
    expected = "Lead.\n\nFirst\n\n- one\n- two\n- three\nterm\nmeaning\n\nDeep\n\nx"
    assert text(page) == expected
    assert text(page, headings=False, list_marker="") == (
        "Lead.\none\ntwo\nthree\nterm\nmeaning\n\nx"
    )
    assert text("call __init__ here") == "call __init__ here"


def test_sections_that_remain_empty_lose_their_heading() -> None:
    page = (
        "Text.\n== History ==\n=== Origin ===\nold\n== References ==\n{{reflist}}\n"
        "== Ligações externas ==\n* [http://x.org]\n* {{citar web|url=http://y.org}}\n"
        "=== Sub ===\n\n[[Category:X]]\n[[fr:Page]]"
    )
    assert text(page) == "Text.\n\nHistory\n\nOrigin\n\nold"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("''i'' '''b''' '''''both'''''", "i b both"),
        ("L'''Odyssée'' est '''longue'''", "L'Odyssée est longue"),
        ("dell'''Iliade''", "dell'Iliade"),
        ("''''quoted bold''''", "'quoted bold'"),
        ("rock 'n' roll, it's", "rock 'n' roll, it's"),
    ],
)
def test_quotes_follow_mediawikis_rule_for_apostrophes(line: str, expected: str) -> None:
    assert resolve_quotes(line) == expected


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("Berlin ({{unknown}}; born 1900) is", "Berlin (born 1900) is"),
        ("Berlin ({{IPA|x}}) is", "Berlin is"),
        ("Roma (AFI: {{IPA|x}}; in latino: Roma)", "Roma (in latino: Roma)"),
        ("Nom (en allemand : {{unknown}}) est", "Nom (en allemand) est"),
        ("A word {{unknown}}, then {{unknown}}.", "A word, then."),
        ("a ''{{unknown}}'' b '''''{{unknown}}''''' c ''d''", "a b c d"),
        ("* {{cite book|x}}.\n* ...\n* item", "- item"),
        ("call f() or g(), a[] . b", "call f() or g(), a[] . b"),
        ("a  b\u00a0c\u200bd\u00ade", "a b cde"),
    ],
)
def test_no_traces_of_what_was_dropped(wikitext: str, expected: str) -> None:
    assert text(wikitext) == expected


def test_serbian_script_variants() -> None:
    assert (
        text("a -{Latin text}- b -{sr-ec: ћ; sr-el: ć}- c -{H|x}-d", "sr") == "a Latin text b ћ c d"
    )
    assert text("a -{x}- b", "en") == "a -{x}- b"


def test_unknown_templates_are_counted_but_not_those_inside_dropped_things() -> None:
    page = "{{foo bar|1}} {{Foo bar}} {{convert|1|km}} {{Infobox x|a={{inner}}}}\n{|\n|{{cell}}\n|}"
    converted = EN(page, "T")
    assert converted.dropped == {"foo bar": 1, "Foo bar": 1}
    assert EN("{{outer|{{inner}}}}", "T").dropped == {"outer": 1}
    assert EN("{{#invoke:x|y}} {{#weird:z}}", "T").dropped == {"#weird:z": 1}


@pytest.mark.parametrize("mark", ["{{disambig}}", "{{Begriffsklärung}}", "__DISAMBIG__"])
def test_disambiguation_pages_are_seen(mark: str) -> None:
    assert EN(f"X may be\n* a\n{mark}", "X").disambiguation
    assert not EN("X is a.", "X").disambiguation


SIZE = 10_000


@pytest.mark.parametrize(
    "wikitext",
    [
        # mwparserfromhell 0.7.2 does not end within two minutes on the second one.
        "{{" * SIZE,
        "{{a|" * SIZE,
        "{{a|" * SIZE + "x" + "}}" * SIZE,
        "[[" * SIZE,
        "[[a|" * SIZE + "]]" * SIZE,
        "{{a|[[b|[http://c " * SIZE,
        "{|\n|" * SIZE,
        "}}]]|}" * SIZE,
        "'''a''" * SIZE,
        "<ref>" * SIZE,
        "<nowiki>" * SIZE + "<math>" * SIZE,
        "<!--" * SIZE,
        "<a " * SIZE,
        "{{{" * SIZE + "|" * SIZE,
        "== x " * SIZE,
        "(" * SIZE + " ; " * SIZE + ")" * SIZE,
        "&#" * SIZE + "&amp" * SIZE,
        "http://" * SIZE,
        "__A" * SIZE,
        "-{" * SIZE,
        "\x03" * SIZE + "<sup>" * SIZE,
        "{{convert|" + "1|" * SIZE + "}}",
        "{{plainlist|" + "* x\n" * SIZE + "}}",
    ],
    ids=lambda wikitext: wikitext[:12],
)
def test_hostile_input_ends_and_is_only_text(wikitext: str) -> None:
    assert isinstance(EN(wikitext, "T"), PlainText)
    assert isinstance(WikitextConverter(WikipediaSettings(), "sr")(wikitext, "T"), PlainText)


PIECES = (
    "{{ }} [[ ]] | = {| |} ''' '' == \n * # : ; <ref> </ref> <nowiki> </nowiki> <!-- --> "
    "[http://a.b ] ( ) &amp; <br> <sup> </sup> {{{ }}} __TOC__ convert lang File: 1 a é \x01 \x07"
)


@given(st.lists(st.sampled_from([*PIECES.split(" "), " "]), max_size=40).map("".join))
@settings(max_examples=150, deadline=None)
def test_any_markup_gives_text_without_internal_marks(wikitext: str) -> None:
    result = EN(wikitext, "T").text
    assert not re.search(r"[\x00-\x08]", result)
    assert result == result.strip() and "\n\n\n" not in result


PAGE = """'''Weir''' (from [[Old English]] ''wer'') is a barrier.<ref>x</ref> It raises the
[[Water level|level]].

== Uses ==
* measuring [[discharge (hydrology)|discharge]]
* ponds, e.g. near '''mills'''

A "sharp-crested" weir has an edge [http://example.org of metal].

=== Forms ===
Broad and V-notch; see [[Flume]].
"""


def test_agrees_with_mwparserfromhell_on_an_ordinary_page() -> None:
    def words(value: str) -> list[str]:
        return re.findall(r"\w+", value)

    parsed = mwparserfromhell.parse(PAGE)
    for tag in parsed.filter_tags(matches=lambda node: node.tag == "ref"):
        parsed.remove(tag)
    assert words(EN(PAGE, "Weir").text) == words(parsed.strip_code())
