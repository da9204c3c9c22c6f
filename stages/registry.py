"""All stages by name. Modules are imported only when a stage is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pydantic import ValidationError

from stages.engine.step import InputError, Stage, Step

STAGES: dict[str, str] = {
    "commoncrawl": "stages.commoncrawl.stage:CommonCrawl",
    "wikipedia": "stages.wikipedia.stage:Wikipedia",
    "arxiv": "stages.arxiv.stage:Arxiv",
    "books": "stages.books.stage:Books",
    "book_dedup": "stages.books.dedup:BookDedup",
    "stackexchange": "stages.stackexchange.stage:StackExchange",
    "github": "stages.github.stage:Github",
    "url_dedup": "stages.dedup.documents:UrlDedup",
    "document_dedup": "stages.dedup.documents:DocumentDedup",
    "line_dedup": "stages.dedup.lines:LineDedup",
    "c4": "stages.c4.stage:C4",
    "c4_url_dedup": "stages.c4.url_dedup:C4UrlDedup",
    "c4_clean": "stages.c4.stage:C4Clean",
    "c4_line_dedup": "stages.c4.line_dedup:C4LineDedup",
    "c4_filter": "stages.c4.stage:C4Filter",
    "overlap": "stages.dedup.overlap:Overlap",
    "fuzzy_dedup": "stages.dedup.fuzzy:FuzzyDedup",
    "language": "stages.language.stage:Language",
    "language_model": "stages.language_model.stage:LanguageModel",
    "perplexity": "stages.perplexity.stage:Perplexity",
    "reference_pages": "stages.reference.pages:ReferencePages",
    "reference_model": "stages.reference.model_stage:ReferenceModel",
    "reference": "stages.reference.stage:Reference",
    "select": "stages.select:Select",
    "decontamination_index": "stages.decontaminate.index_stage:DecontaminationIndex",
    "decontaminate": "stages.decontaminate.stage:Decontaminate",
    "tokenizer": "stages.tokenizer_model:TokenizerModel",
    "tokens": "stages.tokens:Tokens",
}


def stage_class(name: str) -> type[Stage[Any]]:
    """Raises InputError naming the known stages if `name` is none of them."""
    if name not in STAGES:
        raise InputError(f"no stage is called {name!r}; there are {', '.join(sorted(STAGES))}")
    module, attribute = STAGES[name].split(":")
    found: type[Stage[Any]] = getattr(import_module(module), attribute)
    return found


def create(step: Step) -> Stage[Any]:
    """The stage of a step, its settings validated. Raises InputError in one line."""
    try:
        stage = stage_class(step.stage)(step)
    except ValidationError as error:
        raise InputError(f"{step.name}: {one_line(error)}") from error
    for port, spec in stage.ports.items():
        if spec.required and not step.inputs.get(port):
            raise InputError(f"{step.name}: give --{port.replace('_', '-')}: {spec.help}")
    for port in step.inputs:
        if port not in stage.ports:
            raise InputError(f"{step.name}: has no input {port!r}")
    stage.check()
    return stage


def one_line(error: ValidationError) -> str:
    """All complaints of pydantic about one object, on one line."""
    return "; ".join(
        f"{'.'.join(str(p) for p in e['loc']) or 'value'}: {e['msg']}"
        + (f" (got {e['input']!r})" if e["type"] != "missing" and e["loc"] != () else "")
        for e in error.errors()
    )[:1000]
