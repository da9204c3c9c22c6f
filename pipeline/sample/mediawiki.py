"""MediaWiki XML export, versions 0.10 and 0.11, packed as Wikimedia packs its dumps."""

from __future__ import annotations

import bz2
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import py7zr
from py7zr.helpers import ArchiveTimestamp

from pipeline.sample.archives import gzip_member

DUMP = "20220801"
_MOMENT = 1_659_312_000  # 2022-08-01 in Unix time: the only time that the dumps know

_NAMESPACES = {  # talk, file, template, category; "Wikipedia" and "User" serve everywhere
    "bg": "Беседа Файл Шаблон Категория",
    "ca": "Discussió Fitxer Plantilla Categoria",
    "cs": "Diskuse Soubor Šablona Kategorie",
    "da": "Diskussion Fil Skabelon Kategori",
    "de": "Diskussion Datei Vorlage Kategorie",
    "en": "Talk File Template Category",
    "es": "Discusión Archivo Plantilla Categoría",
    "fr": "Discussion Fichier Modèle Catégorie",
    "hr": "Razgovor Datoteka Predložak Kategorija",
    "hu": "Vita Fájl Sablon Kategória",
    "it": "Discussione File Template Categoria",
    "nl": "Overleg Bestand Sjabloon Categorie",
    "pl": "Dyskusja Plik Szablon Kategoria",
    "pt": "Discussão Ficheiro Predefinição Categoria",
    "ro": "Discuție Fișier Format Categorie",
    "ru": "Обсуждение Файл Шаблон Категория",
    "sl": "Pogovor Slika Predloga Kategorija",
    "sr": "Разговор Датотека Шаблон Категорија",
    "sv": "Diskussion Fil Mall Kategori",
    "uk": "Обговорення Файл Шаблон Категорія",
}


@dataclass(frozen=True, slots=True)
class Namespaces:
    talk: str
    file: str
    template: str
    category: str


def namespaces(language: str) -> Namespaces:
    return Namespaces(*_NAMESPACES[language].split())


@dataclass(frozen=True, slots=True)
class WikiPage:
    """One page; `text` is None where the text was deleted."""

    title: str
    text: str | None
    namespace: int = 0
    redirect: str | None = None


def header(language: str, version: str = "0.10") -> str:
    names = namespaces(language)
    spaces = {
        -2: "Media",
        -1: "Special",
        0: "",
        1: names.talk,
        2: "User",
        4: "Wikipedia",
        6: names.file,
        10: names.template,
        14: names.category,
    }
    listed = "".join(
        f'      <namespace key="{key}" case="first-letter">{escape(name)}</namespace>\n'
        if name
        else f'      <namespace key="{key}" case="first-letter" />\n'
        for key, name in spaces.items()
    )
    export = f"http://www.mediawiki.org/xml/export-{version}/"
    return (
        f'<mediawiki xmlns="{export}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{export} http://www.mediawiki.org/xml/export-{version}.xsd" '
        f'version="{version}" xml:lang="{language}">\n  <siteinfo>\n'
        f"    <sitename>Wikipedia</sitename>\n    <dbname>{language}wiki</dbname>\n"
        f"    <base>https://{language}.wikipedia.org/wiki/</base>\n"
        "    <generator>MediaWiki 1.39.0-wmf.22</generator>\n    <case>first-letter</case>\n"
        f"    <namespaces>\n{listed}    </namespaces>\n  </siteinfo>\n"
    )


FOOTER = "</mediawiki>\n"


def page_xml(page: WikiPage, number: int, version: str = "0.10") -> str:
    """The `<page>` element; `number` is the page id, from which the revision follows."""
    redirect = f"    <redirect title={quoteattr(page.redirect)} />\n" if page.redirect else ""
    origin = f"      <origin>{number * 7}</origin>\n" if version == "0.11" else ""
    if page.text is None:
        body, digest = '<text bytes="0" deleted="deleted" />', ""
    else:
        data = page.text.encode()
        digest = _base36(hashlib.sha1(data).hexdigest())
        body = (
            f'<text bytes="{len(data)}" sha1="{digest}" xml:space="preserve">'
            f"{escape(page.text)}</text>"
        )
    return (
        f"  <page>\n    <title>{escape(page.title)}</title>\n    <ns>{page.namespace}</ns>\n"
        f"    <id>{number}</id>\n{redirect}    <revision>\n      <id>{number * 7}</id>\n"
        f"      <parentid>{number * 7 - 1}</parentid>\n"
        "      <timestamp>2022-07-20T08:15:30Z</timestamp>\n      <contributor>\n"
        "        <username>Sample</username>\n        <id>1</id>\n      </contributor>\n"
        f"      <comment>made for the sample</comment>\n{origin}"
        "      <model>wikitext</model>\n      <format>text/x-wiki</format>\n"
        f"      {body}\n      <sha1>{digest}</sha1>\n    </revision>\n  </page>\n"
    )


def _base36(hexadecimal: str) -> str:
    number, digits = int(hexadecimal, 16), ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits.rjust(31, "0")


def plain_xml(language: str, pages: Iterable[WikiPage], version: str = "0.10") -> bytes:
    elements = "".join(page_xml(page, i, version) for i, page in enumerate(pages, 1))
    return (header(language, version) + elements + FOOTER).encode()


def multistream(
    language: str, pages: Sequence[WikiPage], per_stream: int = 100, version: str = "0.10"
) -> list[bytes]:
    """bz2 streams: the header, then `per_stream` pages each, then the footer."""
    elements = [page_xml(page, i, version) for i, page in enumerate(pages, 1)]
    groups = ["".join(elements[i : i + per_stream]) for i in range(0, len(elements), per_stream)]
    return [bz2.compress(t.encode()) for t in (header(language, version), *groups, FOOTER)]


def seven_zip(name: str, data: bytes) -> bytes:
    """A .7z archive of one file, dated by the dump."""
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w") as archive:
        archive.writestr(data, name)
        for entry in archive.header.files_info.files:
            for key in ("creationtime", "lastwritetime", "lastaccesstime"):
                entry[key] = ArchiveTimestamp.from_datetime(_MOMENT)
    return buffer.getvalue()


def write_dump(folder: Path, language: str, pages: Sequence[WikiPage], packing: str) -> str:
    """Writes the language's dump and returns its name; `packing` is multistream, gz, xml or 7z."""
    stem = f"{language}wiki-{DUMP}-pages-articles"
    version = "0.11" if packing in {"gz", "xml"} else "0.10"
    if packing == "multistream":
        name = f"{stem}-multistream.xml.bz2"
        data = b"".join(multistream(language, pages, per_stream=20, version=version))
    else:
        data = plain_xml(language, pages, version)
        name = f"{stem}.xml"
        if packing == "gz":
            name, data = f"{name}.gz", gzip_member(data)
        elif packing == "7z":
            name, data = f"{name}.7z", seven_zip(name, data)
        elif packing != "xml":
            raise ValueError(f"unknown packing {packing!r}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return name
