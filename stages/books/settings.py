"""Settings of the books reader."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.engine.step import Settings

MIB = 1 << 20


class BooksSettings(Settings):
    """Which files are books, and what of them is kept."""

    encodings: Literal["best", "all"] = Field(
        "best",
        description="Gutenberg has the same edition in several encodings (98-0, 98-8, 98): `best`"
        " keeps UTF-8, else 8-bit, else plain ASCII, which lost its accents; `all` leaves it to"
        " dedup. The paper does not say",
    )
    old: Literal["keep", "reject"] = Field(
        "keep",
        description="editions under old/: documents like others, so that dedup judges them by"
        " their text (some are other translations or the only text left), or rejected by name",
    )
    copyrighted: Literal["reject", "keep"] = Field(
        "reject",
        description="books whose header says that they are copyrighted, or whose first page claims"
        " a copyright of 1980 or later: the paper speaks of books in the public domain",
    )
    credits: Literal["remove", "keep"] = Field(
        "remove",
        description="`Produced by ...` and the like at the edges of Gutenberg's books: no text of"
        " the book. The paper does not say",
    )
    transcriber_notes: Literal["remove", "keep"] = Field(
        "remove",
        description="notes in square brackets anywhere, under a heading at the book's beginning or"
        " end. They are about the file; their end is found by layout, so `keep` is the safe choice"
        " where every word counts",
    )
    min_chars: int = Field(
        500, ge=0, description="shorter texts are stubs and covers, no books; 0 turns it off"
    )
    min_letter_share: float = Field(
        0.4,
        ge=0,
        le=1,
        description="least share of letters among the characters that are not blank: Gutenberg"
        " has digits of pi, tables and lists of files as texts; prose and verse have over 0.7."
        " 0 turns it off. The paper does not say",
    )
    max_book_bytes: int = Field(
        64 * MIB,
        gt=0,
        description="longest book held in memory; Webster's dictionary has 28 MB, the chromosomes"
        " among Gutenberg's texts more than 64 MiB",
    )
    max_expansion: int = Field(
        200,
        gt=1,
        description="an archive that expands to more than this many times its size is a bomb;"
        " text shrinks to a third, the limit of deflate is 1,032",
    )
