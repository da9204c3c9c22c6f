"""What the StackExchange step can be told, with the reason of each default.

The paper (LLaMA, section 2.1): "We kept the data from the 28 largest websites, removed the HTML
tags from text and sorted the answers by score (from highest to lowest)." All else is open.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from pydantic import Field, field_validator

from stages.engine.step import Settings

MIB = 1 << 20
_FIELD = re.compile(r"\{([^{}]*)\}")


Sites: TypeAlias = dict[str, int] | tuple[str, ...]


class StackExchangeSettings(Settings):
    """Settings of the reader, the HTML conversion, the layout of a thread and the shuffle."""

    sites: Sites = Field(
        (),
        description="Sites to keep, as their dumps are named (`math.stackexchange.com`), as a list"
        " or with the number of questions and answers that put them among the largest, which the"
        " manifest then compares with what was found; empty: all that are given. A site without a"
        " dump is an error. The paper keeps the 28 largest and does not name them;"
        " `python -m stages.stackexchange.largest` derives them.",
    )
    question_template: str = Field(
        "Q: {title}\n\n{body}",
        description="Question with {title} and {body}. The paper does not say how posts are joined;"
        " peers write `Q: ... A: ...`. Title and body are parted, because they are not one"
        " sentence.",
    )
    answer_template: str = Field(
        "A: {body}", description="Each answer with {body}; a blank line goes before it."
    )
    unanswered: Literal["keep", "reject"] = Field(
        "keep",
        description="Questions without an answer (that is left). The paper does not say; they are"
        " text of the same kind, and the peers' reproduction keeps them.",
    )
    closed: Literal["keep", "reject"] = Field(
        "keep", description="Questions closed by the site. The paper does not say; peers keep them."
    )
    min_answer_score: int | None = Field(
        None,
        description="Answers with a lower score leave. The paper only sorts by score; the-pile"
        " kept answers from 3 on.",
    )
    code_blocks: Literal["fence", "indent", "plain"] = Field(
        "fence",
        description="`fence` puts ``` lines around a block of code: its lines stay as they are and"
        " its end is seen, even with blank lines in it. `indent` moves it by four columns, as"
        " authors typed it for years. `plain` leaves no mark, as removing tags alone does.",
    )
    inline_code: Literal["backtick", "plain"] = Field(
        "backtick",
        description="`backtick` marks code within a sentence as its author typed it; `plain` not.",
    )
    link_urls: Literal["drop", "keep"] = Field(
        "drop",
        description="`keep` puts a link's address in brackets after its text. Addresses are in the"
        " tag, which the paper removes.",
    )
    images: Literal["alt", "drop"] = Field(
        "alt", description="`alt` puts an image's description in square brackets in its place."
    )
    placeholder_alts: tuple[str, ...] = Field(
        (
            "enter image description here",
            "alt text",
            "введите сюда описание изображения",
            "introducir la descripción de la imagen aquí",
            "insira a descrição da imagem aqui",
            "画像の説明をここに入力",
        ),
        description="Descriptions that the editor fills in by itself; they say nothing.",
    )
    max_body_chars: int = Field(
        MIB,
        ge=1,
        description="Posts with more characters of HTML are rejected. The sites accept 30,000"
        " characters of Markdown, so only a damaged or hostile dump has such.",
    )
    max_tags: int = Field(
        25_000,
        ge=1,
        description="Posts with more `<` are rejected: the parser's time grows with the square of"
        " the tags of a post built to be slow (25,000: under one second).",
    )
    max_row_bytes: int = Field(
        8 * MIB,
        ge=1024,
        description="Longest row of the XML that is held in memory; a longer one is bad input.",
    )
    max_expansion: int = Field(
        200,
        ge=1,
        description="A compressed file that expands by more than this factor (after its first GiB)"
        " is a bomb. Real dumps: 4 to 10.",
    )
    partition_memory_mb: int = Field(
        256,
        ge=1,
        description="Memory of one reducer, which holds the threads of one partition; with the"
        " size of the dumps it decides the number of partitions, which is the number of parts.",
    )
    spill_mb: int = Field(
        48, ge=1, description="Posts held by a reading worker before it is written to partitions."
    )

    @field_validator("sites")
    @classmethod
    def _lower_case(
        cls, sites: dict[str, int] | tuple[str, ...]
    ) -> dict[str, int] | tuple[str, ...]:
        if isinstance(sites, dict):
            return {name.lower(): count for name, count in sites.items()}
        return tuple(dict.fromkeys(name.lower() for name in sites))

    @field_validator("question_template", "answer_template")
    @classmethod
    def _known_fields(cls, template: str) -> str:
        fields = _FIELD.findall(template)
        if "body" not in fields:
            raise ValueError("a template needs {body}")
        if unknown := sorted(set(fields) - {"title", "body"}):
            raise ValueError(f"a template has no field {{{unknown[0]}}}")
        return template
