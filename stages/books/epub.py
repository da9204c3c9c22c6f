"""EPUB to text: the XHTML documents in the order of the package's spine.

An EPUB is a zip with `META-INF/container.xml` naming a package file, which lists the documents
(manifest), their order (spine) and metadata (EPUB 2.0.1 and 3.3). XML is parsed without document
types, entities or network; XHTML by an HTML parser, which knows no entities but HTML's own.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from lxml import etree
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from stages.books.archives import ArchiveError, Budget, read_member
from stages.commoncrawl.charset import clean, decode
from stages.commoncrawl.html import HtmlError, check_bounds

_MAX_XML_BYTES = 8 << 20
_MAX_DOCUMENT_BYTES = 16 << 20
_MAX_DOCUMENTS = 20_000
_MAX_VALUE = 300
# Fonts are scrambled in free books too; the algorithms are published with their key.
_OPEN_ALGORITHMS = frozenset(
    {"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"}
)
_DOCUMENTS = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})
# HTML reads `<title/>` as a beginning, and all that follows as the title.
_SELF_CLOSED = re.compile(
    r"<((?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)[a-zA-Z][\w:-]{0,30})"
    r"((?:\s[^<>]{0,2000}?)?)/>"
)
_XML_HEAD = re.compile(r"^\s*<\?xml[^<>]{0,400}\?>")
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_FIELDS = ("title", "creator", "language", "date", "rights", "publisher", "identifier", "subject")


class EpubError(Exception):
    """The file is no EPUB that can be read; the message begins with a short fixed word."""


class DrmError(Exception):
    """The book is encrypted."""


@dataclass
class Epub:
    """`metadata`: the first value of each Dublin Core field. `missing`: documents of the spine
    that the archive lacks or that cannot be read."""

    text: str
    metadata: dict[str, str] = field(default_factory=dict)
    documents: int = 0
    missing: int = 0


def is_epub(archive: zipfile.ZipFile) -> bool:
    return "META-INF/container.xml" in archive.NameToInfo


def read_epub(archive: zipfile.ZipFile, budget: Budget, max_bytes: int) -> Epub:
    """Raises EpubError, DrmError, ArchiveError or TooLargeError."""
    _check_open(archive, budget)
    container = _xml(_member(archive, "META-INF/container.xml", budget, _MAX_XML_BYTES))
    place = next((str(e.get("full-path", "")) for e in _named(container, "rootfile")), "")
    place = _resolved("", place)
    if place not in archive.NameToInfo:
        raise EpubError("epub: no package file")
    package = _xml(_member(archive, place, budget, _MAX_XML_BYTES))
    book = Epub("", _metadata(package))
    parts: list[str] = []
    size = 0
    for name in _spine(package, posixpath.dirname(place)):
        book.documents += 1
        if book.documents > _MAX_DOCUMENTS:
            raise EpubError(f"epub: more than {_MAX_DOCUMENTS} documents")
        if name not in archive.NameToInfo:
            book.missing += 1
            continue
        data = _member(archive, name, budget, min(_MAX_DOCUMENT_BYTES, max_bytes))
        size += len(data)
        if size > 4 * max_bytes:
            raise ArchiveError(f"bomb: more than {4 * max_bytes} bytes of XHTML")
        try:
            text = xhtml_text(data)
        except HtmlError:
            book.missing += 1
            continue
        if text:
            parts.append(text)
    if not book.documents:
        raise EpubError("epub: no document in its spine")
    if book.missing == book.documents:
        raise EpubError("epub: none of its documents can be read")
    book.text = "\n\n".join(parts)
    return book


def xhtml_text(data: bytes) -> str:
    """Text of one document, blocks parted by blank lines. Raises HtmlError."""
    html = _XML_HEAD.sub("", decode(data, None, markup=True).text, count=1)
    html = _SELF_CLOSED.sub(r"<\1\2></\1>", html)
    check_bounds(html)
    try:
        tree = HTMLTree.parse(html)
        text = str(extract_plain_text(tree, preserve_formatting=True, main_content=False))
    except BaseException as error:
        # A panic of the native parser is no Exception.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise HtmlError(f"{type(error).__name__}: {error}"[:200]) from error
        raise
    return _BLANK_LINES.sub("\n\n", clean(text)).strip()


def _check_open(archive: zipfile.ZipFile, budget: Budget) -> None:
    """Raises DrmError if more than fonts is encrypted."""
    if "META-INF/encryption.xml" not in archive.NameToInfo:
        return
    tree = _xml(_member(archive, "META-INF/encryption.xml", budget, _MAX_XML_BYTES))
    for entry in _named(tree, "EncryptedData"):
        methods = [str(e.get("Algorithm", "")) for e in _named(entry, "EncryptionMethod")]
        if not methods or not set(methods) <= _OPEN_ALGORITHMS:
            raise DrmError(methods[0] if methods else "no algorithm named")


def _member(archive: zipfile.ZipFile, name: str, budget: Budget, max_bytes: int) -> bytes:
    return read_member(archive, archive.NameToInfo[name], budget, max_bytes)


def _xml(data: bytes) -> Any:
    """Raises EpubError."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise EpubError(f"xml: {error}"[:300]) from error
    if root is None:
        raise EpubError("xml: nothing in it")
    return root


def _named(root: Any, name: str) -> list[Any]:
    """Elements of a local name, whatever namespace they have or lack."""
    return list(root.iter(f"{{*}}{name}"))


def _metadata(package: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in package.iter("{http://purl.org/dc/elements/1.1/}*"):
        name = etree.QName(element).localname.lower()
        value = clean(" ".join("".join(element.itertext()).split()))[:_MAX_VALUE]
        if name in _FIELDS and value and name not in found:
            found[name] = value
    return found


def _spine(package: Any, folder: str) -> list[str]:
    """Archive names of the spine's documents, each once, without the navigation document."""
    manifest: dict[str, str] = {}
    for item in _named(package, "item"):
        media = str(item.get("media-type", "")).lower()
        if media in _DOCUMENTS and "nav" not in str(item.get("properties", "")).split():
            manifest[str(item.get("id", ""))] = _resolved(folder, str(item.get("href", "")))
    order = (manifest.get(str(ref.get("idref", "")), "") for ref in _named(package, "itemref"))
    return [name for name in dict.fromkeys(order) if name]


def _resolved(folder: str, reference: str) -> str:
    """A reference inside the archive as a member's name. One that leads out of it names nothing."""
    try:
        path = unquote(urlsplit(reference).path)
    except ValueError:
        return ""
    name = posixpath.normpath(posixpath.join("/", folder, path)).lstrip("/")
    return "" if name == "." else name
