"""Recipes: YAML files that name sources, their stages with settings, and proportions.

Everything in a recipe is checked when it is read, settings of stages included, and every
complaint names file and line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from pipeline import yaml_lines
from stages import registry
from stages.engine import files, yaml_core
from stages.engine.step import MAX_BAD, Layout
from tokenizer import paper

_PARAMETER = re.compile(r"\$\{([A-Za-z0-9_.-]*)\}")
_NAME = r"^[a-z][a-z0-9_]*$"
DECONTAMINATE = "decontaminate"
FUZZY_DEDUP = "fuzzy_dedup"
# Folders of the work folder that are not a source's.
RESERVED = frozenset(
    {
        "decontamination_index",
        "language_model",
        "reference_pages",
        "reference_model",
        "reference_fetched",
        "reference_random",
        "tokenizer",
        "tokens",
        "raw",
    }
)


class RecipeError(ValueError):
    """A recipe that cannot be used; one line per complaint, each with file and line."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageUse(_Strict):
    """One stage of a source, with settings."""

    stage: str
    settings: dict[str, Any] = {}

    def others(self) -> dict[str, list[str]]:
        """Sources given where a stage takes documents of another one (`overlap: {against: c4}`)."""
        found = {}
        for port, kind in registry.stage_class(self.stage).ports.items():
            if port != "input" and kind.kind == "documents" and port in self.settings:
                given = self.settings[port]
                found[port] = [given] if isinstance(given, str) else list(given)
        return found

    def own_settings(self) -> dict[str, Any]:
        """The settings without the inputs that `others` gives."""
        others = self.others()
        return {k: v for k, v in self.settings.items() if k not in others}


