"""The plan: every step reads what earlier ones write, and settings go where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import plan, recipe
from pipeline.run import _up_to
from stages import registry
from stages.engine.step import Step

TEXT = """\
name: small
layout: {split_bytes: 1000}
total_tokens: 500
sources:
  crawl:
    proportion: 3
    input: [a, b]
    stages: [commoncrawl, line_dedup: {keep: first}, language, perplexity, select]
  wiki: {proportion: 1, input: w, stages: [wikipedia]}
language_model: {sources: [wiki], settings: {vocabulary: 400}}
tokenizer: {settings: {vocab_size: 800}}
tokens: {valid_share: 0.1}
"""


def steps_of(tmp_path: Path, text: str = TEXT, work: str = "/made") -> list[Step]:
    (tmp_path / "r.yaml").write_text(text)
    return plan.steps(recipe.load(str(tmp_path / "r.yaml"), work)[0], work)


def test_sources_that_models_need_come_first(tmp_path: Path) -> None:
    assert [s.name for s in steps_of(tmp_path)] == [
        "wiki",
        "language_model",
        "crawl",
        "crawl.line_dedup",
        "crawl.language",
        "crawl.perplexity",
        "crawl.select",
        "tokenizer",
        "tokens",
    ]


def test_every_step_reads_raw_files_or_what_an_earlier_one_writes(tmp_path: Path) -> None:
    written: set[str] = set()
    for step in steps_of(tmp_path):
        for port, places in step.inputs.items():
            if registry.stage_class(step.stage).ports[port].kind != "raw":
                assert set(places) <= written, step.name
        assert step.output not in written
        written.add(step.output)


def test_inputs_and_settings_of_steps(tmp_path: Path) -> None:
    by_name = {s.name: s for s in steps_of(tmp_path)}
    assert by_name["crawl"].inputs == {"input": ["a", "b"]}
    assert by_name["crawl.line_dedup"].inputs == {"input": ["/made/crawl"]}
    assert by_name["crawl.line_dedup"].settings == {"keep": "first"}
    assert by_name["crawl.perplexity"].inputs == {
        "input": ["/made/crawl.language"],
        "models": ["/made/language_model"],
    }
    assert by_name["language_model"].inputs == {"input": ["/made/wiki"]}
    assert by_name["language_model"].settings == {"vocabulary": 400}
    # In the order of the recipe, not of the plan.
    ends = ["/made/crawl.select", "/made/wiki"]
    shares = {"crawl": 0.75, "wiki": 0.25}
    assert by_name["tokenizer"].inputs == {"input": ends}
    assert by_name["tokenizer"].settings == {"proportions": shares, "vocab_size": 800}
    assert by_name["tokens"].inputs == {"input": ends, "tokenizer": ["/made/tokenizer"]}
    assert by_name["tokens"].settings == {
        "proportions": shares,
        "total_tokens": 500,
        "valid_share": 0.1,
    }
    assert all(s.layout == {"split_bytes": 1000} for s in by_name.values())


def test_every_step_of_a_plan_has_settings_that_its_stage_takes(tmp_path: Path) -> None:
    for step in steps_of(tmp_path):
        registry.stage_class(step.stage).Settings.model_validate(step.settings)


def test_ready_models_and_tokenizers_are_not_made(tmp_path: Path) -> None:
    text = TEXT.replace("{sources: [wiki], settings: {vocabulary: 400}}", "{path: /m}")
    text = text.replace("tokenizer: {settings: {vocab_size: 800}}", "tokenizer: {path: /t.model}")
    by_name = {s.name: s for s in steps_of(tmp_path, text)}
    assert next(iter(by_name)) == "crawl"
    assert not {"language_model", "tokenizer"} & set(by_name)
    assert by_name["crawl.perplexity"].inputs["models"] == ["/m"]
    assert by_name["tokens"].inputs["tokenizer"] == ["/t.model"]


def test_models_of_all_sources_come_after_all(tmp_path: Path) -> None:
    text = TEXT.replace("language, perplexity, select", "language")
    text = text.replace("sources: [wiki]", "sources: [crawl, wiki]")
    names = [s.name for s in steps_of(tmp_path, text)]
    assert names[-3:] == ["language_model", "tokenizer", "tokens"]
    assert names.count("language_model") == 1


def test_progress_lies_beside_the_steps_and_only_locally(tmp_path: Path) -> None:
    assert {s.progress for s in steps_of(tmp_path)} >= {"/made/.wiki.progress"}
    assert {s.progress for s in steps_of(tmp_path, work="gs://b/made")} == {None}
    assert steps_of(tmp_path, work="gs://b/made")[0].output == "gs://b/made/wiki"


def test_a_plan_can_end_at_a_step(tmp_path: Path) -> None:
    steps = steps_of(tmp_path)
    assert [s.name for s in _up_to(steps, "language_model")] == ["wiki", "language_model"]
    with pytest.raises(recipe.RecipeError, match="no step is called nope; there are wiki, "):
        _up_to(steps, "nope")


def test_plans_are_the_same_each_time(tmp_path: Path) -> None:
    assert steps_of(tmp_path) == steps_of(tmp_path)


def test_a_source_comes_after_those_whose_documents_it_is_compared_with(tmp_path: Path) -> None:
    text = """
