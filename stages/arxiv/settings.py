"""What the arXiv step can be told, with the reason of each default."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MIB = 1 << 20


class ArxivSettings(BaseModel):
    """Settings of `ArxivReader`. The paper (LLaMA, section 2.1) says: "we removed everything
    before the first section, as well as the bibliography. We also removed the comments from the
    .tex files, and inline-expanded definitions and macros written by users". All else is open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sections: tuple[str, ...] = Field(
        (
            *("part", "chapter", "section", "subsection", "subsubsection"),
            *(
                "paragraph",
                "subparagraph",
                "addpart",
                "addchap",
                "addsec",
                "newsec",
                "beginsection",
            ),
        ),
        description="Commands that begin a section, also starred or with an optional argument: "
        "those of LaTeX and KOMA-Script, and of plain TeX and harvmac.",
    )
    no_section: Literal["keep", "reject"] = Field(
        "keep",
        description="A paper without any section: `keep` takes the text behind the title and "
        "abstract; whole kinds of papers (letters) have none, and the paper does not say that "
        "they went. `reject` as most cleaners, which leave nothing of such a paper.",
    )
    appendix: Literal["keep", "cut"] = Field(
        "keep",
        description="The paper removes the bibliography alone, so the appendix, often after it, "
        "stays. `cut` ends the text at \\appendix, as other cleaners do.",
    )
    bibliography_environments: tuple[str, ...] = Field(
        (
            *("thebibliography", "references", "REFERENCES", "References", "biblist", "bibdiv"),
            *("bibsection", "chapthebibliography"),
        ),
        description="Environments that hold the bibliography; all they hold is removed.",
    )
    reference_sections: bool = Field(
        True,
        description="Also remove a section that is titled as the bibliography (References, "
        "Bibliography, Literature Cited, ...) up to the next section, figure, table or appendix: "
        "many old papers typeset theirs by hand.",
    )
    local_packages: bool = Field(
        True,
        description="Read the abbreviations in style files (.sty) that lie beside the paper and "
        "are loaded by it: there authors keep their macros. Classes (.cls) are not read.",
    )
    min_chars: int = Field(
        0, ge=0, description="Shortest text in characters. The paper has no limit."
    )
    max_member_bytes: int = Field(
        256 * MIB,
        ge=1024,
        description="Submissions packed larger than this are rejected unread. arXiv takes 50 MB.",
    )
    max_unpacked_bytes: int = Field(
        512 * MIB,
        ge=1024,
        description="A submission that unpacks to more is a bomb (half a second).",
    )
    max_members: int = Field(
        5000, ge=1, description="Most files in one submission; the largest real ones have hundreds."
    )
    max_file_bytes: int = Field(
        8 * MIB,
        ge=1024,
        description="A TeX file larger than this is not read (tables of data, drawings).",
    )
    max_text_bytes: int = Field(
        64 * MIB, ge=1024, description="TeX files of one submission held in memory, together."
    )
    max_output_chars: int = Field(
        16 * MIB, ge=1024, description="Longest text of one paper; what grows beyond is a bomb."
    )
    max_depth: int = Field(
        200, ge=2, description="Macros and files open inside one another; more is a bomb."
    )
    max_steps: int = Field(
        20_000,
        ge=10,
        description="Macro calls that one call in a file may lead to; more is a bomb. The most "
        "in 41 real papers is 69.",
    )
    max_calls: int = Field(
        1_000_000, ge=10, description="Macro calls in one paper; more is a bomb (some 3 s)."
    )
    max_work: int = Field(
        8_000_000,
        ge=1000,
        description="Tokens passed over in search of arguments, and 16ths of characters put in "
        "place of macros, in one paper; more is a bomb (2 to 5 s). A book of 1.8 MB has 200,000.",
    )
    max_argument_chars: int = Field(
        200_000, ge=100, description="Longest argument of a macro; a longer one is no argument."
    )
