"""The sample's arXiv tars through the stage: every planted trap is caught, every record counted."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.sample import arxiv
from pipeline.sample.caught import caught
from pipeline.sample.traps import Key, write_key
from stages.documents import Counts
from stages.engine.progress import Reporter
from stages.registry import create
from tests.stages import helpers


def _digests(folder: Path) -> list[str]:
    return [hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*.tar"))]


def test_every_trap_is_caught(tmp_path: Path) -> None:
    traps = arxiv.write(tmp_path / "raw", seed=3, scale=0.05)
    write_key(tmp_path / "KEY.json", Key(seed=3, traps=tuple(traps)))
    step = helpers.toy_step(
        tmp_path, "arxiv", out="work/arxiv", inputs={"input": [str(tmp_path / "raw/arxiv")]}
    )
    stage = create(step)
    counts = Counts()
    for unit in stage.units():
        counts.add(stage.process(unit, Reporter(None)).counts)
    assert counts.imbalance() == ""
    missed = {
        r.kind: r.missed_examples
        for r in caught(tmp_path / "KEY.json", tmp_path / "work")
        if r.caught < r.planted
    }
    assert missed == {}
    assert counts.errors.total() >= 9 and "internal" not in counts.errors
    arxiv.write(tmp_path / "again", seed=3, scale=0.05)
    assert _digests(tmp_path / "again") == _digests(tmp_path / "raw")
