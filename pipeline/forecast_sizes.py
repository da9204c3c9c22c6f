"""How large raw sources are: what the user says, what is there, or what their keepers published.

Every size carries where it is from, because a forecast is worth no more than it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.recipe import RecipeError

TB, GB = 10**12, 10**9
TIB, GIB = 1 << 40, 1 << 30
PUBLIC = "public"
"""In place of a size: the published one, even where the recipe names input of its own."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": GB, "T": TB, "P": 10**15}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(i?)B?", re.IGNORECASE)

CCNET_HOURS_PER_TB = 1875
"""CCNet (arXiv 1911.00359, section 3): about 9 h on 5,000 cores for the snapshot of February 2019,
24 TB of uncompressed text."""


@dataclass(frozen=True)
class Size:
    """Bytes of raw files of a source, and where the number is from; how many files they are, at
    least, where that is known (else 0)."""

    bytes: float
    origin: str
    files: int = 0


def published(reader: str, names: list[str]) -> Size | None:
    """The published size of what LLaMA's recipe reads with this reader; None where there is none.

    `names` are file names of the input, which tell WET from WARC.
    """
    if reader == "commoncrawl":
        # Announcement of CC-MAIN-2019-09 (February 2019), commoncrawl.org: 64,000 files of each
        # kind, 7.62 TiB of WET and 59.86 TiB of WARC, compressed.
        wet = any(".wet" in name for name in names) or not names
        each, kind = (7.62, "WET") if wet else (59.86, "WARC")
        origin = f"5 dumps of {each} TiB {kind}.gz, as Common Crawl announced for CC-MAIN-2019-09"
        return Size(5 * each * TIB, origin, 5 * 64_000)
    if reader == "c4":
        return Size(305 * GB, "305 GB of json.gz: variant `en` on the card of allenai/c4")
    if reader == "arxiv":
        # arXiv's page on bulk data: PDF and source 5.6 TB in March 2023; in February 2012 270 GB
        # of PDF and 190 GB of source, so 41 % are source.
        return Size(2.3 * TB, "41 % (the share in 2012) of arXiv's 5.6 TB of PDF and source, 2023")
    if reader == "books":
        # Card of the_pile_books3: 36.8 GiB to download (.tar.gz). The Pile (arXiv 2101.00027,
        # table 1): PG-19 10.88 GiB of text, which zip makes 2.6 times smaller.
        return Size(
            36.8 * GIB + 10.88 / 2.6 * GIB, "Books3 36.8 GiB packed, PG-19 10.88 GiB of text"
        )
    return None


def parse(text: str) -> dict[str, float | None]:
    """`commoncrawl=42T,c4=305G`; None for `public`, and `public` alone (key "") for all sources.

    Decimal units, binary ones with an i (TiB). A size below one byte is none. Raises
    RecipeError.
    """
    found: dict[str, float | None] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, size = part.partition("=")
        if part == PUBLIC:
            found[""] = None
        elif size == PUBLIC and name:
            found[name] = None
        elif equals and name and (match := _SIZE.fullmatch(size.strip())):
            number, unit, binary = match.groups()
            power = _UNITS[unit.upper()]
            if binary and unit:
                power = 1 << 10 * list(_UNITS).index(unit.upper())
            given = float(number) * power
            if not 1 <= given < float("inf"):
                raise RecipeError(f"--raw-bytes {part}: a size is a byte or more")
            found[name] = given
        else:
            raise RecipeError(f"--raw-bytes {part}: write it as source=42T (or G, TiB, public)")
    return found
