"""What the GitHub step can be told, with the reason of each default."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from stages.engine.step import Settings

MIB = 1 << 20


class GithubSettings(Settings):
    """The paper (LLaMA, section 2.1) fixes: the public BigQuery data set; projects under Apache,
    BSD and MIT licences; "heuristics based on the line length or proportion of alphanumeric
    characters"; headers removed with regular expressions. It gives no number at all."""

    format: Literal["auto", "bigquery", "folder"] = Field(
        "auto",
        description="`bigquery`: the tables licenses, files and contents of `github_repos` as JSON "
        "lines or Parquet. `folder`: folders of checked-out repositories. `auto`: what the input "
        "looks like, by the names of the tables, or by licence files and .git of repositories.",
    )
    repository_depth: Literal[1, 2] = Field(
        2,
        description="With `folder`: how many folders below the input name a repository: 2 for "
        "`owner/name`, as GitHub has it, 1 for `name`.",
    )
    licenses: tuple[str, ...] = Field(
        ("apache-2.0", "bsd-2-clause", "bsd-3-clause", "mit"),
        min_length=1,
        description="SPDX names of the licences to keep, case aside. These are all Apache, BSD and "
        "MIT licences that the BigQuery data set knows. Folders may name relatives, which are left "
        "out until asked for: BSD-4-Clause and Apache-1.1 (advertising clauses), 0BSD (the ISC "
        "text without its condition, a BSD licence by name only), MIT-0 and BSD-1-Clause (rare; "
        "the paper's source has neither). Of an expression with OR one name suffices, with AND "
        "all are needed; exceptions (WITH) do not matter.",
    )
    license_policy: Literal["any", "all"] = Field(
        "any",
        description="A file found in several repositories stays if `any` of them has a kept "
        "licence, or only if `all` have. The paper keeps projects, and so does RedPajama; "
        "permissive files are often copied into other projects, so `all` loses the most used ones.",
    )
    languages: tuple[str, ...] | None = Field(
        None,
        description="Languages to keep, by Pygments' names; null: all that a file name tells, but "
        "for `data_languages`. The paper has no list; RedPajama keeps 66 file name endings.",
    )
    data_languages: tuple[str, ...] = Field(
        (
            *("ASCII armored", "CSV", "Diff", "E-mail", "Gettext Catalog", "IRC logs", "JSON"),
            *("JSON-LD", "Jupyter Notebook", "Kernel log", "LDIF", "PostScript", "SVG"),
            *("Text only", "Turtle", "XML", "c-objdump", "objdump"),
        ),
        description="Formats that are data or output rather than source: rejected. RedPajama's list"
        " of endings has XML and none of the others. Without effect if `languages` is given.",
    )
    keep_vendored: bool = Field(
        False,
        description="Keep copies of other projects (`node_modules/`, `vendor/`, ...): their own "
        "repositories hold them, in one version and under their own licence.",
    )
    keep_generated: bool = Field(
        False, description="Keep generated files: they repeat their generator, not their author."
    )
    max_line_chars: int = Field(
        1000, ge=1, description="Longest line. RedPajama's and BigCode's constant."
    )
    mean_line_chars: float = Field(
        100.0, gt=0, description="Largest mean line. RedPajama's and BigCode's constant."
    )
    min_alphanumeric: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Least share of letters and digits in all characters. RedPajama's and BigCode's"
        " constant. RedPajama's further rule (1.5 letters a token) is left out: it judges by a "
        "tokenizer of another model, and costs more than all other rules together.",
    )
    max_encoded: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Largest share of words of 60 or more base64 or hexadecimal characters: keys, "
        "pictures and archives as text pass all other rules. The paper has no such rule; 1 turns "
        "it off.",
    )
    remove_headers: bool = Field(
        True, description="Remove licence and copyright comments at the top (the paper does)."
    )
    normalise_newlines: bool = Field(
        True,
        description="Line ends become LF and a byte order mark goes, so that copies from different "
        "systems are one file to exact deduplication. The paper is silent.",
    )
    max_file_bytes: int = Field(
        MIB,
        ge=1,
        description="Larger files are rejected. The BigQuery data set has no contents over 1 MiB.",
    )
    max_record_bytes: int = Field(
        16 * MIB,
        ge=1024,
        description="Longest JSON line that is held in memory: 1 MiB of content, escaped, has at "
        "most 6 MiB. A longer one is bad.",
    )
    max_expansion: int = Field(
        200,
        ge=10,
        description="A gzip file that grows beyond this factor, after its first GiB, is a bomb: "
        "reading stops. The export grows 4 to 10 times.",
    )
    partition_memory_mb: int = Field(
        512, ge=1, description="Memory of one reducer; it decides the number of partitions."
    )

    @field_validator("licenses")
    @classmethod
    def _folded(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({name.strip().lower() for name in names if name.strip()}))
