"""The sample's StackExchange dumps: the same bytes each time, and all traps caught by the step."""

from __future__ import annotations

from pathlib import Path

from pipeline.sample import caught, stackexchange
from pipeline.sample.traps import Key, write_key
from stages.engine.run import run_step
from stages.engine.step import Step


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_all_traps_are_caught(tmp_path: Path) -> None:
    traps = stackexchange.write(tmp_path / "raw", seed=3, scale=0.05)
    assert len({trap.kind for trap in traps}) >= 14
    write_key(tmp_path / "KEY.json", Key(seed=3, traps=tuple(traps)))
    folder = stackexchange.FOLDER
    step = Step(
        name=folder,
        stage="stackexchange",
        inputs={"input": [str(tmp_path / "raw" / folder)]},
        output=str(tmp_path / "work" / folder),
    )
    counts = run_step(step).manifest.counts
    missed = [r for r in caught(tmp_path / "KEY.json", tmp_path / "work") if r.caught < r.planted]
    assert missed == []
    assert counts.skipped["answer_in_thread"] > 20
    assert counts.documents_out > 20


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = stackexchange.write(tmp_path / "a", seed=1, scale=0.02)
    assert stackexchange.write(tmp_path / "b", seed=1, scale=0.02) == first
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")
    stackexchange.write(tmp_path / "c", seed=2, scale=0.02)
    assert _bytes(tmp_path / "a") != _bytes(tmp_path / "c")
