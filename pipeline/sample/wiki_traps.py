"""Traps in the Wikipedia dumps: what must vanish, what must survive, and damaged dump files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from pipeline.sample import mediawiki
from pipeline.sample.mediawiki import DUMP, WikiPage, namespaces
from pipeline.sample.texts import LanguageText
from pipeline.sample.traps import Must, Trap

WIKIPEDIA = "wikipedia"

_VALUES = (  # language, wikitext, texts of which one must be there
    ("en", "The old road to Zelmar is {{convert|5|km|mi}} long.", "Zelmar is 5 km"),
    ("en", "The tower of Orvan is {{convert|120|m|ft|0|abbr=on}} high.", "Orvan is 120 m"),
    ("en", "They call it {{lang|fr|le vieux moulin}} in Orvan.", "call it le vieux moulin in"),
    (
        "en",
        "Zelmar has {{formatnum:1234567}} trees.",
        "has 1234567 trees|has 1,234,567 trees|has 1.234.567 trees",
    ),
    ("en", "The fair opens on {{nowrap|10 May}} each year.", "opens on 10 May each"),
    ("en", "He was a {{lang-de|Uhrmacher}} by trade.", "Uhrmacher"),
    ("en", "The {{nihongo|Tokyo Tower|東京タワー|Tōkyō tawā}} is red.", "The Tokyo Tower"),
    ("en", "It weighs {{val|3.5|u=kg}} when empty.", "weighs 3.5 kg"),
    ("de", "Der Weg nach Zelmar heißt {{lang|fr|chemin du sel}} und ist alt.", "chemin du sel"),
    (
        "de",
        "In Zelmar leben {{formatnum:98765}} Menschen.",
        "98765|98.765|98,765|98\u202f765|98 765",
    ),
    ("fr", "La route de Zelmar mesure {{unité|5|km}} de long.", "mesure 5 km de long"),
    ("fr", "On dit {{lang|en|slow train}} au village.", "On dit slow train au"),
    ("es", "El camino a Zelmar mide {{unidad|5|km}} de largo.", "mide 5 km de largo"),
    ("sv", "Vägen till Zelmar är {{convert|5|km}} lång.", "är 5 km"),
)
_MARKUP = (  # what the wikitext has, what may not be in the text
    ("a comment", "before<!-- secret-remark-{n} -->after", "secret-remark-{n}"),
    ("a reference", "fact<ref>see hidden-note-{n}</ref>.", "hidden-note-{n}"),
    ("a named reference", 'fact<ref name="a{n}">named-note-{n}</ref>.', "named-note-{n}"),
    ("an image", "[[{file}:Hidden{n}.jpg|thumb|200px]]", "Hidden{n}.jpg"),
    ("a link's target", "[[Target-page-{n}|shown]]", "Target-page-{n}"),
    ("an external link", "[https://links.example/{n} shown]", "links.example/{n}"),
    ("a template's name", "{{{{Unknown template {n}|x=1}}}}", "Unknown template {n}"),
    ("a table's marks", '{{| class="wikitable-{n}"\n|-\n| cell\n|}}', "wikitable-{n}"),
    ("a category", "[[{category}:Hidden set {n}]]", "{category}:Hidden set {n}"),
    ("a magic word", "__NOTOC__ {n}", "__NOTOC__"),
)


def planted_pages(
    language: str, text: LanguageText, file: str, rng: Random
) -> Iterator[tuple[WikiPage, list[Trap]]]:
    """Pages to mix into the language's dump, each with its traps."""
    names = namespaces(language)

    def trap(kind: str, must: Must, title: str, *any_of: str, note: str = "") -> Trap:
        return Trap(
            kind=kind,
            must=must,
            steps=(WIKIPEDIA,),
            file=file,
            language=language,
            title=title,
            any_of=any_of,
            note=note,
        )

    for i, (where, wikitext, expected) in enumerate(_VALUES):
        if where == language:
            title = f"Zelmar {i}"
            page = WikiPage(title, f"{text.paragraph(rng)} {wikitext} {text.paragraph(rng)}")
            note = f"wikitext: {wikitext}"
            must = Must.KEPT
            yield page, [trap("value in a template", must, title, *expected.split("|"), note=note)]

    title = f"Orvan ({language})"
    marks, traps = [], []
    for number, (kind, wikitext, gone) in enumerate(_MARKUP):
        names_of = {"n": number, "file": names.file, "category": names.category}
        apart = "\n" if wikitext.startswith("{{|") else " "  # a table begins a line
        marks.append(f"{text.paragraph(rng, 1, 2)}{apart}{wikitext.format(**names_of)}")
        gone = gone.format(**names_of)
        traps.append(trap("wiki markup in the text", Must.TEXT_GONE, title, gone, note=kind))
    yield WikiPage(title, "\n\n".join(marks)), traps

    title = f"Zelmar (old, {language})"
    page = WikiPage(title, f"#REDIRECT [[Zelmar ({language})]]", redirect=f"Zelmar ({language})")
    yield page, [trap("redirect", Must.NO_DOCUMENT, title)]

    title = f"{names.talk}:Zelmar"
    page = WikiPage(title, f"== ? ==\n{text.paragraph(rng)} [[User:Sample]]", namespace=1)
    yield page, [trap("talk page", Must.NO_DOCUMENT, title)]

    title = f"{names.template}:Zelmar"
    page = WikiPage(title, "<includeonly>{{{1|x}}} km</includeonly>", namespace=10)
    yield page, [trap("template page", Must.NO_DOCUMENT, title)]

    title = f"Lost page ({language})"
    yield WikiPage(title, None), [trap("deleted text", Must.NO_DOCUMENT, title)]

    title = f"Zelmar ({language})"
    entries = "\n".join(f"* [[{text.topic(rng)}]]" for _ in range(4))
    page = WikiPage(title, f"'''Zelmar'''\n{entries}\n{{{{disambiguation}}}}")
    yield page, [trap("disambiguation", Must.ACCOUNTED, title, note="kept or rejected, not lost")]

    if language in {"en", "ru"}:
        title = f"Long line ({language})"
        line = " ".join(text.paragraph(rng) for _ in range(10))
        # In a comment: the reader must cope with the line, the corpus need not hold it.
        filling = line * (1_500_000 // len(line))
        page = WikiPage(title, f"{text.paragraph(rng)} <!-- {filling} --> {text.paragraph(rng)}")
        yield page, [trap("line of a megabyte", Must.ACCOUNTED, title)]
        title = f"Open marks ({language})"
        page = WikiPage(title, "[[" * 20_000 + "{{" * 20_000 + text.paragraph(rng))
        yield page, [trap("unclosed markup", Must.ACCOUNTED, title)]


def damaged_dumps(folder: Path, texts: dict[str, LanguageText], rng: Random) -> Iterator[Trap]:
    """Writes small dump files that are broken or hostile; `folder` is the sample's own."""

    def pages(language: str, mark: str, count: int) -> list[WikiPage]:
        text = texts[language]
        return [WikiPage(f"{mark} {i}", text.paragraph(rng, 5, 6)) for i in range(count)]

    def write(name: str, data: bytes) -> str:
        path = folder / WIKIPEDIA / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"{WIKIPEDIA}/{name}"

    def unreadable(kind: str, file: str, note: str = "") -> Trap:
        return Trap(kind=kind, must=Must.UNREADABLE, steps=(WIKIPEDIA,), file=file, note=note)

    def kept(kind: str, file: str, language: str, page: WikiPage) -> Trap:
        return Trap(
            kind=kind,
            must=Must.KEPT,
            steps=(WIKIPEDIA,),
            file=file,
            language=language,
            title=page.title,
            any_of=((page.text or "")[:60],),
        )

    some = pages("fr", "Tronqué", 30)
    streams = mediawiki.multistream("fr", some, per_stream=10)
    cut = b"".join(streams[:2]) + streams[2][: len(streams[2]) // 2]
    file = write(f"frwiki-{DUMP}-pages-articles-multistream-truncated.xml.bz2", cut)
    yield unreadable("truncated bz2", file)
    for page in (some[0], some[9]):
        yield kept("page before the damage", file, "fr", page)

    some = pages("it", "Spezzato", 10)
    xml = mediawiki.plain_xml("it", some)
    file = write(f"itwiki-{DUMP}-pages-articles-truncated.xml", xml[: int(len(xml) * 0.75)])
    yield unreadable("truncated XML", file)
    yield kept("page before the damage", file, "it", some[0])

    entities = '<!ENTITY a0 "lol-bomb ">' + "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
    )
    xml = mediawiki.plain_xml("en", [WikiPage("Entity bomb", "BOMB")])
    hostile = f"<!DOCTYPE mediawiki [{entities}]>\n".encode() + xml.replace(b"BOMB", b"&a9;")
    file = write(f"enwiki-{DUMP}-pages-articles-entities.xml", hostile)
    yield unreadable("entity bomb", file, note="a thousand million words, were it expanded")

    secret = '<!DOCTYPE mediawiki [<!ENTITY x SYSTEM "file:///etc/hostname">]>\n'
    hostile = secret.encode() + xml.replace(b"BOMB", b"&x;")
    file = write(f"enwiki-{DUMP}-pages-articles-external.xml", hostile)
    yield unreadable("external entity", file, note="a file of this machine, were it expanded")
