"""What is measured: the steps of a small corpus, each with its floors on the same input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.data import RawData
from stages.engine.step import Step
from stages.language.model import model_path
from stages.tokenizer_model import MODEL_FILE

LANGUAGE = "en"
_HEAD_CHARS = 2000
DOCUMENT_STEPS = (
    "commoncrawl",
    "url_dedup",
    "document_dedup",
    "line_dedup",
    "language",
    "perplexity",
    "select",
)
"""The steps through which every document of a crawl goes, in order."""
MODEL_STEPS = ("language_model", "tokenizer")
"""Steps whose work is bounded by settings, whatever the size of the corpus."""


@dataclass(frozen=True)
class Case:
    """One step, and what its floors are given, by name of the floor.

    The floors read the parts of the steps before, so these must be done.
    """

    step: Step
    floors: Mapping[str, Mapping[str, Any]]
    reads: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.step.stage

    def reading(self, folder: str) -> Case:
        """The same case with the documents of another step's folder as its input."""
        step = replace(self.step, inputs={**self.step.inputs, "input": [folder]})
        return replace(self, step=step, reads=(folder,))

    def floor_arguments(self, floor: str, out: str) -> dict[str, Any]:
        given = dict(self.floors[floor])
        if self.reads:
            given["parts"] = [
                str(part)
                for folder in self.reads
                for part in sorted(Path(folder).glob("part-*.parquet"))
            ]
        return {**given, "out": out}


def cases(raw: RawData, work: str, large: bool, models: str | None = None) -> list[Case]:
    """The cases in an order in which they can run, their output below `work`.

    Models are those of another such folder where `models` is given, else made here.
    """

    def size(files: Any) -> list[str]:
        return list(files.large if large else files.small)

    def at(name: str) -> str:
        return f"{work}/{name}"

    def of(name: str) -> str:
        return f"{models or work}/{name}"

    def case(
        stage: str,
        before: str,
        floors: Mapping[str, Mapping[str, Any]] | None = None,
        inputs: Mapping[str, list[str]] | None = None,
        **settings: Any,
    ) -> Case:
        given = {"input": [at(before)], **(inputs or {})}
        return Case(
            Step(stage, stage, at(stage), given, settings),
            floors or {stage: {}},
            (at(before),),
        )

    wet = size(raw.wet)
    found = [
        Case(
            Step("commoncrawl", "commoncrawl", at("commoncrawl"), {"input": wet}),
            {"commoncrawl": {"wet": wet}},
            (),
        ),
        case("url_dedup", "commoncrawl"),
        case("document_dedup", "url_dedup"),
        case("line_dedup", "document_dedup"),
        case("language", "line_dedup", {"language": {"model": str(model_path())}}),
        case(
            "language_model",
            "language",
            {"language_model": {"language": LANGUAGE, "head_chars": _HEAD_CHARS}},
            languages=[LANGUAGE],
            head_chars=_HEAD_CHARS,
            min_bytes=0,
        ),
        case(
            "perplexity",
            "language",
            {"perplexity": {"models": of("language_model"), "language": LANGUAGE}},
            {"models": [of("language_model")]},
        ),
        case("select", "perplexity"),
        case("tokenizer", "select"),
        case(
            "tokens",
            "perplexity",  # of all languages: more text than `select` leaves
            {
                name: {"model": f"{of('tokenizer')}/{MODEL_FILE}"}
                for name in ("tokens (gigatoken)", "tokens (SentencePiece)")
            },
            {"tokenizer": [of("tokenizer")]},
        ),
    ]
    if raw.wikipedia is not None:
        dumps = size(raw.wikipedia)
        step = Step("wikipedia", "wikipedia", at("wikipedia"), {"input": dumps})
        found.append(Case(step, {"wikipedia": {"dumps": dumps}}, ()))
    return found
