"""A run of seconds: pages of a few words, scored with a model of two, selected and tokenised."""

from __future__ import annotations

import random
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from warcio.warcwriter import WARCWriter

from pipeline import plan, recipe
from stages.engine import yaml_core
from stages.engine.run import StepResult, run_step
from stages.engine.step import Step
from tests.stages.test_perplexity_rule import write_models

RECIPE = """\
name: small
parameters: {{raw: {raw}, models: {models}}}
total_tokens: 1000
sources:
  commoncrawl:
    proportion: 1
    input: ["${{raw}}"]
    stages:
      - commoncrawl: {{min_chars: 0}}
      - language: {{threshold: 0}}
      - perplexity
      - select
language_model: {{path: "${{models}}"}}
tokenizer: {{settings: {{vocab_size: 300}}}}
tokens: {{valid_share: 0.1}}
layout: {{bundle_bytes: 0}}
"""
_TEXT = "the page about a small house and b garden with old trees is open today"


def make(folder: Path, pages: int = 120) -> str:
    """Writes two WET files, the models and a recipe; returns the recipe's path."""
    (folder / "raw").mkdir(parents=True)
    (folder / "models").mkdir()
    write_models(folder / "models", "en")
    choose = random.Random(5)
    for part in range(2):
        buffer = BytesIO()
        writer = WARCWriter(buffer, gzip=True)
        for page in range(part, pages, 2):
            likely = choose.random()
            words = [
                choose.choice("ab") if choose.random() < likely else choose.choice(_TEXT.split())
                for _ in range(choose.randrange(20, 120))
            ]
            headers = {
                "WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{page:012d}>",
                "WARC-Date": "2019-01-01T00:00:00Z",
            }
            writer.write_record(
                writer.create_warc_record(
                    f"http://example.org/{page}",
                    "conversion",
                    payload=BytesIO(" ".join(words).encode()),
                    warc_content_type="text/plain",
                    warc_headers_dict=headers,
                )
            )
        (folder / "raw" / f"part-{part}.warc.wet.gz").write_bytes(buffer.getvalue())
    path = folder / "small.yaml"
    path.write_text(RECIPE.format(raw=folder / "raw", models=folder / "models"))
    return str(path)


def steps(recipe_file: str, work: str, changes: Sequence[str] = ()) -> list[Step]:
    return plan.steps(recipe.load(recipe_file, work, changes)[0], work)


def run(recipe_file: str, work: str, changes: Sequence[str] = ()) -> dict[str, StepResult]:
    """Runs the plan in this process, and leaves the recipe as `corpus run` does; by step name."""
    loaded, values = recipe.load(recipe_file, work, changes)
    Path(work).mkdir(parents=True, exist_ok=True)
    Path(work, "recipe.yaml").write_bytes(yaml_core.dump(values).encode())
    return {step.name: run_step(step) for step in plan.steps(loaded, work)}
