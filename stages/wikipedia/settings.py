"""What the Wikipedia step can be told, with the reason of each default."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stages.wikipedia.locales import LANGUAGES

MIB = 1 << 20

# An unbounded repeat of a group that itself holds one: the shape of catastrophic backtracking.
_NESTED_REPEAT = re.compile(r"\([^()]*[+*}][^()]*\)\s*[+*{]")


class WikipediaSettings(BaseModel):
    """Settings of `WikipediaReader`. The paper fixes the 20 languages, and that "hyperlinks,
    comments and other formatting boilerplate" are removed (LLaMA, section 2.1); it names no
    extractor, so all else below is open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    languages: tuple[str, ...] = Field(
        LANGUAGES, description="Wikipedias to keep; default: the 20 of the paper (section 2.1)."
    )
    language: str = Field(
        "auto",
        description="Language code of the dump, or `auto`: from `language_from_path`, the file "
        "name (`frwiki-...`), then the header's dbname, base URL and xml:lang, in this order; "
        "the file name goes before the header, because cut or test dumps carry foreign headers.",
    )
    language_from_path: str | None = Field(
        None,
        description="Regular expression with one group that finds the language code in the path "
        r"(example: `/([a-z-]+)/wiki\.xml`); goes before all other signs. No default: only the "
        "recipe knows its folders.",
    )
    title_in_text: bool = Field(
        True,
        description="Text is title, blank line, body. An article's first sentence presupposes its "
        "title, and dolma does the same; RedPajama has the body alone. The paper does not say.",
    )
    headings: bool = Field(
        True,
        description="Keep section headings as plain lines: they are text to a reader, and all "
        "peers keep them. A heading with nothing under it is removed in any case.",
    )
    list_marker: str = Field(
        "- ",
        description="Put before each list item, so that a list of short items stays "
        "recognisable in plain text; empty for none.",
    )
    math: Literal["latex", "drop"] = Field(
        "latex",
        description="`latex` keeps <math> and <chem> as $source$: dropped formulas leave sentences "
        "with holes, and LaTeX is the notation of the arXiv source of the same corpus.",
    )
    code: Literal["keep", "drop"] = Field(
        "keep",
        description="Blocks of source code (<syntaxhighlight>, <source>, <pre>): part of what the "
        "article explains, and short.",
    )
    ipa: Literal["drop", "keep"] = Field(
        "drop",
        description="Pronunciation templates. Most are code for a Lua module, not readable IPA "
        "(`{{IPAc-en|b|er|l|i|n}}`), so keeping them gives noise.",
    )
    bare_urls: Literal["drop", "keep"] = Field(
        "drop", description="URLs written in the text: the paper removes hyperlinks."
    )
    disambiguation: Literal["keep", "reject"] = Field(
        "keep",
        description="The paper does not name them and the Hugging Face and RedPajama extractions "
        "keep them; `meta.disambiguation` marks each, so a later step can still filter.",
    )
    min_chars: int = Field(
        0,
        ge=0,
        description="Shortest body in characters, title not counted. The paper has no limit.",
    )
    unwrap_archives: bool = Field(
        True,
        description="Replace a web archive's URL in `cited_urls` by the archived one: the "
        "reference classifier joins by the URL of the page itself.",
    )
    max_page_bytes: int = Field(
        16 * MIB,
        ge=1024,
        description="A page's XML beyond this is rejected as `too_large` without being held whole. "
        "MediaWiki's own article limit is 2 MiB of wikitext; 16 MiB leaves room for escaping. In a "
        "full-history dump the limit holds for one revision.",
    )
    max_expansion: int = Field(
        2000,
        ge=10,
        description="A compressed file that grows beyond this factor (after its first GiB) is a "
        "bomb: reading stops there. Real dumps: bz2 about 5, full-history 7z 100 to 300.",
    )
    bare_suffixes: tuple[str, ...] = Field(
        (".wikitext", ".wiki", ".txt"),
        description="Files with these endings are one page of bare wikitext, titled by the file "
        "name, unless their content begins as XML.",
    )

    @field_validator("language_from_path")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        if len(pattern) > 200:
            raise ValueError("language_from_path: at most 200 characters")
        if _NESTED_REPEAT.search(pattern):
            raise ValueError("language_from_path: a repeated group must not hold another repeat")
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"language_from_path: {error}") from error
        if groups != 1:
            raise ValueError(f"language_from_path: needs exactly one group, has {groups}")
        return pattern
