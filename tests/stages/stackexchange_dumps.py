"""Small StackExchange dumps for tests, written as the public ones are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import py7zr

HEADER = '\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n'
FOOTER = "</posts>"


def row(**attributes: Any) -> str:
    """A `<row>`; line ends in values are references, as in the dumps."""
    parts = [f"{k}={quoteattr(str(v), {chr(10): '&#xA;'})}" for k, v in attributes.items()]
    return f"  <row {' '.join(parts)} />\r\n"


def question(number: int, body: str = "<p>Why?</p>", **more: Any) -> str:
    given = {"CreationDate": "2015-01-02T03:04:05.678", "Score": 1, "Title": f"Title {number}"}
    return row(Id=number, PostTypeId=1, **{**given, **more}, Body=body)


def answer(number: int, parent: int, score: int = 0, body: str | None = None, **more: Any) -> str:
    text = f"<p>answer {number}</p>" if body is None else body
    given = {"ParentId": parent, "CreationDate": "2015-01-02T03:04:05.678", "Score": score}
    return row(Id=number, PostTypeId=2, **{**given, **more}, Body=text)


def posts_xml(rows: Sequence[str]) -> bytes:
    return (HEADER + "".join(rows) + FOOTER).encode()


def seven_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(data, name)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