class Source(_Strict):
    """A source of the corpus: raw input and the stages it goes through, the reader first."""

    proportion: float = Field(
        gt=0, allow_inf_nan=False, description="share of training tokens; any unit, see Recipe"
    )
    input: tuple[str, ...] = Field(
        min_length=1, description="raw files: paths, patterns, folders; ${parameters}"
    )
    stages: tuple[StageUse, ...]
    fuzzy_dedup: dict[str, Any] | None = Field(
        None,
        description="settings of fuzzy_dedup, {} for its defaults: near duplicates leave before"
        " `select`, or as the last stage where there is none. null: off, as in the paper",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_fuzzy_dedup(cls, value: Any) -> Any:
        """The switch is a stage like those that are listed."""
        if not isinstance(value, dict):
            return value
        stages, settings = value.get("stages"), value.get(FUZZY_DEDUP)
        if not isinstance(settings, dict) or not isinstance(stages, list | tuple) or not stages:
            return value
        at = next((i for i, item in enumerate(stages) if _is_select(item)), len(stages))
        return {**value, "stages": [*stages[:at], {FUZZY_DEDUP: settings}, *stages[at:]]}

    def place(self, index: int) -> yaml_lines.Path:
        """Where a stage of `stages` is written, below the source."""
        switched = self.fuzzy_dedup is not None
        at = [use.stage for use in self.stages].index(FUZZY_DEDUP) if switched else len(self.stages)
        if index == at:
            return (FUZZY_DEDUP,)
        return ("stages", index - (index > at), self.stages[index].stage)

    @field_validator("input", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("stages", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        """`- language` and `- line_dedup: {keep: first}` are the forms people write."""
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise ValueError("a list of stages, the reader of the raw files first")
        uses: list[dict[str, Any]] = []
        for item in value:
            if isinstance(item, str):
                uses.append({"stage": item})
            elif isinstance(item, dict) and len(item) == 1:
                name, settings = next(iter(item.items()))
                uses.append({"stage": name, "settings": settings or {}})
            else:
                raise ValueError("each stage is a name, or a name with its settings")
        return uses


def _is_select(item: Any) -> bool:
    return item == "select" or (isinstance(item, dict) and "select" in item)


class LanguageModels(_Strict):
    """Language models of this run (from documents of some sources), or a folder of ready ones."""

    sources: tuple[str, ...] = ("wikipedia",)
    path: str | None = Field(
        None, description="folder of {lang}.sp.model and {lang}.arpa.bin; nothing is trained then"
    )
    settings: dict[str, Any] = {}


class ReferenceUse(_Strict):
    """The classifier of pages used as references in Wikipedia, for the source that has the stage
    `reference`: what says which pages are cited, or a ready classifier."""

    wikipedia: tuple[str, ...] = Field(
        (), description="sources read by `wikipedia`, whose articles cite"
    )
    urls: tuple[str, ...] = Field((), description="lists of cited URLs, one a line, plain or gzip")
    pages: tuple[str, ...] = Field(
        (),
        description="cited pages that were fetched apart: WARC, WET or ARC files, which are read"
        " first (paths or patterns, ending so), or documents: folders or Parquet files",
    )
    random_pages: tuple[str, ...] = Field(
        (), description="random pages fetched with the tool of `pages`, given as those"
    )
    path: str | None = Field(
        None, description="folder of a finished reference_model step; nothing is trained then"
    )
    settings: dict[str, Any] = Field({}, description="of reference_pages")
    model: dict[str, Any] = Field({}, description="settings of reference_model")

    @property
    def names_citations(self) -> bool:
        return bool(self.wikipedia or self.urls or self.pages)


class DecontaminationUse(_Strict):
    """Evaluation sets whose items are looked for in every source, as its last step."""

    benchmarks: dict[str, dict[str, Any]] = Field(
        min_length=1, description="by name: where its files are, as `path`, and their `layout`"
    )
    index: dict[str, Any] = Field({}, description="further settings of decontamination_index")
    settings: dict[str, Any] = Field({}, description="of decontaminate, for all sources")

    def paths(self, name: str) -> list[str]:
        """The paths given for a benchmark, one or several."""
        given = self.benchmarks[name].get("path")
        return [given] if isinstance(given, str) else list(given or ())

    def index_settings(self) -> dict[str, Any]:
        """Those of decontamination_index. Paths are written as listings of files have them, for
        the stage asks by them whose a file is."""
        return {
            **self.index,
            "benchmarks": {
                name: {**given, "path": [_listed(p) for p in self.paths(name)]}
                for name, given in self.benchmarks.items()
            },
        }


def _listed(path: str) -> str:
    fs, inner = files.filesystem(path)
    return files.full_path(fs, inner, path)


class TokenizerUse(_Strict):
    """The tokenizer: trained on a sample of the corpus, or a ready SentencePiece model."""

    path: str | None = Field(None, description="a tokenizer.model; nothing is trained then")
    settings: dict[str, Any] = {}


class Recipe(_Strict):
    """A whole corpus. Proportions are shares of training tokens and are divided by their sum."""

    name: str = Field(pattern=_NAME)
    description: str = ""
    parameters: dict[str, str | None] = {}
    generate: str | None = Field(
        None, pattern="^sample$", description="`sample`: raw dumps are made under ${work}/raw first"
    )
    total_tokens: int = Field(
        paper.TOTAL_TOKENS, gt=0, description="length of the run that epochs are printed for"
    )
    layout: dict[str, Any] = {}
    max_bad: float = Field(
        MAX_BAD, ge=0, le=1, description="share of a step's records that may be bad"
    )
    worker_memory_mb: int | None = Field(
        None,
        ge=512,
        description="memory of one worker: bounds partitions of shuffles, units and sorts that are"
        " not set (stages.engine.memory); a local worker that takes more is stopped",
    )
    sources: dict[str, Source] = Field(min_length=1)
    language_model: LanguageModels | None = None
    reference: ReferenceUse | None = None
    decontamination: DecontaminationUse | None = None
    tokenizer: TokenizerUse = TokenizerUse(path=None)
    tokens: dict[str, Any] = {}

    @property
    def proportions(self) -> dict[str, float]:
        total = sum(s.proportion for s in self.sources.values())
        return {name: s.proportion / total for name, s in self.sources.items()}

    def needs(self, source: str) -> list[str]:
        """Sources that must be there before this one can be made."""
        found: list[str] = []
        for use in self.sources[source].stages:
            found += [name for names in use.others().values() for name in names]
            if use.stage == "perplexity" and self.language_model is not None:
                found += self.language_model.sources if self.language_model.path is None else ()
            if (made := self.reference_for(use)) is not None and made.path is None:
                found += made.wikipedia
        return found

    def reference_for(self, use: StageUse) -> ReferenceUse | None:
        """The section `reference` if this stage takes its model; None for all other stages."""
        if use.stage != "reference" or use.settings.get("model_file") is not None:
            return None
        return self.reference

    def order(self) -> list[str]:
        """The sources in the recipe's order, but each after those that it needs.

        Raises CircleError.
        """
        found: list[str] = []

        def visit(name: str, waiting: tuple[str, ...]) -> None:
            if name in waiting:
                raise CircleError(name)
            if name not in found:
                for other in self.needs(name):
                    visit(other, (*waiting, name))
                found.append(name)

        for name in self.sources:
            visit(name, ())
        return found


class CircleError(ValueError):
    """Sources that wait for each other; the argument is one of them."""


def find(name_or_path: str) -> str:
    """A recipe file: a path, or the name of one of the recipes that come along."""
    if files.exists(name_or_path) and not files.is_dir(name_or_path):
        return name_or_path
    known = sorted(p.name for p in resources.files("pipeline").joinpath("recipes").iterdir())
    for candidate in (name_or_path, f"{name_or_path}.yaml"):
        if candidate in known:
            return str(resources.files("pipeline").joinpath("recipes", candidate))
    raise RecipeError(
        f"{name_or_path}: no such recipe; there are "
        + ", ".join(n.removesuffix(".yaml") for n in known if n.endswith(".yaml"))
    )


def load(
    name_or_path: str, work: str, changes: Sequence[str] = ()
) -> tuple[Recipe, dict[str, Any]]:
    """Reads and checks a recipe; `changes` are `a.b=c` from the command line.

    Returns it with the plain values it was made from. `${name}` in any text is a parameter;
    `${work}` is the work folder. A parameter that is empty must be set; one that is null stands
    for null. Raises RecipeError.
    """
    path = find(name_or_path)
    shown = Path(path).name
    try:
        value, lines = yaml_lines.load(files.read_bytes(path).decode("utf-8"), shown)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{shown}: not UTF-8") from error
    except yaml_lines.YamlError as error:
        raise RecipeError(str(error)) from error
    if not isinstance(value, dict):
        raise RecipeError(f"{shown}:1: a recipe is a mapping with `name` and `sources`")
    for change in changes:
        _change(value, change)
    own = value.get("parameters")
    given = {
        **{k: _with_work(v, work) for k, v in (own if isinstance(own, dict) else {}).items()},
        "work": work,
    }
    complaints: list[tuple[int, str]] = []

    def complain(where: yaml_lines.Path, text: str) -> None:
        place = ".".join(str(p) for p in where)
        line = yaml_lines.line_of(lines, where)
        complaints.append((line, f"{shown}:{line}: {place}: {text}"))

    filled = _fill(value, given, (), complain)
    recipe = None
    if not complaints:
        try:
            recipe = Recipe.model_validate(filled)
        except ValidationError as error:
            for e in error.errors():
                complain(e["loc"], str(e["msg"]).removeprefix("Value error, "))
    if recipe is not None:
        _check(recipe, complain)
        if not complaints:
            try:
                recipe.order()
            except CircleError as error:
                complain(("sources", str(error)), "it needs sources that need it")
    if complaints or recipe is None:
        raise RecipeError("\n".join(text for _, text in sorted(complaints)))
    return recipe, filled


def _fill(value: Any, given: Mapping[str, Any], where: yaml_lines.Path, complain: Any) -> Any:
    if isinstance(value, dict):
        return {k: _fill(v, given, (*where, k), complain) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, given, (*where, i), complain) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    whole = _PARAMETER.fullmatch(value)
    if whole and where[:1] != ("parameters",) and whole[1] in given and given[whole[1]] is None:
        return None

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if given.get(name) in (None, ""):
            complain(where, f"parameter {name} is not set; give --set parameters.{name}=...")
            return ""
        return str(given[name])

    # Parameters may use ${work}, but no other parameters.
    return (
        _PARAMETER.sub(replace, value)
        if where[:1] != ("parameters",)
        else _with_work(value, given["work"])
    )


def _with_work(value: Any, work: str) -> Any:
    return value.replace("${work}", work) if isinstance(value, str) else value


def _change(value: dict[str, Any], change: str) -> None:
    """Applies `a.b.c=value`; a stage in a list is found by its name."""
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {change}: write it as name.of.setting=value")
    try:
        new = yaml_core.parse(text)
    except ValueError as error:
        raise RecipeError(f"--set {change}: the value is not YAML") from error
    *path, last = key.split(".")
    if path == ["parameters"] and new is not None and not isinstance(new, str):
        new = text  # Parameters are text, also where it looks like a number.
    here: Any = value
    for name in path:
        here = _enter(here, name, change)
    if not isinstance(here, dict):
        raise RecipeError(f"--set {change}: {key} is not one setting")
    here[last] = new


def _enter(here: Any, name: str, change: str) -> Any:
    if isinstance(here, dict):
        if here.get(name) is None:
            here[name] = {}
        if isinstance(here[name], dict | list):
            return here[name]
    elif isinstance(here, list):
        for i, item in enumerate(here):
            if item == name:
                here[i] = {name: {}}
                return here[i][name]
            if isinstance(item, dict) and name in item:
                item[name] = item[name] or {}
                return item[name]
    raise RecipeError(f"--set {change}: there is no {name} here to change")


def _check(recipe: Recipe, complain: Any) -> None:
    """What pydantic cannot know: stages exist, their settings fit, sources that others need."""
    _check_settings(Layout, recipe.layout, ("layout",), complain)
    for name, source in recipe.sources.items():
        where: yaml_lines.Path = ("sources", name)
        if not re.fullmatch(_NAME.strip("^$"), name):
            complain(where, "names are lower-case letters, digits and _")
        if name in RESERVED:
            complain(where, f"a step of its own is called {name}; choose another name")
        for i, use in enumerate(source.stages):
            inside = (*where, *source.place(i))
            at = inside if len(inside) == 3 else inside[:-1]
            try:
                stage = registry.stage_class(use.stage)
            except registry.InputError as error:
                complain(at, str(error))
                continue
            if stage.produces != "documents":
                complain(at, f"{use.stage} makes no documents; it has a place of its own in a run")
                continue
            raw = stage.ports["input"].kind == "raw"
            if raw != (i == 0):
                complain(
                    at,
                    f"{use.stage} reads {'raw files' if raw else 'documents'};"
                    " the first stage of a source, and only it, reads raw files",
                )
            _check_settings(stage.Settings, use.own_settings(), inside, complain)
            for port, names in use.others().items():
                for other in names:
                    if other not in recipe.sources:
                        complain((*inside, port), f"no source is called {other}")
        repeated = [u.stage for u in source.stages]
        for stage_name in sorted({s for s in repeated if repeated.count(s) > 1}):
            complain((*where, "stages"), f"{stage_name} is there twice")
        if any(u.stage == "perplexity" for u in source.stages) and recipe.language_model is None:
            complain(where, "perplexity needs `language_model` in the recipe")
    if recipe.language_model is not None:
        for i, name in enumerate(recipe.language_model.sources):
            if name not in recipe.sources and recipe.language_model.path is None:
                complain(("language_model", "sources", i), f"no source is called {name}")
            elif recipe.language_model.path is None and any(
                u.stage == "perplexity" for u in recipe.sources[name].stages
            ):
                complain(
                    ("language_model", "sources", i),
                    f"{name} has a perplexity stage, which would need the models made from it",
                )
        _check_settings(
            registry.stage_class("language_model").Settings,
            recipe.language_model.settings,
            ("language_model", "settings"),
            complain,
        )
    _check_reference(recipe, complain)
    _check_decontamination(recipe, complain)
    for key, given in (("tokenizer", recipe.tokenizer.settings), ("tokens", recipe.tokens)):
        at = (key, "settings") if key == "tokenizer" else (key,)
        _check_settings(registry.stage_class(key).Settings, given, at, complain)


def _check_reference(recipe: Recipe, complain: Any) -> None:
    """One source at most is trained on, and something says which of its pages are cited."""
    users = [
        name
        for name, source in recipe.sources.items()
        for use in source.stages
        if use.stage == "reference" and use.settings.get("model_file") is None
    ]
    made = recipe.reference
    if made is None:
        for name in users:
            complain(
                ("sources", name), "reference needs `reference` in the recipe, or a model_file"
            )
        return
    _check_settings(
        registry.stage_class("reference_pages").Settings,
        made.settings,
        ("reference", "settings"),
        complain,
    )
    _check_settings(
        registry.stage_class("reference_model").Settings,
        made.model,
        ("reference", "model"),
        complain,
    )
    if made.path is not None:
        return
    if not made.names_citations:
        complain(
            ("reference",), "give wikipedia, urls or pages: nothing says which pages are cited"
        )
    for name in users[1:]:
        complain(
            ("sources", name),
            f"the reference classifier is trained on {users[0]}; for a second source give"
            " `reference: {path: ...}` or a model_file",
        )
    for i, name in enumerate(made.wikipedia):
        if name not in recipe.sources:
            complain(("reference", "wikipedia", i), f"no source is called {name}")
        elif recipe.sources[name].stages[0].stage != "wikipedia":
            complain(
                ("reference", "wikipedia", i),
                f"{name} is not read by `wikipedia`, so it cites none",
            )


def _check_decontamination(recipe: Recipe, complain: Any) -> None:
    for name, source in recipe.sources.items():
        for i, use in enumerate(source.stages):
            if use.stage == DECONTAMINATE:
                complain(
                    ("sources", name, "stages", i),
                    "the section `decontamination` adds this step to every source",
                )
    given = recipe.decontamination
    if given is None:
        return
    where: yaml_lines.Path = ("decontamination",)
    for name in given.benchmarks:
        paths = given.paths(name) if _is_text(given.benchmarks[name].get("path")) else []
        if not paths:
            complain((*where, "benchmarks", name), "give its files: a path, or a list of paths")
            return
    if "benchmarks" in given.index:
        complain((*where, "index", "benchmarks"), "they stand beside `index`, not in it")
    index = registry.stage_class("decontamination_index").Settings
    try:
        index.model_validate(given.index_settings())
    except ValidationError as error:
        for e in error.errors():
            at = e["loc"] if e["loc"][:1] == ("benchmarks",) else ("index", *e["loc"])
            complain((*where, *at), str(e["msg"]).removeprefix("Value error, "))
    _check_settings(
        registry.stage_class(DECONTAMINATE).Settings, given.settings, (*where, "settings"), complain
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
    )


def _check_settings(
    model: type[BaseModel], given: Mapping[str, Any], where: yaml_lines.Path, complain: Any
) -> None:
    try:
        model.model_validate(dict(given))
    except ValidationError as error:
        for e in error.errors():
            complain((*where, *e["loc"]), str(e["msg"]).removeprefix("Value error, "))
