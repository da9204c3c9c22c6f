"""The whole recipe on a small sample: balance, traps, equal bytes, kill and resume."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipeline import plan, recipe, sample, verify
from stages.engine import manifest
from stages.engine.step import Step

pytestmark = pytest.mark.slow

_SCALE = 0.12
_LIMIT = 240


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "raw"
    sample.build(folder, scale=_SCALE)
    return folder


@pytest.fixture(scope="module")
def recipe_file(raw: Path) -> Path:
    """The bundled sample recipe on dumps that are there already, with smaller models."""
    text = Path(recipe.find("sample")).read_text().replace("${work}/raw", str(raw))
    values = yaml.safe_load(text)
    del values["generate"]
    values["language_model"]["settings"].update(min_bytes=5000, vocabulary=1000)
    values["tokenizer"]["settings"]["vocab_size"] = 1000
    path = raw.parent / "small.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def command(recipe_file: Path, work: Path, workers: int) -> list[str]:
    return [
        sys.executable, "-m", "pipeline", "run", str(recipe_file),
        "--work", str(work), "--workers", str(workers),
    ]  # fmt: skip


def run(recipe_file: Path, work: Path, workers: int) -> str:
    done = subprocess.run(
        command(recipe_file, work, workers), capture_output=True, text=True, timeout=_LIMIT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr + done.stdout
    return done.stdout


def steps(recipe_file: Path, work: Path) -> list[Step]:
    loaded, _ = recipe.load(str(recipe_file), str(work))
    return plan.steps(loaded, str(work))


def digests(work: Path) -> dict[str, str]:
    """sha256 of every file that a run leaves, but those that tell times."""
    return {
        str(p.relative_to(work)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(work.rglob("*"))
        if p.is_file() and p.name not in ("_MANIFEST.json", "_SEAL.json", "report.json", ".lock")
    }


def manifest_digests(recipe_file: Path, work: Path) -> list[str]:
    found = [manifest.load(s.output) for s in steps(recipe_file, work)]
    assert all(m is not None for m in found)
    return [m.digest for m in found if m is not None]


@pytest.fixture(scope="module")
def undisturbed(raw: Path, recipe_file: Path) -> tuple[dict[str, str], list[str], Path]:
    """What one worker makes without being disturbed, and where it was put."""
    work = raw.parent / "work"
    run(recipe_file, work, workers=1)
    found = digests(work), manifest_digests(recipe_file, work)
    kept = raw.parent / "one-worker"
    work.rename(kept)
    return *found, kept


NO_DOCUMENTS = {
    *("tokens", "tokenizer", "language_model", "reference_model", "decontamination_index")
}


def test_every_document_is_accounted_for(
    undisturbed: tuple[dict[str, str], list[str], Path], recipe_file: Path
) -> None:
    _, _, work = undisturbed
    before: dict[str, int] = {}
    for step in steps(recipe_file, work):
        done = manifest.load(step.output)
        assert done is not None and done.counts.imbalance() == ""
        source = [p for p in step.inputs.get("input", []) if p in before]
        if source:
            assert done.counts.documents_in == sum(before[p] for p in source), step.name
        before[step.output] = done.counts.documents_out
        listed = {f["path"]: f for f in done.files}
        rows = {"": 0, "rejected": 0, "bad": 0, "hits": 0}
        for path, entry in listed.items():
            content = (Path(step.output) / path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entry["sha256"], path
            if path.endswith(".parquet") and "docs" not in path:
                rows[path.split("/")[0] if "/" in path else ""] += entry["rows"]
        assert rows["rejected"] == done.counts.rejected
        assert rows["bad"] == done.counts.bad
        if done.stage not in NO_DOCUMENTS:
            assert rows[""] == done.counts.documents_out


def test_every_planted_trap_is_caught(
    undisturbed: tuple[dict[str, str], list[str], Path], raw: Path
) -> None:
    results = sample.caught(raw / "KEY.json", undisturbed[2])
    missed = {r.kind: r.missed_examples for r in results if r.caught < r.planted}
    # So small a language model does not tell all lists of words from sentences.
    missed.pop("keyword spam", None)
    assert missed == {}
    assert sum(r.planted for r in results) > 300


def test_two_workers_give_the_bytes_of_one(
    undisturbed: tuple[dict[str, str], list[str], Path], raw: Path, recipe_file: Path
) -> None:
    work = raw.parent / "work"
    run(recipe_file, work, workers=2)
    assert digests(work) == undisturbed[0]
    assert manifest_digests(recipe_file, work) == undisturbed[1]
    again = run(recipe_file, work, workers=2)
    assert again.count("(done before)") == len(undisturbed[1])
    work.rename(raw.parent / "two-workers")


def test_a_run_killed_in_every_step_ends_with_the_same_bytes(
    undisturbed: tuple[dict[str, str], list[str], Path], raw: Path, recipe_file: Path
) -> None:
    work = raw.parent / "work"
    killed = []
    for step in steps(recipe_file, work):
        process = subprocess.Popen(
            command(recipe_file, work, workers=2),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _LIMIT
        while process.poll() is None and time.monotonic() < deadline:
            if _begun(step):
                # In the midst of the step: its first units are done or under way.
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.002)
        if process.wait(_LIMIT) == -signal.SIGKILL:
            killed.append(step.name)
    assert len(killed) >= len(undisturbed[1]) - 1, killed
    run(recipe_file, work, workers=2)
    assert digests(work) == undisturbed[0]
    assert manifest_digests(recipe_file, work) == undisturbed[1]


def _begun(step: Step) -> bool:
    if step.progress is None or not os.path.exists(step.progress):
        return False
    with open(step.progress, "rb") as lines:
        return any(json.loads(x)["e"] == "started" for x in lines if x.endswith(b"\n"))


def test_verify_names_the_file_and_the_block_of_a_changed_byte(
    undisturbed: tuple[dict[str, str], list[str], Path], recipe_file: Path
) -> None:
    work = undisturbed[2]
    # The kept folder has another name than the one that the recipe was run in.
    found = verify.verify(steps(recipe_file, work), str(work))
    assert found.problems == () and found.files > 50
    shard = next((work / "tokens" / "wikipedia").glob("train-*.bin"))
    content = bytearray(shard.read_bytes())
    place = len(content) // 2
    content[place] ^= 1
    shard.write_bytes(content)
    try:
        (first, *_) = verify.verify(steps(recipe_file, work), str(work)).problems
        assert first.file == str(shard)
        assert first.offset is not None and first.offset <= place < first.offset + (1 << 20)
        shard.rename(shard.with_suffix(".gone"))
        missing = verify.verify(steps(recipe_file, work), str(work)).problems
        assert any(p.file == str(shard) and "missing" in p.what for p in missing)
        shard.with_suffix(".gone").rename(shard)
    finally:
        content[place] ^= 1
        shard.write_bytes(content)
