"""A finished run of two sources for the tests of `corpus verify` and `corpus purge`.

Every document has words of its own, so that its text can be looked for byte by byte; one page is
there twice under two URLs, one article is a redirect, one page is too short.
"""

from __future__ import annotations

import random
import shutil
from io import BytesIO
from pathlib import Path

from warcio.warcwriter import WARCWriter

from pipeline import plan, recipe, report, seal
from stages.engine import files, yaml_core
from stages.engine.run import StepResult, run_step
from stages.engine.step import Step
from tests.stages import wikipedia_dumps

PAGES, ARTICLES = 40, 24
COPY = 7
"""The page that is there twice; its copy is the last page."""
SHORT = 3
"""The page that is rejected where it is read."""

_RECIPE = """\
name: finished
parameters: {{raw: {raw}}}
total_tokens: 20000
sources:
  commoncrawl:
    proportion: 3
    input: ["${{raw}}/crawl"]
    stages:
      - commoncrawl: {{min_chars: 60}}
      - document_dedup
  wikipedia:
    proportion: 1
    input: ["${{raw}}/wiki"]
    stages: [wikipedia]
tokenizer: {{settings: {{vocab_size: 400}}}}
tokens: {{valid_share: 0.2, shard_tokens: 1200, dialects: [datatrove, olmo]}}
layout: {{bundle_bytes: 0}}
"""


def words(kind: str, number: int) -> str:
    """Three lines that no other document has."""
    choose = random.Random(f"{kind}{number}")
    line = [f"{kind}word{number}x{choose.randrange(10**6)}" for _ in range(9)]
    return "\n".join(" ".join(["the", *line[i : i + 3], "and so on"]) for i in (0, 3, 6))


def text_of(page: int) -> str:
    return words("page", COPY if page == PAGES else page)


def raw(folder: Path) -> Path:
    """Two WET files and one dump; returns their folder."""
    crawl = folder / "crawl"
    crawl.mkdir(parents=True)
    for part in range(2):
        buffer = BytesIO()
        writer = WARCWriter(buffer, gzip=True)
        for page in range(part, PAGES + 1, 2):
            text = "short" if page == SHORT else text_of(page)
            headers = {
                "WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{page:012d}>",
                "WARC-Date": "2019-01-01T00:00:00Z",
            }
            record = writer.create_warc_record(
                f"http://example.org/{page}",
                "conversion",
                payload=BytesIO(text.encode()),
                warc_content_type="text/plain",
                warc_headers_dict=headers,
            )
            writer.write_record(record)
        (crawl / f"part-{part}.warc.wet.gz").write_bytes(buffer.getvalue())
    pages = [
        wikipedia_dumps.page(words("article", n), number=n, title=f"Article {n}")
        for n in range(1, ARTICLES + 1)
    ]
    pages.append(wikipedia_dumps.page("#REDIRECT [[Article 1]]", number=99, title="Redirect"))
    (folder / "wiki").mkdir()
    (folder / "wiki" / "enwiki-20220801-pages-articles.xml").write_bytes(
        wikipedia_dumps.dump(*pages)
    )
    return folder


def recipe_file(folder: Path) -> str:
    """A recipe on raw files made below `folder`."""
    path = folder / "finished.yaml"
    path.write_text(_RECIPE.format(raw=raw(folder / "raw")))
    return str(path)


def run(recipe_path: str, work: Path, changes: tuple[str, ...] = ()) -> dict[str, StepResult]:
    """Runs all steps in this process and ends as `corpus run` does; by step name."""
    loaded, values = recipe.load(recipe_path, str(work), list(changes))
    work.mkdir(parents=True, exist_ok=True)
    (work / "recipe.yaml").write_bytes(yaml_core.dump(values).encode())
    steps = plan.steps(loaded, str(work))
    done = {step.name: run_step(step) for step in steps}
    files.write_json(str(work / "report.json"), report.as_json(str(work)))
    seal.write(str(work), [step.output for step in steps])
    return done


def steps(work: Path) -> list[Step]:
    loaded, _ = recipe.load(str(work / "recipe.yaml"), str(work))
    return plan.steps(loaded, str(work))


def copied(finished: Path, target: Path) -> Path:
    """The same work folder elsewhere, to be changed."""
    shutil.copytree(finished, target)
    return target