name: x
sources:
  c4:
    proportion: 1
    input: [/c4]
    stages:
      - c4
      - overlap: {against: commoncrawl}
  commoncrawl:
    proportion: 1
    input: [/cc]
    stages: [commoncrawl]
"""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    loaded, _ = recipe.load(str(path), "work")
    found = {s.name: s for s in plan.steps(loaded, "work")}
    assert list(found)[:3] == ["commoncrawl", "c4", "c4.overlap"]
    assert found["c4.overlap"].inputs == {"input": ["work/c4"], "against": ["work/commoncrawl"]}
    assert "against" not in found["c4.overlap"].settings
    path.write_text(text.replace("against: commoncrawl", "against: c4"))
    with pytest.raises(recipe.RecipeError, match=r"x\.yaml:4: sources\.c4: it needs sources that"):
        recipe.load(str(path), "work")
    path.write_text(text.replace("against: commoncrawl", "against: nothing"))
    with pytest.raises(recipe.RecipeError, match="no source is called nothing"):
        recipe.load(str(path), "work")


REFERENCE = (
    TEXT.replace(
        "perplexity, select]", "perplexity, reference, select: {min_reference_score: 0.5}]"
    )
    + """\
reference:
  wikipedia: [wiki]
  urls: [/lists]
  settings: {max_random: 500}
  model: {min_positives: 7}
"""
)


def test_the_reference_classifier_is_made_of_the_pages_that_it_will_score(tmp_path: Path) -> None:
    by_name = {s.name: s for s in steps_of(tmp_path, REFERENCE)}
    names = list(by_name)
    at = names.index("reference_pages")
    assert names[at - 1 : at + 4] == [
        "crawl.perplexity",
        "reference_pages",
        "reference_model",
        "crawl.reference",
        "crawl.select",
    ]
    assert by_name["reference_pages"].inputs == {
        "crawl": ["/made/crawl.perplexity"],
        "wikipedia": ["/made/wiki"],
        "urls": ["/lists"],
    }
    assert by_name["reference_pages"].settings == {"max_random": 500}
    assert by_name["reference_model"].inputs == {"input": ["/made/reference_pages"]}
    assert by_name["reference_model"].settings == {"min_positives": 7}
    assert by_name["crawl.reference"].inputs == {
        "input": ["/made/crawl.perplexity"],
        "model": ["/made/reference_model"],
    }
    assert by_name["crawl.select"].inputs == {"input": ["/made/crawl.reference"]}


def test_archives_of_fetched_pages_are_read_as_the_crawl_is(tmp_path: Path) -> None:
    text = REFERENCE.replace(
        "  urls: [/lists]\n",
        "  pages: [/f/*.warc.gz, /ready]\n  random_pages: [/r/a.warc.wet.gz]\n",
    ).replace("language, perplexity", "{language: {languages: [en]}}, perplexity")
    by_name = {s.name: s for s in steps_of(tmp_path, text)}
    names = list(by_name)
    at = names.index("reference_pages")
    assert names[at - 4 : at] == [
        "reference_fetched",
        "reference_fetched.language",
        "reference_random",
        "reference_random.language",
    ]
    assert by_name["reference_fetched"].stage == "commoncrawl"
    assert by_name["reference_fetched"].inputs == {"input": ["/f/*.warc.gz"]}
    assert by_name["reference_fetched.language"].settings == {"languages": ["en"]}
    inputs = by_name["reference_pages"].inputs
    assert inputs["pages"] == ["/ready", "/made/reference_fetched.language"]
    assert inputs["random_pages"] == ["/made/reference_random.language"]
    bare = text.replace("{language: {languages: [en]}}, ", "")
    names = [s.name for s in steps_of(tmp_path, bare)]
    assert "reference_fetched" in names and "reference_fetched.language" not in names


def test_articles_are_read_before_the_pages_that_they_cite(tmp_path: Path) -> None:
    text = REFERENCE.replace("perplexity, ", "").replace(
        "language_model: {sources: [wiki], settings: {vocabulary: 400}}\n", ""
    )
    names = [s.name for s in steps_of(tmp_path, text)]
    assert names.index("wiki") < names.index("reference_pages")


def test_a_ready_reference_classifier_is_not_made(tmp_path: Path) -> None:
    text = REFERENCE[: REFERENCE.index("reference:\n")]
    for given, inputs in (
        (text + "reference: {path: /m}\n", {"model": ["/m"]}),
        (text.replace("reference, ", "reference: {model_file: /m.bin}, "), {}),
    ):
        by_name = {s.name: s for s in steps_of(tmp_path, given)}
        assert not {"reference_pages", "reference_model"} & set(by_name)
        assert by_name["crawl.reference"].inputs == {"input": ["/made/crawl.perplexity"], **inputs}


DECONTAMINATION = (
    TEXT
    + """\
