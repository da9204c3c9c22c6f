"""Settings of the CommonCrawl reader."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MIB = 1 << 20


class Settings(BaseModel):
    """What `CommonCrawlReader` reads, how far, and how it turns pages into text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Literal["full", "main"] = Field(
        "full",
        description="Text taken from HTML: `full` keeps all visible text as in CommonCrawl's WET, "
        "which CCNet and so the paper read; `main` drops navigation and boilerplate. "
        "The paper does not name an extractor. WET records are text already and not touched.",
    )
    extractor: Literal["resiliparse", "trafilatura"] = Field(
        "resiliparse",
        description="Library for `text: main`. resiliparse is faster by one order of magnitude; "
        "trafilatura is more selective. `text: full` always uses resiliparse.",
    )
    min_chars: int = Field(
        300,
        ge=0,
        description="Pages with fewer characters are rejected. CCNet's code drops them so, before "
        "deduplication (`min_len` 300); the paper does not say. 0 turns it off.",
    )
    html_types: tuple[str, ...] = Field(
        ("text/html", "application/xhtml+xml"),
        description="Media types read as HTML.",
    )
    text_types: tuple[str, ...] = Field(
        ("text/plain",),
        description="Media types read as text without markup. Those that CommonCrawl turns into "
        "WET besides HTML and text (feeds, XML) are few and left out.",
    )
    max_record_bytes: int = Field(
        16 * MIB,
        gt=0,
        description="Longest record, and longest body after content decoding, that is held in "
        "memory; a longer one is read past. CommonCrawl cuts pages at 1 MiB (5 MiB since 2025).",
    )
    max_html_bytes: int = Field(
        2 * MIB,
        gt=0,
        description="Longest HTML body that is parsed. Twice CommonCrawl's cut of 2013 to 2024. "
        "Bounds the time of a page built to be slow.",
    )
    max_skip_bytes: int = Field(
        1 << 30,
        gt=0,
        description="Decompressed bytes read in search of the end of one record. A compressed bomb "
        "costs at most this much time (1 to 5 s), and no memory.",
    )
    resync_bytes: int = Field(
        8 * MIB,
        ge=0,
        description="Distance before the start of a byte range from which record boundaries are "
        "followed. A range then agrees with its neighbours even inside a record that itself holds "
        "an archive, for records up to this many (compressed) bytes.",
    )
