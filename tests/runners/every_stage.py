"""A recipe in which every registered stage has a part, on a sample of half a megabyte."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from pipeline import plan, recipe, sample
from stages import registry
from stages.engine import manifest
from stages.engine.step import Step

SCALE = 0.05
# Manifests tell how long each step took, and the seal is over the manifests.
_WITH_TIMES = ("_MANIFEST.json", "_SEAL.json", "report.json", ".lock")


def make_raw(folder: Path) -> None:
    """Writes the raw dumps of a small sample, the same bytes each time."""
    sample.build(folder, scale=SCALE)


def values(raw: str) -> dict[str, Any]:
    """The bundled sample's recipe on dumps that lie in `raw` (a folder or gs://...), with smaller
    models, and with the stages that it leaves out."""
    text = Path(recipe.find("sample")).read_text().replace("${work}/raw", raw)
    found: dict[str, Any] = yaml.safe_load(text)
    del found["generate"]
    found["language_model"]["settings"].update(min_bytes=5000, vocabulary=500)
    found["reference"]["model"].update(min_positives=5)
    found["tokenizer"]["settings"]["vocab_size"] = 600
    sources = found["sources"]
    sources["books"]["stages"].append("fuzzy_dedup")
    sources["c4_from_crawl"] = {
        "proportion": 1.0,
        "input": [f"{raw}/commoncrawl/wet"],
        "stages": ["commoncrawl", "c4_url_dedup", "c4_clean", "c4_line_dedup", "c4_filter"],
    }
    return found


def write_recipe(path: Path, raw: str) -> str:
    path.write_text(yaml.safe_dump(values(raw)))
    return str(path)


def steps(recipe_file: str, work: str) -> list[Step]:
    return plan.steps(recipe.load(recipe_file, work)[0], work)


def stages_left_out(recipe_file: str) -> set[str]:
    return set(registry.STAGES) - {step.stage for step in steps(recipe_file, "work")}


def digests(work: Path) -> dict[str, str]:
    """sha256 of every file that a run leaves, but those that tell times."""
    return {
        str(p.relative_to(work)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(work.rglob("*"))
        if p.is_file() and p.name not in _WITH_TIMES
    }


def manifest_digests(recipe_file: str, work: Path) -> dict[str, str]:
    """The digest of each step's outputs, by its name."""
    found = {step.name: manifest.load(step.output) for step in steps(recipe_file, str(work))}
    assert all(found.values())
    return {name: done.digest for name, done in found.items() if done is not None}


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """What only one of them has, or both have differently."""
    return sorted(k for k in {*one, *other} if one.get(k) != other.get(k))