decontamination:
  benchmarks:
    mmlu: {layout: mmlu, path: [/eval/mmlu, /eval/more/*.csv]}
    gsm8k: {layout: gsm8k, path: /eval/gsm8k}
  index: {ngram: 11}
  settings: {action: remove}
"""
)


def test_decontamination_is_the_last_step_of_every_source(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, DECONTAMINATION)
    by_name = {s.name: s for s in steps}
    names = list(by_name)
    assert names[-5:] == [
        "decontamination_index",
        "crawl.decontaminate",
        "wiki.decontaminate",
        "tokenizer",
        "tokens",
    ]
    index = by_name["decontamination_index"]
    assert index.inputs == {"input": ["/eval/mmlu", "/eval/more/*.csv", "/eval/gsm8k"]}
    assert index.settings == {
        "ngram": 11,
        "benchmarks": {
            "mmlu": {"layout": "mmlu", "path": ["/eval/mmlu", "/eval/more/*.csv"]},
            "gsm8k": {"layout": "gsm8k", "path": ["/eval/gsm8k"]},
        },
    }
    assert by_name["crawl.decontaminate"].inputs == {
        "input": ["/made/crawl.select"],
        "index": ["/made/decontamination_index"],
    }
    assert by_name["wiki.decontaminate"].inputs["input"] == ["/made/wiki"]
    assert by_name["wiki.decontaminate"].settings == {"action": "remove"}
    ends = ["/made/crawl.decontaminate", "/made/wiki.decontaminate"]
    assert by_name["tokens"].inputs["input"] == by_name["tokenizer"].inputs["input"] == ends
    # Models are made of what the sources were before, so another benchmark does not change them.
    assert by_name["language_model"].inputs == {"input": ["/made/wiki"]}
    for step in steps:
        registry.stage_class(step.stage).Settings.model_validate(step.settings)


def test_the_steps_of_a_source_in_order(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(DECONTAMINATION)
    loaded, _ = recipe.load(str(tmp_path / "r.yaml"), "/made")
    assert plan.source_steps(loaded, "wiki") == ["wiki", "wiki.decontaminate"]
    assert plan.source_steps(loaded, "crawl")[-2:] == ["crawl.select", "crawl.decontaminate"]


def test_paths_of_benchmarks_are_written_as_listings_write_them(tmp_path: Path) -> None:
    relative = DECONTAMINATION.replace("/eval/gsm8k", "eval/gsm8k")
    index = {s.name: s for s in steps_of(tmp_path, relative)}["decontamination_index"]
    (path,) = index.settings["benchmarks"]["gsm8k"]["path"]
    assert path == str(Path("eval/gsm8k").absolute())
