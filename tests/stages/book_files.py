"""Books, archives and EPUBs for tests."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Sequence
from random import Random

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
)
_WORDS = "river stone morning letter garden winter silver window candle harbour meadow"
WORDS = _WORDS.split()


def prose(seed: object, words: int = 300) -> str:
    """Words that repeat themselves no more than a real book does."""
    rng = Random(str(seed))
    return " ".join(f"{rng.choice(WORDS)}{rng.choice('abcdefghij')}" for _ in range(words))


def gutenberg(body: str, number: int = 77, title: str = "Max", **fields: str) -> str:
    more = "".join(f"{k}: {v}\n" for k, v in {"Language": "English", **fields}.items())
    return (
        f"The Project Gutenberg EBook of {title}, by Nobody\n\nTitle: {title}\n\nAuthor: Nobody\n\n"
        f"Release Date: May 3, 2006 [EBook #{number}]\n{more}\n"
        f"*** START OF THIS PROJECT GUTENBERG EBOOK {title} ***\n\n{body}\n\n"
        f"*** END OF THIS PROJECT GUTENBERG EBOOK {title} ***\nlicence\n"
    )


def zipped(members: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tarred(members: Sequence[tuple[str, bytes]], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def package(
    documents: Sequence[str],
    spine: Sequence[str] | None = None,
    metadata: str = "",
    doctype: str = "",
) -> str:
    items = "".join(
        f'<item id="{d}" href="{d}" media-type="application/xhtml+xml"/>' for d in documents
    )
    order = "".join(f'<itemref idref="{d}"/>' for d in (documents if spine is None else spine))
    return (
        f'{doctype}<package xmlns="http://www.idpf.org/2007/opf"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/">{metadata}</metadata>'
        f"<manifest>{items}</manifest><spine>{order}</spine></package>"
    )


def epub(
    documents: dict[str, str],
    spine: Sequence[str] | None = None,
    metadata: str = "",
    more: dict[str, bytes | str] | None = None,
    doctype: str = "",
) -> bytes:
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": CONTAINER,
            "OPS/book.opf": package(list(documents), spine, metadata, doctype),
            **{f"OPS/{name}": text for name, text in documents.items()},
            **(more or {}),
        }
    )


def xhtml(body: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml">'
        f"<head><title/></head><body>{body}</body></html>"
    )
