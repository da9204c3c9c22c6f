"""The published C4: JSON lines with `text`, `url` and `timestamp`."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson
from pydantic import Field

from stages import urls
from stages.c4.lines import Damage, read_lines
from stages.commoncrawl.reader import iso_date
from stages.engine.step import Settings
from stages.outcomes import Bad, Document, Outcome, Rejected, Skipped, Tally

SOURCE = "c4"

REASONS: dict[str, str] = {"empty": "the text is empty or blank"}
"""Why a readable line does not become a document."""

FAULTS: dict[str, str] = {
    "json": "the line is no JSON object in UTF-8",
    "schema": "a field is missing or of another type",
    "too_long": "the line is longer than max_line_bytes",
    "compression": "the compressed file does not decode",
    "garbage": "something else follows the compressed data",
    "truncated": "the compressed file ends early",
    "bomb": "the compressed file expands over max_expansion times",
}
"""The words with which the error of a bad record begins."""

_SPLIT = re.compile(r"-(train|validation)\.")
_PACKING = re.compile(r"\.(gz|zst|bz2|xz)$")


class C4Settings(Settings):
    """How the published dataset is read."""

    language: str | None = Field(
        "en",
        description="language of all documents: `en` is right for C4's English configurations,"
        " which langdetect chose; null: unknown",
    )
    max_line_bytes: int = Field(
        16 << 20,
        gt=0,
        description="longest line that is held; C4's pages have at most 190,000 characters, in JSON"
        " at most 12 bytes each",
    )
    max_expansion: int = Field(
        100,
        gt=0,
        description="a compressed file that expands so many times (and to over 1 GiB) is a bomb;"
        " C4's expand 2.5 to 3 times",
    )


class C4Reader:
    """Reads `c4-train.NNNNN-of-01024.json.gz` and the like, compressed or not, told by content.

    Each line gives one outcome: `Document`, `Rejected`, `Bad`, or `Skipped` for a blank one.
    Uncompressed files may be read in stretches of bytes.
    """

    def __init__(self, settings: C4Settings | None = None) -> None:
        self.settings = settings or C4Settings()

    def __call__(
        self, stream: BinaryIO, path: str, tally: Tally, start: int = 0, end: int | None = None
    ) -> Iterator[Outcome]:
        settings = self.settings
        place = _Place(path)
        for line in read_lines(stream, start, end, settings.max_line_bytes, settings.max_expansion):
            tally.record()
            if isinstance(line, Damage):
                yield Bad(path, line.offset, line.error)
            elif line.data is None:
                yield Bad(path, line.offset, f"too_long: {line.size} bytes")
            elif not line.data.strip():
                yield Skipped("blank_line")
            else:
                yield self._outcome(line.data, line.offset, place)

    def _outcome(self, data: bytes, offset: int, place: _Place) -> Outcome:
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            return Bad(place.path, offset, f"json: {error}"[:300])
        if not isinstance(value, dict):
            return Bad(place.path, offset, f"json: {type(value).__name__}, not an object")
        wrong = [
            name
            for name, kinds in (
                ("text", (str,)),
                ("url", (str, type(None))),
                ("timestamp", (str, type(None))),
            )
            if not isinstance(value.get(name), kinds)
        ]
        if wrong:
            what = "missing" if wrong[0] not in value else type(value[wrong[0]]).__name__
            return Bad(place.path, offset, f"schema: {wrong[0]} is {what}")
        return self._document(value, offset, place)

    def _document(self, value: dict[str, Any], offset: int, place: _Place) -> Outcome:
        url = urls.clean(value.get("url") or "") or None
        id_ = place.id_of(offset, url)
        origin = f"{place.path}#{offset}"
        text: str = value["text"]
        if not text.strip():
            return Rejected(id_, origin, "empty", "", url)
        meta: dict[str, Any] = {}
        if place.split:
            meta["c4_split"] = place.split
        written = value.get("timestamp") or ""
        created = iso_date(written)
        if written and created is None:
            meta["timestamp"] = written[:100]
        return Document(
            id_,
            text,
            SOURCE,
            origin,
            url,
            language=self.settings.language,
            created=created,
            meta=meta or None,
        )


class _Place:
    """A file, and what its name tells of its documents."""

    def __init__(self, path: str) -> None:
        self.path = path
        # Neither the folder nor the packing is part of an id: both change without the data.
        self._name = _PACKING.sub("", posixpath.basename(path.replace("\\", "/")))
        found = _SPLIT.search(self._name)
        self.split = found.group(1) if found else None

    def id_of(self, offset: int, url: str | None) -> str:
        key = f"{self._name}#{offset}#{url or ''}".encode("utf-8", "replace")
        return f"c4/{hashlib.sha1(key, usedforsecurity=False).hexdigest()}"
