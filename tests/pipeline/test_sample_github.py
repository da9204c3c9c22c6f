"""The sample's GitHub export: the same bytes each time, and every trap caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sample import Key, caught, github
from pipeline.sample.traps import Must, Trap, write_key
from stages.engine.step import Step
from tests.stages.helpers import digests, shuffle


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trap]]:
    out = tmp_path_factory.mktemp("sample")
    return out, github.write(out, seed=1, scale=0.2)


def test_the_same_seed_gives_the_same_bytes(
    written: tuple[Path, list[Trap]], tmp_path: Path
) -> None:
    out, traps = written
    assert github.write(tmp_path / "again", seed=1, scale=0.2) == traps
    assert digests(tmp_path / "again") == digests(out)
    github.write(tmp_path / "other", seed=2, scale=0.2)
    assert digests(tmp_path / "other") != digests(out)


def test_scale_changes_ordinary_text_alone(
    written: tuple[Path, list[Trap]], tmp_path: Path
) -> None:
    out, traps = written
    more = github.write(tmp_path / "more", seed=1, scale=0.4)
    kinds = lambda some: sorted((t.kind, t.url or "") for t in some)  # noqa: E731
    assert kinds(more) == kinds(traps)

    def size(folder: Path) -> int:
        return sum(p.stat().st_size for p in folder.rglob("contents-00000000000[01]*"))

    assert size(tmp_path / "more") > 1.3 * size(out)


def test_every_trap_is_caught(written: tuple[Path, list[Trap]], tmp_path: Path) -> None:
    out, traps = written
    assert {t.must for t in traps} >= {Must.TEXT_GONE, Must.KEPT, Must.REJECTED, Must.UNREADABLE}
    write_key(tmp_path / "KEY.json", Key(seed=1, traps=tuple(traps)))
    work = tmp_path / "work"
    raw = {"input": [str(out / "github")]}
    shuffle(Step("github", "github", str(work / "github"), raw))
    parts = {"input": [str(work / "github" / "part-*.parquet")]}
    dedup = str(work / "github.document_dedup")
    shuffle(Step("github.document_dedup", "document_dedup", dedup, parts))
    missed = {r.kind: r.missed_examples for r in caught(tmp_path / "KEY.json", work)}
    assert not any(missed.values()), missed
