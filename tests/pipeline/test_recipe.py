"""Recipes: each mistake is told with file, line, place and text, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import recipe
from pipeline.recipe import Recipe, RecipeError
from pipeline.run import RECIPE_FILE, _write_recipe

TEXT = """\
name: small
description: two sources
parameters:
  dump: ${work}/raw
  year: ""
  models: null
sources:
  crawl:
    proportion: 3
    input: ["${dump}/*.wet.gz", more]
    stages:
      - commoncrawl
      - line_dedup: {keep: first}
      - language
      - select:
          languages: [en, no]
  wiki:
    proportion: 1
    input: ${dump}/wiki
    stages: [wikipedia]
"""

Load = Callable[..., tuple[Recipe, dict[str, Any]]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def read(text: str = TEXT, changes: Sequence[str] = ()) -> tuple[Recipe, dict[str, Any]]:
        path = tmp_path / "r.yaml"
        path.write_text(text)
        return recipe.load(str(path), "/w", changes)

    return read


def test_a_recipe_is_read_with_its_parameters_filled_in(load: Load) -> None:
    found, values = load()
    assert found.name == "small"
    assert found.sources["crawl"].input == ("/w/raw/*.wet.gz", "more")
    assert found.sources["wiki"].input == ("/w/raw/wiki",)
    uses = {u.stage: u.settings for u in found.sources["crawl"].stages}
    assert uses == {
        "commoncrawl": {},
        "line_dedup": {"keep": "first"},
        "language": {},
        "select": {"languages": ["en", "no"]},
    }
    assert found.proportions == {"crawl": 0.75, "wiki": 0.25}
    assert values["sources"]["wiki"]["input"] == "/w/raw/wiki"


def test_a_recipe_written_to_the_work_folder_reads_as_it_was(load: Load, tmp_path: Path) -> None:
    text = TEXT.replace("two sources", "'1e3'")
    found, values = load(text, ["parameters.year=2019", "sources.wiki.input=007"])
    _write_recipe(values, str(tmp_path))
    again, same = recipe.load(str(tmp_path / RECIPE_FILE), "/elsewhere")
    assert again == found
    assert same == values


@pytest.mark.parametrize("name", ["sample", "sample.yaml", "local"])
def test_the_recipes_that_come_along_are_found_by_name(name: str) -> None:
    # A parameter without a value is the only thing that one of them may lack.
    try:
        found, _ = recipe.load(name, "/w")
    except RecipeError as error:
        lines = str(error).splitlines()
        assert all("is not set; give --set parameters." in line for line in lines), lines
    else:
        assert found.name == name.removesuffix(".yaml")


def test_a_folder_of_that_name_does_not_hide_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample").mkdir()
    assert recipe.load("sample", "/w")[0].name == "sample"


def test_a_recipe_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(RecipeError, match=r"nope: no such recipe; there are .*sample"):
        recipe.load("nope", "/w")


# -- mistakes -------------------------------------------------------------------------------------


def replaced(old: str, new: str) -> str:
    assert TEXT.count(old) == 1
    return TEXT.replace(old, new)


MISTAKES = {
    "no name": (replaced("name: small\n", ""), ["r.yaml:1: name: Field required"]),
    "bad name": (
        replaced("small", "Small Corpus"),
        ["r.yaml:1: name: String should match pattern"],
    ),
    "unknown key": (
        replaced("description:", "descripton:"),
        ["r.yaml:2: descripton: Extra inputs are not permitted"],
    ),
    "no sources": (
        TEXT[: TEXT.index("sources:")] + "sources: {}\n",
        ["r.yaml:7: sources: Dictionary should have at least 1 item"],
    ),
    "sources no mapping": (
        TEXT[: TEXT.index("sources:")] + "sources: [a]\n",
        ["r.yaml:7: sources: Input should be a valid dictionary"],
    ),
    "no proportion": (
        replaced("    proportion: 1\n", ""),
        ["r.yaml:17: sources.wiki.proportion: Field required"],
    ),
    "proportion zero": (
        replaced("proportion: 1", "proportion: 0"),
        ["r.yaml:18: sources.wiki.proportion: Input should be greater than 0"],
    ),
    "proportion without end": (
        replaced("proportion: 1", "proportion: .inf"),
        ["r.yaml:18: sources.wiki.proportion: Input should be a finite number"],
    ),
    "proportion no number": (
        replaced("proportion: 1", "proportion: much"),
        ["r.yaml:18: sources.wiki.proportion: Input should be a valid number"],
    ),
    "no input": (
        replaced("input: ${dump}/wiki", "input: []"),
        ["r.yaml:19: sources.wiki.input: Tuple should have at least 1 item"],
    ),
    "unknown stage": (
        replaced("- language\n", "- lenguage\n"),
        ["r.yaml:14: sources.crawl.stages.2: no stage is called 'lenguage'; there are "],
    ),
    "unknown setting": (
        replaced("keep: first", "keeep: first"),
        ["r.yaml:13: sources.crawl.stages.1.line_dedup.keeep: Extra inputs are not permitted"],
    ),
    "wrong setting": (
        replaced("keep: first", "keep: last"),
        ["r.yaml:13: sources.crawl.stages.1.line_dedup.keep: Input should be 'none' or 'first'"],
    ),
    "wrong setting deeper": (
        replaced("languages: [en, no]", "languages: [en, 5]"),
        ["r.yaml:16: sources.crawl.stages.3.select.languages.1: Input should be a valid string"],
    ),
    "settings no mapping": (
        replaced("line_dedup: {keep: first}", "line_dedup: first"),
        ["r.yaml:13: sources.crawl.stages.1.settings: Input should be a valid dictionary"],
    ),
    "stages empty": (
        replaced("stages: [wikipedia]", "stages: []"),
        ["r.yaml:20: sources.wiki.stages: a list of stages"],
    ),
    "stages a word": (
        replaced("stages: [wikipedia]", "stages: wikipedia"),
        ["r.yaml:20: sources.wiki.stages: a list of stages"],
    ),
    "two stages in one": (
        replaced("- line_dedup: {keep: first}", "- {line_dedup: {}, url_dedup: {}}"),
        ["r.yaml:11: sources.crawl.stages: each stage is a name"],
    ),
    "a stage twice": (
        replaced("- language\n", "- line_dedup\n"),
        ["r.yaml:11: sources.crawl.stages: line_dedup is there twice"],
    ),
    "reader not first": (
        replaced("      - commoncrawl\n", ""),
        ["r.yaml:12: sources.crawl.stages.0: line_dedup reads documents; the first stage"],
    ),
    "reader later": (
        replaced("- language\n", "- wikipedia\n"),
        ["r.yaml:14: sources.crawl.stages.2: wikipedia reads raw files; the first stage"],
    ),
    "a stage that makes no documents": (
        replaced("[wikipedia]", "[wikipedia, tokenizer]"),
        ["r.yaml:20: sources.wiki.stages.1: tokenizer makes no documents"],
    ),
    "source name": (
        replaced("  wiki:", "  Wiki-1:"),
        ["r.yaml:17: sources.Wiki-1: names are lower-case letters"],
    ),
    "source name of a step": (
        replaced("  wiki:", "  tokens:"),
        ["r.yaml:17: sources.tokens: a step of its own is called tokens"],
    ),
    "parameter not set": (
        replaced("${dump}/wiki", "${dump}/${year}"),
        ["r.yaml:19: sources.wiki.input: parameter year is not set; give --set parameters.year="],
    ),
    "parameter unknown": (
        replaced("${dump}/wiki", "${Dump}/wiki"),
        ["r.yaml:19: sources.wiki.input: parameter Dump is not set"],
    ),
    "parameters a list": (
        TEXT[: TEXT.index("parameters:")]
        + "parameters: [a]\nsources: {w: {proportion: 1, input: x, stages: [wikipedia]}}\n",
        ["r.yaml:3: parameters: Input should be a valid dictionary"],
    ),
    "parameter a number": (
        replaced('year: ""', "year: 2019"),
        ["r.yaml:5: parameters.year: Input should be a valid string"],
    ),
    "tokens": (
        TEXT + "tokens: {valid_share: 2}\n",
        ["r.yaml:21: tokens.valid_share: Input should be less than"],
    ),
    "tokenizer": (
        TEXT + "tokenizer:\n  settings:\n    vocab: 5\n",
        ["r.yaml:23: tokenizer.settings.vocab: Extra inputs are not permitted"],
    ),
    "layout": (
        TEXT + "layout:\n  split_bytes: 0\n",
        ["r.yaml:22: layout.split_bytes: Input should be greater than or equal to 1"],
    ),
    "perplexity without models": (
        replaced("- language\n", "- perplexity\n"),
        ["r.yaml:8: sources.crawl: perplexity needs `language_model` in the recipe"],
    ),
    "models of no source": (
        TEXT + "language_model:\n  sources: [wiki, books]\n",
        ["r.yaml:22: language_model.sources.1: no source is called books"],
    ),
    "models of a source that needs them": (
        replaced("- language\n", "- perplexity\n") + "language_model:\n  sources: [crawl]\n",
        ["r.yaml:22: language_model.sources.0: crawl has a perplexity stage"],
    ),
    "reference without a section": (
        replaced("- language\n", "- reference\n"),
        ["r.yaml:8: sources.crawl: reference needs `reference` in the recipe, or a model_file"],
    ),
    "reference without citations": (
        replaced("- language\n", "- reference\n") + "reference: {settings: {}}\n",
        ["r.yaml:21: reference: give wikipedia, urls or pages: nothing says which pages"],
    ),
    "reference by no source": (
        replaced("- language\n", "- reference\n") + "reference:\n  wikipedia: [wiki, wp]\n",
        ["r.yaml:22: reference.wikipedia.1: no source is called wp"],
    ),
    "reference by a source that cites nothing": (
        replaced("- language\n", "- reference\n") + "reference:\n  wikipedia: [crawl]\n",
        ["r.yaml:22: reference.wikipedia.0: crawl is not read by `wikipedia`"],
    ),
    "reference settings": (
        TEXT + "reference:\n  wikipedia: [wiki]\n  settings: {a: 1}\n  model: {dim: 0}\n",
        [
            "r.yaml:23: reference.settings.a: Extra inputs are not permitted",
            "r.yaml:24: reference.model.dim: Input should be greater than or equal to 1",
        ],
    ),
    "reference for two sources": (
        replaced("- language\n", "- reference\n").replace("[wikipedia]", "[wikipedia, reference]")
        + "reference:\n  urls: [/lists]\n",
        ["r.yaml:17: sources.wiki: the reference classifier is trained on crawl; for a second"],
    ),
    "a stage with a place of its own": (
        replaced("- language\n", "- reference_pages\n"),
        ["r.yaml:14: sources.crawl.stages.2: reference_pages makes no documents; it has a place"],
    ),
    "decontamination without files": (
        TEXT + "decontamination:\n  benchmarks:\n    mmlu: {layout: mmlu}\n",
        ["r.yaml:23: decontamination.benchmarks.mmlu: give its files: a path, or a list of paths"],
    ),
    "decontamination settings": (
        TEXT
        + "decontamination:\n  benchmarks:\n    mmlu: {layout: mmul, path: /m}\n"
        + "  index: {ngram: 1}\n  settings: {action: keep}\n",
        [
            "r.yaml:23: decontamination.benchmarks.mmlu.layout: Input should be 'mmlu'",
            "r.yaml:24: decontamination.index.ngram: Input should be greater than",
            "r.yaml:25: decontamination.settings.action: Input should be 'flag'",
        ],
    ),
    "decontaminate among the stages": (
        replaced("- language\n", "- decontaminate\n"),
        ["r.yaml:14: sources.crawl.stages.2: the section `decontamination` adds this step"],
    ),
    "total": (
        TEXT + "total_tokens: many\n",
        ["r.yaml:21: total_tokens: Input should be a valid integer"],
    ),
    "several": (
        replaced("keep: first", "keep: last").replace("proportion: 1", "proportion: 0"),
        ["r.yaml:18: sources.wiki.proportion: "],
    ),
    "several of stages, in order of lines": (
        replaced("keep: first", "keep: last") + "tokens: {a: 1}\nlayout: {b: 1}\n",
        [
            "r.yaml:13: sources.crawl.stages.1.line_dedup.keep: ",
            "r.yaml:21: tokens.a: ",
            "r.yaml:22: layout.b: ",
        ],
    ),
    "not YAML": (replaced("[wikipedia]", "[wikipedia"), ["r.yaml:21: "]),
    "a key twice": (TEXT + "name: again\n", ["r.yaml:21: name is given twice"]),
    "a list": ("- a\n", ["r.yaml:1: a recipe is a mapping"]),
    "nothing": ("", ["r.yaml:1: a recipe is a mapping"]),
    "a number": ("7", ["r.yaml:1: a recipe is a mapping"]),
    "an alias": (TEXT + "layout: &l {}\ntokens: *l\n", ["r.yaml:21: anchors and aliases"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_file_line_and_place(load: Load, mistake: str) -> None:
    text, expected = MISTAKES[mistake]
    with pytest.raises(RecipeError) as caught:
        load(text)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(expected), lines
    for line, begin in zip(lines, expected, strict=True):
        assert line.startswith(begin), (line, begin)


def test_a_recipe_in_no_unicode_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(RecipeError, match=r"r\.yaml: not UTF-8"):
        recipe.load(str(tmp_path / "r.yaml"), "/w")


# -- parameters and changes -----------------------------------------------------------------------


def test_a_parameter_that_is_null_stands_for_null_and_can_be_set(load: Load) -> None:
    text = TEXT + "tokenizer: {path: '${models}'}\n"
    assert load(text)[0].tokenizer.path is None
    assert load(text, ["parameters.models=/m"])[0].tokenizer.path == "/m"


@pytest.mark.parametrize("value", ["2019", "2020-05-01", "1e9", "no", "007", "a: b", "[x]"])
def test_parameters_are_text_whatever_they_look_like(load: Load, value: str) -> None:
    text = replaced("${dump}/wiki", "${dump}/${year}")
    found, _ = load(text, [f"parameters.year={value}"])
    assert found.sources["wiki"].input == (f"/w/raw/{value}",)


def test_changes_reach_every_kind_of_place(load: Load) -> None:
    found, _ = load(
        TEXT,
        [
            "name=other",
            "total_tokens=1.4e12",
            "sources.wiki.proportion=2.5",
            "sources.wiki.input=[a, b]",
            "sources.crawl.stages.line_dedup.keep=none",
            "sources.crawl.stages.language.threshold=0.6",
            "sources.crawl.stages.select.languages=null",
            "tokenizer.settings.vocab_size=1000",
            "layout.split_bytes=1000",
            "parameters.dump=${work}/other",
        ],
    )
    assert (found.name, found.total_tokens) == ("other", 1_400_000_000_000)
    assert found.sources["wiki"].input == ("a", "b")
    assert found.sources["crawl"].input[0] == "/w/other/*.wet.gz"
    uses = {u.stage: u.settings for u in found.sources["crawl"].stages}
    assert uses["line_dedup"] == {"keep": "none"}
    assert uses["language"] == {"threshold": 0.6}
    assert uses["select"] == {"languages": None}
    assert found.tokenizer.settings == {"vocab_size": 1000}
    assert found.layout == {"split_bytes": 1000}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("name", "--set name: write it as name.of.setting=value"),
        ("=x", "--set =x: write it as"),
        ("name=[", "--set name=.: the value is not YAML"),
        ("name.x=1", "--set name.x=1: there is no name here to change"),
        ("sources.crawl.stages.select_.x=1", "there is no select_ here to change"),
        ("sources.crawl.stages.0=1", "is not one setting"),
        ("sources.crawl.proportion.x=1", "there is no proportion here"),
        ("sources.wiki.stages.wikipedia.x=1", r"r\.yaml:20: .*wikipedia\.x: Extra inputs"),
        ("sources.wiki.proportion=-1", r"r\.yaml:18: sources\.wiki\.proportion: .*greater than 0"),
        ("sources=3", r"r\.yaml:7: sources: Input should be a valid dictionary"),
        ("nothing.like.it=1", r"r\.yaml:1: nothing: Extra inputs are not permitted"),
        ("layout=5", r"r\.yaml:1: layout: Input should be a valid dictionary"),
    ],
)
def test_changes_that_cannot_be_made_are_told(load: Load, change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        load(TEXT, [change])
    assert "\n" not in str(caught.value)


def test_a_stage_whose_settings_are_no_mapping_cannot_be_changed(load: Load) -> None:
    with pytest.raises(RecipeError, match="is not one setting"):
        load(replaced("{keep: first}", "5"), ["sources.crawl.stages.line_dedup.keep=none"])


def test_fuzzy_dedup_is_switched_on_for_a_source_before_it_is_selected(load: Load) -> None:
    found, values = load(changes=["sources.crawl.fuzzy_dedup.threshold=0.7"])
    uses = found.sources["crawl"].stages
    assert [u.stage for u in uses] == [
        "commoncrawl",
        "line_dedup",
        "language",
        "fuzzy_dedup",
        "select",
    ]
    assert uses[3].settings == {"threshold": 0.7}
    assert len(values["sources"]["crawl"]["stages"]) == 4
    found, _ = load(changes=["sources.wiki.fuzzy_dedup={against: crawl}"])
    assert [u.stage for u in found.sources["wiki"].stages] == ["wikipedia", "fuzzy_dedup"]
    assert found.needs("wiki") == ["crawl"]
    found, _ = load(changes=["sources.wiki.fuzzy_dedup=null"])
    assert [u.stage for u in found.sources["wiki"].stages] == ["wikipedia"]


def test_mistakes_beside_the_switch_for_fuzzy_dedup_are_told_at_their_lines(load: Load) -> None:
    text = TEXT.replace("    proportion: 3\n", "    proportion: 3\n    fuzzy_dedup: {ngrams: 5}\n")
    with pytest.raises(RecipeError, match=r"r\.yaml:10: sources\.crawl\.fuzzy_dedup\.ngrams: "):
        load(text)
    text = text.replace("{ngrams: 5}", "{}").replace("[en, no]", "[en, klingon]")
    line = text.splitlines().index("          languages: [en, klingon]") + 1
    with pytest.raises(RecipeError, match=rf"r\.yaml:{line}: .*\.3\.select\.languages: "):
        load(text)
    twice = TEXT.replace("[wikipedia]", "[wikipedia, fuzzy_dedup]")
    with pytest.raises(RecipeError, match="fuzzy_dedup is there twice"):
        load(twice, ["sources.wiki.fuzzy_dedup={}"])
